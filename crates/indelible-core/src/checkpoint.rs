//! What the agent signs: the head of the tree, a digest of the work it has not finished, every batch it commits, and every file
//! that it seals (docs/format.md, "Checkpoint", "State", "Trail file", "Seal").

use std::fmt;
use std::str::FromStr;

use crate::{Hash, HashError, TreeHead};
#[cfg(feature = "signing")]
use crate::{Note, NoteError, SigningKey, VerifierKey};

const ORIGIN_PREFIX: &str = "indelible/";
const STATE_TITLE: &str = "indelible state v1";
const BATCH_TITLE: &str = "indelible batch v1";
const SEAL_TITLE: &str = "indelible seal v1";

/// Name of a trail and of its key: `indelible/` and 128 random bits. It is made with the key and never changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(String);

/// The head of the tree at one size (C2SP tlog-checkpoint).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The trail.
    pub origin: Origin,
    /// Leaves in the tree.
    pub tree_size: u64,
    /// Root of the tree of that size.
    pub root_hash: Hash,
}

/// The digest of streams, pending intents and orphan outcomes as they stood when a checkpoint had been written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDigest {
    /// The trail.
    pub origin: Origin,
    /// Tree size of the checkpoint that it was written after.
    pub tree_size: u64,
    /// SHA-256 over the rows.
    pub digest: Hash,
}

/// The trail as one batch left it, signed in the transaction that commits the batch.
///
/// It vouches for rows that were written and not yet read back, so it is no checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchNote {
    /// The trail.
    pub origin: Origin,
    /// Leaves in the tree, those of the batch included.
    pub tree_size: u64,
    /// Root of the tree of that size.
    pub root_hash: Hash,
    /// SHA-256 over the rows of the state as the batch left them.
    pub state: Hash,
    /// The same as the batch found them; for the first batch of a trail, what it left.
    pub previous_state: Hash,
}

/// All bytes of a sealed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealNote {
    /// The trail.
    pub origin: Origin,
    /// The first leaf of the file.
    pub first_index: u64,
    /// The leaf behind the last one of the file.
    pub end_index: u64,
    /// SHA-256 of the file.
    pub digest: Hash,
}

/// A note that is not what the agent signs, or not signed as it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Not a trail's origin.
    #[error("{found:?} is not the origin of a trail: expected indelible/ and 32 lower-case hexadecimal digits")]
    Origin {
        /// What was found.
        found: String,
    },
    /// More or fewer lines than the format has. Extension lines, which tlog-checkpoint allows, are refused: this program
    /// signs none, and would vouch for what it cannot check.
    #[error("the signed text has {found} lines, not {expected}")]
    Lines {
        /// Lines that the format has.
        expected: usize,
        /// Lines that were found.
        found: usize,
    },
    /// A first line that is not that of a state, of a batch or of a seal.
    #[error("the signed text does not begin with {expected:?}")]
    Title {
        /// The line that was expected.
        expected: &'static str,
    },
    /// A tree size that is not a decimal number below 2^64 without leading zeros.
    #[error("{found:?} is not a tree size")]
    TreeSize {
        /// What was found.
        found: String,
    },
    /// A hash that is not base64 of 32 bytes.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// Not a note, or not signed by the key.
    #[cfg(feature = "signing")]
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Signed by a key with another name than the origin: somebody's statement, but not the trail's own.
    #[cfg(feature = "signing")]
    #[error("the note is about {origin}, but signed under the name {key}")]
    ForeignKey {
        /// The origin that the text names.
        origin: Origin,
        /// The name of the key.
        key: String,
    },
}

impl Origin {
    /// Makes the name of a new trail from 128 random bits.
    #[must_use]
    pub fn from_random(random: [u8; 16]) -> Self {
        Self(format!("{ORIGIN_PREFIX}{:032x}", u128::from_be_bytes(random)))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Origin {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let digits = text.strip_prefix(ORIGIN_PREFIX).unwrap_or_default();
        if digits.len() != 32 || !digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(CheckpointError::Origin { found: text.to_owned() });
        }
        Ok(Self(text.to_owned()))
    }
}

impl Checkpoint {
    /// Size and root, to verify proofs against.
    #[must_use]
    pub const fn head(&self) -> TreeHead {
        TreeHead { tree_size: self.tree_size, root_hash: self.root_hash }
    }

    /// Reads the text of a checkpoint, without its signatures.
    ///
    /// # Errors
    /// - [`CheckpointError::Lines`], [`CheckpointError::Origin`], [`CheckpointError::TreeSize`], [`CheckpointError::Hash`]:
    ///   not what [`Checkpoint`]'s `Display` writes.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let [origin, tree_size, root_hash] = lines(text)?;
        Ok(Self { origin: origin.parse()?, tree_size: parse_size(tree_size)?, root_hash: Hash::from_base64(root_hash)? })
    }

    /// Reads and verifies a signed checkpoint.
    ///
    /// # Errors
    /// - [`CheckpointError::Note`]: not a signed note, or `key` does not vouch for it.
    /// - [`CheckpointError::ForeignKey`]: `key` has another name than the origin.
    /// - those of [`Checkpoint::parse`].
    #[cfg(feature = "signing")]
    pub fn open(note: &[u8], key: &VerifierKey) -> Result<Self, CheckpointError> {
        let note = Note::parse(note)?;
        let checkpoint = Self::parse(note.verify(key)?)?;
        check_name(&checkpoint.origin, key.name())?;
        Ok(checkpoint)
    }

    /// Signs the checkpoint.
    ///
    /// # Errors
    /// - [`CheckpointError::ForeignKey`]: `key` has another name than the origin.
    #[cfg(feature = "signing")]
    pub fn sign(&self, key: &SigningKey) -> Result<Note, CheckpointError> {
        check_name(&self.origin, key.name())?;
        Ok(key.sign(&self.to_string()).expect("an origin, a number and base64 are plain text"))
    }
}

impl fmt::Display for Checkpoint {
    /// Writes the text that is signed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.tree_size, self.root_hash.to_base64())
    }
}

impl StateDigest {
    /// Reads the text of a state, without its signatures.
    ///
    /// # Errors
    /// - [`CheckpointError::Lines`], [`CheckpointError::Title`], [`CheckpointError::Origin`], [`CheckpointError::TreeSize`],
    ///   [`CheckpointError::Hash`]: not what [`StateDigest`]'s `Display` writes.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let [title, origin, tree_size, digest] = lines(text)?;
        check_title(title, STATE_TITLE)?;
        Ok(Self { origin: origin.parse()?, tree_size: parse_size(tree_size)?, digest: Hash::from_base64(digest)? })
    }

    /// Reads and verifies a signed state.
    ///
    /// # Errors
    /// Those of [`Checkpoint::open`] and [`StateDigest::parse`].
    #[cfg(feature = "signing")]
    pub fn open(note: &[u8], key: &VerifierKey) -> Result<Self, CheckpointError> {
        let note = Note::parse(note)?;
        let state = Self::parse(note.verify(key)?)?;
        check_name(&state.origin, key.name())?;
        Ok(state)
    }

    /// Signs the state.
    ///
    /// # Errors
    /// - [`CheckpointError::ForeignKey`]: `key` has another name than the origin.
    #[cfg(feature = "signing")]
    pub fn sign(&self, key: &SigningKey) -> Result<Note, CheckpointError> {
        check_name(&self.origin, key.name())?;
        Ok(key.sign(&self.to_string()).expect("an origin, a number and base64 are plain text"))
    }
}

impl fmt::Display for StateDigest {
    /// Writes the text that is signed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{STATE_TITLE}\n{}\n{}\n{}", self.origin, self.tree_size, self.digest.to_base64())
    }
}

impl BatchNote {
    /// Reads the text of a batch, without its signatures.
    ///
    /// # Errors
    /// - [`CheckpointError::Lines`], [`CheckpointError::Title`], [`CheckpointError::Origin`], [`CheckpointError::TreeSize`],
    ///   [`CheckpointError::Hash`]: not what [`BatchNote`]'s `Display` writes.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let [title, origin, tree_size, root_hash, state, previous_state] = lines(text)?;
        check_title(title, BATCH_TITLE)?;
        Ok(Self {
            origin: origin.parse()?,
            tree_size: parse_size(tree_size)?,
            root_hash: Hash::from_base64(root_hash)?,
            state: Hash::from_base64(state)?,
            previous_state: Hash::from_base64(previous_state)?,
        })
    }

    /// Reads and verifies a signed batch.
    ///
    /// # Errors
    /// Those of [`Checkpoint::open`] and [`BatchNote::parse`].
    #[cfg(feature = "signing")]
    pub fn open(note: &[u8], key: &VerifierKey) -> Result<Self, CheckpointError> {
        let note = Note::parse(note)?;
        let batch = Self::parse(note.verify(key)?)?;
        check_name(&batch.origin, key.name())?;
        Ok(batch)
    }

    /// Signs the batch.
    ///
    /// # Errors
    /// - [`CheckpointError::ForeignKey`]: `key` has another name than the origin.
    #[cfg(feature = "signing")]
    pub fn sign(&self, key: &SigningKey) -> Result<Note, CheckpointError> {
        check_name(&self.origin, key.name())?;
        Ok(key.sign(&self.to_string()).expect("an origin, a number and base64 are plain text"))
    }
}

impl fmt::Display for BatchNote {
    /// Writes the text that is signed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [root_hash, state, previous_state] = [&self.root_hash, &self.state, &self.previous_state].map(Hash::to_base64);
        writeln!(f, "{BATCH_TITLE}\n{}\n{}\n{root_hash}\n{state}\n{previous_state}", self.origin, self.tree_size)
    }
}

impl SealNote {
    /// Reads the text of a seal, without its signatures.
    ///
    /// # Errors
    /// - [`CheckpointError::Lines`], [`CheckpointError::Title`], [`CheckpointError::Origin`], [`CheckpointError::TreeSize`],
    ///   [`CheckpointError::Hash`]: not what [`SealNote`]'s `Display` writes.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let [title, origin, first_index, end_index, digest] = lines(text)?;
        check_title(title, SEAL_TITLE)?;
        Ok(Self {
            origin: origin.parse()?,
            first_index: parse_size(first_index)?,
            end_index: parse_size(end_index)?,
            digest: Hash::from_base64(digest)?,
        })
    }

    /// Reads and verifies a signed seal.
    ///
    /// # Errors
    /// Those of [`Checkpoint::open`] and [`SealNote::parse`].
    #[cfg(feature = "signing")]
    pub fn open(note: &[u8], key: &VerifierKey) -> Result<Self, CheckpointError> {
        let note = Note::parse(note)?;
        let seal = Self::parse(note.verify(key)?)?;
        check_name(&seal.origin, key.name())?;
        Ok(seal)
    }

    /// Signs the seal.
    ///
    /// # Errors
    /// - [`CheckpointError::ForeignKey`]: `key` has another name than the origin.
    #[cfg(feature = "signing")]
    pub fn sign(&self, key: &SigningKey) -> Result<Note, CheckpointError> {
        check_name(&self.origin, key.name())?;
        Ok(key.sign(&self.to_string()).expect("an origin, numbers and base64 are plain text"))
    }
}

impl fmt::Display for SealNote {
    /// Writes the text that is signed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{SEAL_TITLE}\n{}\n{}\n{}\n{}", self.origin, self.first_index, self.end_index, self.digest.to_base64())
    }
}

fn check_title(found: &str, expected: &'static str) -> Result<(), CheckpointError> {
    if found == expected { Ok(()) } else { Err(CheckpointError::Title { expected }) }
}

/// The `N` lines of a text that ends in a line feed.
fn lines<const N: usize>(text: &str) -> Result<[&str; N], CheckpointError> {
    let lines: Vec<&str> = text.strip_suffix('\n').unwrap_or_default().split('\n').collect();
    let found = lines.len();
    lines.try_into().map_err(|_| CheckpointError::Lines { expected: N, found })
}

/// Reads decimal digits without sign and leading zeros, so that one size has one text.
fn parse_size(text: &str) -> Result<u64, CheckpointError> {
    let size = text.parse::<u64>().ok().filter(|size| size.to_string() == text);
    size.ok_or_else(|| CheckpointError::TreeSize { found: text.to_owned() })
}

#[cfg(feature = "signing")]
fn check_name(origin: &Origin, key: &str) -> Result<(), CheckpointError> {
    if key != origin.as_str() {
        return Err(CheckpointError::ForeignKey { origin: origin.clone(), key: key.to_owned() });
    }
    Ok(())
}
