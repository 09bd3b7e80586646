//! Runs of the index in a trail file: written with the batch that completes one, or at the seal (docs/format.md, "Index").

use std::ops::Range;

use rusqlite::{Connection, params};

use super::{TrailError, rows};
use crate::index::Run;

/// A run is written as soon as so many leaves have none; until then they are scanned.
pub(crate) const RUN_LEAVES: u64 = 4096;

/// Writes a run.
///
/// # Errors
/// - [`TrailError::Sqlite`]: the file cannot be written.
pub(super) fn insert(connection: &Connection, run: &Run) -> Result<(), TrailError> {
    let first_index = rows::stored(run.first_index);
    connection.execute(
        "INSERT INTO run (first_index, end_index, occurred_min, occurred_max, id_min, id_max, times) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![first_index, rows::stored(run.end_index), run.occurred.0, run.occurred.1, run.ids.0, run.ids.1, run.times],
    )?;
    let mut piece = connection.prepare_cached("INSERT INTO run_piece (first_index, first_term, bytes) VALUES (?1, ?2, ?3)")?;
    for found in &run.pieces {
        piece.execute(params![first_index, rows::stored(found.first_term), found.bytes])?;
    }
    let mut value = connection.prepare_cached("INSERT INTO run_value (first_index, facet, value) VALUES (?1, ?2, ?3)")?;
    for (field, text) in &run.values {
        value.execute(params![first_index, field.code(), text])?;
    }
    Ok(())
}

/// Whether the file holds exactly this run for its leaves.
///
/// # Errors
/// - [`TrailError::Sqlite`], [`TrailError::Damaged`]: a row cannot be read.
pub(crate) fn is_stored(connection: &Connection, run: &Run) -> Result<bool, TrailError> {
    let first_index = rows::stored(run.first_index);
    let mut rows_of_run =
        connection.prepare_cached("SELECT end_index, occurred_min, occurred_max, id_min, id_max, times FROM run WHERE first_index = ?1")?;
    let mut rows = rows_of_run.query([first_index])?;
    let Some(row) = rows.next()? else { return Ok(false) };
    let bounds = (rows::count(row, 0, "run.end_index")?, row.get(1)?, row.get(2)?);
    let ids = (rows::array(row, 3, "run.id_min")?, rows::array(row, 4, "run.id_max")?);
    if bounds != (run.end_index, run.occurred.0, run.occurred.1) || ids != run.ids || rows::blob(row, 5, "run.times")? != run.times {
        return Ok(false);
    }
    Ok(pieces_agree(connection, run)? && values_agree(connection, run)?)
}

fn pieces_agree(connection: &Connection, run: &Run) -> Result<bool, TrailError> {
    let mut statement = connection.prepare_cached("SELECT first_term, bytes FROM run_piece WHERE first_index = ?1 ORDER BY first_term")?;
    let mut rows = statement.query([rows::stored(run.first_index)])?;
    for piece in &run.pieces {
        let Some(row) = rows.next()? else { return Ok(false) };
        if rows::count(row, 0, "run_piece.first_term")? != piece.first_term || rows::blob(row, 1, "run_piece.bytes")? != piece.bytes {
            return Ok(false);
        }
    }
    Ok(rows.next()?.is_none())
}

fn values_agree(connection: &Connection, run: &Run) -> Result<bool, TrailError> {
    let mut statement = connection.prepare_cached("SELECT facet, value FROM run_value WHERE first_index = ?1 ORDER BY facet, value")?;
    let mut rows = statement.query([rows::stored(run.first_index)])?;
    for (field, value) in &run.values {
        let Some(row) = rows.next()? else { return Ok(false) };
        if row.get::<_, i64>(0)? != i64::from(field.code()) || row.get_ref(1)?.as_bytes().ok() != Some(value.as_bytes()) {
            return Ok(false);
        }
    }
    Ok(rows.next()?.is_none())
}

/// The leaves of a file that no run covers. `file`: its leaves.
///
/// # Errors
/// - [`TrailError::Sqlite`], [`TrailError::Damaged`]: a row cannot be read.
pub(super) fn tail(connection: &Connection, file: Range<u64>) -> Result<Range<u64>, TrailError> {
    let mut statement = connection.prepare_cached("SELECT end_index FROM run ORDER BY first_index DESC LIMIT 1")?;
    let mut rows = statement.query([])?;
    let covered = rows.next()?.map(|row| rows::count(row, 0, "run.end_index")).transpose()?;
    Ok(covered.unwrap_or(file.start).min(file.end)..file.end)
}
