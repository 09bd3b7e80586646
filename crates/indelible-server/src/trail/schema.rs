//! The tables of a trail file (docs/format.md, "Trail file").

use std::time::Duration;

use indelible_core::{Frontier, Origin};
use rusqlite::{Connection, Transaction};

use super::{FileState, TrailError};

/// Version of the tables, in `user_version`.
pub(crate) const FORMAT_VERSION: i64 = 2;
/// `INDL`, in `application_id`, so that `file(1)` and we know a trail file.
pub(crate) const APPLICATION_ID: i64 = 0x494e_444c;
/// How long a statement waits for a lock that another connection holds.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const CACHED_STATEMENTS: usize = 64;

/// What every file has, whatever its state.
const SHARED_TABLES: &str = "
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

CREATE TABLE stream (
    stream            BLOB PRIMARY KEY NOT NULL,
    service           TEXT NOT NULL,
    next_sequence     INTEGER NOT NULL,
    next_stream_index INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

/// What the records of an open or closed file are in, and its unfinished work.
const OPEN_TABLES: &str = "
CREATE TABLE record (
    leaf_index INTEGER PRIMARY KEY,
    entry      BLOB NOT NULL,
    leaf_hash  BLOB NOT NULL,
    salt       BLOB NOT NULL,
    body       BLOB NOT NULL
) STRICT;

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

/// What a sealed file has in place of the rows of an open one.
const SEALED_TABLES: &str = "
CREATE TABLE block (
    first_index INTEGER PRIMARY KEY,
    count       INTEGER NOT NULL,
    id_min      BLOB NOT NULL,
    id_max      BLOB NOT NULL,
    node        BLOB,
    leaves      BLOB NOT NULL,
    bodies      BLOB NOT NULL
) STRICT;
";

/// The index over the records, the same in every file.
const INDEX_TABLES: &str = "
CREATE TABLE run (
    first_index  INTEGER PRIMARY KEY,
    end_index    INTEGER NOT NULL,
    occurred_min INTEGER NOT NULL,
    occurred_max INTEGER NOT NULL,
    id_min       BLOB NOT NULL,
    id_max       BLOB NOT NULL,
    times        BLOB NOT NULL
) STRICT;

CREATE TABLE run_piece (
    first_index INTEGER NOT NULL,
    first_term  INTEGER NOT NULL,
    bytes       BLOB NOT NULL,
    PRIMARY KEY (first_index, first_term)
) STRICT, WITHOUT ROWID;

CREATE TABLE run_value (
    first_index INTEGER NOT NULL,
    facet       INTEGER NOT NULL,
    value       TEXT NOT NULL,
    PRIMARY KEY (first_index, facet, value)
) STRICT, WITHOUT ROWID;
";

/// What `meta` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Meta {
    /// Name of the trail.
    pub(crate) origin: String,
    /// The tree before the first leaf of the file.
    pub(crate) before: Frontier,
}

impl Meta {
    fn rows(&self) -> [(&'static str, String); 3] {
        let frontier = self.before.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        [("first_index", self.before.size().to_string()), ("frontier", frontier), ("origin", self.origin.clone())]
    }

    fn insert(&self, connection: &Connection) -> Result<(), TrailError> {
        let mut insert = connection.prepare("INSERT INTO meta (key, value) VALUES (?1, ?2)")?;
        for row in self.rows() {
            insert.execute(row)?;
        }
        Ok(())
    }

    /// Reads the rows, which must be exactly those that creation writes.
    ///
    /// # Errors
    /// - [`TrailError::Changed`]: they are not.
    pub(crate) fn read(connection: &Connection) -> Result<Self, TrailError> {
        let changed = TrailError::Changed { place: "meta" };
        let mut statement = connection.prepare("SELECT key, value FROM meta ORDER BY key")?;
        let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        let value = |key: &str| rows.iter().find(|row| row.0 == key).map(|row| row.1.as_str());
        let Some((origin, before)) = value("origin").zip(value("frontier").and_then(hexadecimal)) else { return Err(changed) };
        let Ok(before) = Frontier::from_bytes(&before) else { return Err(changed) };
        let meta = Self { origin: origin.to_owned(), before };
        let expected = meta.rows();
        let is_exact = rows.iter().map(|(key, value)| (key.as_str(), value)).eq(expected.iter().map(|(key, value)| (*key, value)));
        if is_exact { Ok(meta) } else { Err(changed) }
    }
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect();
    rest.is_empty().then_some(bytes)?
}

/// Writes what makes a file one of the trail's: its mark, its tables, and where it begins.
///
/// # Errors
/// - [`TrailError::Sqlite`]: the file cannot be written.
pub(super) fn write_tables(transaction: &Transaction<'_>, state: FileState, meta: &Meta) -> Result<(), TrailError> {
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", FORMAT_VERSION)?;
    create_tables(transaction, state)?;
    meta.insert(transaction)
}

fn create_tables(connection: &Connection, state: FileState) -> rusqlite::Result<()> {
    let own = match state {
        FileState::Open | FileState::Closed => OPEN_TABLES,
        FileState::Sealed => SEALED_TABLES,
    };
    [SHARED_TABLES, own, INDEX_TABLES].into_iter().try_for_each(|tables| connection.execute_batch(tables))
}

/// Checks that `meta` is that of a file of this trail that begins with this leaf.
///
/// # Errors
/// - [`TrailError::Changed`]: it is not.
pub(crate) fn check_meta(connection: &Connection, origin: &Origin, first_index: u64) -> Result<Meta, TrailError> {
    let meta = Meta::read(connection)?;
    let is_ours = meta.origin == origin.as_str() && meta.before.size() == first_index;
    if is_ours { Ok(meta) } else { Err(TrailError::Changed { place: "meta" }) }
}

/// Checks that a file has the tables and indexes that creation makes, in the same words, and nothing else: a view, a trigger or
/// another index could make it say something else than its rows.
///
/// # Errors
/// - [`TrailError::Changed`]: it has not.
pub(crate) fn check_schema(connection: &Connection, state: FileState) -> Result<(), TrailError> {
    let created = Connection::open_in_memory()?;
    create_tables(&created, state)?;
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
