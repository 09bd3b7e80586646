//! Reading a trail without ever changing it.

use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use indelible_core::{EventId, Hash, node_hash, root_of};
use rusqlite::{Connection, ErrorCode};

use super::block::BLOCK_LEAVES;
use super::file::{FileState, TrailFile};
use super::files::{self, Listed};
use super::kept::SealedFiles;
use super::leaf::{Ids, Order, StoredLeaf};
use super::view::{View, beside};
use super::{TrailError, rows};
use crate::data_dir::DataDir;

/// How long an agent may take from its lock to an open trail.
const AGENT_START_DEADLINE: Duration = Duration::from_secs(2);
const RETRY_INTERVAL: Duration = Duration::from_millis(10);
/// Leaves under a node that a sealed file stores.
const NODE_LEAVES: u64 = BLOCK_LEAVES;

/// A read-only view of the whole trail as it was when the reader was opened: the same records however long it is kept.
///
/// While an agent runs, its open file is read beside it. Without an agent the file is read as it lies there; when a killed agent
/// has left a write-ahead log, which SQLite could only read by writing beside it, a private copy is read instead and removed
/// afterwards. Other files are opened when something of them is read for the first time.
///
/// What is not a record (streams, pending intents) is read as it is *now*, in a transaction of [`TrailFile::connection`] where several
/// of them must agree. No transaction is held between calls, so a reader that is kept delays nobody.
#[derive(Debug)]
pub struct Reader {
    /// Oldest first, never empty; the last one is open, in both senses.
    files: Vec<TrailFile>,
}

impl Reader {
    /// Opens the trail of a data directory.
    ///
    /// # Errors
    /// - [`TrailError::Missing`]: there is none.
    /// - [`TrailError::Version`]: it is not of a version that we read.
    /// - [`TrailError::File`], [`TrailError::Sqlite`]: it cannot be read.
    pub fn open(dir: &DataDir) -> Result<Self, TrailError> {
        Self::open_by(dir, None)
    }

    /// As [`Reader::open`], with sealed files that earlier readers of this process have opened, and left to later ones.
    pub(crate) fn open_with(dir: &DataDir, kept: &Arc<SealedFiles>) -> Result<Self, TrailError> {
        Self::open_by(dir, Some(kept))
    }

    fn open_by(dir: &DataDir, kept: Option<&Arc<SealedFiles>>) -> Result<Self, TrailError> {
        let deadline = Instant::now() + AGENT_START_DEADLINE;
        loop {
            let waits = Instant::now() < deadline;
            match Self::try_open(dir, waits, kept) {
                Ok(Some(reader)) => return Ok(reader),
                Err(TrailError::Sqlite(error)) if is_log_missing(&error) && waits => {}
                Err(error) => return Err(error),
                Ok(None) => {}
            }
            thread::sleep(RETRY_INTERVAL);
        }
    }

    /// `None`: an agent that has just started has its lock before it has made the log readable, and one that has just ended has
    /// removed it. With `waits` false the holder of the lock is no agent that writes, and the file is read as it lies there.
    fn try_open(dir: &DataDir, waits: bool, kept: Option<&Arc<SealedFiles>>) -> Result<Option<Self>, TrailError> {
        let mut listed = files::list(dir)?;
        let Listed { path, first_index } = listed.pop().ok_or_else(|| TrailError::Missing { path: dir.trail() })?;
        let failed = |error| TrailError::File { path: path.clone(), error };
        let is_locked = dir.agent_is_running().map_err(failed)?;
        let is_written = is_locked && beside(&path, "-shm").try_exists().map_err(failed)?;
        if is_locked && !is_written && waits {
            return Ok(None);
        }
        let view = if is_written { View::beside_the_writer(&path)? } else { View::at_rest(&path)? };
        let select = "SELECT tree_size FROM head WHERE id = 1";
        let tree_size = view.connection.query_row(select, [], |row| Ok(rows::count(row, 0, "head.tree_size")))??;
        let ends = listed.iter().skip(1).map(|file| file.first_index).chain([first_index]);
        let older = listed.iter().zip(ends).map(|(file, end_index)| older_file(file, end_index, kept));
        let mut all = older.collect::<Result<Vec<_>, TrailError>>()?;
        if let Some(kept) = kept {
            kept.forget_others(listed.len(), |path| listed.iter().any(|file| file.path == path));
        }
        all.push(TrailFile::new(path, first_index..tree_size.max(first_index), FileState::Open).with_view(view)?);
        Ok(Some(Self { files: all }))
    }

    /// The files of the trail, oldest first. There is at least one, and the last one is open.
    #[must_use]
    pub fn files(&self) -> &[TrailFile] {
        &self.files
    }

    /// The file that holds this record, or will hold it when it is the next one.
    #[must_use]
    pub fn file_of(&self, leaf_index: u64) -> &TrailFile {
        let after = self.files.partition_point(|file| file.range().start <= leaf_index);
        &self.files[after.saturating_sub(1)]
    }

    /// The open file.
    #[must_use]
    pub fn open_file(&self) -> &TrailFile {
        self.files.last().expect("a reader has an open file")
    }

    /// Records that this reader sees: 0 up to here.
    #[must_use]
    pub fn tree_size(&self) -> u64 {
        self.open_file().range().end
    }

    /// Calls back with each record of a range, until told to stop. What lies beyond [`Reader::tree_size`] is left out.
    ///
    /// # Errors
    /// - [`TrailError::ReadBack`], [`TrailError::Damaged`]: a record is not as it was written.
    /// - [`TrailError::Sqlite`], [`TrailError::File`]: a file cannot be read.
    pub fn records(&self, range: Range<u64>, order: Order, mut each: impl FnMut(StoredLeaf) -> ControlFlow<()>) -> Result<(), TrailError> {
        let mut parts: Vec<_> = self.parts(&range).collect();
        if order == Order::NewestFirst {
            parts.reverse();
        }
        for (file, part) in parts {
            if file.records(part, order, &mut each)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// One record; `None` beyond [`Reader::tree_size`].
    ///
    /// # Errors
    /// As [`Reader::records`].
    pub fn record(&self, leaf_index: u64) -> Result<Option<StoredLeaf>, TrailError> {
        if leaf_index >= self.tree_size() {
            return Ok(None);
        }
        let record = self.file_of(leaf_index).record(leaf_index)?;
        record.map(Some).ok_or(TrailError::ReadBack { leaf_index, what: "it is not there" })
    }

    /// Where the records with this event id are, by rising leaf index. There is one, unless an application used an id twice.
    ///
    /// # Errors
    /// As [`Reader::records`].
    pub fn places(&self, event: EventId) -> Result<Vec<u64>, TrailError> {
        let id = *event.as_bytes();
        self.places_among(&(id..=id), usize::MAX)
    }

    /// Where the first records with one of these event ids are, by rising leaf index, at most `most`.
    ///
    /// # Errors
    /// As [`Reader::records`].
    pub(crate) fn places_among(&self, ids: &Ids, most: usize) -> Result<Vec<u64>, TrailError> {
        let mut found = Vec::new();
        for file in &self.files {
            file.places(&file.range(), ids, &mut found)?;
            if found.len() >= most {
                found.truncate(most);
                break;
            }
        }
        Ok(found)
    }

    /// Root of the tree over the leaves of a range, from the stored hashes, for the parts of a proof.
    ///
    /// # Errors
    /// - [`TrailError::ReadBack`]: a leaf of the range is not there.
    /// - [`TrailError::Damaged`], [`TrailError::Sqlite`], [`TrailError::File`]: a file cannot be read.
    pub fn subtree(&self, range: Range<u64>) -> Result<Hash, TrailError> {
        let leaves = range.end - range.start;
        if leaves > NODE_LEAVES {
            let left = 1 << (u64::BITS - 1 - (leaves - 1).leading_zeros());
            let middle = range.start + left;
            return Ok(node_hash(&self.subtree(range.start..middle)?, &self.subtree(middle..range.end)?));
        }
        let is_node = leaves == NODE_LEAVES && range.start.is_multiple_of(NODE_LEAVES) && range.end <= self.tree_size();
        if is_node && let Some(node) = self.file_of(range.start).node(range.start)? {
            return Ok(node);
        }
        let mut hashes = Vec::new();
        for (file, part) in self.parts(&range) {
            file.leaf_hashes(&part, &mut hashes)?;
        }
        if hashes.len() as u64 != leaves {
            return Err(TrailError::ReadBack { leaf_index: range.start + hashes.len() as u64, what: "it is not there" });
        }
        Ok(root_of(hashes))
    }

    /// The files that a range touches, oldest first, each with its part of it.
    fn parts<'a>(&'a self, range: &'a Range<u64>) -> impl Iterator<Item = (&'a TrailFile, Range<u64>)> {
        let parts = self.files.iter().map(move |file| (file, file.range().start.max(range.start)..file.range().end.min(range.end)));
        parts.filter(|(_, part)| !part.is_empty())
    }

    /// The connection of the open file. Nothing that is done with it reaches the trail.
    ///
    /// # Panics
    /// Never: the open file is opened with the reader.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        self.open_file().connection().expect("the open file is opened with the reader")
    }

    /// The trail file that is read, or was copied.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.open_file().path()
    }
}

/// A file behind which there is another one.
fn older_file(file: &Listed, end_index: u64, kept: Option<&Arc<SealedFiles>>) -> Result<TrailFile, TrailError> {
    let (path, range) = (file.path.clone(), file.first_index..end_index);
    let Some(kept) = kept else {
        let state = files::state_of(&path)?;
        return Ok(TrailFile::new(path, range, state));
    };
    let (state, identity) = kept.state_of(&path)?;
    let file = TrailFile::new(path, range, state);
    Ok(match identity {
        Some(identity) => file.kept_in(kept, identity),
        None => file,
    })
}

/// Whether SQLite could not read the log without writing beside it.
fn is_log_missing(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
}
