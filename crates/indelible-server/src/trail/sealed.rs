//! Reading the records of a sealed file, block by block.

use std::cell::RefCell;
use std::ops::{ControlFlow, Range};

use indelible_core::Hash;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::block::{self, BLOCK_LEAVES, Block};
use super::leaf::{Ids, Order, StoredLeaf};
use super::{TrailError, rows};
use crate::ranges::LeafRanges;

const COLUMNS: &str = "first_index, count, leaves, bodies";

/// The block that was read last: neighbours are often asked for one after the other.
pub(super) type Newest = RefCell<Option<Block>>;

/// Whether a file has blocks in place of rows.
pub(super) fn is_sealed(connection: &Connection) -> Result<bool, TrailError> {
    let select = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'block'";
    Ok(connection.query_row(select, [], |row| row.get::<_, i64>(0))? == 1)
}

/// Calls back with each record of a range, until told to stop.
pub(super) fn records(
    connection: &Connection,
    range: Range<u64>,
    order: Order,
    each: &mut dyn FnMut(StoredLeaf) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, TrailError> {
    let select = format!(
        "SELECT {COLUMNS} FROM block WHERE first_index >= ?1 AND first_index < ?2 AND first_index + count > ?3 ORDER BY first_index {}",
        order.sql()
    );
    let mut statement = connection.prepare_cached(&select)?;
    let mut rows = statement.query([earliest(range.start), rows::stored(range.end), rows::stored(range.start)])?;
    while let Some(row) = rows.next()? {
        let mut block = read(row)?;
        let part = block.range().start.max(range.start)..block.range().end.min(range.end);
        let in_order: Box<dyn Iterator<Item = u64>> = match order {
            Order::OldestFirst => Box::new(part),
            Order::NewestFirst => Box::new(part.rev()),
        };
        for leaf_index in in_order {
            if each(block.record(leaf_index)?).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// One record, if its block is there.
pub(super) fn record(connection: &Connection, newest: &Newest, leaf_index: u64) -> Result<Option<StoredLeaf>, TrailError> {
    let mut newest = newest.borrow_mut();
    if !newest.as_ref().is_some_and(|block| block.range().contains(&leaf_index)) {
        *newest = None;
        let select = format!("SELECT {COLUMNS} FROM block WHERE first_index <= ?1 ORDER BY first_index DESC LIMIT 1");
        let mut statement = connection.prepare_cached(&select)?;
        let mut rows = statement.query([rows::stored(leaf_index)])?;
        *newest = rows.next()?.map(read).transpose()?.filter(|block| block.range().contains(&leaf_index));
    }
    newest.as_mut().map(|block| block.record(leaf_index)).transpose()
}

/// Adds the places of the records with these event ids. No body is read.
pub(super) fn places(connection: &Connection, ids: &Ids, found: &mut Vec<u64>) -> Result<(), TrailError> {
    let select = "SELECT first_index, count, leaves FROM block WHERE id_min <= ?2 AND id_max >= ?1 ORDER BY first_index";
    let mut statement = connection.prepare_cached(select)?;
    let mut rows = statement.query(params![ids.start(), ids.end()])?;
    while let Some(row) = rows.next()? {
        let range = range(row)?;
        let entries = block::entries(&range, rows::blob(row, 2, "block.leaves")?)?;
        let places = range.zip(&entries).filter(|(_, entry)| ids.contains(entry.event.as_bytes()));
        found.extend(places.map(|(leaf_index, _)| leaf_index));
    }
    Ok(())
}

/// The leaves whose bodies were erased. No body is read.
pub(super) fn erased(connection: &Connection) -> Result<LeafRanges, TrailError> {
    let mut statement = connection.prepare_cached("SELECT first_index, count, leaves FROM block ORDER BY first_index")?;
    let mut rows = statement.query([])?;
    let mut erased = LeafRanges::default();
    while let Some(row) = rows.next()? {
        block::erased(&range(row)?, rows::blob(row, 2, "block.leaves")?)?.into_iter().for_each(|leaf| erased.push(leaf));
    }
    Ok(erased)
}

/// Adds the stored hashes of a range of leaves.
pub(super) fn leaf_hashes(connection: &Connection, range: &Range<u64>, hashes: &mut Vec<Hash>) -> Result<(), TrailError> {
    let select = format!("SELECT {COLUMNS} FROM block WHERE first_index >= ?1 AND first_index < ?2 ORDER BY first_index");
    let mut statement = connection.prepare_cached(&select)?;
    let mut rows = statement.query([earliest(range.start), rows::stored(range.end)])?;
    while let Some(row) = rows.next()? {
        let block = read(row)?;
        hashes.extend(block.range().zip(block.hashes()).filter(|(leaf_index, _)| range.contains(leaf_index)).map(|(_, hash)| *hash));
    }
    Ok(())
}

/// The stored root over a full block.
pub(super) fn node(connection: &Connection, first_index: u64) -> Result<Option<Hash>, TrailError> {
    let mut statement = connection.prepare_cached("SELECT node FROM block WHERE first_index = ?1 AND node IS NOT NULL")?;
    let node = statement.query_row([rows::stored(first_index)], |row| Ok(rows::array(row, 0, "block.node"))).optional()?;
    Ok(node.transpose()?.map(Hash::from_bytes))
}

/// Where the block that holds a leaf can begin at the earliest: blocks are aligned, but for the first of a file, which is shorter.
fn earliest(leaf_index: u64) -> i64 {
    rows::stored(leaf_index / BLOCK_LEAVES * BLOCK_LEAVES)
}

fn read(row: &Row<'_>) -> Result<Block, TrailError> {
    let leaves = rows::blob(row, 2, "block.leaves")?;
    Block::decode(range(row)?, leaves, rows::blob(row, 3, "block.bodies")?.to_vec())
}

fn range(row: &Row<'_>) -> Result<Range<u64>, TrailError> {
    let first_index = rows::count(row, 0, "block.first_index")?;
    Ok(first_index..first_index.saturating_add(rows::count(row, 1, "block.count")?))
}
