//! The right edge of a growing tree: enough to append and to know the root, in at most 63 hashes.

use super::{Hash, TreeHead, empty_root, node_hash};

/// A tree that can only grow.
///
/// It keeps the roots of the complete subtrees that its size is the sum of, largest first: a tree of 13 leaves keeps
/// those of 8, 4 and 1. [`Frontier::default`] is the empty tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// One root for each bit that is set in `size`, from the highest bit down.
    roots: Vec<Hash>,
}

/// Bytes that are not a frontier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrontierError {
    /// Shorter than the size that they must begin with, or with another number of hashes than that size needs.
    #[error("a frontier is {expected} bytes long, this one {found}")]
    Length {
        /// The length that its tree size demands; 8 when even that was missing.
        expected: usize,
        /// The length that was found.
        found: usize,
    },
    /// A tree larger than [`Frontier::SIZE_MAX`].
    #[error("a frontier of {found} leaves, more than a tree can have")]
    Size {
        /// The size that was found.
        found: u64,
    },
}

impl Frontier {
    /// The most leaves that a stored frontier may have: leaf indexes must fit a signed 64-bit integer.
    pub const SIZE_MAX: u64 = i64::MAX as u64;

    /// Appends the hash of the next leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut root = leaf;
        // As in binary addition: each complete subtree of equal size is merged and carried to the left.
        for _ in 0..self.size.trailing_ones() {
            let left = self.roots.pop().expect("a frontier holds one root for each bit set in its size");
            root = node_hash(&left, &root);
        }
        self.roots.push(root);
        self.size += 1;
    }

    /// Root of the tree as it is now.
    #[must_use]
    pub fn root(&self) -> Hash {
        let from_right = self.roots.iter().rev().copied();
        from_right.reduce(|right, left| node_hash(&left, &right)).unwrap_or_else(empty_root)
    }

    /// Leaves appended so far.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Size and root together.
    #[must_use]
    pub fn head(&self) -> TreeHead {
        TreeHead { tree_size: self.size, root_hash: self.root() }
    }

    /// Encodes the frontier: size (8) and its hashes (docs/format.md, "Tree").
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + 32 * self.roots.len());
        bytes.extend_from_slice(&self.size.to_le_bytes());
        self.roots.iter().for_each(|root| bytes.extend_from_slice(root.as_bytes()));
        bytes
    }

    /// Reads a frontier. Whether its hashes are true shows only when its root is compared with a trusted one.
    ///
    /// # Errors
    /// - [`FrontierError::Length`]: cut short, or too long.
    /// - [`FrontierError::Size`]: more leaves than [`Frontier::SIZE_MAX`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FrontierError> {
        let found = bytes.len();
        let (size, hashes) = bytes.split_first_chunk().ok_or(FrontierError::Length { expected: 8, found })?;
        let size = u64::from_le_bytes(*size);
        if size > Self::SIZE_MAX {
            return Err(FrontierError::Size { found: size });
        }
        let expected = 8 + 32 * size.count_ones() as usize;
        if found != expected {
            return Err(FrontierError::Length { expected, found });
        }
        let (hashes, _) = hashes.as_chunks();
        Ok(Self { size, roots: hashes.iter().copied().map(Hash::from_bytes).collect() })
    }
}

impl Extend<Hash> for Frontier {
    fn extend<I: IntoIterator<Item = Hash>>(&mut self, leaves: I) {
        leaves.into_iter().for_each(|leaf| self.push(leaf));
    }
}

/// Root of the tree over these leaf hashes, in one pass and with constant memory.
#[must_use]
pub fn root_of(leaves: impl IntoIterator<Item = Hash>) -> Hash {
    TreeHead::of(leaves).root_hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_frontier_has_the_empty_root() {
        assert_eq!(Frontier::default().root(), empty_root());
        assert_eq!(Frontier::default().to_bytes(), [0; 8]);
    }

    #[test]
    fn bytes_of_another_length_or_size_are_refused() {
        let mut frontier = Frontier::default();
        frontier.extend((0..13).map(|n| Hash::from_bytes([n; 32])));
        let bytes = frontier.to_bytes();
        assert_eq!(bytes.len(), 8 + 3 * 32);
        assert_eq!(Frontier::from_bytes(&bytes), Ok(frontier));
        assert_eq!(Frontier::from_bytes(&bytes[..7]), Err(FrontierError::Length { expected: 8, found: 7 }));
        assert_eq!(Frontier::from_bytes(&bytes[..103]), Err(FrontierError::Length { expected: 104, found: 103 }));
        assert_eq!(Frontier::from_bytes(&[&bytes[..], &[0]].concat()), Err(FrontierError::Length { expected: 104, found: 105 }));
        assert_eq!(Frontier::from_bytes(&[0xff; 8 + 64 * 32]), Err(FrontierError::Size { found: u64::MAX }));
    }
}
