//! Proofs that a tree grew out of an older one (RFC 9162 §2.1.4).

use std::ops::Range;

use super::{Climb, Hash, ProofError, TreeHead, empty_root, node_hash, split, subtree_root};

/// A proof that the first leaves of a tree are those of an older one, unchanged and in their order.
///
/// ```
/// use indelible_core::{ConsistencyProof, TreeHead, leaf_hash};
///
/// let leaves: Vec<_> = (0..7_u8).map(|n| leaf_hash(&[n])).collect();
/// let old = TreeHead::of(leaves[..3].iter().copied());
/// let new = TreeHead::of(leaves.iter().copied());
/// ConsistencyProof::prove(3, &leaves)?.verify(&old, &new)?;
/// # Ok::<(), indelible_core::ProofError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// Hashes of subtrees of the new tree; none where the old tree is empty or as large as the new one.
    pub path: Vec<Hash>,
}

impl ConsistencyProof {
    /// The leaves under each hash of the path, in its order: `path[i]` is the root of `subtrees(…)[i]`.
    ///
    /// With this a proof is made from stored leaf hashes without holding all of them at once.
    ///
    /// # Errors
    /// - [`ProofError::OldTreeLarger`]: the old tree has more leaves than the new one.
    pub fn subtrees(old_size: u64, new_size: u64) -> Result<Vec<Range<u64>>, ProofError> {
        if old_size > new_size {
            return Err(ProofError::OldTreeLarger { old_size, new_size });
        }
        // RFC 9162 defines proofs from a tree with leaves only. Every tree grew out of the empty one, which needs no proof.
        if old_size == 0 {
            return Ok(Vec::new());
        }
        let mut subtrees = Vec::new();
        let mut around = 0..new_size;
        while around.end != old_size {
            let middle = around.start + split(around.end - around.start);
            let (left, right) = (around.start..middle, middle..around.end);
            let sibling;
            (around, sibling) = if old_size <= middle { (left, right) } else { (right, left) };
            subtrees.push(sibling);
        }
        // The verifier knows the old root, so a last subtree that is the whole old tree is left out.
        if around.start != 0 {
            subtrees.push(around);
        }
        subtrees.reverse();
        Ok(subtrees)
    }

    /// Proves that the tree over `leaves` grew out of that over its first `old_size`.
    ///
    /// # Errors
    /// - [`ProofError::OldTreeLarger`]: there are fewer leaves than that.
    pub fn prove(old_size: u64, leaves: &[Hash]) -> Result<Self, ProofError> {
        let subtrees = Self::subtrees(old_size, leaves.len() as u64)?;
        let path = subtrees.iter().map(|range| subtree_root(leaves, range)).collect();
        Ok(Self { path })
    }

    /// Checks that the tree with head `new` grew out of the tree with head `old` (RFC 9162 §2.1.4.2).
    ///
    /// # Errors
    /// - [`ProofError::OldTreeLarger`], [`ProofError::Length`]: a proof of this shape proves nothing.
    /// - [`ProofError::OldRootMismatch`], [`ProofError::RootMismatch`]: the proof belongs to another old or new tree, or
    ///   is damaged.
    pub fn verify(&self, old: &TreeHead, new: &TreeHead) -> Result<(), ProofError> {
        self.check_length(old.tree_size, new.tree_size)?;
        if old.tree_size == 0 {
            return old.check_old_root(empty_root());
        }
        let (found_old, found_new) = self.roots(old, new);
        old.check_old_root(found_old)?;
        new.check_root(found_new)
    }

    /// The old and the new root that follow from the path. The old tree has leaves, and the path the right length.
    fn roots(&self, old: &TreeHead, new: &TreeHead) -> (Hash, Hash) {
        let (index, last) = (old.tree_size - 1, new.tree_size - 1);
        // The largest complete subtree on the right edge of the old tree is the first node that both trees share.
        let complete = index.trailing_ones();
        let mut climb = Climb { index: index >> complete, last: last >> complete };
        let (start, siblings) = match self.path.split_first() {
            Some((first, rest)) if climb.index != 0 => (first, rest),
            _ => (&old.root_hash, self.path.as_slice()),
        };
        let (mut old_root, mut new_root) = (*start, *start);
        for sibling in siblings {
            if climb.sibling_is_left() {
                old_root = node_hash(sibling, &old_root);
                new_root = node_hash(sibling, &new_root);
            } else {
                new_root = node_hash(&new_root, sibling);
            }
        }
        (old_root, new_root)
    }

    fn check_length(&self, old_size: u64, new_size: u64) -> Result<(), ProofError> {
        let expected = Self::subtrees(old_size, new_size)?.len();
        let found = self.path.len();
        if found != expected {
            return Err(ProofError::Length { expected, found });
        }
        Ok(())
    }
}
