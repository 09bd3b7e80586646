//! Every state that the loss of power may leave of a disk, each shown once.
//!
//! `Disk::show_plainly` makes a tree for every subset of what is pending and every way to tear one of its writes. Most of these trees are
//! the same: files that nobody can reach, writes that others have overwritten, moments that differ by a sync alone. Here the names are
//! one choice, and what each file holds another: changes of different files never meet, so every combination of them is a state, and no
//! tree has to be made to know it. What a file may hold is made once for a file, not once for a state; equal contents, by their SHA-256,
//! and equal names are one; an image that was looked at is not looked at again before more is required of it. `power_loss.rs` holds the set of
//! images against that of `show_plainly`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use sha2::{Digest as _, Sha256};

use super::disk::{Change, Disk, Inode, Tree};

/// What a file may hold. The same number, from one disk, is the same bytes.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) number: usize,
    pub(crate) bytes: Vec<u8>,
}

/// Which names there are. The same number, from one disk, is the same paths to the same files.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) number: usize,
    /// In the order of paths.
    pub(crate) files: Vec<(PathBuf, Inode)>,
    pub(crate) folders: Vec<PathBuf>,
}

/// What the loss of power may leave.
#[derive(Clone, Copy)]
pub(crate) struct Image<'a> {
    pub(crate) names: &'a Names,
    /// Of each of the files, in their order.
    pub(crate) held: &'a [&'a Content],
}

impl Image<'_> {
    pub(crate) fn files(&self) -> impl Iterator<Item = (&Path, &Content)> {
        self.names.files.iter().zip(self.held).map(|((path, _), content)| (path.as_path(), *content))
    }

    /// Makes real files of it in an empty folder.
    pub(crate) fn store(&self, root: &Path) {
        self.names.folders.iter().for_each(|folder| std::fs::create_dir_all(root.join(folder)).unwrap());
        self.files().for_each(|(path, content)| std::fs::write(root.join(path), &content.bytes).unwrap());
    }
}

/// The contents that one file may have: those of whole writes, and those with one that is torn.
#[derive(Debug, Default)]
struct Held {
    whole: Vec<Content>,
    torn: Vec<Content>,
}

/// What was looked at.
#[derive(Debug, Default, Clone)]
pub(crate) struct Looked {
    pub(crate) moments: usize,
    /// Subsets, whole and torn: what is shown plainly.
    pub(crate) states: u64,
    /// Images that were checked: different ones, and again those of which more is required than before.
    pub(crate) images: u64,
    pub(crate) pending_most: usize,
    /// Of so many pending changes every subset was tried.
    pub(crate) subsets_of: usize,
    /// Moments at which more were pending.
    pub(crate) beyond: usize,
}

impl Looked {
    pub(crate) fn print(&self, of: &str) {
        let Self { moments, states, images, pending_most, subsets_of, beyond } = self;
        eprintln!(
            "{of}: power lost at {moments} moments, at most {pending_most} changes pending, every subset of {subsets_of}, {beyond} moments \
             with more: {states} states, {images} images"
        );
    }
}

/// Digests of images.
type Seen = HashSet<u128, BuildHasherDefault<Digested>>;

/// Looks at the states of one disk, moment by moment.
pub(crate) struct States {
    contents: HashMap<[u8; 32], usize>,
    names: HashMap<Vec<(PathBuf, Option<Inode>)>, Rc<Names>>,
    /// A number for each path.
    paths: HashMap<PathBuf, usize>,
    seen: Seen,
    pub(crate) looked: Looked,
}

impl States {
    /// Of more pending changes than `subsets_of`, the older ones are all there or none of them.
    pub(crate) fn new(subsets_of: usize) -> Self {
        Self {
            contents: HashMap::new(),
            names: HashMap::new(),
            paths: HashMap::new(),
            seen: HashSet::default(),
            looked: Looked { subsets_of, ..Looked::default() },
        }
    }

    /// From now on more must hold: what was looked at is looked at again.
    pub(crate) fn require_more(&mut self) {
        self.seen.clear();
    }

    /// The number of these bytes.
    pub(crate) fn number_of(&mut self, bytes: &[u8]) -> usize {
        let next = self.contents.len();
        *self.contents.entry(Sha256::digest(bytes).into()).or_insert(next)
    }

    /// Shows every state that the loss of power at this moment may leave and that was not shown yet.
    ///
    /// # Errors
    /// The first that `check` finds fault with.
    pub(crate) fn crash(&mut self, disk: &Disk, check: &mut impl FnMut(Image<'_>) -> Result<(), String>) -> Result<(), String> {
        let (bases, pending) = disk.bases(self.looked.subsets_of);
        self.looked.moments += 1;
        self.looked.pending_most = self.looked.pending_most.max(disk.pending.len());
        self.looked.beyond += usize::from(bases.len() > 1);
        let torn: u64 = pending.iter().map(|change| change.torn().len() as u64).sum();
        self.looked.states += bases.len() as u64 * ((1 << pending.len()) + (torn << pending.len() >> 1));
        bases.iter().try_for_each(|base| self.crash_on(base, pending, check))
    }

    fn crash_on(&mut self, base: &Tree, pending: &[Change], check: &mut impl FnMut(Image<'_>) -> Result<(), String>) -> Result<(), String> {
        let mut held: HashMap<Inode, Held> = HashMap::new();
        for names in self.all_names(base, pending) {
            for (_, file) in &names.files {
                if !held.contains_key(file) {
                    held.insert(*file, self.all_held(base, *file, pending));
                }
            }
            let choices: Vec<&Held> = names.files.iter().map(|(_, file)| &held[file]).collect();
            let paths: Vec<usize> = names.files.iter().map(|(path, _)| path_number(&mut self.paths, path)).collect();
            let mut walk = Walk::new(&names, &choices, &paths, &mut self.seen, check);
            let folders = names.folders.iter().map(|path| mixed(path_number(&mut self.paths, path), usize::MAX));
            let result = walk.choose(0, false, folders.fold(walk.settled(), u128::wrapping_add));
            self.looked.images += walk.images;
            result?;
        }
        Ok(())
    }

    /// The different names that subsets of the pending changes of names make.
    fn all_names(&mut self, base: &Tree, pending: &[Change]) -> Vec<Rc<Names>> {
        let changes: Vec<&Change> = pending.iter().filter(|change| change.file().is_none()).collect();
        let (mut found, mut numbers) = (Vec::new(), BTreeSet::new());
        for subset in 0..1_u32 << changes.len() {
            let mut tree = base.clone();
            (0..changes.len()).filter(|at| subset >> at & 1 == 1).for_each(|at| tree.apply(changes[at]));
            let names = self.names_in(tree.listing());
            if numbers.insert(names.number) {
                found.push(names);
            }
        }
        found
    }

    fn names_in(&mut self, listing: Vec<(PathBuf, Option<Inode>)>) -> Rc<Names> {
        if let Some(known) = self.names.get(&listing) {
            return Rc::clone(known);
        }
        let files = listing.iter().filter_map(|(path, inode)| inode.map(|inode| (path.clone(), inode))).collect();
        let folders = listing.iter().filter(|(_, inode)| inode.is_none()).map(|(path, _)| path.clone()).collect();
        let names = Rc::new(Names { number: self.names.len(), files, folders });
        self.names.insert(listing, Rc::clone(&names));
        names
    }

    /// The different contents that subsets of the pending changes of a file make, with at most one of its writes torn.
    fn all_held(&mut self, base: &Tree, file: Inode, pending: &[Change]) -> Held {
        let changes: Vec<&Change> = pending.iter().filter(|change| change.file() == Some(file)).collect();
        let torn: Vec<Vec<Change>> = changes.iter().map(|change| change.torn()).collect();
        let (mut held, mut numbers) = (Held::default(), HashSet::new());
        let subsets = || (0..1_u32 << changes.len()).map(|subset| (0..changes.len()).filter(move |at| subset >> at & 1 == 1));
        for there in subsets() {
            let there: Vec<&Change> = there.map(|at| changes[at]).collect();
            let content = self.content(base.content(file), &there);
            if numbers.insert(content.number) {
                held.whole.push(content);
            }
        }
        // Only now: a torn content that is also a whole one leaves another file free to be torn.
        for there in subsets() {
            for at in there.clone() {
                for torn in &torn[at] {
                    let there: Vec<&Change> = there.clone().map(|other| if other == at { torn } else { changes[other] }).collect();
                    let content = self.content(base.content(file), &there);
                    if numbers.insert(content.number) {
                        held.torn.push(content);
                    }
                }
            }
        }
        held
    }

    fn content(&mut self, base: &[u8], changes: &[&Change]) -> Content {
        let mut bytes = base.to_vec();
        changes.iter().for_each(|change| change.apply_to(&mut bytes));
        Content { number: self.number_of(&bytes), bytes }
    }
}

fn path_number(paths: &mut HashMap<PathBuf, usize>, path: &Path) -> usize {
    if let Some(known) = paths.get(path) {
        return *known;
    }
    let next = paths.len();
    paths.insert(path.to_owned(), next);
    next
}

/// All combinations of what the files under some names hold.
struct Walk<'a, C> {
    names: &'a Names,
    choices: &'a [&'a Held],
    paths: &'a [usize],
    /// The files that may hold one thing or another, each with all its names.
    open: Vec<Vec<usize>>,
    held: Vec<&'a Content>,
    seen: &'a mut Seen,
    images: u64,
    check: &'a mut C,
}

impl<'a, C: FnMut(Image<'_>) -> Result<(), String>> Walk<'a, C> {
    fn new(names: &'a Names, choices: &'a [&'a Held], paths: &'a [usize], seen: &'a mut Seen, check: &'a mut C) -> Self {
        let mut open: BTreeMap<Inode, Vec<usize>> = BTreeMap::new();
        for (at, (_, file)) in names.files.iter().enumerate() {
            if choices[at].whole.len() + choices[at].torn.len() > 1 {
                open.entry(*file).or_default().push(at);
            }
        }
        let open = open.into_values().collect();
        let held = choices.iter().map(|held| &held.whole[0]).collect();
        Self { names, choices, paths, open, held, seen, images: 0, check }
    }

    /// The digest of the files that hold one thing only.
    fn settled(&self) -> u128 {
        let settled = (0..self.held.len()).filter(|at| !self.open.iter().flatten().any(|open| open == at));
        settled.map(|at| mixed(self.paths[at], self.held[at].number)).fold(0, u128::wrapping_add)
    }

    /// Chooses for the open files from the `next`th on. `digest`: of what is chosen.
    fn choose(&mut self, next: usize, is_torn: bool, digest: u128) -> Result<(), String> {
        let Some(&first) = self.open.get(next).and_then(|names| names.first()) else { return self.show(digest) };
        let choices = self.choices[first];
        let torn = choices.torn.iter().filter(|_| !is_torn).map(|content| (content, true));
        for (content, tears) in choices.whole.iter().map(|content| (content, false)).chain(torn) {
            let mut chosen = digest;
            for &at in &self.open[next] {
                self.held[at] = content;
                chosen = chosen.wrapping_add(mixed(self.paths[at], content.number));
            }
            self.choose(next + 1, is_torn || tears, chosen)?;
        }
        Ok(())
    }

    fn show(&mut self, digest: u128) -> Result<(), String> {
        if !self.seen.insert(digest) {
            return Ok(());
        }
        self.images += 1;
        (self.check)(Image { names: self.names, held: &self.held })
    }
}

/// The part of one file in the digest of an image, whose parts are added up.
fn mixed(path: usize, content: usize) -> u128 {
    let half = |salt: u64| {
        let mut bits = (path as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (content as u64).wrapping_add(salt);
        for factor in [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb] {
            bits = (bits ^ bits >> 30).wrapping_mul(factor);
        }
        bits ^ bits >> 31
    };
    u128::from(half(0x5851_f42d_4c95_7f2d)) << 64 | u128::from(half(0x1405_7b7e_f767_814f))
}

/// The hash of what is a hash already.
#[derive(Default)]
struct Digested(u64);

impl Hasher for Digested {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0 << 8 | u64::from(*byte));
    }

    fn write_u128(&mut self, digest: u128) {
        self.0 = digest as u64;
    }
}
