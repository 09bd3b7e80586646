//! Proofs that a leaf is in a tree (RFC 9162 §2.1.3).

use std::ops::Range;

use super::{Climb, Hash, ProofError, TreeHead, node_hash, split, subtree_root};

/// A proof that a tree has a certain leaf at `leaf_index`.
///
/// ```
/// use indelible_core::{InclusionProof, TreeHead, leaf_hash};
///
/// let leaves: Vec<_> = (0..5_u8).map(|n| leaf_hash(&[n])).collect();
/// let proof = InclusionProof::prove(3, &leaves)?;
/// proof.verify(&leaves[3], &TreeHead::of(leaves.iter().copied()))?;
/// # Ok::<(), indelible_core::ProofError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InclusionProof {
    /// Index of the leaf, from 0.
    pub leaf_index: u64,
    /// Hashes of the sibling subtrees, from the leaf up.
    pub path: Vec<Hash>,
}

impl InclusionProof {
    /// The leaves under each hash of the path, in its order: `path[i]` is the root of `subtrees(…)[i]`.
    ///
    /// With this a proof is made from stored leaf hashes without holding all of them at once.
    ///
    /// # Errors
    /// - [`ProofError::LeafOutsideTree`]: there is no such leaf.
    pub fn subtrees(leaf_index: u64, tree_size: u64) -> Result<Vec<Range<u64>>, ProofError> {
        if leaf_index >= tree_size {
            return Err(ProofError::LeafOutsideTree { leaf_index, tree_size });
        }
        let mut subtrees = Vec::new();
        let mut around = 0..tree_size;
        while around.end - around.start > 1 {
            let middle = around.start + split(around.end - around.start);
            let (left, right) = (around.start..middle, middle..around.end);
            let sibling;
            (around, sibling) = if leaf_index < middle { (left, right) } else { (right, left) };
            subtrees.push(sibling);
        }
        subtrees.reverse();
        Ok(subtrees)
    }

    /// Proves that the tree over `leaves` has `leaves[leaf_index]` in its place.
    ///
    /// # Errors
    /// - [`ProofError::LeafOutsideTree`]: there is no such leaf.
    pub fn prove(leaf_index: u64, leaves: &[Hash]) -> Result<Self, ProofError> {
        let subtrees = Self::subtrees(leaf_index, leaves.len() as u64)?;
        let path = subtrees.iter().map(|range| subtree_root(leaves, range)).collect();
        Ok(Self { leaf_index, path })
    }

    /// Checks that `leaf` stands at `leaf_index` in the tree with this head (RFC 9162 §2.1.3.2).
    ///
    /// The whole head must come from who is trusted, a checkpoint: under a made-up size the right root would "prove" the
    /// leaf to stand elsewhere.
    ///
    /// # Errors
    /// - [`ProofError::LeafOutsideTree`], [`ProofError::Length`]: a proof of this shape proves nothing.
    /// - [`ProofError::RootMismatch`]: another leaf, another place, another tree, or a damaged proof.
    pub fn verify(&self, leaf: &Hash, head: &TreeHead) -> Result<(), ProofError> {
        self.check_length(head.tree_size)?;
        let mut climb = Climb { index: self.leaf_index, last: head.tree_size - 1 };
        let found = self
            .path
            .iter()
            .fold(*leaf, |below, sibling| if climb.sibling_is_left() { node_hash(sibling, &below) } else { node_hash(&below, sibling) });
        head.check_root(found)
    }

    fn check_length(&self, tree_size: u64) -> Result<(), ProofError> {
        let expected = Self::subtrees(self.leaf_index, tree_size)?.len();
        let found = self.path.len();
        if found != expected {
            return Err(ProofError::Length { expected, found });
        }
        Ok(())
    }
}
