//! The bodies of a block, in frames of about one MiB, so that one record is read without memory for all.

use std::ops::Range;

use super::{Damaged, compress, decompress, take, take_u32};
use crate::index::varint;
use crate::trail::StoredLeaf;

/// A frame ends with the body that makes it so long, in bytes.
const FRAME_BYTES: usize = 1 << 20;
/// The most bytes of one frame: a body is never longer than a journal's frame.
const FRAME_BYTES_MAX: usize = 128 << 20;

/// The bodies of a block, compressed, and those that were read last.
#[derive(Debug)]
pub(super) struct Bodies {
    bytes: Vec<u8>,
    frames: Vec<Frame>,
    read: Option<Read>,
}

/// Where some bodies are.
#[derive(Debug, Clone)]
struct Frame {
    places: Range<usize>,
    bytes: Range<usize>,
    length: usize,
}

/// A frame that was decompressed.
#[derive(Debug)]
struct Read {
    places: Range<usize>,
    bytes: Vec<u8>,
    bodies: Vec<Range<usize>>,
}

pub(super) fn encode(records: &[StoredLeaf]) -> std::io::Result<Vec<u8>> {
    let (mut table, mut compressed) = (Vec::new(), Vec::new());
    let mut rest = records;
    let mut frames = 0_u32;
    while !rest.is_empty() {
        let (frame, others) = rest.split_at(frame_records(rest));
        rest = others;
        let raw = raw(frame);
        let bytes = compress(&raw)?;
        for length in [frame.len(), raw.len(), bytes.len()] {
            table
                .extend_from_slice(&u32::try_from(length).map_err(|_| std::io::Error::other("a body is longer than 4 GiB"))?.to_le_bytes());
        }
        compressed.extend_from_slice(&bytes);
        frames += 1;
    }
    Ok([&frames.to_le_bytes()[..], &table, &compressed].concat())
}

/// How many records the next frame holds.
fn frame_records(records: &[StoredLeaf]) -> usize {
    let mut bytes = 0;
    let full = records.iter().position(|record| {
        bytes += record.body.len();
        bytes >= FRAME_BYTES
    });
    full.map_or(records.len(), |last| last + 1)
}

/// The lengths of the bodies, then the bodies.
fn raw(records: &[StoredLeaf]) -> Vec<u8> {
    let mut raw = Vec::with_capacity(records.iter().map(|record| record.body.len() + 3).sum());
    records.iter().for_each(|record| varint::push(&mut raw, record.body.len() as u64));
    records.iter().for_each(|record| raw.extend_from_slice(&record.body));
    raw
}

impl Bodies {
    pub(super) fn parse(bytes: Vec<u8>, count: usize) -> Result<Self, Damaged> {
        let frames = table(&bytes, count).ok_or(Damaged("the table of its bodies"))?;
        Ok(Self { bytes, frames, read: None })
    }

    /// The body at a place below `count`.
    pub(super) fn get(&mut self, place: usize) -> Result<&[u8], Damaged> {
        if !self.read.as_ref().is_some_and(|read| read.places.contains(&place)) {
            let frame = self.frames.iter().find(|frame| frame.places.contains(&place)).ok_or(Damaged("a body is missing"))?;
            self.read = Some(Read::frame(frame, &self.bytes).ok_or(Damaged("its bodies cannot be decompressed"))?);
        }
        let read = self.read.as_ref().ok_or(Damaged("a body is missing"))?;
        Ok(&read.bytes[read.bodies[place - read.places.start].clone()])
    }
}

/// Reads the table of frames; `None` when it does not fit the bytes behind it and the number of records.
fn table(all: &[u8], count: usize) -> Option<Vec<Frame>> {
    let mut bytes = all;
    let frames = take_u32(&mut bytes)? as usize;
    let mut lengths = take(&mut bytes, frames.checked_mul(12)?)?;
    let (mut place, mut at) = (0, all.len() - bytes.len());
    let mut table = Vec::with_capacity(frames.min(count));
    for _ in 0..frames {
        let [records, length, compressed] = [take_u32(&mut lengths)?, take_u32(&mut lengths)?, take_u32(&mut lengths)?].map(|n| n as usize);
        if records == 0 || records > count - place || length > FRAME_BYTES_MAX {
            return None;
        }
        table.push(Frame { places: place..place + records, bytes: at..at + compressed, length });
        (place, at) = (place + records, at + compressed);
    }
    (place == count && at == all.len()).then_some(table)
}

impl Read {
    fn frame(frame: &Frame, bytes: &[u8]) -> Option<Self> {
        let bytes = decompress(bytes.get(frame.bytes.clone())?, frame.length)?;
        let mut rest = &bytes[..];
        let lengths = frame.places.clone().map(|_| usize::try_from(varint::take(&mut rest).ok()?).ok()).collect::<Option<Vec<_>>>()?;
        let mut at = bytes.len() - rest.len();
        let mut bodies = Vec::with_capacity(lengths.len());
        for length in lengths {
            let end = at.checked_add(length)?;
            bodies.push(at..end);
            at = end;
        }
        (at == bytes.len()).then_some(Self { places: frame.places.clone(), bytes, bodies })
    }
}
