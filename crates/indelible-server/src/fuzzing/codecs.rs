//! What is stored in a sealed file and read by whoever has the file: nothing that stands in it may panic or take memory without bound.

use std::ops::Range;

use indelible_core::Timestamp;

use crate::index::{Term, piece_lookup, times_decode};
use crate::trail::{BLOCK_LEAVES, Block};

/// Bytes of each leaf behind the compressed columns: the end of its id, its secret and its hash.
const LEAF_TAIL_BYTES: usize = 10 + 64;
/// More than the columns of 256 leaves or the bodies of a small block take.
const RAW_BYTES_MAX: usize = 64 << 10;

/// Reads a block as it is given, and one whose columns and bodies are given and compressed here: the fuzzer finds no checksum.
///
/// # Panics
/// When reading panics, or a record that could be read is not the one that was asked for.
pub fn block(bytes: &[u8]) {
    let [count, split, rest @ ..] = bytes else { return };
    let range = 0..u64::from(*count) + 1;
    let (leaves, bodies) = rest.split_at(rest.len() * usize::from(*split) / 255);
    read(range.clone(), leaves, bodies.to_vec());
    read(range.clone(), &packed_leaves(leaves, usize::from(*count) + 1), packed_bodies(bodies, u32::from(*count) + 1));
    read(range, leaves, packed_bodies(bodies, u32::from(*count) + 1));
}

fn read(range: Range<u64>, leaves: &[u8], bodies: Vec<u8>) {
    assert!(range.end <= BLOCK_LEAVES);
    let Ok(mut block) = Block::decode(range.clone(), leaves, bodies) else { return };
    for leaf_index in range {
        if let Ok(record) = block.record(leaf_index) {
            assert_eq!(record.leaf_index, leaf_index);
        }
    }
}

fn packed_leaves(columns: &[u8], count: usize) -> Vec<u8> {
    let mut bytes = packed(columns);
    bytes.resize(bytes.len() + count * LEAF_TAIL_BYTES, 7);
    bytes
}

/// One frame with all bodies; what is compressed begins with their lengths.
fn packed_bodies(raw: &[u8], count: u32) -> Vec<u8> {
    let mut bytes = 1_u32.to_le_bytes().to_vec();
    bytes.extend_from_slice(&count.to_le_bytes());
    bytes.extend_from_slice(&packed(raw));
    bytes
}

/// Length, compressed length, and the compressed bytes with their checksum.
fn packed(raw: &[u8]) -> Vec<u8> {
    let raw = &raw[..raw.len().min(RAW_BYTES_MAX)];
    let mut compressor = zstd::bulk::Compressor::new(1).expect("memory for a compressor");
    compressor.set_parameter(zstd::zstd_safe::CParameter::ChecksumFlag(true)).expect("a flag of zstd");
    let compressed = compressor.compress(raw).expect("memory for a few bytes");
    let mut bytes = Vec::new();
    for length in [raw.len(), compressed.len()] {
        bytes.extend_from_slice(&u32::try_from(length).expect("it is short").to_le_bytes());
    }
    bytes.extend_from_slice(&compressed);
    bytes
}

/// Looks up terms in a piece of a run, and reads the times of one.
///
/// # Panics
/// When reading panics, or finds a leaf that the run does not have.
pub fn run(bytes: &[u8]) {
    let [low, high, rest @ ..] = bytes else { return };
    let count = usize::from(u16::from_le_bytes([*low, *high]));
    for term in [Term::MORE, Term::of(crate::index::Field::Kind, b"change")] {
        if let Ok(found) = piece_lookup(rest, term, count) {
            assert!(found.count() == count && found.len() <= count as u64);
        }
    }
    if let Ok(times) = times_decode(rest, count) {
        assert_eq!(times.len(), count);
        times.iter().for_each(|&seconds| drop(Timestamp::from_micros(seconds).to_string()));
    }
}
