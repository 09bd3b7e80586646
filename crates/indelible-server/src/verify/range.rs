//! Some records of a trail: recomputed from their bytes, and proved by the stored hashes of all others.

use std::ops::{ControlFlow, Range};

use indelible_core::{Checkpoint, Hash, VerifierKey, commitment, node_hash};

use super::halt::Halt;
use super::names::name_of;
use super::proof::{NoProof, prove_growth};
use super::report::{Fault, FaultKind, Intact, StateCheck};
use super::seal::check_seal;
use super::trust::{self, Kept};
use super::walk::Walk;
use crate::data_dir::DataDir;
use crate::ranges::LeafRanges;
use crate::retention::Ledger;
use crate::search::SearchError;
use crate::trail::{Order, Reader, StoredLeaf, TrailError};

/// Recomputes the records of a range, as far as they are under the checkpoint, and checks that they lead to its root.
///
/// That the stored hashes of all other records are those of these records is not checked; what is not so would lead to another root.
pub(super) fn check_range(dir: &DataDir, key: &VerifierKey, kept: Option<&Kept>, range: &Range<u64>) -> Result<Intact, Halt> {
    let checkpoint = trust::read_checkpoint(dir, key)?;
    let (size, range) = (checkpoint.tree_size, range.start..range.end.min(checkpoint.tree_size));
    if range.is_empty() {
        return Err(Halt::CouldNotCheck(format!("leaf {} is not under the checkpoint, which covers {size} records", range.start)));
    }
    let reader = Reader::open(dir)?;
    if reader.tree_size() < size {
        return Err(fault(FaultKind::RolledBack, reader.tree_size()..size));
    }
    let erased = prove(&reader, &range, &checkpoint)?;
    if !erased.is_empty() {
        check_erased(dir, key, &reader, &erased, &checkpoint)?;
    }
    if let Some(kept) = kept {
        check_kept(&reader, key, &checkpoint, kept)?;
    }
    let against = kept.map(|kept| kept.checkpoint.tree_size);
    let (origin, root_hash) = (checkpoint.origin.to_string(), checkpoint.root_hash);
    Ok(Intact { origin, tree_size: size, root_hash, unsigned: 0, state: StateCheck::NotChecked, against, range: Some(range) })
}

/// Recomputes the records of a range, and checks that they lead to the root of the checkpoint. Returns those that have no body.
fn prove(reader: &Reader, range: &Range<u64>, checkpoint: &Checkpoint) -> Result<LeafRanges, Halt> {
    let Recomputed { leaves, erased } = recompute(reader, range).map_err(|halt| damaged(halt, range))?;
    let tree = Tree { reader, range, recomputed: &leaves };
    let root_hash = tree.root(0..checkpoint.tree_size).map_err(|error| damaged(error.into(), range))?;
    if root_hash == checkpoint.root_hash { Ok(erased) } else { Err(fault(FaultKind::Root, range.clone())) }
}

/// A body that was erased cannot be recomputed: that it was the agent who erased it, the seal of its file says, and that it was to go, a
/// purge that is proved to be under the checkpoint.
fn check_erased(dir: &DataDir, key: &VerifierKey, reader: &Reader, erased: &LeafRanges, checkpoint: &Checkpoint) -> Result<(), Halt> {
    for file in reader.files().iter().filter(|file| erased.touches(&file.range())) {
        check_seal(dir, file, key, &Walk::new(Vec::new())).map_err(|halt| halt.in_file(&name_of(file)))?;
    }
    let ledger = match Ledger::read(reader) {
        Ok(ledger) => ledger,
        Err(SearchError::Trail(error)) => return Err(Halt::Unreadable(error)),
        Err(error) => return Err(Halt::CouldNotCheck(error.to_string())),
    };
    let unaccounted = ledger.permits.unaccounted(erased, checkpoint.tree_size);
    if let Some(first) = unaccounted.ranges().first().cloned() {
        let kind = if ledger.permits.is_held(&first.clone().into()) { FaultKind::Held } else { FaultKind::Erased };
        return Err(fault(kind, first));
    }
    let purges = ledger.permits.purges_of(erased).map(|purge| purge.leaf_index).filter(|leaf_index| *leaf_index < checkpoint.tree_size);
    for leaf_index in purges {
        prove(reader, &(leaf_index..leaf_index + 1), checkpoint)?;
    }
    Ok(())
}

/// What the records of a range are.
#[derive(Default)]
struct Recomputed {
    leaves: Vec<Hash>,
    /// Records without a body.
    erased: LeafRanges,
}

/// The leaves of the range, each computed from its body.
fn recompute(reader: &Reader, range: &Range<u64>) -> Result<Recomputed, Halt> {
    let mut found = Recomputed::default();
    let mut halt = None;
    reader.records(range.clone(), Order::OldestFirst, |record| {
        let at = range.start + found.leaves.len() as u64;
        if record.salt.is_none() {
            found.erased.push(at);
        }
        match recompute_one(at, &record) {
            Ok(leaf) => found.leaves.push(leaf),
            Err(wrong) => halt = Some(wrong),
        }
        if halt.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if let Some(halt) = halt {
        return Err(halt);
    }
    let end = range.start + found.leaves.len() as u64;
    if end < range.end { Err(fault(FaultKind::Missing, end..range.end)) } else { Ok(found) }
}

fn recompute_one(at: u64, record: &StoredLeaf) -> Result<Hash, Halt> {
    let wrong = |kind| {
        let (leaves, event) = (Some(at..at + 1), Some(record.entry.event));
        Err(Halt::Fault(Fault { kind, leaves, event, verified: 0, file: None }))
    };
    if record.leaf_index != at {
        return Err(fault(FaultKind::Missing, at..record.leaf_index));
    }
    let leaf = record.entry.hash();
    if leaf != record.leaf_hash {
        return wrong(FaultKind::LeafHash);
    }
    if record.salt.is_some_and(|salt| commitment(&salt, &record.body) != record.entry.commitment) {
        return wrong(FaultKind::Body);
    }
    Ok(leaf)
}

/// The whole tree, of which some leaves are known and the rest is read.
struct Tree<'a> {
    reader: &'a Reader,
    range: &'a Range<u64>,
    recomputed: &'a [Hash],
}

impl Tree<'_> {
    /// Root of the leaves in `around`, a subtree of the tree.
    fn root(&self, around: Range<u64>) -> Result<Hash, TrailError> {
        if around.end <= self.range.start || self.range.end <= around.start {
            return self.reader.subtree(around);
        }
        let leaves = around.end - around.start;
        if leaves == 1 {
            let place = usize::try_from(around.start - self.range.start).expect("a place in a list of leaves");
            return Ok(self.recomputed[place]);
        }
        let middle = around.start + (1 << (u64::BITS - 1 - (leaves - 1).leading_zeros()));
        Ok(node_hash(&self.root(around.start..middle)?, &self.root(middle..around.end)?))
    }
}

fn check_kept(reader: &Reader, key: &VerifierKey, checkpoint: &Checkpoint, kept: &Kept) -> Result<(), Halt> {
    let old = kept.checkpoint.tree_size;
    if kept.checkpoint.origin == checkpoint.origin && kept.key != *key {
        return Err(Halt::Fault(Fault { kind: FaultKind::Verifier, leaves: None, event: None, verified: 0, file: None }));
    }
    match prove_growth(reader, &kept.checkpoint.head(), &checkpoint.head()) {
        Ok(_) if kept.checkpoint.origin == checkpoint.origin => Ok(()),
        Err(NoProof::Trail(error)) => Err(damaged(error.into(), &(0..old.max(1)))),
        _ => Err(fault(FaultKind::KeptCheckpoint, 0..old.max(1))),
    }
}

fn fault(kind: FaultKind, leaves: Range<u64>) -> Halt {
    Halt::Fault(Fault { kind, leaves: Some(leaves), event: None, verified: 0, file: None })
}

/// Bytes that were never written are a fault among these leaves; what cannot be read is none.
fn damaged(halt: Halt, range: &Range<u64>) -> Halt {
    match halt {
        Halt::Unreadable(TrailError::ReadBack { leaf_index, .. }) => fault(FaultKind::Leaf, leaf_index..leaf_index + 1),
        Halt::Unreadable(TrailError::Block { first_index, end_index, .. }) => fault(FaultKind::Block, first_index..end_index),
        Halt::Unreadable(error) if error.is_damage() => fault(FaultKind::Damaged, range.clone()),
        halt => halt,
    }
}
