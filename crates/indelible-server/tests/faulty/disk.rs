//! A disk in memory that does again what a real process did to its files, and shows every state that a power loss may leave.
//!
//! What no sync has forced out may be there or not, each change for itself and in any order: entries of folders until their folder is
//! synced, bytes until their file is. Of one write at a time a part may be there, cut at its ends, in the middle and at every sector, or
//! zeros in the place of its bytes. That is more than any journaling file system does, and so what holds here holds on all of them.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

const SECTOR_BYTES: usize = 512;

/// One change that a process made, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Op {
    Create { path: PathBuf, truncates: bool },
    Write { path: PathBuf, offset: Option<usize>, bytes: Vec<u8> },
    Sync { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf },
    Unlink { path: PathBuf },
    MakeFolder { path: PathBuf },
    Truncate { path: PathBuf, length: usize },
}

impl Op {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Create { path, .. } | Self::Write { path, .. } | Self::Sync { path } | Self::Unlink { path } => path,
            Self::MakeFolder { path } | Self::Truncate { path, .. } | Self::Rename { to: path, .. } => path,
        }
    }
}

/// Reads the trace of `tests/faults/faults.c`; paths are those below `root`.
pub(crate) fn read_trace(text: &str, root: &Path) -> Vec<Op> {
    text.lines().filter_map(|line| read_line(line, root)).collect()
}

fn read_line(line: &str, root: &Path) -> Option<Op> {
    let parts: Vec<&str> = line.split('\t').collect();
    let below = |path: &str| Path::new(path).strip_prefix(root).map(Path::to_owned).ok();
    let path = below(parts[1])?;
    let bytes = |hex: &str| (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
    Some(match parts[0] {
        "create" => Op::Create { path, truncates: parts[2] == "truncate" },
        "write" => Op::Write { path, offset: None, bytes: bytes(parts[3]) },
        "pwrite" => Op::Write { path, offset: parts[2].parse().ok(), bytes: bytes(parts[3]) },
        "fsync" => Op::Sync { path },
        "rename" => Op::Rename { from: path, to: below(parts[2])? },
        "unlink" => Op::Unlink { path },
        "mkdir" => Op::MakeFolder { path },
        "truncate" => Op::Truncate { path, length: parts[2].parse().unwrap() },
        other => panic!("{other} is not understood"),
    })
}

type Inode = usize;

#[derive(Debug, Clone)]
enum Node {
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

    fn bytes(&mut self, file: Inode) -> &mut Vec<u8> {
        match &mut self.nodes[file] {
            Node::File(bytes) => Rc::make_mut(bytes),
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

    /// Every file that can be reached, and every empty folder with no bytes.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Option<&Rc<Vec<u8>>>> {
        let mut found = BTreeMap::new();
        self.walk(ROOT, &PathBuf::new(), &mut found);
        found
    }

    fn walk<'a>(&'a self, inode: Inode, path: &Path, found: &mut BTreeMap<PathBuf, Option<&'a Rc<Vec<u8>>>>) {
        match &self.nodes[inode] {
            Node::File(bytes) => drop(found.insert(path.to_owned(), Some(bytes))),
            Node::Folder(entries) => {
                found.insert(path.to_owned(), None);
                entries.iter().for_each(|(name, inode)| self.walk(*inode, &path.join(name), found));
            }
        }
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Link { folder, name, inode } => drop(self.entries(*folder).insert(name.clone(), *inode)),
            Change::Unlink { folder, name } => drop(self.entries(*folder).remove(name)),
            Change::Move { from, name, folder, new_name, inode } => {
                self.entries(*from).remove(name);
                self.entries(*folder).insert(new_name.clone(), *inode);
            }
            Change::Data { file, offset, bytes } => write_at(self.bytes(*file), *offset, bytes),
            Change::Size { file, length } => self.bytes(*file).resize(*length, 0),
        }
    }
}

fn write_at(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    content.resize(content.len().max(offset + bytes.len()), 0);
    content[offset..offset + bytes.len()].copy_from_slice(bytes);
}

/// A change that no sync has forced out yet.
#[derive(Debug, Clone)]
enum Change {
    Link { folder: Inode, name: String, inode: Inode },
    Unlink { folder: Inode, name: String },
    Move { from: Inode, name: String, folder: Inode, new_name: String, inode: Inode },
    Data { file: Inode, offset: usize, bytes: Vec<u8> },
    Size { file: Inode, length: usize },
}

impl Change {
    /// The file or folder whose sync forces it out.
    fn place(&self) -> Inode {
        match self {
            Self::Link { folder, .. } | Self::Unlink { folder, .. } | Self::Move { folder, .. } => *folder,
            Self::Data { file, .. } | Self::Size { file, .. } => *file,
        }
    }

    /// What may be there of a write that is not whole.
    fn torn(&self) -> Vec<Self> {
        let Self::Data { file, offset, bytes } = self else { return Vec::new() };
        let to_sector = SECTOR_BYTES - offset % SECTOR_BYTES;
        let sectors = (to_sector..bytes.len()).step_by(SECTOR_BYTES);
        let mut cuts: Vec<usize> = [1, bytes.len() / 2, bytes.len().saturating_sub(1)].into_iter().chain(sectors).collect();
        cuts.sort_unstable();
        cuts.dedup();
        cuts.retain(|cut| (1..bytes.len()).contains(cut));
        let data = |bytes: Vec<u8>| Self::Data { file: *file, offset: *offset, bytes };
        // A file may have its new length before it has its bytes.
        let zeros = |cut: usize| [&bytes[..cut], &vec![0; bytes.len() - cut]].concat();
        let short = cuts.iter().map(|&cut| data(bytes[..cut].to_vec()));
        let zeroed = [0].iter().chain(&cuts).map(|&cut| data(zeros(cut)));
        short.chain(zeroed).collect()
    }
}

/// The disk: what the process sees, what is safe, and what lies between.
pub(crate) struct Disk {
    pub(crate) now: Tree,
    safe: Tree,
    pending: Vec<Change>,
    /// Every subset of so many pending changes is tried; of the older ones only all and none.
    subsets_of: usize,
    pub(crate) states: usize,
    pub(crate) pending_most: usize,
}

impl Disk {
    pub(crate) fn new(subsets_of: usize) -> Self {
        Self { now: Tree::new(), safe: Tree::new(), pending: Vec::new(), subsets_of, states: 0, pending_most: 0 }
    }

    /// Whether something of this file, or its name, could be lost.
    pub(crate) fn is_pending(&self, path: &Path) -> bool {
        let parent = self.now.find(path.parent().unwrap());
        let name = path.file_name().unwrap().to_string_lossy();
        let file = self.now.find(path);
        self.pending.iter().any(|change| match change {
            Change::Link { folder, name: named, .. } | Change::Move { folder, new_name: named, .. } => {
                Some(*folder) == parent && *named == name
            }
            Change::Data { .. } | Change::Size { .. } => Some(change.place()) == file,
            Change::Unlink { .. } => false,
        })
    }

    pub(crate) fn apply(&mut self, op: &Op) {
        let place = |tree: &Tree, path: &Path| {
            let folder = tree.find(path.parent().unwrap()).unwrap_or_else(|| panic!("{op:?} in a folder that is not there"));
            (folder, path.file_name().unwrap().to_string_lossy().into_owned())
        };
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
                let file = self.now.find(path).unwrap_or_else(|| panic!("a write to {path:?}, which is not there"));
                let offset = offset.unwrap_or(self.now.bytes(file).len());
                self.change(Change::Data { file, offset, bytes: bytes.clone() });
            }
            Op::Truncate { path, length } => {
                let file = self.now.find(path).unwrap();
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
                    let (forced, pending) = self.pending.drain(..).partition(|change| change.place() == place);
                    self.pending = pending;
                    let forced: Vec<Change> = forced;
                    forced.iter().for_each(|change| self.safe.apply(change));
                }
            }
        }
        self.pending_most = self.pending_most.max(self.pending.len());
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

    /// Shows every state that the loss of power at this moment may leave.
    ///
    /// # Errors
    /// The first that `check` finds fault with.
    pub(crate) fn crash(&mut self, check: &mut impl FnMut(&Tree) -> Result<(), String>) -> Result<(), String> {
        let older = self.pending.len().saturating_sub(self.subsets_of);
        let bases: &[bool] = if older > 0 { &[false, true] } else { &[false] };
        for &with_older in bases {
            let mut base = self.safe.clone();
            self.pending[..older].iter().filter(|_| with_older).for_each(|change| base.apply(change));
            let pending = self.pending[older..].to_vec();
            for subset in 0..1_u32 << pending.len() {
                let there: Vec<&Change> = (0..pending.len()).filter(|at| subset >> at & 1 == 1).map(|at| &pending[at]).collect();
                self.show(&base, &there, None, check)?;
                for at in 0..there.len() {
                    for torn in there[at].torn() {
                        self.show(&base, &there, Some((at, &torn)), check)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn show(
        &mut self,
        base: &Tree,
        there: &[&Change],
        torn: Option<(usize, &Change)>,
        check: &mut impl FnMut(&Tree) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut tree = base.clone();
        for (at, change) in there.iter().enumerate() {
            tree.apply(torn.filter(|(torn, _)| *torn == at).map_or(change, |(_, torn)| torn));
        }
        self.states += 1;
        check(&tree)
    }
}
