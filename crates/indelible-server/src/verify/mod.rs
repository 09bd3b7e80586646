//! Verification: recomputes a trail from its stored bytes and compares it with what was signed (docs/format.md).
//!
//! It writes nothing, needs no agent and trusts only the verifier key, and an outside checkpoint where one is given.

mod report;
#[cfg(test)]
mod tests;
mod trust;
mod walk;

use std::ops::Range;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use indelible_core::{BatchNote, Frontier, Hash, VerifierKey};
use rusqlite::Transaction;

pub use self::report::{Fault, FaultKind, Intact, Report, StateCheck};
use self::trust::{Kept, Signed};
use self::walk::{Halt, StoredHead, Walked};
use crate::data_dir::DataDir;
use crate::trail::{self, Reader, TrailError, schema, state_digest};

/// How long to look for a moment at which a running agent has signed all that it has committed.
const SETTLE_DEADLINE: Duration = Duration::from_secs(5);
const SETTLE_INTERVAL: Duration = Duration::from_millis(5);

/// What to verify against.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// A file with the verifier key; the trail's own `verifier` when absent.
    pub key: Option<PathBuf>,
    /// A file with a checkpoint that was kept outside the trail.
    pub against: Option<PathBuf>,
}

/// Verifies the trail of a data directory. Nothing is changed, also when an agent is running.
#[must_use]
pub fn verify(dir: &DataDir, trust: &Trust) -> Report {
    let agent_ran = dir.agent_is_running().unwrap_or(false);
    let report = attempt(dir, trust);
    let agent_came = !agent_ran && dir.agent_is_running().unwrap_or(false);
    // Files that nobody wrote are read without locks. Had an agent just begun to write them, the finding would be worth nothing.
    if agent_came && !matches!(report, Report::Intact(_)) { attempt(dir, trust) } else { report }
}

fn attempt(dir: &DataDir, trust: &Trust) -> Report {
    check(dir, trust).map_or_else(|report| report, Report::Intact)
}

fn check(dir: &DataDir, trust: &Trust) -> Result<Intact, Report> {
    let key = trust::trusted_key(dir, trust.key.as_deref())?;
    let named = trust.key.is_some().then_some(&key);
    let kept = trust.against.as_deref().map(|path| trust::read_kept(path, named)).transpose()?;
    let reader = Reader::open(dir).map_err(|error| could_not(&error))?;
    check_schema(&reader)?;
    let (signed, view) = settle(dir, &key, &reader)?;
    compare(&key, &signed, kept.as_ref(), &view).map_err(|halt| match halt {
        // An agent that always has more to commit may be any number of batches ahead of what was read as signed.
        Halt::Fault(Fault { kind: FaultKind::State, .. }) if dir.agent_is_running().unwrap_or(false) => {
            Report::CouldNotCheck("the agent was writing all the time: try again, or verify a copy".to_owned())
        }
        Halt::Fault(fault) => Report::Tampered(fault),
        Halt::Unreadable(error) => could_not(&error),
    })
}

fn could_not(error: &TrailError) -> Report {
    Report::CouldNotCheck(error.to_string())
}

/// Nothing that the tables say means anything before they are known to be the tables.
fn check_schema(reader: &Reader) -> Result<(), Report> {
    schema::check_schema(reader.connection()).map_err(|error| match error {
        TrailError::Changed { .. } => Report::Tampered(Fault { kind: FaultKind::Schema, leaves: None, event: None, verified: 0 }),
        error => could_not(&error),
    })
}

/// Reads what is signed, then a view of the trail that is at least as new: equal to it if a moment can be found where it is.
fn settle<'r>(dir: &DataDir, key: &VerifierKey, reader: &'r Reader) -> Result<(Signed, Transaction<'r>), Report> {
    let deadline = Instant::now() + SETTLE_DEADLINE;
    loop {
        let signed = trust::read_signed(dir, key)?;
        let view = reader.connection().unchecked_transaction().map_err(|error| could_not(&error.into()))?;
        let state = state_digest(&view).map_err(|error| could_not(&error))?;
        if state == signed.state.digest || Instant::now() > deadline || !dir.agent_is_running().unwrap_or(false) {
            return Ok((signed, view));
        }
        drop(view);
        thread::sleep(SETTLE_INTERVAL);
    }
}

fn compare(key: &VerifierKey, signed: &Signed, kept: Option<&Kept>, view: &Transaction<'_>) -> Result<Intact, Halt> {
    let checkpoint = &signed.checkpoint;
    let head = walk::stored_head(view)?;
    let sizes: Vec<u64> = [Some(checkpoint.tree_size), kept.map(|kept| kept.checkpoint.tree_size)].into_iter().flatten().collect();
    let walked = walk::walk(view, &sizes)?;
    check_size(&walked, &head, checkpoint.tree_size)?;
    check_root(&walked, &head, checkpoint.tree_size, checkpoint.root_hash)?;
    check_derived(&walked, &head, view)?;
    check_meta(&walked, signed, view)?;
    let batch = trail::read_batch(view, key).map_err(|error| changed(&walked, error, FaultKind::Batch))?;
    check_batch(&walked, &batch, checkpoint.tree_size)?;
    let state = check_state(&walked, &batch, signed, view)?;
    if !walk::is_file_sound(view)? {
        return Err(fault(&walked, FaultKind::File, None));
    }
    if let Some(kept) = kept {
        check_kept(&walked, key, signed, kept)?;
    }
    Ok(Intact {
        origin: checkpoint.origin.to_string(),
        tree_size: checkpoint.tree_size,
        root_hash: checkpoint.root_hash,
        unsigned: walked.tree.size() - checkpoint.tree_size,
        state,
        against: kept.map(|kept| kept.checkpoint.tree_size),
    })
}

/// What was changed is a fault of this kind; what cannot be read is none.
fn changed(walked: &Walked, error: TrailError, kind: FaultKind) -> Halt {
    if matches!(error, TrailError::Changed { .. }) { fault(walked, kind, None) } else { error.into() }
}

fn fault(walked: &Walked, kind: FaultKind, leaves: Option<Range<u64>>) -> Halt {
    let verified = leaves.as_ref().map_or(walked.tree.size(), |leaves| leaves.start.min(walked.tree.size()));
    Halt::Fault(Fault { kind, leaves, event: None, verified })
}

fn check_size(walked: &Walked, head: &StoredHead, signed: u64) -> Result<(), Halt> {
    let found = walked.tree.size();
    if found > head.tree_size {
        return Err(fault(walked, FaultKind::Surplus, Some(head.tree_size..found)));
    }
    if found < head.tree_size {
        return Err(fault(walked, FaultKind::Missing, Some(found..head.tree_size)));
    }
    if found < signed {
        return Err(fault(walked, FaultKind::RolledBack, Some(found..signed)));
    }
    Ok(())
}

fn check_root(walked: &Walked, head: &StoredHead, signed_size: u64, signed_root: Hash) -> Result<(), Halt> {
    let tree = walked.trees.get(&signed_size).expect("a tree at least as large as the checkpoint passed its size");
    if tree.root() == signed_root {
        return Ok(());
    }
    // A stored head that still leads to the signed root shows where the records have left it.
    let stored = Frontier::from_bytes(&head.frontier).ok().filter(|stored| stored.size() == signed_size && stored.root() == signed_root);
    let leaves = stored.map_or(0..signed_size, |stored| walk::difference(tree, &stored));
    Err(fault(walked, FaultKind::Root, Some(leaves)))
}

fn check_derived(walked: &Walked, head: &StoredHead, view: &Transaction<'_>) -> Result<(), Halt> {
    if head.root_hash != walked.tree.root() || head.frontier != walked.tree.to_bytes() {
        return Err(fault(walked, FaultKind::Head, None));
    }
    if let Some(stray) = walk::stray_search_row(view)? {
        return Err(fault(walked, FaultKind::SearchRow, Some(stray..stray + 1)));
    }
    if !walk::stream_counts_agree(view, &walked.streams)? {
        return Err(fault(walked, FaultKind::UnfinishedWork, None));
    }
    Ok(())
}

fn check_meta(walked: &Walked, signed: &Signed, view: &Transaction<'_>) -> Result<(), Halt> {
    schema::check_meta(view, &signed.checkpoint.origin).map_err(|error| changed(walked, error, FaultKind::Meta))
}

/// Records beyond the checkpoint are not signed yet, but only the agent can have committed them.
fn check_batch(walked: &Walked, batch: &BatchNote, signed: u64) -> Result<(), Halt> {
    let found = walked.tree.size();
    if found > batch.tree_size {
        return Err(fault(walked, FaultKind::Surplus, Some(batch.tree_size..found)));
    }
    if found < batch.tree_size {
        return Err(fault(walked, FaultKind::Missing, Some(found..batch.tree_size)));
    }
    let unsigned = (signed < found).then_some(signed..found);
    trail::check_tree(batch, &walked.tree).map_err(|_| fault(walked, FaultKind::Batch, unsigned))
}

fn check_kept(walked: &Walked, key: &VerifierKey, signed: &Signed, kept: &Kept) -> Result<(), Halt> {
    if kept.checkpoint.origin == signed.checkpoint.origin && kept.key != *key {
        return Err(fault(walked, FaultKind::Verifier, None));
    }
    let kept = &kept.checkpoint;
    let found = walked.tree.size();
    if kept.origin == signed.checkpoint.origin && kept.tree_size > found {
        return Err(fault(walked, FaultKind::KeptCheckpoint, Some(found..kept.tree_size)));
    }
    let same_root = walked.trees.get(&kept.tree_size).is_some_and(|tree| tree.root() == kept.root_hash);
    if kept.origin != signed.checkpoint.origin || !same_root {
        let leaves = (kept.tree_size > 0).then_some(0..kept.tree_size);
        return Err(fault(walked, FaultKind::KeptCheckpoint, leaves));
    }
    Ok(())
}

/// Compares the unfinished work with its signatures. A batch is committed before it is signed, so it may be one batch ahead.
fn check_state(walked: &Walked, batch: &BatchNote, signed: &Signed, view: &Transaction<'_>) -> Result<StateCheck, Halt> {
    let Signed { checkpoint, state } = signed;
    if state.tree_size > checkpoint.tree_size {
        return Err(fault(walked, FaultKind::Checkpoint, None));
    }
    trail::check_state(batch, state_digest(view)?).map_err(|_| fault(walked, FaultKind::UnfinishedWork, None))?;
    if state.digest == batch.state {
        return Ok(StateCheck::Signed);
    }
    if state.digest != batch.previous_state {
        return Err(fault(walked, FaultKind::State, None));
    }
    Ok(StateCheck::OneBatchAhead)
}
