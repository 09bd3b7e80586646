//! Reading the records of a file that is not sealed: one row each.

use std::ops::{ControlFlow, Range};

use indelible_core::Hash;
use rusqlite::{Connection, params};

use super::leaf::{self, COLUMNS, Ids, Order, StoredLeaf};
use super::{TrailError, rows};

/// Calls back with each record of a range, until told to stop.
pub(super) fn records(
    connection: &Connection,
    range: Range<u64>,
    order: Order,
    each: &mut dyn FnMut(StoredLeaf) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, TrailError> {
    let select = format!("SELECT {COLUMNS} FROM record WHERE leaf_index >= ?1 AND leaf_index < ?2 ORDER BY leaf_index {}", order.sql());
    let mut statement = connection.prepare_cached(&select)?;
    let mut rows = statement.query([rows::stored(range.start), rows::stored(range.end)])?;
    while let Some(row) = rows.next()? {
        if each(leaf::read(row)?).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// One record, if it is there.
pub(super) fn record(connection: &Connection, leaf_index: u64) -> Result<Option<StoredLeaf>, TrailError> {
    let select = format!("SELECT {COLUMNS} FROM record WHERE leaf_index = ?1");
    let mut statement = connection.prepare_cached(&select)?;
    let mut rows = statement.query([rows::stored(leaf_index)])?;
    rows.next()?.map(leaf::read).transpose()
}

/// Adds the places of the records of a range with these event ids.
pub(super) fn places(connection: &Connection, range: Range<u64>, ids: &Ids, found: &mut Vec<u64>) -> Result<(), TrailError> {
    let select = "SELECT leaf_index FROM record WHERE leaf_index >= ?1 AND leaf_index < ?2 AND substr(entry, 2, 16) BETWEEN ?3 AND ?4 \
                  ORDER BY leaf_index";
    let mut statement = connection.prepare_cached(select)?;
    let mut rows = statement.query(params![rows::stored(range.start), rows::stored(range.end), ids.start(), ids.end()])?;
    while let Some(row) = rows.next()? {
        found.push(rows::count(row, 0, "record.leaf_index")?);
    }
    Ok(())
}

/// Adds the stored hashes of a range of leaves.
pub(super) fn leaf_hashes(connection: &Connection, range: &Range<u64>, hashes: &mut Vec<Hash>) -> Result<(), TrailError> {
    let select = "SELECT leaf_index, leaf_hash FROM record WHERE leaf_index >= ?1 AND leaf_index < ?2 ORDER BY leaf_index";
    let mut statement = connection.prepare_cached(select)?;
    let mut rows = statement.query([rows::stored(range.start), rows::stored(range.end)])?;
    let mut expected = range.clone();
    while let Some(row) = rows.next()? {
        if let Some(leaf_index) = expected.next()
            && rows::count(row, 0, "record.leaf_index")? != leaf_index
        {
            return Err(TrailError::ReadBack { leaf_index, what: "it is not there" });
        }
        hashes.push(Hash::from_bytes(rows::array(row, 1, "record.leaf_hash")?));
    }
    Ok(())
}
