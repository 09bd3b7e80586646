//! The receipt of one record: a file that proves, without the trail, that a trail holds it (docs/format.md, "Receipt").

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::{
    Checkpoint, CheckpointError, Hash, HashError, InclusionProof, LeafEntry, LeafError, Note, ProofError, VerifierKey, commitment,
};

const TITLE: &str = "c2sp.org/tlog-proof@v1";
const EXTRA_TITLE: &[u8] = b"indelible receipt v1\n";

/// One record with the proof that it is under a checkpoint (C2SP tlog-proof).
///
/// Reading one proves nothing; [`Receipt::verify`] does, given a key that is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The leaf of the record.
    pub entry: LeafEntry,
    /// Salt and body, unless the record is proved without being shown.
    pub disclosed: Option<Disclosed>,
    /// Place of the leaf, and the way from it to the root.
    pub proof: InclusionProof,
    /// The checkpoint that the proof leads to, as it was signed.
    pub checkpoint: Note,
}

/// What the commitment in a leaf was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disclosed {
    /// The salt.
    pub salt: [u8; 32],
    /// The body.
    pub body: Vec<u8>,
}

/// Bytes that are not a receipt, or a receipt that proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// Longer than [`Receipt::BYTES_MAX`].
    #[error("the receipt is longer than {} bytes", Receipt::BYTES_MAX)]
    TooLong,
    /// A line that is not the one which a receipt has in this place, counted from 1.
    #[error("line {line} is not that of a receipt: expected {expected}")]
    Line {
        /// Number of the line, from 1.
        line: usize,
        /// What stands there in a receipt.
        expected: &'static str,
    },
    /// A hash of the proof that is none.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// A leaf that cannot be read.
    #[error(transparent)]
    Leaf(#[from] LeafError),
    /// A body or salt that the leaf does not commit to.
    #[error("the body does not match the commitment in its leaf")]
    Body,
    /// A checkpoint that is none, or that the key did not sign.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A proof that does not lead from the leaf to the checkpoint.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

impl Receipt {
    /// The longest receipt that is read, in bytes: the longest frame of a journal in base64, and room for all the rest.
    pub const BYTES_MAX: usize = 96 << 20;

    /// Reads a receipt. Nothing is verified yet.
    ///
    /// # Errors
    /// - [`ReceiptError::TooLong`]: out of bounds.
    /// - [`ReceiptError::Line`], [`ReceiptError::Hash`], [`ReceiptError::Leaf`], [`ReceiptError::Checkpoint`]: not the form of C2SP
    ///   tlog-proof with the extra data of docs/format.md, "Receipt".
    pub fn parse(bytes: &[u8]) -> Result<Self, ReceiptError> {
        if bytes.len() > Self::BYTES_MAX {
            return Err(ReceiptError::TooLong);
        }
        let wrong = |line, expected| ReceiptError::Line { line, expected };
        let text = std::str::from_utf8(bytes).map_err(|_| wrong(1, "UTF-8"))?;
        let (head, checkpoint) = text.split_once("\n\n").ok_or(wrong(1, "an empty line before the checkpoint"))?;
        let mut lines = head.split('\n');
        if lines.next() != Some(TITLE) {
            return Err(wrong(1, TITLE));
        }
        let extra = lines.next().and_then(|line| line.strip_prefix("extra ")).and_then(|extra| STANDARD.decode(extra).ok());
        let (entry, disclosed) = parse_extra(&extra.ok_or(wrong(2, "extra and base64"))?)?;
        let leaf_index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(parse_index);
        let leaf_index = leaf_index.ok_or(wrong(3, "index and a decimal number"))?;
        let path = lines.map(Hash::from_base64).collect::<Result<_, _>>()?;
        let checkpoint = Note::parse(checkpoint.as_bytes()).map_err(CheckpointError::Note)?;
        Ok(Self { entry, disclosed, proof: InclusionProof { leaf_index, path }, checkpoint })
    }

    /// Checks that the record is under a checkpoint that `key` signed, and returns that checkpoint.
    ///
    /// # Errors
    /// - [`ReceiptError::Checkpoint`]: `key` did not sign it.
    /// - [`ReceiptError::Body`]: the body is another one than the leaf commits to.
    /// - [`ReceiptError::Proof`]: the leaf is not under this checkpoint at this place.
    pub fn verify(&self, key: &VerifierKey) -> Result<Checkpoint, ReceiptError> {
        let checkpoint = Checkpoint::open(self.checkpoint.to_string().as_bytes(), key)?;
        self.proof.verify(&self.entry.hash(), &checkpoint.head())?;
        match &self.disclosed {
            Some(disclosed) if commitment(&disclosed.salt, &disclosed.body) != self.entry.commitment => Err(ReceiptError::Body),
            _ => Ok(checkpoint),
        }
    }

    fn extra(&self) -> Vec<u8> {
        let mut extra = [EXTRA_TITLE, &self.entry.encode()].concat();
        if let Some(Disclosed { salt, body }) = &self.disclosed {
            extra.extend_from_slice(salt);
            extra.extend_from_slice(body);
        }
        extra
    }
}

impl fmt::Display for Receipt {
    /// Writes the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{TITLE}\nextra {}\nindex {}", STANDARD.encode(self.extra()), self.proof.leaf_index)?;
        self.proof.path.iter().try_for_each(|hash| writeln!(f, "{}", hash.to_base64()))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

/// Reads title and entry, then, unless nothing follows, salt and body.
fn parse_extra(extra: &[u8]) -> Result<(LeafEntry, Option<Disclosed>), ReceiptError> {
    let wrong = |expected| ReceiptError::Line { line: 2, expected };
    let extra = extra.strip_prefix(EXTRA_TITLE).ok_or(wrong("extra data of an Indelible receipt of version 1"))?;
    let (entry, rest) = extra.split_first_chunk::<{ LeafEntry::BYTES }>().ok_or(wrong("a leaf entry"))?;
    let entry = LeafEntry::decode(entry)?;
    if rest.is_empty() {
        return Ok((entry, None));
    }
    let (salt, body) = rest.split_first_chunk().ok_or(wrong("a salt of 32 bytes"))?;
    Ok((entry, Some(Disclosed { salt: *salt, body: body.to_vec() })))
}

/// Reads decimal digits without sign and leading zeros, so that one index has one text.
fn parse_index(text: &str) -> Option<u64> {
    text.parse::<u64>().ok().filter(|index| index.to_string() == text)
}
