//! The signed note that every batch leaves in the trail file, so that rows nobody committed are known before they are signed.

use indelible_core::{BatchNote, Frontier, Hash, VerifierKey};
use rusqlite::Connection;

use super::TrailError;

/// Reads the note of the newest batch.
///
/// # Errors
/// - [`TrailError::Changed`]: `key` did not sign it.
pub(crate) fn read_batch(connection: &Connection, key: &VerifierKey) -> Result<BatchNote, TrailError> {
    let note: String = connection.query_row("SELECT batch FROM head WHERE id = 1", [], |row| row.get(0))?;
    BatchNote::open(note.as_bytes(), key).map_err(|_| TrailError::Changed { place: "head.batch" })
}

/// Checks that the records are those that the batch left.
///
/// # Errors
/// - [`TrailError::Changed`]: they are not.
pub(crate) fn check_tree(batch: &BatchNote, tree: &Frontier) -> Result<(), TrailError> {
    if (batch.tree_size, batch.root_hash) == (tree.size(), tree.root()) { Ok(()) } else { Err(TrailError::Changed { place: "head" }) }
}

/// Checks that high-waters, pending intents and orphan outcomes are those that the batch left.
///
/// # Errors
/// - [`TrailError::Changed`]: they are not.
pub(crate) fn check_state(batch: &BatchNote, state: Hash) -> Result<(), TrailError> {
    if batch.state == state { Ok(()) } else { Err(TrailError::Changed { place: "stream, pending or orphan_outcome" }) }
}
