//! One file of the trail: its tables, its records, and everything in it that follows from them.

use indelible_core::{BatchNote, Frontier, Hash, LeafEntry, StreamId, TreeHead, VerifierKey, commitment};
use rusqlite::{Connection, Row};

use super::blocks::check_blocks;
use super::halt::Halt;
use super::index::{IndexCheck, check_no_stray_run};
use super::report::FaultKind;
use super::seal::check_seal;
use super::trust::Signed;
use super::walk::{Walk, difference};
use crate::data_dir::DataDir;
use crate::trail::{self, FileState, TrailError, TrailFile, rows, schema, state_digest};

/// What every file is compared with.
pub(super) struct Expected<'a> {
    pub(super) dir: &'a DataDir,
    pub(super) key: &'a VerifierKey,
    pub(super) signed: &'a Signed,
    /// Whether what is derived in sealed files is built again, too.
    pub(super) deep: bool,
}

/// Walks through one file, and returns the note of its newest batch.
pub(super) fn check_file(walk: &mut Walk, file: &TrailFile, expected: &Expected<'_>) -> Result<BatchNote, Halt> {
    let found = check_content(walk, file, expected);
    if file.state() != FileState::Sealed {
        return found;
    }
    match found {
        // A seal tells damage by somebody from a disk that cannot be read.
        Err(Halt::Unreadable(error)) => check_seal(expected.dir, file, expected.key, walk).and(Err(Halt::Unreadable(error))),
        Err(halt) => Err(halt),
        Ok(batch) => check_seal(expected.dir, file, expected.key, walk).map(|()| batch),
    }
}

fn check_content(walk: &mut Walk, file: &TrailFile, expected: &Expected<'_>) -> Result<BatchNote, Halt> {
    let connection = file.connection()?;
    check_is_newest(walk, file, connection, expected)?;
    // Nothing that the tables say means anything before they are known to be the tables.
    schema::check_schema(connection, file.state()).map_err(|error| walk.judge(error, FaultKind::Schema))?;
    let first = file.range().start;
    if first > walk.size() {
        return Err(walk.fault(FaultKind::Missing, Some(walk.size()..first)));
    }
    check_meta(walk, connection, expected.signed, first)?;
    let head = stored_head(walk, connection)?;
    check_records(walk, file, connection, &head, expected)?;
    check_size(walk, file, &head, expected.signed.checkpoint.tree_size)?;
    check_root(walk, file, connection, &head, expected)?;
    if head.root_hash != walk.tree.root() || head.frontier != walk.tree.to_bytes() {
        return Err(walk.fault(FaultKind::Head, None));
    }
    let is_loose = file.state() != FileState::Sealed;
    if is_loose || expected.deep {
        check_no_stray_run(walk, connection)?;
    }
    check_streams(walk, connection, first)?;
    let batch = trail::read_batch(connection, expected.key).map_err(|error| walk.judge(error, FaultKind::Batch))?;
    check_batch(walk, &batch, expected.signed.checkpoint.tree_size)?;
    if is_loose {
        let state = state_digest(connection).map_err(|error| walk.judge(error, FaultKind::UnfinishedWork))?;
        trail::check_state(&batch, state).map_err(|error| walk.judge(error, FaultKind::UnfinishedWork))?;
    }
    if (is_loose || expected.deep) && !is_sound(connection)? {
        return Err(walk.fault(FaultKind::File, None));
    }
    Ok(batch)
}

/// The newest file is never sealed, so a sealed one in its place has lost what came after it.
fn check_is_newest(walk: &Walk, file: &TrailFile, connection: &Connection, expected: &Expected<'_>) -> Result<(), Halt> {
    let is_sealed = || schema::check_schema(connection, FileState::Sealed).is_ok();
    if file.state() != FileState::Open || !is_sealed() {
        return Ok(());
    }
    let end = stored_head(walk, connection)?.tree_size;
    let lost = end..expected.signed.checkpoint.tree_size.max(end + 1);
    Err(walk.fault(FaultKind::RolledBack, Some(lost)))
}

fn check_records(
    walk: &mut Walk,
    file: &TrailFile,
    connection: &Connection,
    head: &StoredHead,
    expected: &Expected<'_>,
) -> Result<(), Halt> {
    match file.state() {
        FileState::Open | FileState::Closed => check_rows(walk, connection),
        FileState::Sealed => check_blocks(walk, connection, head.tree_size, expected.deep),
    }
}

/// Recomputes each record of an open or closed file, and its index.
fn check_rows(walk: &mut Walk, connection: &Connection) -> Result<(), Halt> {
    let mut statement = connection.prepare("SELECT leaf_index, entry, leaf_hash, salt, body FROM record ORDER BY leaf_index")?;
    let mut rows = statement.query([])?;
    let mut index = IndexCheck::new(walk, connection)?;
    while let Some(row) = rows.next()? {
        let entry = check_row(walk, row).map_err(|halt| damaged_here(walk, halt))?;
        index.push(walk, &entry, rows::blob(row, 4, "record.body")?)?;
    }
    Ok(())
}

fn check_row(walk: &mut Walk, row: &Row<'_>) -> Result<LeafEntry, Halt> {
    if rows::count(row, 0, "record.leaf_index")? != walk.size() {
        return Err(walk.fault_here(FaultKind::Missing, None));
    }
    let Ok(entry) = LeafEntry::decode(rows::blob(row, 1, "record.entry")?) else { return Err(walk.fault_here(FaultKind::Leaf, None)) };
    let leaf = entry.hash();
    if rows::blob(row, 2, "record.leaf_hash")? != leaf.as_bytes() {
        return Err(walk.fault_here(FaultKind::LeafHash, Some(entry.event)));
    }
    let (salt, body) = (rows::blob(row, 3, "record.salt")?, rows::blob(row, 4, "record.body")?);
    if !salt.try_into().is_ok_and(|salt| commitment(salt, body) == entry.commitment) {
        return Err(walk.fault_here(FaultKind::Body, Some(entry.event)));
    }
    walk.push(&entry, leaf, Some(body))?;
    Ok(entry)
}

/// A value in a form that was never written lies in the record that is being looked at.
fn damaged_here(walk: &Walk, halt: Halt) -> Halt {
    match halt {
        Halt::Unreadable(TrailError::Damaged { .. }) => walk.fault_here(FaultKind::Damaged, None),
        halt => halt,
    }
}

/// The stored head: its three columns as they are, whether or not they agree.
struct StoredHead {
    tree_size: u64,
    root_hash: Hash,
    frontier: Vec<u8>,
}

fn stored_head(walk: &Walk, connection: &Connection) -> Result<StoredHead, Halt> {
    read_head(connection).map_err(|error| walk.judge(error, FaultKind::Head))
}

fn read_head(connection: &Connection) -> Result<StoredHead, TrailError> {
    let mut statement = connection.prepare("SELECT tree_size, root_hash, frontier FROM head WHERE id = 1")?;
    let mut rows = statement.query([])?;
    let row = rows.next()?.ok_or(TrailError::Damaged { place: "head" })?;
    Ok(StoredHead {
        tree_size: rows::count(row, 0, "head.tree_size")?,
        root_hash: Hash::from_bytes(rows::array(row, 1, "head.root_hash")?),
        frontier: rows::blob(row, 2, "head.frontier")?.to_vec(),
    })
}

fn check_size(walk: &Walk, file: &TrailFile, head: &StoredHead, signed: u64) -> Result<(), Halt> {
    let found = walk.size();
    if found > head.tree_size {
        return Err(walk.fault(FaultKind::Surplus, Some(head.tree_size..found)));
    }
    if found < head.tree_size {
        return Err(walk.fault(FaultKind::Missing, Some(found..head.tree_size)));
    }
    if file.state() == FileState::Open && found < signed {
        return Err(walk.fault(FaultKind::RolledBack, Some(found..signed)));
    }
    Ok(())
}

/// Compares the records with the roots that were signed over them, as far as they have been reached: the checkpoint's, and that of the last
/// batch of a file that is complete.
fn check_root(walk: &Walk, file: &TrailFile, connection: &Connection, head: &StoredHead, expected: &Expected<'_>) -> Result<(), Halt> {
    let last_batch = if file.state() == FileState::Open { None } else { trail::read_batch(connection, expected.key).ok() };
    let last_batch = last_batch.map(|batch| TreeHead { tree_size: batch.tree_size, root_hash: batch.root_hash });
    let mut signed = [expected.signed.checkpoint.head()].into_iter().chain(last_batch);
    signed.try_for_each(|signed| check_signed_root(walk, file, head, &signed))
}

fn check_signed_root(walk: &Walk, file: &TrailFile, head: &StoredHead, signed: &TreeHead) -> Result<(), Halt> {
    let reached = (signed.tree_size == walk.size()).then_some(&walk.tree).or_else(|| walk.trees.get(&signed.tree_size));
    let Some(tree) = reached.filter(|tree| tree.root() != signed.root_hash) else { return Ok(()) };
    // A stored head that still leads to the signed root shows where the records have left it.
    let stored = Frontier::from_bytes(&head.frontier).ok();
    let stored = stored.filter(|stored| stored.size() == signed.tree_size && stored.root() == signed.root_hash);
    let leaves = stored.map_or(0..signed.tree_size, |stored| difference(tree, &stored));
    // The files before this one have led to the roots that were signed over them.
    let leaves = leaves.start.max(file.range().start.min(leaves.end.saturating_sub(1)))..leaves.end;
    Err(walk.fault(FaultKind::Root, Some(leaves)))
}

/// Each stream that the file names has as many leaves as it says, and each that has leaves in it is named.
fn check_streams(walk: &Walk, connection: &Connection, first: u64) -> Result<(), Halt> {
    let agrees = streams_agree(walk, connection, first).map_err(|error| walk.judge(error, FaultKind::UnfinishedWork))?;
    if agrees { Ok(()) } else { Err(walk.fault(FaultKind::UnfinishedWork, None)) }
}

fn streams_agree(walk: &Walk, connection: &Connection, first: u64) -> Result<bool, TrailError> {
    let mut statement = connection.prepare("SELECT stream, next_stream_index FROM stream")?;
    let mut rows = statement.query([])?;
    let mut unnamed = walk.touched_since(first);
    while let Some(row) = rows.next()? {
        let stream = StreamId::from_bytes(rows::array(row, 0, "stream.stream")?);
        if walk.leaves_of(stream) != rows::count(row, 1, "stream.next_stream_index")? {
            return Ok(false);
        }
        unnamed.remove(&stream);
    }
    Ok(unnamed.is_empty())
}

/// Checks that the file is one of this trail and begins where the walk stands.
fn check_meta(walk: &Walk, connection: &Connection, signed: &Signed, first: u64) -> Result<(), Halt> {
    let meta = schema::check_meta(connection, &signed.checkpoint.origin, first);
    let meta = meta.map_err(|error| walk.judge(error, FaultKind::Meta))?;
    if meta.before == walk.tree { Ok(()) } else { Err(walk.fault(FaultKind::Meta, None)) }
}

/// Records beyond the checkpoint are not signed yet, but only the agent can have committed them.
fn check_batch(walk: &Walk, batch: &BatchNote, signed: u64) -> Result<(), Halt> {
    let found = walk.size();
    if found > batch.tree_size {
        return Err(walk.fault(FaultKind::Surplus, Some(batch.tree_size..found)));
    }
    if found < batch.tree_size {
        return Err(walk.fault(FaultKind::Missing, Some(found..batch.tree_size)));
    }
    let unsigned = (signed < found).then_some(signed..found);
    trail::check_tree(batch, &walk.tree).map_err(|_| walk.fault(FaultKind::Batch, unsigned))
}

/// Whether every page is where it belongs and every index has the rows of its table.
///
/// The agent finds what waits by index; the pass over the records does not.
fn is_sound(connection: &Connection) -> Result<bool, Halt> {
    let finding: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    Ok(finding == "ok")
}
