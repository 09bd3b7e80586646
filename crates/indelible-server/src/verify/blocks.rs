//! The blocks of a sealed file: unpacked, recomputed record by record, and each in its place.

use std::ops::Range;

use indelible_core::root_of;
use rusqlite::{Connection, Row};

use super::halt::Halt;
use super::index::IndexCheck;
use super::report::FaultKind;
use super::walk::Walk;
use crate::trail::{BLOCK_LEAVES, Block, StoredLeaf, TrailError, block_end, rows};

const SELECT: &str = "SELECT first_index, count, id_min, id_max, node, leaves, bodies FROM block ORDER BY first_index";

/// Recomputes each record of a sealed file that ends at leaf `end`, and with `deep` its index.
pub(super) fn check_blocks(walk: &mut Walk, connection: &Connection, end: u64, deep: bool) -> Result<(), Halt> {
    let mut statement = connection.prepare(SELECT)?;
    let mut rows = statement.query([])?;
    let mut index = if deep { Some(IndexCheck::new(walk, connection)?) } else { None };
    while let Some(row) = rows.next()? {
        let range = walk.size()..block_end(walk.size()).min(end);
        check_block(walk, row, &range, index.as_mut()).map_err(|halt| damaged_here(walk, halt, &range))?;
    }
    Ok(())
}

/// Checks the block that must hold the leaves of `range`.
fn check_block(walk: &mut Walk, row: &Row<'_>, range: &Range<u64>, mut index: Option<&mut IndexCheck<'_>>) -> Result<(), Halt> {
    let wrong = |walk: &Walk| Err(walk.fault(FaultKind::Block, Some(range.clone())));
    let (first, count) = (rows::count(row, 0, "block.first_index")?, rows::count(row, 1, "block.count")?);
    if range.is_empty() || first < range.start {
        return Err(walk.fault(FaultKind::Surplus, Some(range.start..range.start + 1)));
    }
    if first > range.start {
        return Err(walk.fault(FaultKind::Missing, Some(range.clone())));
    }
    if count != range.end - range.start {
        return wrong(walk);
    }
    let bodies = rows::blob(row, 6, "block.bodies")?.to_vec();
    let mut block = Block::decode(range.clone(), rows::blob(row, 5, "block.leaves")?, bodies)?;
    let mut ids: Option<([u8; 16], [u8; 16])> = None;
    for leaf_index in range.clone() {
        let record = block.record(leaf_index)?;
        check_record(walk, &record)?;
        if let Some(index) = &mut index {
            index.push(walk, &record.entry, &record.body)?;
        }
        let id = *record.entry.event.as_bytes();
        ids = Some(ids.map_or((id, id), |(low, high)| (low.min(id), high.max(id))));
    }
    let stored = (rows::array(row, 2, "block.id_min")?, rows::array(row, 3, "block.id_max")?);
    let node = (count == BLOCK_LEAVES).then(|| root_of(block.hashes().iter().copied()));
    let is_node = row.get_ref(4)?.as_blob_or_null().is_ok_and(|stored| stored == node.as_ref().map(|node| node.as_bytes().as_slice()));
    if ids != Some(stored) || !is_node { wrong(walk) } else { Ok(()) }
}

/// The commitment in the entry was just computed from salt and body, so its hash speaks for all three.
fn check_record(walk: &mut Walk, record: &StoredLeaf) -> Result<(), Halt> {
    let leaf = record.entry.hash();
    if leaf != record.leaf_hash {
        return Err(walk.fault_here(FaultKind::LeafHash, Some(record.entry.event)));
    }
    walk.push(&record.entry, leaf, record.salt.is_some().then_some(record.body.as_slice()))
}

/// What cannot be unpacked, or has a form that is never written, lies in the block that is being looked at.
fn damaged_here(walk: &Walk, halt: Halt, range: &Range<u64>) -> Halt {
    match halt {
        Halt::Unreadable(TrailError::Block { .. } | TrailError::Damaged { .. }) if !range.is_empty() => {
            walk.fault(FaultKind::Block, Some(range.clone()))
        }
        halt => halt,
    }
}
