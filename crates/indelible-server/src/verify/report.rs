//! The three answers of `verify`. There is no fourth, and never a guess between them.

use std::fmt;
use std::ops::Range;

use indelible_core::{EventId, Hash};

/// What verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// Everything that was signed is there as it was signed.
    Intact(Intact),
    /// Something is not.
    Tampered(Fault),
    /// What is needed to tell is missing or cannot be read: a reason, and nothing about the trail.
    CouldNotCheck(String),
}

/// A trail whose every record leads to the signed root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intact {
    /// Name of the trail.
    pub origin: String,
    /// Records under the checkpoint.
    pub tree_size: u64,
    /// Root of the tree of that size.
    pub root_hash: Hash,
    /// Records after the checkpoint: consistent, and not signed yet.
    pub unsigned: u64,
    /// Whether the unfinished work (high-waters, pending intents) is as it was signed, or why that could not be compared.
    pub state: StateCheck,
    /// Tree size of the outside checkpoint that was given; without one, a trail that was rolled back as a whole looks intact.
    pub against: Option<u64>,
    /// The leaves that were checked, where not all of them were.
    pub range: Option<Range<u64>>,
}

/// How the unfinished work compares with its signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateCheck {
    /// As signed.
    Signed,
    /// One batch further: the agent was killed between commit and signature, or is about to sign.
    OneBatchAhead,
    /// Only records were looked at.
    NotChecked,
}

/// The first thing that is not as it was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub kind: FaultKind,
    /// Leaf indexes among which it lies; absent when it lies in no record.
    pub leaves: Option<Range<u64>>,
    /// The event of the record, where its leaf still names one.
    pub event: Option<EventId>,
    /// Records before it that agree with their leaves.
    pub verified: u64,
    /// Name of the trail file that it was found in.
    pub file: Option<String>,
}

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// A record that must be there is not.
    Missing,
    /// A record that no head, or no batch of the agent, accounts for.
    Surplus,
    /// A leaf that cannot be read.
    Leaf,
    /// A body or salt that does not match the commitment in its leaf.
    Body,
    /// A stored leaf hash that is not the hash of its leaf.
    LeafHash,
    /// A leaf that is not the next one of its stream: records were exchanged, removed or inserted.
    StreamIndex,
    /// An index that says something else than the records.
    Index,
    /// A value in a form that was never written.
    Damaged,
    /// A sealed block that cannot be unpacked.
    Block,
    /// A sealed file that is not the one that was sealed, or a seal that the trail's key did not sign.
    Seal,
    /// Records that agree with themselves and not with the signed root.
    Root,
    /// A stored head that is not that of the records.
    Head,
    /// Bodies that are gone, and no purge of the trail accounts for them.
    Erased,
    /// Bodies that are gone although a legal hold keeps them.
    Held,
    /// A checkpoint that the trail's key did not sign like this.
    Checkpoint,
    /// A checkpoint of more records than there are: the trail was rolled back.
    RolledBack,
    /// A signed state that the trail's key did not sign like this, or not last.
    State,
    /// High-waters, pending intents or orphan outcomes that are not those that the agent committed.
    UnfinishedWork,
    /// A newest batch that the trail's key did not sign like this.
    Batch,
    /// Tables, indexes, views or triggers other than those of a trail file.
    Schema,
    /// Pages or indexes that do not agree with the rows.
    File,
    /// A trail file that has another name or first leaf than its trail.
    Meta,
    /// Another verifier key than the one that was kept outside.
    Verifier,
    /// Records that do not lead to the checkpoint that was kept outside.
    KeptCheckpoint,
}

impl FaultKind {
    /// Its name in machine formats.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing_record",
            Self::Surplus => "surplus_record",
            Self::Leaf => "leaf",
            Self::Body => "body",
            Self::LeafHash => "leaf_hash",
            Self::StreamIndex => "stream_index",
            Self::Index => "index",
            Self::Damaged => "damaged",
            Self::Block => "block",
            Self::Seal => "seal",
            Self::Root => "root",
            Self::Head => "head",
            Self::Erased => "erased",
            Self::Held => "held",
            Self::Checkpoint => "checkpoint",
            Self::RolledBack => "rolled_back",
            Self::State => "state",
            Self::UnfinishedWork => "unfinished_work",
            Self::Batch => "batch",
            Self::Schema => "schema",
            Self::File => "file",
            Self::Meta => "meta",
            Self::Verifier => "verifier",
            Self::KeptCheckpoint => "kept_checkpoint",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "a record is missing",
            Self::Surplus => "a record was added that the agent did not commit",
            Self::Leaf => "the leaf cannot be read",
            Self::Body => "the body does not match the commitment in its leaf",
            Self::LeafHash => "the leaf does not match its stored hash",
            Self::StreamIndex => "the record is not the next one of its stream: records were exchanged, removed or inserted",
            Self::Index => "the index says something else than the records",
            Self::Damaged => "a stored value has a form that is never written",
            Self::Block => "the block cannot be unpacked, or is not the one that belongs here",
            Self::Seal => "the file is not, to the last byte, the one that was sealed",
            Self::Root => "the records agree with themselves, but not with the signed root",
            Self::Head => "the stored head is not that of the records",
            Self::Erased => "bodies are gone, and no `audit.purge` of the trail says that they were to go",
            Self::Held => "bodies are gone although a legal hold keeps them",
            Self::Checkpoint => "the checkpoint is not as the trail's key signed it",
            Self::RolledBack => "the checkpoint covers records that are not there any more",
            Self::State => "the signed state is not the one that the trail's key signed last",
            Self::UnfinishedWork => "high-waters, pending intents or orphan outcomes are not those that the agent committed",
            Self::Batch => "the newest batch is not as the trail's key signed it",
            Self::Schema => "the file has other tables, indexes, views or triggers than a trail file",
            Self::File => "pages or indexes of the file do not agree with its rows",
            Self::Meta => "the file has another name or first leaf than its trail, or says more of itself",
            Self::Verifier => "the trail's verifier key is not the one that was kept outside",
            Self::KeptCheckpoint => "the records do not lead to the checkpoint that was kept outside",
        })
    }
}

impl fmt::Display for Fault {
    /// Writes what and where, for example `tampered at 17, event 0190…: the body does not match the commitment in its leaf`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.leaves {
            Some(leaves) if leaves.end - leaves.start == 1 => write!(f, "tampered at {}", leaves.start)?,
            Some(leaves) => write!(f, "tampered within {} to {}", leaves.start, leaves.end - 1)?,
            None => f.write_str("tampered")?,
        }
        if let Some(event) = self.event {
            write!(f, ", event {event}")?;
        }
        if let Some(file) = &self.file {
            write!(f, ", in {file}")?;
        }
        write!(f, ": {}", self.kind)
    }
}
