//! How much of which file the cursor covers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::sink::Position;

/// The part of the cursor that belongs to a sink of files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FilesPosition {
    folder: PathBuf,
    /// By the name of the current file.
    pub(super) files: BTreeMap<String, FilePosition>,
}

/// One current file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FilePosition {
    /// Bytes from its beginning that are covered.
    pub(super) bytes: u64,
    /// When its first line was written, seconds since 1970.
    pub(super) began_at_s: i64,
    /// The least number that the next rotated file may have.
    pub(super) next_number: u64,
    /// The number under which it is, or is about to be, put away.
    pub(super) rotate_to: Option<u64>,
}

impl FilesPosition {
    /// Reads what was stored. That of another kind of sink, or of another folder, says nothing about this one.
    pub(super) fn read(position: Position, folder: &Path) -> Self {
        let read: Option<Self> = serde_json::from_value(position).ok();
        read.filter(|position| position.folder == folder).unwrap_or_else(|| Self { folder: folder.to_owned(), files: BTreeMap::new() })
    }

    /// The form in which it is stored.
    pub(super) fn to_json(&self) -> Position {
        serde_json::to_value(self).unwrap_or_default()
    }
}
