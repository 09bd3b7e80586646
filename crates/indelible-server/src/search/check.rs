//! Whether one stored record agrees with itself.

use indelible_core::{LeafEntry, commitment, leaf_hash};

use super::{SearchError, StoredRecord};
use crate::trail::StoredLeaf;

/// What a record's leaf says, and whether body and leaf hash agree with it.
///
/// Whether the tree contains the leaf is for `indelible verify` to say.
#[derive(Debug)]
pub(crate) struct Check {
    /// The leaf entry, where it can be read.
    pub(crate) entry: Option<LeafEntry>,
    /// Whether salt and body give the commitment in the entry; of a body that was erased, nothing can be told.
    pub(crate) body_matches: bool,
    /// Whether the body was erased. Whether it may be, `indelible verify` says.
    pub(crate) erased: bool,
    /// Whether the entry gives the leaf hash that is stored beside it.
    pub(crate) leaf_hash_matches: bool,
}

impl Check {
    pub(crate) fn of(record: &StoredRecord) -> Self {
        let entry = LeafEntry::decode(&record.entry).ok();
        let committed = entry.as_ref().map(|entry| entry.commitment);
        let salt: Option<&[u8; 32]> = record.salt.as_slice().try_into().ok();
        Self {
            erased: record.hit.erased,
            body_matches: record.hit.erased || salt.is_some_and(|salt| Some(commitment(salt, &record.hit.body)) == committed),
            leaf_hash_matches: leaf_hash(&record.entry).as_bytes().as_slice() == record.leaf_hash,
            entry,
        }
    }

    /// Whether everything agrees.
    pub(crate) fn holds(&self) -> bool {
        self.body_matches && self.leaf_hash_matches
    }

    /// The result in words.
    pub(crate) fn sentence(&self) -> &'static str {
        match self {
            Self { entry: None, .. } => "TAMPERED: the leaf entry cannot be read",
            Self { body_matches: false, .. } => "TAMPERED: the body is not what the leaf commits to",
            Self { leaf_hash_matches: false, .. } => "TAMPERED: the leaf entry is not what its hash was made of",
            Self { erased: true, .. } => "the body was erased; `indelible verify` checks that it was to be, and the tree",
            _ => "the body is what the leaf commits to; `indelible verify` checks the tree",
        }
    }
}

/// Checks that a record that is about to be shown is the one that its leaf commits to.
///
/// # Errors
/// - [`SearchError::Tampered`]: body or leaf hash do not agree with the leaf.
pub(super) fn check_shown(leaf: &StoredLeaf) -> Result<(), SearchError> {
    let differs = |what| Err(SearchError::Tampered { leaf_index: leaf.leaf_index, what });
    if leaf.salt.is_some_and(|salt| commitment(&salt, &leaf.body) != leaf.entry.commitment) {
        return differs("its body is not what its leaf commits to");
    }
    if leaf.entry.hash() != leaf.leaf_hash {
        return differs("its leaf is not what its hash was made of");
    }
    Ok(())
}
