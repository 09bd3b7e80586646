//! What a real process did to its files, as `tests/faults/faults.c` has written it down.

use std::fs;
use std::path::{Path, PathBuf};

use super::Signs;

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

/// Reads the trace of a process; paths are those below `root`.
pub(crate) fn read_trace(signs: &Signs, root: &Path) -> Vec<Op> {
    let (text, root) = (fs::read_to_string(signs.log()).unwrap(), root.canonicalize().unwrap());
    text.lines().filter_map(|line| read_line(line, &root)).collect()
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
