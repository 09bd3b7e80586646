//! The tables of a trail file (docs/format.md, "Trail file"), and the one place that creates one.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indelible_core::{Frontier, Origin};
use rusqlite::{Connection, params};

use super::{TrailError, state_digest};
use crate::data_dir::{DataDir, open_regular, rename_durably};
use crate::keys::TrailKey;

/// Version of the tables, in `user_version`.
pub(crate) const FORMAT_VERSION: i64 = 1;
/// `INDL`, in `application_id`, so that `file(1)` and we know a trail file.
pub(crate) const APPLICATION_ID: i64 = 0x494e_444c;
/// How long a statement waits for a lock that another connection holds.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const CACHED_STATEMENTS: usize = 64;

const TABLES: &str = "
CREATE TABLE meta (
    key   TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE head (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    tree_size INTEGER NOT NULL,
    root_hash BLOB NOT NULL,
    frontier  BLOB NOT NULL,
    batch     TEXT NOT NULL
) STRICT;

CREATE TABLE record (
    leaf_index INTEGER PRIMARY KEY,
    entry      BLOB NOT NULL,
    leaf_hash  BLOB NOT NULL,
    salt       BLOB NOT NULL,
    body       BLOB NOT NULL
) STRICT;

CREATE TABLE event (
    leaf_index    INTEGER PRIMARY KEY,
    event_id      BLOB NOT NULL,
    occurred_at   INTEGER,
    recorded_at   INTEGER NOT NULL,
    received_at   INTEGER NOT NULL,
    kind          TEXT,
    action        TEXT,
    outcome       TEXT,
    verdict       TEXT NOT NULL,
    actor_type    TEXT,
    actor_id      TEXT,
    actor_label   TEXT,
    resource_type TEXT,
    resource_id   TEXT,
    request_id    TEXT,
    service       TEXT,
    status        INTEGER
) STRICT;

CREATE INDEX event_by_id ON event (event_id);

CREATE INDEX event_resolving ON event (resource_id) WHERE action = 'audit.resolve';

CREATE TABLE stream (
    stream            BLOB PRIMARY KEY NOT NULL,
    service           TEXT NOT NULL,
    next_sequence     INTEGER NOT NULL,
    next_stream_index INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE pending (
    intent      BLOB PRIMARY KEY NOT NULL,
    stream      BLOB NOT NULL,
    sequence    INTEGER NOT NULL,
    ingested_at INTEGER NOT NULL,
    in_doubt    INTEGER NOT NULL CHECK (in_doubt IN (0, 1)),
    payload     BLOB NOT NULL
) STRICT;

CREATE TABLE orphan_outcome (
    intent      BLOB PRIMARY KEY NOT NULL,
    stream      BLOB NOT NULL,
    sequence    INTEGER NOT NULL,
    ingested_at INTEGER NOT NULL,
    payload     BLOB NOT NULL
) STRICT;
";

/// Name of the trail file that begins with this leaf.
pub(crate) fn file_name(first_index: u64) -> String {
    format!("{first_index:012}.trail")
}

/// The trail file, if there is one, ready to be opened: alone, a file, and without a log of another kind beside it.
///
/// # Errors
/// - [`TrailError::File`]: the folder cannot be listed, or the file or its log is none.
/// - [`TrailError::Unexpected`]: another trail file, or a rollback journal, which SQLite would write back into the file.
pub(crate) fn open_file_path(dir: &DataDir) -> Result<Option<PathBuf>, TrailError> {
    let path = dir.trail().join(file_name(0));
    let failed = |error| TrailError::File { path: dir.trail(), error };
    let entries = match fs::read_dir(dir.trail()) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut is_there = false;
    for entry in entries {
        let found = entry.map_err(failed)?.path();
        let is_named = |suffix: &str| found.as_os_str().as_encoded_bytes().ends_with(suffix.as_bytes());
        if found == path {
            is_there = true;
        } else if is_named(".trail") || is_named(".trail-journal") {
            return Err(TrailError::Unexpected { path: found });
        } else if is_named(".trail-wal") || is_named(".trail-shm") {
            check_regular(&found)?;
        }
    }
    if !is_there {
        return Ok(None);
    }
    check_regular(&path)?;
    Ok(Some(path))
}

/// Refuses what SQLite would wait for, or read without end.
fn check_regular(path: &Path) -> Result<(), TrailError> {
    match open_regular(path, u64::MAX) {
        // SQLite removes its log when the last connection ends.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(TrailError::File { path: path.to_owned(), error }),
        Ok(_) => Ok(()),
    }
}

/// Creates the first, empty file of a trail and returns its path.
///
/// It is complete under another name before it is renamed, so a file that can be seen has its tables.
///
/// # Errors
/// - [`TrailError::File`], [`TrailError::Sqlite`]: it could not be written; nothing is left under its name.
pub(crate) fn create(dir: &DataDir, key: &TrailKey) -> Result<PathBuf, TrailError> {
    let path = dir.trail().join(file_name(0));
    let new = path.with_extension("trail.new");
    let failed = |error| TrailError::File { path: new.clone(), error };
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    write_tables(&new, key)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    fs::File::open(&new).and_then(|file| file.sync_all()).map_err(failed)?;
    rename_durably(&new, &path).map_err(failed)?;
    Ok(path)
}

fn write_tables(path: &Path, key: &TrailKey) -> Result<(), TrailError> {
    let mut connection = Connection::open(path)?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", FORMAT_VERSION)?;
    configure_writer(&connection)?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(TABLES)?;
    for (key, value) in meta(&key.origin) {
        transaction.execute("INSERT INTO meta (key, value) VALUES (?1, ?2)", params![key, value])?;
    }
    let empty = Frontier::default();
    let state = state_digest(&transaction)?;
    transaction.execute(
        "INSERT INTO head (id, tree_size, root_hash, frontier, batch) VALUES (1, 0, ?1, ?2, ?3)",
        params![empty.root().as_bytes(), empty.to_bytes(), key.sign_batch(&empty, state, state)],
    )?;
    transaction.commit()?;
    connection.close().map_err(|(_, error)| error)?;
    Ok(())
}

/// All that `meta` says.
fn meta(origin: &Origin) -> [(&str, &str); 2] {
    [("first_index", "0"), ("origin", origin.as_str())]
}

/// Checks that `meta` says what it says in the file of this trail, and nothing else.
///
/// # Errors
/// - [`TrailError::Changed`]: it does not.
pub(crate) fn check_meta(connection: &Connection, origin: &Origin) -> Result<(), TrailError> {
    let mut statement = connection.prepare("SELECT key, value FROM meta ORDER BY key")?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    if rows.iter().map(|(key, value)| (key.as_str(), value.as_str())).eq(meta(origin)) {
        return Ok(());
    }
    Err(TrailError::Changed { place: "meta" })
}

/// Checks that a file has the tables and indexes that creation makes, in the same words, and nothing else: a view, a trigger or
/// another index could make it say something else than its rows.
///
/// # Errors
/// - [`TrailError::Changed`]: it has not.
pub(crate) fn check_schema(connection: &Connection) -> Result<(), TrailError> {
    let created = Connection::open_in_memory()?;
    created.execute_batch(TABLES)?;
    if read_schema(connection)? != read_schema(&created)? {
        return Err(TrailError::Changed { place: "schema" });
    }
    Ok(())
}

/// Type, name, table and statement of everything that is defined in a database.
type Definition = (String, String, String, Option<String>);

fn read_schema(connection: &Connection) -> Result<Vec<Definition>, TrailError> {
    let mut statement = connection.prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Sets what every writing connection needs: a log that survives a crash at any moment and is synced at every commit.
pub(crate) fn configure_writer(connection: &Connection) -> Result<(), TrailError> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    Ok(())
}

/// Checks that a file is a trail file of a version that we read.
///
/// # Errors
/// - [`TrailError::Version`]: it is not.
pub(crate) fn check_version(connection: &Connection) -> Result<(), TrailError> {
    let application_id: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if (application_id, version) != (APPLICATION_ID, FORMAT_VERSION) {
        return Err(TrailError::Version { application_id, version });
    }
    Ok(())
}
