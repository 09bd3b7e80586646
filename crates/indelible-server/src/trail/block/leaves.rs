//! Leaf entries by column, so that what is alike stands together; what is random is not compressed at all.

use std::collections::HashMap;

use indelible_core::{EventId, Hash, LeafEntry, StreamId, Timestamp, Verdict};

use super::{Damaged, compress, decompress, take, take_u32};
use crate::index::varint;
use crate::trail::StoredLeaf;

/// The most bytes that the columns of 256 leaves can have.
const COLUMNS_BYTES_MAX: usize = 64 << 10;
const ID_TAIL_BYTES: usize = 10;

/// What lets a commitment be known: the salt, or where the body was erased, the commitment itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::trail) enum Secret {
    Salt([u8; 32]),
    Commitment(Hash),
}

/// The leaves of a block. The commitment of an entry is not known before its body.
#[derive(Debug)]
pub(super) struct Leaves {
    pub(super) entries: Vec<LeafEntry>,
    pub(super) secrets: Vec<Secret>,
    pub(super) hashes: Vec<Hash>,
}

pub(super) fn encode(records: &[StoredLeaf]) -> std::io::Result<Vec<u8>> {
    let columns = columns(records);
    let compressed = compress(&columns)?;
    let mut bytes = Vec::with_capacity(8 + compressed.len() + records.len() * (ID_TAIL_BYTES + 64));
    for length in [columns.len(), compressed.len()] {
        bytes.extend_from_slice(&u32::try_from(length).expect("columns are at most 64 KiB long").to_le_bytes());
    }
    bytes.extend_from_slice(&compressed);
    records.iter().for_each(|record| bytes.extend_from_slice(&record.entry.event.as_bytes()[6..]));
    records.iter().for_each(|record| bytes.extend_from_slice(&record.salt.unwrap_or(*record.entry.commitment.as_bytes())));
    records.iter().for_each(|record| bytes.extend_from_slice(record.leaf_hash.as_bytes()));
    Ok(bytes)
}

fn columns(records: &[StoredLeaf]) -> Vec<u8> {
    let entries = || records.iter().map(|record| &record.entry);
    let mut out = Vec::new();
    out.extend(records.iter().map(|record| u8::from(record.salt.is_none())));
    out.extend(entries().map(|entry| entry.verdict.code()));
    let places = push_streams(records, &mut out);
    let mut last = vec![(0_u64, 0_u64); records.len()];
    for (entry, &place) in entries().zip(&places) {
        push_signed(entry.stream_index.wrapping_sub(last[place].0), &mut out);
        last[place].0 = entry.stream_index.wrapping_add(1);
    }
    for (entry, &place) in entries().zip(&places) {
        push_signed(entry.sequence.wrapping_sub(last[place].1), &mut out);
        last[place].1 = entry.sequence;
    }
    entries().for_each(|entry| varint::push(&mut out, entry.item.into()));
    push_deltas(entries().map(|entry| entry.recorded_at.micros()), &mut out);
    push_deltas(entries().map(|entry| entry.received_at.micros()), &mut out);
    for entry in entries() {
        push_signed(id_time(entry.event).wrapping_sub(milliseconds(entry.recorded_at)), &mut out);
    }
    out
}

/// Writes each stream once, in the order of their first leaves, and for each leaf the place of its stream among them.
fn push_streams(records: &[StoredLeaf], out: &mut Vec<u8>) -> Vec<usize> {
    let (mut known, mut streams) = (HashMap::new(), Vec::new());
    let places: Vec<usize> = records
        .iter()
        .map(|record| {
            *known.entry(record.entry.stream).or_insert_with(|| {
                streams.push(record.entry.stream);
                streams.len() - 1
            })
        })
        .collect();
    varint::push(out, streams.len() as u64);
    streams.iter().for_each(|stream| out.extend_from_slice(stream.as_bytes()));
    places.iter().for_each(|place| varint::push(out, *place as u64));
    places
}

pub(super) fn decode(mut bytes: &[u8], count: usize) -> Result<Leaves, Damaged> {
    const SHORT: Damaged = Damaged("its leaves are cut short");
    let raw = take_u32(&mut bytes).ok_or(SHORT)? as usize;
    let compressed = take_u32(&mut bytes).ok_or(SHORT)? as usize;
    let compressed = take(&mut bytes, compressed).ok_or(SHORT)?;
    let columns = (raw <= COLUMNS_BYTES_MAX).then(|| decompress(compressed, raw)).flatten();
    let columns = columns.ok_or(Damaged("its leaves cannot be decompressed"))?;
    let tails = take(&mut bytes, count * ID_TAIL_BYTES).ok_or(SHORT)?;
    let secrets = take(&mut bytes, count * 32).ok_or(SHORT)?;
    let hashes = take(&mut bytes, count * 32).ok_or(SHORT)?;
    if !bytes.is_empty() {
        return Err(Damaged("its leaves are followed by something else"));
    }
    let (erased, entries) = read_columns(&columns, tails, count).ok_or(Damaged("its leaves are not what was written"))?;
    let secrets = secrets.as_chunks().0.iter().zip(erased);
    let secret =
        |(bytes, erased): (&[u8; 32], bool)| if erased { Secret::Commitment(Hash::from_bytes(*bytes)) } else { Secret::Salt(*bytes) };
    let hashes = hashes.as_chunks().0.iter().copied().map(Hash::from_bytes).collect();
    Ok(Leaves { entries, secrets: secrets.map(secret).collect(), hashes })
}

/// Reads the columns; `None` when they are not what [`columns`] writes.
fn read_columns(mut columns: &[u8], tails: &[u8], count: usize) -> Option<(Vec<bool>, Vec<LeafEntry>)> {
    let columns = &mut columns;
    let erased = take(columns, count)?.iter().map(|&flag| (flag < 2).then_some(flag == 1)).collect::<Option<Vec<_>>>()?;
    let verdicts = take(columns, count)?.iter().map(|&code| Verdict::from_code(code)).collect::<Option<Vec<_>>>()?;
    let streams = usize::try_from(take_varint(columns)?).ok().filter(|streams| *streams <= count)?;
    let (streams, []) = take(columns, streams * 16)?.as_chunks::<16>() else { return None };
    let places = take_all(count, || usize::try_from(take_varint(columns)?).ok().filter(|place| *place < streams.len()))?;
    let mut last = vec![(0_u64, 0_u64); streams.len()];
    let mut of_stream = places.iter();
    let stream_indexes = take_all(count, || {
        let last = &mut last[*of_stream.next()?].0;
        let value = last.wrapping_add(take_signed(columns)?);
        *last = value.wrapping_add(1);
        Some(value)
    })?;
    let mut of_stream = places.iter();
    let sequences = take_all(count, || {
        let last = &mut last[*of_stream.next()?].1;
        *last = last.wrapping_add(take_signed(columns)?);
        Some(*last)
    })?;
    let items = take_all(count, || u32::try_from(take_varint(columns)?).ok())?;
    let recorded = take_deltas(count, columns)?;
    let received = take_deltas(count, columns)?;
    let times = take_all(count, || take_signed(columns))?;
    if !columns.is_empty() {
        return None;
    }
    let entry = |place: usize| {
        let recorded_at = Timestamp::from_micros(recorded[place]);
        let time = times[place].wrapping_add(milliseconds(recorded_at));
        let tail = &tails[place * ID_TAIL_BYTES..][..ID_TAIL_BYTES];
        Some(LeafEntry {
            event: event_id(time, tail)?,
            stream: StreamId::from_bytes(streams[places[place]]),
            stream_index: stream_indexes[place],
            sequence: sequences[place],
            item: items[place],
            recorded_at,
            received_at: Timestamp::from_micros(received[place]),
            verdict: verdicts[place],
            commitment: Hash::from_bytes([0; 32]),
        })
    };
    Some((erased, (0..count).map(entry).collect::<Option<Vec<_>>>()?))
}

/// The first six bytes of an event id as a number: of UUIDv7, milliseconds since 1970.
fn id_time(event: EventId) -> u64 {
    event.as_bytes()[..6].iter().fold(0, |time, byte| time << 8 | u64::from(*byte))
}

fn event_id(time: u64, tail: &[u8]) -> Option<EventId> {
    let [0, 0, head @ ..] = time.to_be_bytes() else { return None };
    let mut id = [0; 16];
    id[..6].copy_from_slice(&head);
    id[6..].copy_from_slice(tail);
    Some(EventId::from_bytes(id))
}

fn milliseconds(at: Timestamp) -> u64 {
    at.micros().div_euclid(1000).cast_unsigned()
}

/// Writes a difference, which may wrap around, so that small ones of both signs are short.
fn push_signed(difference: u64, out: &mut Vec<u8>) {
    varint::push(out, varint::zigzag(difference.cast_signed()));
}

fn take_signed(bytes: &mut &[u8]) -> Option<u64> {
    Some(varint::unzigzag(take_varint(bytes)?).cast_unsigned())
}

fn push_deltas(values: impl Iterator<Item = i64>, out: &mut Vec<u8>) {
    let mut last = 0;
    for value in values {
        push_signed(value.wrapping_sub(last).cast_unsigned(), out);
        last = value;
    }
}

fn take_deltas(count: usize, bytes: &mut &[u8]) -> Option<Vec<i64>> {
    let mut last = 0_i64;
    take_all(count, || {
        last = last.wrapping_add(take_signed(bytes)?.cast_signed());
        Some(last)
    })
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    varint::take(bytes).ok()
}

fn take_all<T>(count: usize, take: impl FnMut() -> Option<T>) -> Option<Vec<T>> {
    std::iter::repeat_with(take).take(count).collect()
}
