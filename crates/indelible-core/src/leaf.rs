//! The leaf: 102 bytes that bind one record to the tree without containing it (docs/format.md, "Leaf").

use std::fmt;

use sha2::{Digest, Sha256};

use crate::{EventId, Hash, StreamId, Timestamp, leaf_hash};

const VERSION: u8 = 1;
const COMMITMENT_DOMAIN: &[u8] = b"indelible commitment v1\n";

/// What became of an event, as far as its evidence goes when the leaf is made. It is never changed afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// The event depended on no transaction.
    Recorded,
    /// The recorder saw COMMIT return.
    Committed,
    /// The marker row proves that the transaction was committed.
    CommittedByMarker,
    /// The outbox row, which carries the event, was committed.
    CommittedByOutbox,
    /// Nobody knows: the recorder ended between INTENT and OUTCOME.
    InDoubt,
}

impl Verdict {
    /// Every verdict, in the order of the codes.
    pub const ALL: [Self; 5] = [Self::Recorded, Self::Committed, Self::CommittedByMarker, Self::CommittedByOutbox, Self::InDoubt];

    /// The byte that stands for it in a leaf entry.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Recorded => 1,
            Self::Committed => 2,
            Self::CommittedByMarker => 3,
            Self::CommittedByOutbox => 4,
            Self::InDoubt => 5,
        }
    }

    /// The verdict with this code, if there is one.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.code() == code)
    }

    /// Its name in search, in the API and in exports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Committed => "committed",
            Self::CommittedByMarker => "committed_by_marker",
            Self::CommittedByOutbox => "committed_by_outbox",
            Self::InDoubt => "in_doubt",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What the tree commits to for one record: its identity, its place in its stream, its times, its verdict, and a
/// commitment to its body that keeps holding when the body is erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeafEntry {
    /// The event.
    pub event: EventId,
    /// The stream it was recorded in; [`StreamId::AGENT`] for the agent's own events.
    pub stream: StreamId,
    /// This stream's leaves counted from 0, without holes.
    pub stream_index: u64,
    /// Sequence of the journal frame, of the INTENT where there is one.
    pub sequence: u64,
    /// Place in that frame, from 0.
    pub item: u32,
    /// When the recorder stamped the event.
    pub recorded_at: Timestamp,
    /// When the agent ingested it.
    pub received_at: Timestamp,
    /// What was known about its transaction.
    pub verdict: Verdict,
    /// [`commitment`] of its salt and body.
    pub commitment: Hash,
}

/// Bytes that are not a leaf entry of this version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LeafError {
    /// Another length than [`LeafEntry::BYTES`].
    #[error("a leaf entry is {} bytes long, this one {found}", LeafEntry::BYTES)]
    Length {
        /// The length that was found.
        found: usize,
    },
    /// A version that this program does not know.
    #[error("leaf entry of version {found}; this program reads version {VERSION}")]
    Version {
        /// The version that was found.
        found: u8,
    },
    /// A verdict that version 1 does not have.
    #[error("leaf entry with unknown verdict {found}")]
    Verdict {
        /// The code that was found.
        found: u8,
    },
}

impl LeafEntry {
    /// Length of an encoded entry.
    pub const BYTES: usize = 102;

    /// Encodes the entry (docs/format.md, "Leaf").
    #[must_use]
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[0] = VERSION;
        bytes[1..17].copy_from_slice(self.event.as_bytes());
        bytes[17..33].copy_from_slice(self.stream.as_bytes());
        bytes[33..41].copy_from_slice(&self.stream_index.to_le_bytes());
        bytes[41..49].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[49..53].copy_from_slice(&self.item.to_le_bytes());
        bytes[53..61].copy_from_slice(&self.recorded_at.micros().to_le_bytes());
        bytes[61..69].copy_from_slice(&self.received_at.micros().to_le_bytes());
        bytes[69] = self.verdict.code();
        bytes[70..].copy_from_slice(self.commitment.as_bytes());
        bytes
    }

    /// Reads an entry. Every entry that can be read encodes to the same bytes again.
    ///
    /// # Errors
    /// - [`LeafError::Length`]: not 102 bytes.
    /// - [`LeafError::Version`], [`LeafError::Verdict`]: a byte that version 1 never writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, LeafError> {
        let bytes: &[u8; Self::BYTES] = bytes.try_into().map_err(|_| LeafError::Length { found: bytes.len() })?;
        if bytes[0] != VERSION {
            return Err(LeafError::Version { found: bytes[0] });
        }
        Ok(Self {
            event: EventId::from_bytes(array(bytes, 1)),
            stream: StreamId::from_bytes(array(bytes, 17)),
            stream_index: u64::from_le_bytes(array(bytes, 33)),
            sequence: u64::from_le_bytes(array(bytes, 41)),
            item: u32::from_le_bytes(array(bytes, 49)),
            recorded_at: Timestamp::from_micros(i64::from_le_bytes(array(bytes, 53))),
            received_at: Timestamp::from_micros(i64::from_le_bytes(array(bytes, 61))),
            verdict: Verdict::from_code(bytes[69]).ok_or(LeafError::Verdict { found: bytes[69] })?,
            commitment: Hash::from_bytes(array(bytes, 70)),
        })
    }

    /// The hash of this entry as a leaf of the tree.
    #[must_use]
    pub fn hash(&self) -> Hash {
        leaf_hash(&self.encode())
    }
}

fn array<const N: usize>(entry: &[u8; LeafEntry::BYTES], offset: usize) -> [u8; N] {
    let mut part = [0; N];
    part.copy_from_slice(&entry[offset..offset + N]);
    part
}

/// Commits to a body without revealing it: `SHA-256("indelible commitment v1\n" ‖ salt ‖ body)`.
///
/// `salt`: 32 random bytes of this record alone; without them a short body could be guessed from its commitment.
#[must_use]
pub fn commitment(salt: &[u8; 32], body: &[u8]) -> Hash {
    let digest = Sha256::new().chain_update(COMMITMENT_DOMAIN).chain_update(salt).chain_update(body).finalize();
    Hash::from_bytes(digest.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_of_verdicts_are_those_of_the_format() {
        let named: Vec<_> = Verdict::ALL.iter().map(|verdict| (verdict.code(), verdict.as_str())).collect();
        assert_eq!(named, [(1, "recorded"), (2, "committed"), (3, "committed_by_marker"), (4, "committed_by_outbox"), (5, "in_doubt")]);
        assert_eq!([0, 6, 255].map(Verdict::from_code), [None; 3]);
    }
}
