//! One pass over all records: each is recomputed from its body and compared with everything that is derived from it.

use std::collections::HashMap;
use std::ops::Range;

use indelible_core::{EventId, Frontier, Hash, LeafEntry, StreamId, commitment};
use rusqlite::{Row, Transaction};

use super::report::{Fault, FaultKind};
use crate::trail::{Derived, TrailError, rows};

/// What the pass found out.
pub(super) struct Walked {
    /// The tree of all records.
    pub(super) tree: Frontier,
    /// Leaves of each stream.
    pub(super) streams: HashMap<StreamId, u64>,
    /// Trees at the sizes that were asked for, as far as they were reached.
    pub(super) trees: HashMap<u64, Frontier>,
}

/// Why the pass ended early.
pub(super) enum Halt {
    /// A record is not as it was written.
    Fault(Fault),
    /// Something could not be read.
    Unreadable(TrailError),
}

impl From<TrailError> for Halt {
    fn from(error: TrailError) -> Self {
        Self::Unreadable(error)
    }
}

impl From<rusqlite::Error> for Halt {
    fn from(error: rusqlite::Error) -> Self {
        Self::Unreadable(error.into())
    }
}

const SELECT: &str = "SELECT record.leaf_index, entry, leaf_hash, salt, body, \
    event_id, event.recorded_at, event.received_at, event.verdict, occurred_at, kind, action, outcome, actor_type, actor_id, actor_label, \
    resource_type, resource_id, request_id, service, status \
    FROM record LEFT JOIN event ON event.leaf_index = record.leaf_index ORDER BY record.leaf_index";

/// Recomputes every record, in the order of the leaves.
///
/// `sizes`: tree sizes whose trees the caller wants to compare.
pub(super) fn walk(view: &Transaction<'_>, sizes: &[u64]) -> Result<Walked, Halt> {
    let mut walked = Walked { tree: Frontier::default(), streams: HashMap::new(), trees: HashMap::new() };
    let mut statement = view.prepare(SELECT)?;
    let mut rows = statement.query([])?;
    walked.keep_tree(sizes);
    while let Some(row) = rows.next()? {
        walked.check(row)?;
        walked.keep_tree(sizes);
    }
    Ok(walked)
}

impl Walked {
    fn keep_tree(&mut self, sizes: &[u64]) {
        if sizes.contains(&self.tree.size()) {
            self.trees.insert(self.tree.size(), self.tree.clone());
        }
    }

    fn check(&mut self, row: &Row<'_>) -> Result<(), Halt> {
        let expected = self.tree.size();
        if rows::count(row, 0, "record.leaf_index")? != expected {
            return Err(self.fault(FaultKind::Missing, None));
        }
        let Ok(entry) = LeafEntry::decode(rows::blob(row, 1, "record.entry")?) else { return Err(self.fault(FaultKind::Leaf, None)) };
        let fault = |kind| self.fault(kind, Some(entry.event));
        let leaf = entry.hash();
        if rows::blob(row, 2, "record.leaf_hash")? != leaf.as_bytes() {
            return Err(fault(FaultKind::LeafHash));
        }
        let body = rows::blob(row, 4, "record.body")?;
        let committed = rows::blob(row, 3, "record.salt")?.try_into().is_ok_and(|salt| commitment(salt, body) == entry.commitment);
        if !committed {
            return Err(fault(FaultKind::Body));
        }
        if entry.stream_index != self.streams.get(&entry.stream).copied().unwrap_or(0) {
            return Err(fault(FaultKind::StreamIndex));
        }
        if !search_row_agrees(row, &entry, body)? {
            return Err(fault(FaultKind::SearchRow));
        }
        *self.streams.entry(entry.stream).or_default() += 1;
        self.tree.push(leaf);
        Ok(())
    }

    fn fault(&self, kind: FaultKind, event: Option<EventId>) -> Halt {
        let at = self.tree.size();
        Halt::Fault(Fault { kind, leaves: Some(at..at + 1), event, verified: at })
    }
}

fn search_row_agrees(row: &Row<'_>, entry: &LeafEntry, body: &[u8]) -> Result<bool, rusqlite::Error> {
    let of_entry = row.get::<_, Option<Vec<u8>>>(5)?.as_deref() == Some(entry.event.as_bytes())
        && row.get::<_, Option<i64>>(6)? == Some(entry.recorded_at.micros())
        && row.get::<_, Option<i64>>(7)? == Some(entry.received_at.micros())
        && row.get::<_, Option<String>>(8)?.as_deref() == Some(entry.verdict.as_str());
    let of_body = Derived {
        occurred_at: row.get(9)?,
        kind: row.get(10)?,
        action: row.get(11)?,
        outcome: row.get(12)?,
        actor_type: row.get(13)?,
        actor_id: row.get(14)?,
        actor_label: row.get(15)?,
        resource_type: row.get(16)?,
        resource_id: row.get(17)?,
        request_id: row.get(18)?,
        service: row.get(19)?,
        status: row.get(20)?,
    };
    Ok(of_entry && of_body == Derived::from_body(body))
}

/// The leaves under the first complete subtree in which two trees of one size differ.
pub(super) fn difference(tree: &Frontier, other: &Frontier) -> Range<u64> {
    let (left, right) = (tree.to_bytes(), other.to_bytes());
    let differing = left[8..].chunks(32).zip(right[8..].chunks(32)).position(|(left, right)| left != right);
    let heights = (0..u64::BITS).rev().filter(|bit| tree.size() >> bit & 1 == 1);
    let mut start = 0;
    for (place, height) in heights.enumerate() {
        let end = start + (1 << height);
        if Some(place) == differing {
            return start..end;
        }
        start = end;
    }
    0..tree.size()
}

/// The stored head: its three columns as they are, whether or not they agree.
pub(super) struct StoredHead {
    pub(super) tree_size: u64,
    pub(super) root_hash: Hash,
    pub(super) frontier: Vec<u8>,
}

pub(super) fn stored_head(view: &Transaction<'_>) -> Result<StoredHead, Halt> {
    let mut statement = view.prepare("SELECT tree_size, root_hash, frontier FROM head WHERE id = 1")?;
    let mut rows = statement.query([])?;
    let row = rows.next()?.ok_or(TrailError::Damaged { place: "head" })?;
    Ok(StoredHead {
        tree_size: rows::count(row, 0, "head.tree_size")?,
        root_hash: Hash::from_bytes(rows::array(row, 1, "head.root_hash")?),
        frontier: rows::blob(row, 2, "head.frontier")?.to_vec(),
    })
}

/// The first search row that belongs to no record.
pub(super) fn stray_search_row(view: &Transaction<'_>) -> Result<Option<u64>, Halt> {
    let select = "SELECT leaf_index FROM event WHERE leaf_index NOT IN (SELECT leaf_index FROM record) ORDER BY leaf_index LIMIT 1";
    let mut statement = view.prepare(select)?;
    let mut rows = statement.query([])?;
    Ok(rows.next()?.map(|row| rows::count(row, 0, "event.leaf_index")).transpose()?)
}

/// Whether every page is where it belongs and every index has the rows of its table.
///
/// Search and the agent find rows by index; the pass over the records does not.
pub(super) fn is_file_sound(view: &Transaction<'_>) -> Result<bool, Halt> {
    let finding: String = view.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    Ok(finding == "ok" && partial_index_has_no_more_than_its_rows(view)?)
}

/// The check of SQLite finds entries that a partial index lacks, but none that it should not have.
fn partial_index_has_no_more_than_its_rows(view: &Transaction<'_>) -> Result<bool, Halt> {
    let count = |from: &str| view.query_row(&format!("SELECT count(*) FROM {from} WHERE action = 'audit.resolve'"), [], |row| row.get(0));
    let (in_index, in_table): (i64, i64) = (count("event INDEXED BY event_resolving")?, count("event NOT INDEXED")?);
    Ok(in_index == in_table)
}

/// Whether the stored counts of leaves are those of the records.
pub(super) fn stream_counts_agree(view: &Transaction<'_>, streams: &HashMap<StreamId, u64>) -> Result<bool, Halt> {
    let mut statement = view.prepare("SELECT stream, next_stream_index FROM stream")?;
    let mut rows = statement.query([])?;
    let mut leaves = 0;
    while let Some(row) = rows.next()? {
        let stream = StreamId::from_bytes(rows::array(row, 0, "stream.stream")?);
        let stored = rows::count(row, 1, "stream.next_stream_index")?;
        if streams.get(&stream).copied().unwrap_or(0) != stored {
            return Ok(false);
        }
        leaves += stored;
    }
    Ok(leaves == streams.values().sum::<u64>())
}
