//! A disk in memory that does again what a real process did to its files, and knows what no sync has forced out of it yet.
//!
//! What the loss of power may leave of it:
//!
//! - What a sync has forced out is there: of a file its bytes and its length, of a folder its entries. The sync of one is none of the other.
//! - Every other change is there or not, each for itself, whatever became of those before and after it: a new name, a removed one, a rename
//!   (both names at once, with the sync of the folder that it leads to), a write, a new length. Those of one file that are there were made
//!   in their order.
//! - Of at most one write a part is there. It is cut behind its first byte, in its middle, before its last byte or at a sector of the file,
//!   and what is missing was never written, or is zeros; all of it may be zeros; or one sector of several keeps what was there before.
//!
//! That is more than any journaling file system does, and so what holds here holds on all of them. It takes the disk at its word: a sync
//! is a sync, and a write changes no byte beside it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use super::trace::Op;

const SECTOR_BYTES: usize = 512;

pub(crate) type Inode = usize;

#[derive(Debug, Clone)]
pub(crate) enum Node {
    /// Shared by the states that do not change it.
    File(Rc<Vec<u8>>),
    Folder(BTreeMap<String, Inode>),
}

/// Files and folders as somebody sees them.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
}

const ROOT: Inode = 0;

impl Tree {
    fn new() -> Self {
        Self { nodes: vec![Node::Folder(BTreeMap::new())] }
    }

    fn entries(&mut self, folder: Inode) -> &mut BTreeMap<String, Inode> {
        match &mut self.nodes[folder] {
            Node::Folder(entries) => entries,
            Node::File(_) => panic!("a file has no entries"),
        }
    }

    pub(crate) fn content(&self, file: Inode) -> &Rc<Vec<u8>> {
        match &self.nodes[file] {
            Node::File(bytes) => bytes,
            Node::Folder(_) => panic!("a folder has no bytes"),
        }
    }

    fn find(&self, path: &Path) -> Option<Inode> {
        path.components().try_fold(ROOT, |inode, part| match (&self.nodes[inode], part) {
            (Node::Folder(entries), Component::Normal(name)) => entries.get(&*name.to_string_lossy()).copied(),
            _ => None,
        })
    }

    /// The content of a file that can be reached.
    pub(crate) fn read(&self, path: &Path) -> Option<&[u8]> {
        match &self.nodes[self.find(path)?] {
            Node::File(bytes) => Some(bytes),
            Node::Folder(_) => None,
        }
    }

    /// Everything that can be reached, in the order of paths; a folder has no inode.
    pub(crate) fn listing(&self) -> Vec<(PathBuf, Option<Inode>)> {
        let mut found = Vec::new();
        self.walk(ROOT, &PathBuf::new(), &mut found);
        found.sort_unstable();
        found
    }

    fn walk(&self, inode: Inode, path: &Path, found: &mut Vec<(PathBuf, Option<Inode>)>) {
        match &self.nodes[inode] {
            Node::File(_) => found.push((path.to_owned(), Some(inode))),
            Node::Folder(entries) => {
                found.push((path.to_owned(), None));
                entries.iter().for_each(|(name, inode)| self.walk(*inode, &path.join(name), found));
            }
        }
    }

    /// The same with what files hold.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Option<Rc<Vec<u8>>>> {
        let held = |inode: Option<Inode>| inode.map(|inode| Rc::clone(self.content(inode)));
        self.listing().into_iter().map(|(path, inode)| (path, held(inode))).collect()
    }

    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::Link { folder, name, inode } => drop(self.entries(*folder).insert(name.clone(), *inode)),
            Change::Unlink { folder, name } => drop(self.entries(*folder).remove(name)),
            Change::Move { from, name, folder, new_name, inode } => {
                self.entries(*from).remove(name);
                self.entries(*folder).insert(new_name.clone(), *inode);
            }
            Change::Data { file, .. } | Change::Size { file, .. } => match &mut self.nodes[*file] {
                Node::File(bytes) => change.apply_to(Rc::make_mut(bytes)),
                Node::Folder(_) => panic!("a folder has no bytes"),
            },
        }
    }

    /// Takes over a real folder.
    fn load(&mut self, folder: Inode, from: &Path) {
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            let (path, is_folder) = (entry.path(), entry.file_type().unwrap().is_dir());
            let node = if is_folder { Node::Folder(BTreeMap::new()) } else { Node::File(Rc::new(fs::read(&path).unwrap())) };
            self.nodes.push(node);
            let inode = self.nodes.len() - 1;
            self.entries(folder).insert(entry.file_name().to_string_lossy().into_owned(), inode);
            if is_folder {
                self.load(inode, &path);
            }
        }
    }

    /// Makes real files of it in an empty folder.
    pub(crate) fn store(&self, root: &Path) {
        for (path, inode) in self.listing() {
            match inode {
                Some(inode) => fs::write(root.join(path), self.content(inode).as_slice()).unwrap(),
                None => fs::create_dir_all(root.join(path)).unwrap(),
            }
        }
    }
}

/// A change that no sync has forced out yet.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Link {
        folder: Inode,
        name: String,
        inode: Inode,
    },
    Unlink {
        folder: Inode,
        name: String,
    },
    Move {
        from: Inode,
        name: String,
        folder: Inode,
        new_name: String,
        inode: Inode,
    },
    /// Places of a file and what is written there: one, and of a write that has a hole two.
    Data {
        file: Inode,
        pieces: Vec<(usize, Vec<u8>)>,
    },
    Size {
        file: Inode,
        length: usize,
    },
}

impl Change {
    /// The file or folder whose sync forces it out.
    fn place(&self) -> Inode {
        match self {
            Self::Link { folder, .. } | Self::Unlink { folder, .. } | Self::Move { folder, .. } => *folder,
            Self::Data { file, .. } | Self::Size { file, .. } => *file,
        }
    }

    /// The file whose bytes it changes; of a change of names none.
    pub(crate) fn file(&self) -> Option<Inode> {
        match self {
            Self::Data { file, .. } | Self::Size { file, .. } => Some(*file),
            _ => None,
        }
    }

    pub(crate) fn apply_to(&self, content: &mut Vec<u8>) {
        match self {
            Self::Data { pieces, .. } => {
                for (offset, bytes) in pieces {
                    content.resize(content.len().max(offset + bytes.len()), 0);
                    content[*offset..offset + bytes.len()].copy_from_slice(bytes);
                }
            }
            Self::Size { length, .. } => content.resize(*length, 0),
            _ => panic!("{self:?} changes no bytes"),
        }
    }

    /// What may be there of a write that is not whole.
    pub(crate) fn torn(&self) -> Vec<Self> {
        let Self::Data { file, pieces } = self else { return Vec::new() };
        let (offset, bytes) = &pieces[0];
        let size = bytes.len();
        let sectors: Vec<usize> = (SECTOR_BYTES - offset % SECTOR_BYTES..size).step_by(SECTOR_BYTES).collect();
        let mut cuts: Vec<usize> = [1, size / 2, size.saturating_sub(1)].into_iter().chain(sectors.iter().copied()).collect();
        cuts.sort_unstable();
        cuts.dedup();
        cuts.retain(|cut| (1..size).contains(cut));
        let data = |pieces| Self::Data { file: *file, pieces };
        let short = cuts.iter().map(|&cut| data(vec![(*offset, bytes[..cut].to_vec())]));
        // A file may have its new length before it has its bytes.
        let zeros = |cut: usize| [&bytes[..cut], &vec![0; size - cut]].concat();
        let zeroed = [0].iter().chain(&cuts).map(|&cut| data(vec![(*offset, zeros(cut))]));
        let ends = sectors.iter().copied().chain([size]);
        let holes = [0].iter().chain(&sectors).zip(ends).filter(|_| !sectors.is_empty());
        let holes = holes.map(|(&from, to)| data(vec![(*offset, bytes[..from].to_vec()), (offset + to, bytes[to..].to_vec())]));
        short.chain(zeroed).chain(holes).collect()
    }
}

/// The disk: what the process sees, what is safe, and what lies between.
#[derive(Clone)]
pub(crate) struct Disk {
    pub(crate) now: Tree,
    pub(crate) safe: Tree,
    pub(crate) pending: Vec<Change>,
}

impl Disk {
    pub(crate) fn new() -> Self {
        Self { now: Tree::new(), safe: Tree::new(), pending: Vec::new() }
    }

    /// A disk on which everything in a real folder is safe.
    pub(crate) fn of(folder: &Path) -> Self {
        let mut safe = Tree::new();
        safe.load(ROOT, folder);
        Self { now: safe.clone(), safe, pending: Vec::new() }
    }

    pub(crate) fn apply(&mut self, op: &Op) {
        let place = |tree: &Tree, path: &Path| {
            let folder = tree.find(path.parent().unwrap()).unwrap_or_else(|| panic!("{op:?} in a folder that is not there"));
            (folder, path.file_name().unwrap().to_string_lossy().into_owned())
        };
        let file = |tree: &Tree, path: &Path| tree.find(path).unwrap_or_else(|| panic!("{op:?} of a file that is not there"));
        match op {
            Op::Create { path, truncates } => match self.now.find(path) {
                Some(file) if *truncates => self.change(Change::Size { file, length: 0 }),
                Some(_) => {}
                None => {
                    let (folder, name) = place(&self.now, path);
                    let inode = self.make(Node::File(Rc::default()));
                    self.change(Change::Link { folder, name, inode });
                }
            },
            Op::MakeFolder { path } => {
                let (folder, name) = place(&self.now, path);
                let inode = self.make(Node::Folder(BTreeMap::new()));
                self.change(Change::Link { folder, name, inode });
            }
            Op::Write { path, offset, bytes } => {
                let file = file(&self.now, path);
                let offset = offset.unwrap_or(self.now.content(file).len());
                self.change(Change::Data { file, pieces: vec![(offset, bytes.clone())] });
            }
            Op::Truncate { path, length } => {
                let file = file(&self.now, path);
                self.change(Change::Size { file, length: *length });
            }
            Op::Rename { from, to } => {
                let ((from, name), (folder, new_name)) = (place(&self.now, from), place(&self.now, to));
                let inode = self.now.entries(from)[&name];
                self.change(Change::Move { from, name, folder, new_name, inode });
            }
            Op::Unlink { path } => {
                let (folder, name) = place(&self.now, path);
                self.change(Change::Unlink { folder, name });
            }
            Op::Sync { path } => {
                if let Some(place) = self.now.find(path) {
                    let (forced, pending): (Vec<Change>, _) = self.pending.drain(..).partition(|change| change.place() == place);
                    self.pending = pending;
                    forced.iter().for_each(|change| self.safe.apply(change));
                }
            }
        }
    }

    fn make(&mut self, node: Node) -> Inode {
        self.now.nodes.push(node.clone());
        self.safe.nodes.push(node);
        self.now.nodes.len() - 1
    }

    fn change(&mut self, change: Change) {
        self.now.apply(&change);
        self.pending.push(change);
    }

    /// Where the exhaustive part of what is pending begins, when it may be so many changes, and what lies under it: of older changes
    /// none, or all.
    pub(crate) fn bases(&self, subsets_of: usize) -> (Vec<Tree>, &[Change]) {
        let (older, newer) = self.pending.split_at(self.pending.len().saturating_sub(subsets_of));
        let mut bases = vec![self.safe.clone()];
        if !older.is_empty() {
            let mut with_older = self.safe.clone();
            older.iter().for_each(|change| with_older.apply(change));
            bases.push(with_older);
        }
        (bases, newer)
    }

    /// Shows every state that the loss of power at this moment may leave, as plainly as can be: each subset, whole and with each of its
    /// writes torn in each way. What [`super::states::States`] shows is held against it.
    pub(crate) fn show_plainly(&self, subsets_of: usize, show: &mut impl FnMut(&Tree)) {
        let (bases, pending) = self.bases(subsets_of);
        for base in &bases {
            for subset in 0..1_u32 << pending.len() {
                let there: Vec<&Change> = (0..pending.len()).filter(|at| subset >> at & 1 == 1).map(|at| &pending[at]).collect();
                show(&with(base, &there, None));
                for at in 0..there.len() {
                    there[at].torn().iter().for_each(|torn| show(&with(base, &there, Some((at, torn)))));
                }
            }
        }
    }
}

/// A tree with these changes, one of which may be torn.
pub(crate) fn with(base: &Tree, there: &[&Change], torn: Option<(usize, &Change)>) -> Tree {
    let mut tree = base.clone();
    for (at, change) in there.iter().enumerate() {
        tree.apply(torn.filter(|(torn, _)| *torn == at).map_or(change, |(_, torn)| torn));
    }
    tree
}
