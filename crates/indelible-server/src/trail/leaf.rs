//! One record as a trail file holds it, and the order in which records are read.

use std::ops::RangeInclusive;

use indelible_core::{Hash, LeafEntry};
use rusqlite::Row;

use super::{TrailError, rows};

/// One record: what the tree commits to, and what it was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLeaf {
    /// Its place in the trail, from 0.
    pub leaf_index: u64,
    /// Its entry. In a sealed file the commitment is not stored but computed from salt and body.
    pub entry: LeafEntry,
    /// The hash that is stored for it; only `verify` and the agent compare it with the entry.
    pub leaf_hash: Hash,
    /// Its salt; `None` when the body was erased.
    pub salt: Option<[u8; 32]>,
    /// Its body; empty when it was erased.
    pub body: Vec<u8>,
}

impl StoredLeaf {
    /// Whether its body was erased.
    #[must_use]
    pub fn is_erased(&self) -> bool {
        self.salt.is_none()
    }
}

/// The order in which records are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// By rising leaf index.
    OldestFirst,
    /// By falling leaf index.
    NewestFirst,
}

impl Order {
    pub(super) const fn sql(self) -> &'static str {
        match self {
            Self::OldestFirst => "ASC",
            Self::NewestFirst => "DESC",
        }
    }
}

/// Columns that [`read`] expects, in its order.
pub(super) const COLUMNS: &str = "leaf_index, entry, leaf_hash, salt, body";

/// Reads one row of `record`.
///
/// # Errors
/// - [`TrailError::ReadBack`]: the entry is none.
/// - [`TrailError::Damaged`]: a column has another form than the file format gives it.
pub(super) fn read(row: &Row<'_>) -> Result<StoredLeaf, TrailError> {
    let leaf_index = rows::count(row, 0, "record.leaf_index")?;
    let entry = LeafEntry::decode(rows::blob(row, 1, "record.entry")?)
        .map_err(|_| TrailError::ReadBack { leaf_index, what: "its leaf cannot be read" })?;
    Ok(StoredLeaf {
        leaf_index,
        entry,
        leaf_hash: Hash::from_bytes(rows::array(row, 2, "record.leaf_hash")?),
        salt: Some(rows::array(row, 3, "record.salt")?),
        body: rows::blob(row, 4, "record.body")?.to_vec(),
    })
}

/// Event ids, from the first one to the last one.
pub(crate) type Ids = RangeInclusive<[u8; 16]>;
