//! The index of a file, built again from its records and compared row by row.

use std::collections::VecDeque;
use std::ops::Range;

use indelible_core::LeafEntry;
use rusqlite::Connection;

use super::halt::Halt;
use super::report::FaultKind;
use super::walk::Walk;
use crate::index::RunBuilder;
use crate::trail::{TrailError, rows, runs};

/// Rows that belong to no run.
const STRAY_ROWS: [&str; 2] = [
    "SELECT 1 FROM run_piece WHERE first_index NOT IN (SELECT first_index FROM run) LIMIT 1",
    "SELECT 1 FROM run_value WHERE first_index NOT IN (SELECT first_index FROM run) LIMIT 1",
];

/// The runs of one file, built again while its records pass by.
pub(super) struct IndexCheck<'c> {
    connection: &'c Connection,
    /// Runs whose end has not been reached.
    runs: VecDeque<Range<u64>>,
    builder: Option<RunBuilder>,
}

impl<'c> IndexCheck<'c> {
    /// Begins before the first record of a file.
    pub(super) fn new(walk: &Walk, connection: &'c Connection) -> Result<Self, Halt> {
        let runs = ranges(connection).map_err(|error| walk.judge(error, FaultKind::Index))?;
        Ok(Self { connection, runs, builder: None })
    }

    /// Adds the record that the walk has just passed.
    pub(super) fn push(&mut self, walk: &Walk, entry: &LeafEntry, body: &[u8]) -> Result<(), Halt> {
        let end = walk.size();
        let Some(run) = self.runs.front().cloned() else { return Ok(()) };
        // Runs follow each other from the first leaf of the file on; what no run covers comes after them.
        if self.builder.is_none() && run.start != end - 1 {
            return Err(walk.fault(FaultKind::Index, Some(end - 1..end)));
        }
        let builder = self.builder.get_or_insert_with(|| RunBuilder::new(run.start));
        builder.push(entry, body);
        if end < run.end {
            return Ok(());
        }
        self.runs.pop_front();
        let rebuilt = self.builder.take().expect("a record was just added to it").finish();
        let is_stored = runs::is_stored(self.connection, &rebuilt).map_err(|error| walk.judge(error, FaultKind::Index))?;
        if is_stored { Ok(()) } else { Err(walk.fault(FaultKind::Index, Some(run))) }
    }
}

/// Checks that a file, which the walk has just passed, has no run beyond its records, and no row of no run.
pub(super) fn check_no_stray_run(walk: &Walk, connection: &Connection) -> Result<(), Halt> {
    let mut is_stray = connection.prepare("SELECT 1 FROM run WHERE end_index > ?1 LIMIT 1")?.exists([rows::stored(walk.size())])?;
    for select in STRAY_ROWS {
        is_stray |= connection.prepare(select)?.exists([])?;
    }
    if is_stray { Err(walk.fault(FaultKind::Index, None)) } else { Ok(()) }
}

fn ranges(connection: &Connection) -> Result<VecDeque<Range<u64>>, TrailError> {
    let mut statement = connection.prepare("SELECT first_index, end_index FROM run ORDER BY first_index")?;
    let mut found = statement.query([])?;
    let mut ranges = VecDeque::new();
    while let Some(row) = found.next()? {
        ranges.push_back(rows::count(row, 0, "run.first_index")?..rows::count(row, 1, "run.end_index")?);
    }
    Ok(ranges)
}
