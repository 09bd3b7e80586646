//! Reading columns whose form the trail file fixes; any other form means damage, never a default.

use rusqlite::Row;
use rusqlite::types::ValueRef;

use super::TrailError;

/// A blob of exactly `N` bytes.
pub(crate) fn array<const N: usize>(row: &Row<'_>, column: usize, place: &'static str) -> Result<[u8; N], TrailError> {
    blob(row, column, place)?.try_into().map_err(|_| TrailError::Damaged { place })
}

/// A blob of any length.
pub(crate) fn blob<'r>(row: &'r Row<'_>, column: usize, place: &'static str) -> Result<&'r [u8], TrailError> {
    match row.get_ref(column)? {
        ValueRef::Blob(bytes) => Ok(bytes),
        _ => Err(TrailError::Damaged { place }),
    }
}

/// An integer that counts something.
pub(crate) fn count(row: &Row<'_>, column: usize, place: &'static str) -> Result<u64, TrailError> {
    match row.get_ref(column)? {
        ValueRef::Integer(value) => u64::try_from(value).map_err(|_| TrailError::Damaged { place }),
        _ => Err(TrailError::Damaged { place }),
    }
}

/// The form in which SQLite stores a count.
///
/// # Panics
/// Above `i64::MAX`, which no counter of leaves or frames reaches.
pub(crate) fn stored(count: u64) -> i64 {
    i64::try_from(count).expect("counts of leaves and frames stay below 2^63")
}
