//! How far a sink is: `DATA_DIR/sinks/NAME/cursor`, one JSON document that is replaced as a whole.
//!
//! It is written after the sink has said that what it covers is durable. Deleting it makes the sink a new one.

use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Position;
use crate::data_dir::{create_private_dir, open_regular, rename_durably};

const VERSION: u32 = 1;
/// The longest cursor: ten thousand dead letters with their reasons, and a position.
const BYTES_MAX: u64 = 16 << 20;
/// The longest reason of a dead letter, in bytes.
pub(super) const REASON_BYTES_MAX: usize = 512;

/// An event that the destination refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeadLetter {
    /// Its leaf index.
    pub(crate) leaf: u64,
    /// Its id.
    pub(crate) event: String,
    /// Why it was refused.
    pub(crate) reason: String,
    /// When it was refused last.
    pub(crate) rejected_at: String,
}

/// How far a sink is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cursor {
    version: u32,
    /// The first leaf that the sink has not dealt with.
    pub(super) next_leaf: u64,
    /// Whether somebody has told it to wait.
    pub(super) paused: bool,
    /// The sink's own part.
    pub(super) position: Position,
    /// Refused events, by leaf.
    pub(super) dead: Vec<DeadLetter>,
}

impl Cursor {
    /// That of a new sink.
    pub(super) fn new(next_leaf: u64) -> Self {
        Self { version: VERSION, next_leaf, paused: false, position: Position::Null, dead: Vec::new() }
    }

    /// Adds a refused event, or takes over the newer reason.
    pub(super) fn bury(&mut self, letter: DeadLetter) {
        match self.dead.binary_search_by_key(&letter.leaf, |dead| dead.leaf) {
            Ok(known) => self.dead[known] = letter,
            Err(place) => self.dead.insert(place, letter),
        }
    }
}

/// The file of one cursor.
#[derive(Debug)]
pub(super) struct CursorFile {
    folder: PathBuf,
}

impl CursorFile {
    /// The cursor in this folder, which need not exist.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Reads it; `None` where there is none.
    ///
    /// # Errors
    /// When it cannot be read, or is not what [`CursorFile::save`] writes.
    pub(super) fn load(&self) -> io::Result<Option<Cursor>> {
        let mut content = Vec::new();
        match open_regular(&self.path(), BYTES_MAX) {
            Ok(file) => file.take(BYTES_MAX).read_to_end(&mut content)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let cursor: Cursor = serde_json::from_slice(&content)?;
        if cursor.version == VERSION {
            Ok(Some(cursor))
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidData, format!("cursor of version {}, not {VERSION}", cursor.version)))
        }
    }

    /// Replaces it. On return it has reached the disk.
    ///
    /// # Errors
    /// When writing, syncing or renaming fails; the cursor before is then still there.
    pub(super) fn save(&self, cursor: &Cursor) -> io::Result<()> {
        failpoint!("sink.cursor.before");
        create_private_dir(&self.folder)?;
        let new = self.folder.join(".cursor.new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        failpoint!("sink.cursor.created");
        file.write_all(&serde_json::to_vec(cursor)?)?;
        failpoint!("sink.cursor.written");
        file.sync_all()?;
        failpoint!("sink.cursor.synced");
        rename_durably(&new, &self.path())?;
        failpoint!("sink.cursor.renamed");
        Ok(())
    }

    /// Where it lies.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.join("cursor")
    }

    /// Its folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

/// The beginning of a reason that is not too long to be kept.
pub(super) fn bounded(mut reason: String) -> String {
    if reason.len() > REASON_BYTES_MAX {
        let fits = (0..=REASON_BYTES_MAX - '…'.len_utf8()).rev().find(|&end| reason.is_char_boundary(end));
        reason.truncate(fits.unwrap_or(0));
        reason.push('…');
    }
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(leaf: u64, reason: &str) -> DeadLetter {
        DeadLetter { leaf, event: String::new(), reason: reason.to_owned(), rejected_at: String::new() }
    }

    #[test]
    fn what_is_saved_is_loaded_and_what_is_damaged_is_told() {
        let temporary = tempfile::tempdir().unwrap();
        let file = CursorFile::new(temporary.path().join("sink"));
        assert_eq!(file.load().unwrap(), None);
        let mut cursor = Cursor::new(7);
        cursor.position = serde_json::json!({ "bytes": 12 });
        for (leaf, reason) in [(9, "a"), (3, "b"), (9, "c")] {
            cursor.bury(letter(leaf, reason));
        }
        assert_eq!(cursor.dead, [letter(3, "b"), letter(9, "c")]);
        file.save(&cursor).unwrap();
        assert_eq!(file.load().unwrap(), Some(cursor));
        for damaged in ["", "{", "{}", r#"{"version":2,"next_leaf":0,"paused":false,"position":null,"dead":[]}"#] {
            std::fs::write(file.path(), damaged).unwrap();
            assert!(file.load().is_err(), "{damaged}");
        }
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        let cut = bounded("é".repeat(1_000));
        assert!(cut.len() <= REASON_BYTES_MAX && cut.ends_with("é…"));
        assert_eq!(bounded("short".to_owned()), "short");
    }
}
