//! Sealing: a closed file is rebuilt with compressed blocks and one run of the index, put under a signature, and never written again.
//!
//! Nothing is believed: every record of the closed file is recomputed while it is read, and every record of the sealed one after it
//! was written. The closed file stays until the sealed one, complete and synced, takes its name; a crash at any point leaves one
//! of the two, and sealing begins anew.

use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::{ControlFlow, Range};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use indelible_core::{Frontier, Hash, SealNote};
use rusqlite::{Connection, Transaction, params};
use sha2::{Digest, Sha256};

use super::block::{self, Encoded};
use super::files::{Listed, remove, remove_beside, seal_note, unfinished_seal};
use super::leaf::{Order, StoredLeaf};
use super::view::{View, log_is_empty};
use super::{FileState, TrailError, check_state, check_tree, loose, read_batch, rows, runs, schema, sealed, state_digest, writer};
use crate::data_dir::{rename_durably, sync_file, write_atomically};
use crate::index::{Run, RunBuilder};
use crate::keys::TrailKey;
use crate::ranges::LeafRanges;

/// Memory for pages while a sealed file is built, in KiB, as SQLite wants it: negative.
const CACHE_KIB: i64 = -4096;
/// How much of a file is read at once in order to hash it.
const HASH_BYTES: usize = 1 << 20;

/// A file that was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sealed {
    /// Records in it.
    pub(crate) leaves: u64,
    /// Its length in bytes.
    pub(crate) bytes: u64,
}

/// Seals a closed file. `None`: `stop` was set, and nothing has changed.
///
/// # Errors
/// - [`TrailError::ReadBack`], [`TrailError::Root`], [`TrailError::Changed`], [`TrailError::Block`]: a file is not as it was written. The
///   closed one stays as it is.
/// - [`TrailError::File`], [`TrailError::Sqlite`]: it could not be read or written; trying again may help.
pub(crate) fn seal(closed: &Listed, key: &TrailKey, stop: &AtomicBool) -> Result<Option<Sealed>, TrailError> {
    let new = unfinished_seal(&closed.path);
    remove(&new)?;
    remove_beside(&new)?;
    fold_left_log(&closed.path)?;
    let source = View::at_rest(&closed.path)?;
    let end = check_closed(&source.connection, closed, key)?;
    let Some(run) = build(&source.connection, &new, closed.first_index, &end, stop)? else {
        return remove(&new).map(|()| None);
    };
    let failed = |error| TrailError::File { path: new.clone(), error };
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    sync_file(&new).map_err(failed)?;
    failpoint!("seal.after_sync");
    if !read_back(&source.connection, &new, &end, &run, &LeafRanges::default(), stop)? {
        return remove(&new).map(|()| None);
    }
    let (digest, bytes) = digest_of(&new)?;
    failpoint!("seal.before_note");
    write_note(&seal_note(&closed.path), closed.first_index..end.size(), digest, key)?;
    failpoint!("seal.before_rename");
    rename_durably(&new, &closed.path).map_err(failed)?;
    failpoint!("seal.after_rename");
    // Nobody may find the log of the closed file beside the sealed one. Who still reads the closed one has it open.
    remove_beside(&closed.path)?;
    failpoint!("seal.after_unlink");
    Ok(Some(Sealed { leaves: end.size() - closed.first_index, bytes }))
}

/// SHA-256 and length of all bytes of a file.
///
/// # Errors
/// - [`TrailError::File`]: it cannot be read.
pub(crate) fn digest_of(path: &Path) -> Result<(Hash, u64), TrailError> {
    let hash = || -> io::Result<(Hash, u64)> {
        let (mut file, mut digest, mut length) = (File::open(path)?, Sha256::new(), 0);
        let mut buffer = vec![0; HASH_BYTES];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok((Hash::from_bytes(digest.finalize().into()), length)),
                read => {
                    digest.update(&buffer[..read]);
                    length += read as u64;
                }
            }
        }
    };
    hash().map_err(|error| TrailError::File { path: path.to_owned(), error })
}

/// A closed file has no log, unless a machine lost power while it was removed, or somebody copied it back.
fn fold_left_log(path: &Path) -> Result<(), TrailError> {
    if log_is_empty(path).map_err(|error| TrailError::File { path: path.to_owned(), error })? {
        return Ok(());
    }
    let connection = Connection::open(path)?;
    schema::configure_writer(&connection)?;
    failpoint!("seal.before_fold");
    connection.pragma(None, "wal_checkpoint", "TRUNCATE", |_| Ok(()))?;
    failpoint!("seal.after_fold");
    connection.close().map_err(|(_, error)| error.into())
}

/// Checks all of a closed file but its records, and returns the tree that they must lead to.
fn check_closed(source: &Connection, closed: &Listed, key: &TrailKey) -> Result<Frontier, TrailError> {
    schema::check_schema(source, FileState::Closed)?;
    schema::check_meta(source, &key.origin, closed.first_index)?;
    let end = writer::read_head(source)?;
    let batch = read_batch(source, &key.signing.verifier())?;
    check_tree(&batch, &end)?;
    check_state(&batch, state_digest(source)?)?;
    Ok(end)
}

/// Creates a file that is written once and then as a whole synced: it means nothing before it is complete, so SQLite need not be able to
/// take anything back.
pub(super) fn begin(new: &Path) -> Result<Connection, TrailError> {
    let connection = Connection::open(new)?;
    connection.pragma_update(None, "journal_mode", "OFF")?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.pragma_update(None, "cache_size", CACHE_KIB)?;
    Ok(connection)
}

/// Writes the sealed file under its unfinished name. `None` when told to stop.
fn build(source: &Connection, new: &Path, first_index: u64, end: &Frontier, stop: &AtomicBool) -> Result<Option<Run>, TrailError> {
    let mut connection = begin(new)?;
    let transaction = connection.transaction()?;
    let meta = schema::Meta::read(source)?;
    schema::write_tables(&transaction, FileState::Sealed, &meta)?;
    copy_end(source, &transaction)?;
    let Some(run) = write_blocks(source, &transaction, first_index..end.size(), Recomputed(meta.before), stop)? else { return Ok(None) };
    runs::insert(&transaction, &run)?;
    failpoint!("seal.before_commit");
    transaction.commit()?;
    failpoint!("seal.after_commit");
    connection.close().map_err(|(_, error)| error)?;
    Ok(Some(run))
}

/// Copies head and streams as they were when the file was closed.
pub(super) fn copy_end(source: &Connection, sealed: &Transaction<'_>) -> Result<(), TrailError> {
    let head = source.query_row("SELECT tree_size, root_hash, frontier, batch FROM head WHERE id = 1", [], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, Vec<u8>>(2)?, row.get::<_, String>(3)?))
    })?;
    sealed.execute("INSERT INTO head (id, tree_size, root_hash, frontier, batch) VALUES (1, ?1, ?2, ?3, ?4)", head)?;
    for (stream, row) in writer::read_streams(source)? {
        writer::upsert_stream(sealed, stream, &row)?;
    }
    Ok(())
}

/// A tree that grows by records, each recomputed from its body.
pub(super) struct Recomputed(pub(super) Frontier);

impl Recomputed {
    pub(super) fn push(&mut self, record: &StoredLeaf) -> Result<(), TrailError> {
        let differs = |what| Err(TrailError::ReadBack { leaf_index: record.leaf_index, what });
        if record.leaf_index != self.0.size() {
            return differs("a record before it is missing");
        }
        let is_committed = record.salt.is_none_or(|salt| indelible_core::commitment(&salt, &record.body) == record.entry.commitment);
        if !is_committed {
            return differs("its body does not match its leaf");
        }
        if record.entry.hash() != record.leaf_hash {
            return differs("its leaf does not match its hash");
        }
        self.0.push(record.leaf_hash);
        Ok(())
    }

    pub(super) fn check_end(&self, end: &Frontier) -> Result<(), TrailError> {
        if self.0 == *end { Ok(()) } else { Err(TrailError::Root { tree_size: self.0.size(), claim: "stored" }) }
    }
}

/// Writes all blocks, and builds the run over their records. Memory is bounded by one block and the run.
fn write_blocks(
    source: &Connection,
    sealed: &Transaction<'_>,
    range: Range<u64>,
    mut tree: Recomputed,
    stop: &AtomicBool,
) -> Result<Option<Run>, TrailError> {
    let mut run = RunBuilder::new(range.start);
    let mut first_index = range.start;
    while first_index < range.end {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let end_index = block::end_of(first_index).min(range.end);
        let mut records = Vec::new();
        let mut keep = |record| {
            records.push(record);
            ControlFlow::Continue(())
        };
        let _ = loose::records(source, first_index..end_index, Order::OldestFirst, &mut keep)?;
        for record in &records {
            tree.push(record)?;
            run.push(&record.entry, &record.body);
        }
        insert_block(sealed, first_index, &records)?;
        first_index = end_index;
    }
    tree.check_end(&writer::read_head(source)?)?;
    Ok(Some(run.finish()))
}

pub(super) fn insert_block(sealed: &Transaction<'_>, first_index: u64, records: &[StoredLeaf]) -> Result<(), TrailError> {
    let out_of_memory = |error| TrailError::File { path: "zstd".into(), error };
    let Encoded { ids, node, leaves, bodies } = block::encode(records).map_err(out_of_memory)?;
    let insert = "INSERT INTO block (first_index, count, id_min, id_max, node, leaves, bodies) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let (count, node) = (rows::stored(records.len() as u64), node.as_ref().map(Hash::as_bytes));
    sealed.prepare_cached(insert)?.execute(params![rows::stored(first_index), count, ids.0, ids.1, node, leaves, bodies])?;
    Ok(())
}

/// Reads the sealed file as everybody will and compares it with what it was made from. `false` when told to stop.
///
/// `erased`: the records of it that have no body, and no others.
pub(super) fn read_back(
    source: &Connection,
    new: &Path,
    end: &Frontier,
    run: &Run,
    erased: &LeafRanges,
    stop: &AtomicBool,
) -> Result<bool, TrailError> {
    let written = View::at_rest(new)?.connection;
    schema::check_schema(&written, FileState::Sealed)?;
    let meta = schema::Meta::read(&written)?;
    if meta != schema::Meta::read(source)? || writer::read_head(&written)? != *end {
        return Err(TrailError::Changed { place: "a file that was just sealed" });
    }
    let mut tree = Recomputed(meta.before);
    let (mut pushed, mut stopped) = (Ok(()), false);
    let mut each = |record: StoredLeaf| {
        stopped = stop.load(Ordering::Relaxed);
        pushed = tree.push(&record).and_then(|()| check_erased(&record, erased));
        if stopped || pushed.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let _ = sealed::records(&written, run.first_index..run.end_index, Order::OldestFirst, &mut each)?;
    pushed?;
    if stopped {
        return Ok(false);
    }
    tree.check_end(end)?;
    if !runs::is_stored(&written, run)? || writer::read_streams(&written)? != writer::read_streams(source)? {
        return Err(TrailError::Changed { place: "a file that was just sealed" });
    }
    Ok(true)
}

fn check_erased(record: &StoredLeaf, erased: &LeafRanges) -> Result<(), TrailError> {
    let is_as_wanted = record.is_erased() == erased.contains(record.leaf_index) && (record.salt.is_some() || record.body.is_empty());
    if is_as_wanted { Ok(()) } else { Err(TrailError::ReadBack { leaf_index: record.leaf_index, what: "its body should be another" }) }
}

/// Signs the digest of a sealed file that holds these leaves.
pub(super) fn write_note(path: &Path, leaves: Range<u64>, digest: Hash, key: &TrailKey) -> Result<(), TrailError> {
    let note = SealNote { origin: key.origin.clone(), first_index: leaves.start, end_index: leaves.end, digest };
    let note = note.sign(&key.signing).expect("a seal is a text that can be signed, and the key has the trail's name");
    write_atomically(path, note.to_string().as_bytes()).map_err(|error| TrailError::File { path: path.to_owned(), error })
}
