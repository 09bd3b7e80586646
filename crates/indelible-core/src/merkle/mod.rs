//! The Merkle tree of RFC 6962 §2.1 (RFC 9162 §2.1.1): hashes, the append-only frontier, and proofs (docs/format.md, "Tree").
//!
//! A subtree of `n` leaves splits at the largest power of two below `n`. Leaves and nodes are hashed under different
//! first bytes, so that a node can never be shown as a leaf.

mod consistency;
mod frontier;
mod hash;
mod inclusion;

use std::ops::Range;

pub use consistency::ConsistencyProof;
pub use frontier::{Frontier, FrontierError, root_of};
pub use hash::{Hash, HashError, empty_root, leaf_hash, node_hash};
pub use inclusion::InclusionProof;

/// What stands for a whole tree: a root means nothing without its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeHead {
    /// Leaves in the tree.
    pub tree_size: u64,
    /// Root of the tree of that size.
    pub root_hash: Hash,
}

impl TreeHead {
    /// Head of the tree over these leaf hashes, in one pass and with constant memory.
    #[must_use]
    pub fn of(leaves: impl IntoIterator<Item = Hash>) -> Self {
        let mut frontier = Frontier::default();
        frontier.extend(leaves);
        frontier.head()
    }

    fn check_root(&self, found: Hash) -> Result<(), ProofError> {
        if found != self.root_hash {
            return Err(ProofError::RootMismatch { expected: self.root_hash, found });
        }
        Ok(())
    }

    fn check_old_root(&self, found: Hash) -> Result<(), ProofError> {
        if found != self.root_hash {
            return Err(ProofError::OldRootMismatch { expected: self.root_hash, found });
        }
        Ok(())
    }
}

/// Why a proof does not prove what it was asked for, or cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// There is no such leaf.
    #[error("leaf {leaf_index} lies outside a tree of {tree_size} leaves")]
    LeafOutsideTree {
        /// The index asked for, from 0.
        leaf_index: u64,
        /// Leaves in the tree.
        tree_size: u64,
    },
    /// The old tree has more leaves than the new one: the tree was truncated, or the sizes were exchanged.
    #[error("the old tree has {old_size} leaves, more than the {new_size} of the new one")]
    OldTreeLarger {
        /// Leaves in the old tree.
        old_size: u64,
        /// Leaves in the new tree.
        new_size: u64,
    },
    /// The proof has another number of hashes than every proof for these sizes.
    #[error("the proof has {found} hashes, for this tree it must have {expected}")]
    Length {
        /// Hashes that a proof for these sizes has.
        expected: usize,
        /// Hashes that this proof has.
        found: usize,
    },
    /// The proof leads to another root of the (new) tree.
    #[error("the proof leads to root {found}, not to {expected}")]
    RootMismatch {
        /// The root that was given as true.
        expected: Hash,
        /// The root that follows from the proof.
        found: Hash,
    },
    /// The proof leads to another root of the old tree.
    #[error("the proof leads to old root {found}, not to {expected}")]
    OldRootMismatch {
        /// The old root that was given as true.
        expected: Hash,
        /// The old root that follows from the proof.
        found: Hash,
    },
}

/// The way from a node up to the root, along the siblings that a path holds (RFC 9162 §2.1.3.2, steps 4 and 5).
///
/// At most as many steps may be taken as the path of a proof for this tree is long.
struct Climb {
    /// Place of the node in its level.
    index: u64,
    /// Place of the last node of that level.
    last: u64,
}

impl Climb {
    /// Goes one sibling up and says whether that sibling is the left one.
    fn sibling_is_left(&mut self) -> bool {
        let left = self.index & 1 == 1 || self.index == self.last;
        if left {
            // On the right edge a node without a sibling moves up unchanged, past levels that have no hash in the path.
            // The index is not 0: below the root a level has two nodes or more.
            let skipped = self.index.trailing_zeros();
            self.index >>= skipped;
            self.last >>= skipped;
        }
        self.index >>= 1;
        self.last >>= 1;
        left
    }
}

/// The largest power of two below `size`, where a tree of `size` leaves splits. `size` is at least 2.
fn split(size: u64) -> u64 {
    1 << (u64::BITS - 1 - (size - 1).leading_zeros())
}

/// Root of the leaves in `range`, which lies inside `leaves`.
fn subtree_root(leaves: &[Hash], range: &Range<u64>) -> Hash {
    let place = |index: u64| usize::try_from(index).expect("an index below the length of a slice fits usize");
    root_of(leaves[place(range.start)..place(range.end)].iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_splits_at_the_largest_power_of_two_below_its_size() {
        let splits: Vec<_> = [2, 3, 4, 5, 8, 9, u64::MAX].into_iter().map(split).collect();
        assert_eq!(splits, [1, 2, 2, 4, 4, 8, 1 << 63]);
    }
}
