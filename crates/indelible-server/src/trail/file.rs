//! One file of the trail as its readers see it: a range of leaves, the index over them, and what was unfinished.

use std::cell::OnceCell;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indelible_core::{Frontier, Hash, StreamId};
use rusqlite::{Connection, OptionalExtension, params};

use super::kept::{Identity, SealedFiles};
use super::leaf::{Ids, Order, StoredLeaf};
use super::view::View;
use super::writer::{self, StreamRow};
use super::{TrailError, loose, rows, sealed};
use crate::ranges::LeafRanges;

/// What may still happen to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileState {
    /// The newest file, which the agent writes.
    Open,
    /// Nobody writes it any more; it waits to be sealed.
    Closed,
    /// Compressed, under a seal, never written again.
    Sealed,
}

/// A range of leaves that is read or passed over as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Its first leaf.
    pub first_index: u64,
    /// One past its last leaf.
    pub end_index: u64,
    /// No event of it occurred before this, in microseconds; `i64::MIN` where that is not known.
    pub occurred_min: i64,
    /// No event of it occurred after this, in microseconds; `i64::MAX` where that is not known.
    pub occurred_max: i64,
    /// The smallest event id.
    pub id_min: [u8; 16],
    /// The largest event id.
    pub id_max: [u8; 16],
    /// Whether a run of the index covers it. What is not indexed must be scanned.
    pub indexed: bool,
}

impl Span {
    /// A range that no run covers: anything may be in it.
    fn tail(range: Range<u64>) -> Self {
        let Range { start: first_index, end: end_index } = range;
        let (occurred_min, occurred_max) = (i64::MIN, i64::MAX);
        Self { first_index, end_index, occurred_min, occurred_max, id_min: [0; 16], id_max: [0xff; 16], indexed: false }
    }

    /// Its leaves.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.first_index..self.end_index
    }
}

/// One file of the trail, opened when something of it is read for the first time.
#[derive(Debug)]
pub struct TrailFile {
    path: PathBuf,
    range: Range<u64>,
    state: FileState,
    opened: OnceCell<Opened>,
    newest: sealed::Newest,
    kept: Option<Kept>,
}

/// Where a sealed file is kept open for the next reader.
#[derive(Debug)]
struct Kept {
    files: Arc<SealedFiles>,
    identity: Identity,
}

/// A file that was opened. It may have been sealed since its reader was made.
#[derive(Debug)]
pub(super) struct Opened {
    view: View,
    is_sealed: bool,
    /// Its runs, where it is sealed: they cannot change.
    spans: OnceCell<Vec<Span>>,
}

impl Opened {
    fn new(view: View) -> Result<Self, TrailError> {
        Ok(Self { is_sealed: sealed::is_sealed(&view.connection)?, view, spans: OnceCell::new() })
    }

    /// Bounds the memory for its pages; whether that was done.
    pub(super) fn keeps_pages(&self, kib: i64) -> bool {
        self.view.connection.pragma_update(None, "cache_size", -kib).is_ok()
    }
}

impl TrailFile {
    pub(super) fn new(path: PathBuf, range: Range<u64>, state: FileState) -> Self {
        Self { path, range, state, opened: OnceCell::new(), newest: sealed::Newest::default(), kept: None }
    }

    /// The same, from those that are kept open and back to them.
    pub(super) fn kept_in(mut self, files: &Arc<SealedFiles>, identity: Identity) -> Self {
        self.kept = Some(Kept { files: Arc::clone(files), identity });
        self
    }

    pub(super) fn with_view(mut self, view: View) -> Result<Self, TrailError> {
        self.opened = OnceCell::from(Opened::new(view)?);
        Ok(self)
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its leaves, as far as this reader sees them.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// What it was when the reader was opened.
    #[must_use]
    pub fn state(&self) -> FileState {
        self.state
    }

    /// The connection. Nothing that is done with it reaches the trail.
    ///
    /// # Errors
    /// As [`super::Reader::open`].
    pub fn connection(&self) -> Result<&Connection, TrailError> {
        Ok(&self.opened()?.view.connection)
    }

    fn opened(&self) -> Result<&Opened, TrailError> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let kept = self.kept.as_ref().and_then(|kept| kept.files.take(&self.path, kept.identity));
        let opened = kept.map_or_else(|| Opened::new(View::at_rest(&self.path)?), Ok)?;
        Ok(self.opened.get_or_init(|| opened))
    }

    /// Its runs, oldest first, and at the end what no run covers.
    ///
    /// # Errors
    /// - [`TrailError::Sqlite`], [`TrailError::Damaged`]: a row cannot be read.
    pub fn spans(&self) -> Result<Vec<Span>, TrailError> {
        let opened = self.opened()?;
        if !opened.is_sealed {
            return self.read_spans();
        }
        if opened.spans.get().is_none() {
            // Nobody else has the file at the same time.
            let _ = opened.spans.set(self.read_spans()?);
        }
        Ok(opened.spans.get().cloned().unwrap_or_default())
    }

    fn read_spans(&self) -> Result<Vec<Span>, TrailError> {
        let select = "SELECT first_index, end_index, occurred_min, occurred_max, id_min, id_max FROM run \
                      WHERE end_index <= ?1 ORDER BY first_index";
        let mut statement = self.connection()?.prepare_cached(select)?;
        let mut rows = statement.query([rows::stored(self.range.end)])?;
        let mut spans = Vec::new();
        let mut covered = self.range.start;
        while let Some(row) = rows.next()? {
            let span = Span {
                first_index: rows::count(row, 0, "run.first_index")?,
                end_index: rows::count(row, 1, "run.end_index")?,
                occurred_min: row.get(2)?,
                occurred_max: row.get(3)?,
                id_min: rows::array(row, 4, "run.id_min")?,
                id_max: rows::array(row, 5, "run.id_max")?,
                indexed: true,
            };
            // A run that is not the next one would hide the records before it, and show others twice.
            if span.first_index != covered || span.end_index <= covered {
                return Err(TrailError::Damaged { place: "run.first_index" });
            }
            covered = span.end_index;
            spans.push(span);
        }
        if covered < self.range.end {
            spans.push(Span::tail(covered..self.range.end));
        }
        Ok(spans)
    }

    /// The times of a run, as the index has encoded them; `None` where there is no such run.
    ///
    /// # Errors
    /// - [`TrailError::Sqlite`], [`TrailError::Damaged`]: the row cannot be read.
    pub fn times(&self, run: u64) -> Result<Option<Vec<u8>>, TrailError> {
        let select = "SELECT times FROM run WHERE first_index = ?1";
        self.one_blob(select, [rows::stored(run)], "run.times")
    }

    /// The only piece of a run that can hold this term: the last one that begins at or before it.
    ///
    /// `run`: the first leaf of the run.
    ///
    /// # Errors
    /// - [`TrailError::Sqlite`], [`TrailError::Damaged`]: the row cannot be read.
    pub fn piece(&self, run: u64, term: u64) -> Result<Option<Vec<u8>>, TrailError> {
        let select = "SELECT bytes FROM run_piece WHERE first_index = ?1 AND first_term <= ?2 ORDER BY first_term DESC LIMIT 1";
        self.one_blob(select, [rows::stored(run), rows::stored(term)], "run_piece.bytes")
    }

    /// Texts of a facet in a run that begin with `prefix`, in their order, at most `limit`.
    ///
    /// # Errors
    /// - [`TrailError::Sqlite`]: a row cannot be read.
    pub fn values(&self, run: u64, facet: u8, prefix: &str, limit: u32) -> Result<Vec<String>, TrailError> {
        // Compared as bytes, so every text with the prefix comes at or after it and in one stretch.
        let select = "SELECT value FROM run_value WHERE first_index = ?1 AND facet = ?2 AND value >= ?3 ORDER BY value LIMIT ?4";
        let mut statement = self.connection()?.prepare_cached(select)?;
        let values = statement.query_map(params![rows::stored(run), facet, prefix, limit], |row| row.get::<_, String>(0))?;
        let mut found = Vec::new();
        for value in values {
            let value = value?;
            if !value.starts_with(prefix) {
                break;
            }
            found.push(value);
        }
        Ok(found)
    }

    /// How far each stream has come, by stream; in a closed or sealed file as it was then.
    ///
    /// # Errors
    /// - [`TrailError::Sqlite`], [`TrailError::Damaged`]: a row cannot be read.
    pub(crate) fn streams(&self) -> Result<Vec<(StreamId, StreamRow)>, TrailError> {
        let mut streams: Vec<_> = writer::read_streams(self.connection()?)?.into_iter().collect();
        streams.sort_unstable_by_key(|(stream, _)| *stream);
        Ok(streams)
    }

    /// The tree at the end of the file; of the open one, as it is now.
    ///
    /// # Errors
    /// - [`TrailError::Sqlite`], [`TrailError::Damaged`], [`TrailError::Root`]: the row cannot be read, or contradicts itself.
    pub fn head(&self) -> Result<Frontier, TrailError> {
        writer::read_head(self.connection()?)
    }

    /// Calls back with each record of a range, until told to stop.
    pub(super) fn records(
        &self,
        range: Range<u64>,
        order: Order,
        each: &mut dyn FnMut(StoredLeaf) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, TrailError> {
        let Opened { view, is_sealed, .. } = self.opened()?;
        let read = if *is_sealed { sealed::records } else { loose::records };
        read(&view.connection, range, order, each)
    }

    pub(super) fn record(&self, leaf_index: u64) -> Result<Option<StoredLeaf>, TrailError> {
        let Opened { view, is_sealed, .. } = self.opened()?;
        if *is_sealed {
            return sealed::record(&view.connection, &self.newest, leaf_index);
        }
        loose::record(&view.connection, leaf_index)
    }

    /// Adds the places of the records with these event ids in the runs that reach into a range, by rising leaf index. No body is read.
    ///
    /// # Errors
    /// As [`super::Reader::records`].
    pub(crate) fn places(&self, within: &Range<u64>, ids: &Ids, found: &mut Vec<u64>) -> Result<(), TrailError> {
        let Opened { view, is_sealed, .. } = self.opened()?;
        let is_wanted = |span: &Span| {
            let reaches = span.first_index < within.end && within.start < span.end_index;
            reaches && span.id_min <= *ids.end() && *ids.start() <= span.id_max
        };
        for span in self.spans()?.into_iter().filter(is_wanted) {
            if *is_sealed {
                return sealed::places(&view.connection, ids, found);
            }
            loose::places(&view.connection, span.range(), ids, found)?;
        }
        Ok(())
    }

    /// Its leaves whose bodies are there.
    ///
    /// # Errors
    /// - [`TrailError::Sqlite`], [`TrailError::Block`], [`TrailError::Damaged`]: a row cannot be read.
    pub(crate) fn with_bodies(&self) -> Result<LeafRanges, TrailError> {
        let Opened { view, is_sealed, .. } = self.opened()?;
        let erased = if *is_sealed { sealed::erased(&view.connection)? } else { LeafRanges::default() };
        Ok(LeafRanges::from(self.range()).without(&erased))
    }

    /// Adds the stored hashes of a range of leaves.
    pub(super) fn leaf_hashes(&self, range: &Range<u64>, hashes: &mut Vec<Hash>) -> Result<(), TrailError> {
        let Opened { view, is_sealed, .. } = self.opened()?;
        let read = if *is_sealed { sealed::leaf_hashes } else { loose::leaf_hashes };
        read(&view.connection, range, hashes)
    }

    /// The stored root over a full block, where the file has one.
    pub(super) fn node(&self, first_index: u64) -> Result<Option<Hash>, TrailError> {
        let Opened { view, is_sealed, .. } = self.opened()?;
        if *is_sealed { sealed::node(&view.connection, first_index) } else { Ok(None) }
    }

    fn one_blob(&self, select: &str, by: impl rusqlite::Params, place: &'static str) -> Result<Option<Vec<u8>>, TrailError> {
        let mut statement = self.connection()?.prepare_cached(select)?;
        statement.query_row(by, |row| Ok(rows::blob(row, 0, place).map(<[u8]>::to_vec))).optional()?.transpose()
    }
}

impl Drop for TrailFile {
    fn drop(&mut self) {
        let (Some(kept), Some(opened)) = (self.kept.take(), self.opened.take()) else { return };
        if opened.is_sealed && !opened.view.is_copy() {
            kept.files.give(&self.path, kept.identity, opened);
        }
    }
}
