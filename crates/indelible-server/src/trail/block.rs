//! Blocks of a sealed file: up to 256 records, their leaves by column, their bodies compressed (docs/format.md, "Block").

mod bodies;
mod leaves;
#[cfg(test)]
mod tests;

use std::ops::Range;

use indelible_core::{Hash, LeafEntry, commitment, root_of};
use zstd::bulk::{Compressor, Decompressor};

use self::bodies::Bodies;
use self::leaves::{Leaves, Secret};
use super::{StoredLeaf, TrailError};

/// Leaves of a full block; blocks begin at multiples of it, but for the first one of a file.
pub(crate) const BLOCK_LEAVES: u64 = 256;
/// Compression level of zstd: beyond it, time doubles for a few bytes in a hundred (docs/benchmarks.md).
const LEVEL: i32 = 6;

/// A block as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Encoded {
    pub(super) ids: ([u8; 16], [u8; 16]),
    /// Root of the tree over its leaves, where it is full.
    pub(super) node: Option<Hash>,
    pub(super) leaves: Vec<u8>,
    pub(super) bodies: Vec<u8>,
}

/// Bytes that are no block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damaged(pub(super) &'static str);

/// A block that is being read.
#[derive(Debug)]
pub(crate) struct Block {
    range: Range<u64>,
    entries: Vec<LeafEntry>,
    secrets: Vec<Secret>,
    hashes: Vec<Hash>,
    bodies: Bodies,
}

/// Where the block ends that begins with, or holds, this leaf.
pub(crate) const fn end_of(leaf_index: u64) -> u64 {
    (leaf_index / BLOCK_LEAVES + 1) * BLOCK_LEAVES
}

/// Encodes records that follow each other, at least one.
///
/// # Errors
/// When zstd refuses, for want of memory.
pub(super) fn encode(records: &[StoredLeaf]) -> std::io::Result<Encoded> {
    let ids = || records.iter().map(|record| *record.entry.event.as_bytes());
    let is_full = records.len() as u64 == BLOCK_LEAVES;
    Ok(Encoded {
        ids: (ids().min().unwrap_or_default(), ids().max().unwrap_or_default()),
        node: is_full.then(|| root_of(records.iter().map(|record| record.leaf_hash))),
        leaves: leaves::encode(records)?,
        bodies: bodies::encode(records)?,
    })
}

impl Block {
    /// Reads the leaves of a block; its bodies are decompressed when they are asked for.
    ///
    /// # Errors
    /// - [`TrailError::Block`]: these bytes were never written.
    pub(crate) fn decode(range: Range<u64>, leaves: &[u8], bodies: Vec<u8>) -> Result<Self, TrailError> {
        let leaves = leaves_of(&range, leaves)?;
        let bodies = Bodies::parse(bodies, leaves.entries.len()).map_err(|damage| damaged(&range, damage))?;
        Ok(Self { range, entries: leaves.entries, secrets: leaves.secrets, hashes: leaves.hashes, bodies })
    }

    /// Its leaves.
    pub(crate) fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// The stored hashes of its leaves.
    pub(crate) fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// One record, which lies in the block.
    ///
    /// # Errors
    /// - [`TrailError::Block`]: its body cannot be decompressed.
    pub(crate) fn record(&mut self, leaf_index: u64) -> Result<StoredLeaf, TrailError> {
        let Range { start: first_index, end: end_index } = self.range.clone();
        let place = (leaf_index - first_index) as usize;
        let body = self.bodies.get(place).map_err(|Damaged(what)| TrailError::Block { first_index, end_index, what })?.to_vec();
        let mut entry = self.entries[place];
        let salt = match self.secrets[place] {
            Secret::Salt(salt) => {
                entry.commitment = commitment(&salt, &body);
                Some(salt)
            }
            Secret::Commitment(_) if !body.is_empty() => {
                return Err(TrailError::Block { first_index, end_index, what: "a body that was erased is there" });
            }
            Secret::Commitment(stored) => {
                entry.commitment = stored;
                None
            }
        };
        Ok(StoredLeaf { leaf_index, entry, leaf_hash: self.hashes[place], salt, body })
    }
}

/// The entries of a block's leaves, without its bodies; their commitments are not known without these, and zero here.
///
/// # Errors
/// - [`TrailError::Block`]: these bytes were never written.
pub(super) fn entries(range: &Range<u64>, leaves: &[u8]) -> Result<Vec<LeafEntry>, TrailError> {
    Ok(leaves_of(range, leaves)?.entries)
}

/// The leaves of a block whose bodies were erased, without its bodies.
///
/// # Errors
/// - [`TrailError::Block`]: these bytes were never written.
pub(super) fn erased(range: &Range<u64>, leaves: &[u8]) -> Result<Vec<u64>, TrailError> {
    let secrets = leaves_of(range, leaves)?.secrets;
    Ok(range.clone().zip(secrets).filter(|(_, secret)| matches!(secret, Secret::Commitment(_))).map(|(leaf, _)| leaf).collect())
}

fn leaves_of(range: &Range<u64>, leaves: &[u8]) -> Result<Leaves, TrailError> {
    let count = usize::try_from(range.end.saturating_sub(range.start)).ok().filter(|count| (1..=BLOCK_LEAVES as usize).contains(count));
    let count = count.ok_or_else(|| damaged(range, Damaged("its number of records")))?;
    leaves::decode(leaves, count).map_err(|damage| damaged(range, damage))
}

fn damaged(range: &Range<u64>, Damaged(what): Damaged) -> TrailError {
    TrailError::Block { first_index: range.start, end_index: range.end, what }
}

fn compress(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut compressor = Compressor::new(LEVEL)?;
    compressor.include_checksum(true)?;
    compressor.compress(bytes)
}

/// The bit of a frame's fifth byte that no decoder looks at (RFC 8878 §3.1.1.1.1.3); it is written as 0.
const UNUSED_BIT: u8 = 1 << 4;

/// Decompresses to exactly `length` bytes.
fn decompress(bytes: &[u8], length: usize) -> Option<Vec<u8>> {
    if bytes.get(4).is_some_and(|descriptor| descriptor & UNUSED_BIT != 0) {
        return None;
    }
    let raw = Decompressor::new().ok()?.decompress(bytes, length).ok()?;
    (raw.len() == length).then_some(raw)
}

/// Takes a little-endian number of four bytes.
fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u32::from_le_bytes(*number))
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}
