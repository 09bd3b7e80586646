//! Beginning a file of the trail: the first one, and the next one when the open one is full.
//!
//! A file is complete under another name before it is renamed, so one that can be seen has its tables, and what the file before it left
//! unfinished. From the rename on it is the open file, and the one before it is never written again.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use indelible_core::{Frontier, Hash, StreamId};
use rusqlite::{Connection, Transaction, params};

use super::files::{file_name, remove, remove_beside, unfinished};
use super::schema::{self, Meta};
use super::view::open_unchanging;
use super::writer::StreamRow;
use super::{FileState, OpenFile, TrailError, check_state, check_tree, read_batch, state_digest};
use crate::data_dir::{DataDir, rename_durably, sync_file};
use crate::keys::TrailKey;

/// Creates the first, empty file of a trail and returns its path.
///
/// # Errors
/// - [`TrailError::File`], [`TrailError::Sqlite`]: it could not be written; nothing is left under its name.
pub(crate) fn create_first(dir: &DataDir, key: &TrailKey) -> Result<PathBuf, TrailError> {
    let path = dir.trail().join(file_name(0));
    write(&path, key, &Frontier::default(), None, |_| Ok(()))?;
    failpoint!("create.before_rename");
    rename(&path)?;
    failpoint!("create.after_rename");
    Ok(path)
}

/// Creates the file after `full`, whose log is folded, with everything that goes on: head, pending intents, orphan outcomes, and the
/// streams for which `is_live` answers so.
///
/// # Errors
/// - [`TrailError::File`], [`TrailError::Sqlite`]: it could not be written; unless the rename was not synced, `full` is still open.
pub(crate) fn create_next(
    dir: &DataDir,
    key: &TrailKey,
    full: &OpenFile,
    is_live: impl Fn(StreamId, &StreamRow) -> bool,
) -> Result<PathBuf, TrailError> {
    let path = dir.trail().join(file_name(full.head().size()));
    write(&path, key, full.head(), Some(full.state()), |next| full.carry_over(next, is_live))?;
    failpoint!("roll.before_rename");
    rename(&path)?;
    failpoint!("roll.after_rename");
    Ok(path)
}

/// Writes a whole file under its unfinished name and reads it back.
fn write(
    path: &Path,
    key: &TrailKey,
    before: &Frontier,
    previous_state: Option<Hash>,
    fill: impl FnOnce(&Transaction<'_>) -> Result<(), TrailError>,
) -> Result<(), TrailError> {
    let new = unfinished(path);
    remove(&new)?;
    remove_beside(&new)?;
    let meta = Meta { origin: key.origin.to_string(), before: before.clone() };
    let mut connection = Connection::open(&new)?;
    schema::configure_writer(&connection)?;
    let transaction = connection.transaction()?;
    schema::write_tables(&transaction, FileState::Open, &meta)?;
    fill(&transaction)?;
    let state = state_digest(&transaction)?;
    let note = key.sign_batch(before, state, previous_state.unwrap_or(state));
    transaction.execute(
        "INSERT INTO head (id, tree_size, root_hash, frontier, batch) VALUES (1, ?1, ?2, ?3, ?4)",
        params![super::rows::stored(before.size()), before.root().as_bytes(), before.to_bytes(), note],
    )?;
    failpoint!("roll.before_commit");
    transaction.commit()?;
    failpoint!("roll.after_commit");
    connection.close().map_err(|(_, error)| error)?;
    let failed = |error| TrailError::File { path: new.clone(), error };
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    sync_file(&new).map_err(failed)?;
    failpoint!("roll.after_sync");
    read_back(&new, key, before)
}

/// A file that does not say what was just written must not become the open one.
fn read_back(new: &Path, key: &TrailKey, before: &Frontier) -> Result<(), TrailError> {
    let written = open_unchanging(new)?;
    let batch = read_batch(&written, &key.signing.verifier())?;
    check_tree(&batch, before)?;
    check_state(&batch, state_digest(&written)?)
}

fn rename(path: &Path) -> Result<(), TrailError> {
    let new = unfinished(path);
    rename_durably(&new, path).map_err(|error| TrailError::File { path: new, error })
}
