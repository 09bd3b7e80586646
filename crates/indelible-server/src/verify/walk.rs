//! The tree and the streams as they grow from record to record, through all files.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use indelible_core::{EventId, Frontier, Hash, LeafEntry, StreamId};

use super::halt::Halt;
use super::report::{Fault, FaultKind};
use crate::ranges::LeafRanges;
use crate::retention::Permits;
use crate::trail::TrailError;

/// What the records so far lead to.
pub(super) struct Walk {
    /// The tree of all records.
    pub(super) tree: Frontier,
    /// Leaves of each stream, and the newest of them.
    streams: HashMap<StreamId, Leaves>,
    /// Trees at the sizes that were asked for, as far as they were reached.
    pub(super) trees: HashMap<u64, Frontier>,
    sizes: Vec<u64>,
    /// Records whose bodies were erased.
    pub(super) erased: LeafRanges,
    /// What the records say about that.
    pub(super) permits: Permits,
}

/// The leaves of one stream.
#[derive(Debug, Default, Clone, Copy)]
struct Leaves {
    count: u64,
    newest: u64,
}

impl Walk {
    /// Begins before the first record.
    ///
    /// `sizes`: tree sizes whose trees the caller wants to compare.
    pub(super) fn new(sizes: Vec<u64>) -> Self {
        let (erased, permits) = (LeafRanges::default(), Permits::default());
        let mut walk = Self { tree: Frontier::default(), streams: HashMap::new(), trees: HashMap::new(), sizes, erased, permits };
        walk.keep_tree();
        walk
    }

    /// Records so far.
    pub(super) fn size(&self) -> u64 {
        self.tree.size()
    }

    /// Adds the next record, whose leaf is `leaf`. Without a body it was erased.
    pub(super) fn push(&mut self, entry: &LeafEntry, leaf: Hash, body: Option<&[u8]>) -> Result<(), Halt> {
        let leaf_index = self.size();
        match body {
            Some(body) => self.permits.hear(leaf_index, entry, body),
            None => self.erased.push(leaf_index),
        }
        let leaves = self.streams.entry(entry.stream).or_default();
        if entry.stream_index != leaves.count {
            return Err(self.fault_here(FaultKind::StreamIndex, Some(entry.event)));
        }
        *leaves = Leaves { count: leaves.count + 1, newest: leaf_index };
        self.tree.push(leaf);
        self.keep_tree();
        Ok(())
    }

    /// Leaves of a stream so far.
    pub(super) fn leaves_of(&self, stream: StreamId) -> u64 {
        self.streams.get(&stream).map_or(0, |leaves| leaves.count)
    }

    /// The streams that have a leaf from this one on.
    pub(super) fn touched_since(&self, first: u64) -> HashSet<StreamId> {
        self.streams.iter().filter(|(_, leaves)| leaves.newest >= first).map(|(stream, _)| *stream).collect()
    }

    fn keep_tree(&mut self) {
        if self.sizes.contains(&self.tree.size()) {
            self.trees.insert(self.tree.size(), self.tree.clone());
        }
    }

    /// A fault of the next record.
    pub(super) fn fault_here(&self, kind: FaultKind, event: Option<EventId>) -> Halt {
        let at = self.size();
        Halt::Fault(Fault { kind, leaves: Some(at..at + 1), event, verified: at, file: None })
    }

    /// A fault among these leaves, or in none.
    pub(super) fn fault(&self, kind: FaultKind, leaves: Option<Range<u64>>) -> Halt {
        let verified = leaves.as_ref().map_or(self.size(), |leaves| leaves.start.min(self.size()));
        Halt::Fault(Fault { kind, leaves, event: None, verified, file: None })
    }

    /// What was changed is a fault of this kind, a value in a form that was never written a fault too; what cannot be read is none.
    pub(super) fn judge(&self, error: TrailError, kind: FaultKind) -> Halt {
        match error {
            TrailError::Changed { .. } => self.fault(kind, None),
            error if error.is_damage() => self.fault(FaultKind::Damaged, None),
            error => Halt::Unreadable(error),
        }
    }
}

/// The leaves under the first complete subtree in which two trees of one size differ.
pub(super) fn difference(tree: &Frontier, other: &Frontier) -> Range<u64> {
    let (left, right) = (tree.to_bytes(), other.to_bytes());
    let differing = left[8..].chunks(32).zip(right[8..].chunks(32)).position(|(left, right)| left != right);
    let heights = (0..u64::BITS).rev().filter(|bit| tree.size() >> bit & 1 == 1);
    let mut start = 0;
    for (place, height) in heights.enumerate() {
        let end = start + (1 << height);
        if Some(place) == differing {
            return start..end;
        }
        start = end;
    }
    0..tree.size()
}
