//! Erasing bodies: a sealed file is built anew without them and takes the place of the old one (docs/format.md, "Erasure").
//!
//! The leaves stay with their hashes, so the tree and every proof stay as they are. The order is that of sealing: the new file is complete,
//! synced, read back and signed under another name before it is renamed. Its seal waits as `N.reseal` beside the old one, so that at any
//! moment the file that is there is one that a seal vouches for.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use indelible_core::{Frontier, SealNote, VerifierKey};
use rusqlite::{Connection, Row, Transaction, params};

use super::block::Block;
use super::files::{Listed, remove, remove_beside, reseal_note, seal_note, unfinished_seal};
use super::leaf::StoredLeaf;
use super::seal::{Recomputed, begin, copy_end, digest_of, insert_block, read_back, write_note};
use super::view::View;
use super::{FileState, TrailError, check_tree, read_batch, rows, runs, schema, writer};
use crate::data_dir::{DataDir, read_small, rename_durably, sync_file};
use crate::index::{Run, RunBuilder};
use crate::keys::TrailKey;
use crate::ranges::LeafRanges;

/// The columns of a block, copied where nothing of it is erased.
const COLUMNS: &str = "first_index, count, id_min, id_max, node, leaves, bodies";

/// Held while a file and its seal are exchanged, so that nobody in this process takes the exchange for one that a crash interrupted.
static EXCHANGE: Mutex<()> = Mutex::new(());

/// What was erased from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Erased {
    /// Bodies that are gone now and were there before.
    pub(crate) bodies: u64,
    /// Length of the file before, in bytes.
    pub(crate) bytes_before: u64,
    /// Length of the file now.
    pub(crate) bytes: u64,
}

/// Erases the bodies and salts of these leaves of a sealed file. `None`: `stop` was set, and nothing has changed.
///
/// On return no file of the trail's folder holds them, and the folder is synced. What the disk keeps of a deleted file is not ours.
///
/// # Errors
/// - [`TrailError::Changed`], [`TrailError::ReadBack`], [`TrailError::Root`], [`TrailError::Block`]: the file is not the one that was sealed; it
///   stays as it is.
/// - [`TrailError::File`], [`TrailError::Sqlite`]: it could not be read or written; trying again may help.
pub(crate) fn erase(sealed: &Listed, doomed: &LeafRanges, key: &TrailKey, stop: &AtomicBool) -> Result<Option<Erased>, TrailError> {
    let new = unfinished_seal(&sealed.path);
    remove(&new)?;
    remove_beside(&new)?;
    settle(&sealed.path, &key.signing.verifier())?;
    let source = View::at_rest(&sealed.path)?;
    let (end, bytes_before) = check_sealed(&source.connection, sealed, key)?;
    let Some(built) = build(&source.connection, &new, &end, doomed, stop)? else {
        return remove(&new).map(|()| None);
    };
    let failed = |error| TrailError::File { path: new.clone(), error };
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    sync_file(&new).map_err(failed)?;
    failpoint!("erase.after_sync");
    if !read_back(&source.connection, &new, &end, &built.run, &built.erased, stop)? {
        return remove(&new).map(|()| None);
    }
    let (digest, bytes) = digest_of(&new)?;
    drop(source);
    let _exchange = exchange();
    failpoint!("erase.before_note");
    write_note(&reseal_note(&sealed.path), sealed.first_index..end.size(), digest, key)?;
    failpoint!("erase.before_rename");
    if let Err(error) = rename_durably(&new, &sealed.path) {
        // Whether the rename took place or not, one of the two seals is that of the file.
        settle_now(&sealed.path, &key.signing.verifier())?;
        return Err(failed(error));
    }
    failpoint!("erase.after_rename");
    settle_now(&sealed.path, &key.signing.verifier())?;
    failpoint!("erase.after_settle");
    Ok(Some(Erased { bodies: built.bodies, bytes_before, bytes }))
}

/// Ends every exchange of a file that a crash has interrupted: the seal of the file that is there becomes its seal.
///
/// # Errors
/// - [`TrailError::File`]: a file cannot be read, renamed or deleted.
pub(crate) fn settle_all(dir: &DataDir, key: &VerifierKey) -> Result<(), TrailError> {
    let failed = |error| TrailError::File { path: dir.trail(), error };
    for entry in fs::read_dir(dir.trail()).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "reseal") {
            settle(&path.with_extension("trail"), key)?;
        }
    }
    Ok(())
}

fn settle(path: &Path, key: &VerifierKey) -> Result<(), TrailError> {
    let _exchange = exchange();
    settle_now(path, key)
}

fn exchange() -> MutexGuard<'static, ()> {
    EXCHANGE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn settle_now(path: &Path, key: &VerifierKey) -> Result<(), TrailError> {
    let waiting = reseal_note(path);
    let note = match read_small(&waiting) {
        Ok(note) => SealNote::open(&note, key).ok(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(TrailError::File { path: waiting, error }),
    };
    if note.is_some_and(|note| digest_of(path).is_ok_and(|(digest, _)| digest == note.digest)) {
        return rename_durably(&waiting, &seal_note(path)).map_err(|error| TrailError::File { path: waiting, error });
    }
    // The file that it belongs to was never renamed.
    remove(&waiting)
}

/// Checks that the file is the one that was sealed, so that nothing else comes under a new seal.
fn check_sealed(source: &Connection, sealed: &Listed, key: &TrailKey) -> Result<(Frontier, u64), TrailError> {
    schema::check_schema(source, FileState::Sealed)?;
    schema::check_meta(source, &key.origin, sealed.first_index)?;
    let end = writer::read_head(source)?;
    let verifier = key.signing.verifier();
    check_tree(&read_batch(source, &verifier)?, &end)?;
    let path = seal_note(&sealed.path);
    let note = read_small(&path).map_err(|error| TrailError::File { path, error })?;
    let (digest, bytes) = digest_of(&sealed.path)?;
    let is_sealed = SealNote::open(&note, &verifier).is_ok_and(|note| note.digest == digest && note.first_index == sealed.first_index);
    if is_sealed { Ok((end, bytes)) } else { Err(TrailError::Changed { place: "a sealed file" }) }
}

/// What the new file is.
struct Built {
    run: Run,
    /// All of its leaves without a body.
    erased: LeafRanges,
    /// Those of them that had one.
    bodies: u64,
}

/// Writes the new file under its unfinished name. `None` when told to stop.
fn build(source: &Connection, new: &Path, end: &Frontier, doomed: &LeafRanges, stop: &AtomicBool) -> Result<Option<Built>, TrailError> {
    let mut connection = begin(new)?;
    let transaction = connection.transaction()?;
    let meta = schema::Meta::read(source)?;
    schema::write_tables(&transaction, FileState::Sealed, &meta)?;
    copy_end(source, &transaction)?;
    let mut blocks = Blocks::new(meta.before, doomed);
    let mut statement = source.prepare(&format!("SELECT {COLUMNS} FROM block ORDER BY first_index"))?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        blocks.push(row, &transaction)?;
    }
    let built = blocks.finish(end)?;
    runs::insert(&transaction, &built.run)?;
    failpoint!("erase.before_commit");
    transaction.commit()?;
    failpoint!("erase.after_commit");
    connection.close().map_err(|(_, error)| error)?;
    Ok(Some(built))
}

/// The blocks of the new file while they are written. Memory is bounded by one block and the run.
struct Blocks<'a> {
    doomed: &'a LeafRanges,
    tree: Recomputed,
    run: RunBuilder,
    erased: LeafRanges,
    bodies: u64,
}

impl<'a> Blocks<'a> {
    fn new(before: Frontier, doomed: &'a LeafRanges) -> Self {
        Self { doomed, run: RunBuilder::new(before.size()), tree: Recomputed(before), erased: LeafRanges::default(), bodies: 0 }
    }

    fn push(&mut self, row: &Row<'_>, new: &Transaction<'_>) -> Result<(), TrailError> {
        let first_index = rows::count(row, 0, "block.first_index")?;
        let range = first_index..first_index.saturating_add(rows::count(row, 1, "block.count")?);
        let mut block = Block::decode(range.clone(), rows::blob(row, 5, "block.leaves")?, rows::blob(row, 6, "block.bodies")?.to_vec())?;
        let mut records = Vec::new();
        for leaf_index in range.clone() {
            records.push(self.record(block.record(leaf_index)?)?);
        }
        if self.doomed.touches(&range) { insert_block(new, first_index, &records) } else { copy_block(row, new) }
    }

    /// Takes the body away where it is to go.
    fn record(&mut self, mut record: StoredLeaf) -> Result<StoredLeaf, TrailError> {
        self.tree.push(&record)?;
        if self.doomed.contains(record.leaf_index) && !record.is_erased() {
            record.salt = None;
            record.body = Vec::new();
            self.bodies += 1;
        }
        if record.is_erased() {
            self.erased.push(record.leaf_index);
        }
        self.run.push(&record.entry, &record.body);
        Ok(record)
    }

    fn finish(self, end: &Frontier) -> Result<Built, TrailError> {
        self.tree.check_end(end)?;
        Ok(Built { run: self.run.finish(), erased: self.erased, bodies: self.bodies })
    }
}

fn copy_block(row: &Row<'_>, new: &Transaction<'_>) -> Result<(), TrailError> {
    let insert = format!("INSERT INTO block ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
    let mut statement = new.prepare_cached(&insert)?;
    let value = |column| row.get_ref(column).map(rusqlite::types::ToSqlOutput::Borrowed);
    statement.execute(params![value(0)?, value(1)?, value(2)?, value(3)?, value(4)?, value(5)?, value(6)?])?;
    Ok(())
}
