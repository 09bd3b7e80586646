//! Journal frames: what is written reads back, what is damaged is noticed.

use indelible_core::{
    EventId, Evidence, Frame, FrameError, IntentId, Item, Resolution, SegmentError, SegmentHeader, StreamId, Timestamp, encode_frame,
    read_frame,
};
use proptest::collection::vec;
use proptest::prelude::*;

const STREAM: StreamId = StreamId::from_bytes([7; 16]);

/// What an OUTCOME can say.
const RESULTS: [(Resolution, Evidence); 5] = [
    (Resolution::Committed, Evidence::Ack),
    (Resolution::RolledBack, Evidence::Ack),
    (Resolution::Committed, Evidence::Marker),
    (Resolution::RolledBack, Evidence::Marker),
    (Resolution::Committed, Evidence::Outbox),
];

type OwnedItem = ([u8; 16], i64, Vec<u8>);

fn borrowed(items: &[OwnedItem]) -> Vec<Item<'_>> {
    items.iter().map(|(id, at, body)| Item { event: EventId::from_bytes(*id), recorded_at: Timestamp::from_micros(*at), body }).collect()
}

fn items() -> impl Strategy<Value = Vec<OwnedItem>> {
    vec((any::<[u8; 16]>(), any::<i64>(), vec(any::<u8>(), 0..200)), 0..6)
}

fn encoded(sequence: u64, frame: &Frame<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_frame(STREAM, sequence, frame, &mut bytes);
    bytes
}

fn outcome(items: &[OwnedItem]) -> Vec<u8> {
    let intent = IntentId::from_bytes([1; 16]);
    encoded(9, &Frame::Outcome { intent, resolution: Resolution::Committed, by: Evidence::Ack, items: borrowed(items) })
}

fn assert_round_trip(sequence: u64, frame: &Frame<'_>) {
    let bytes = encoded(sequence, frame);
    let (raw, consumed) = read_frame(STREAM, &bytes).expect("an undamaged frame is read");
    assert_eq!((raw.sequence, consumed), (sequence, bytes.len()));
    assert_eq!(&raw.parse().expect("its payload too"), frame);
}

proptest! {
    #[test]
    fn every_frame_reads_back(sequence in any::<u64>(), intent in any::<[u8; 16]>(), alias in "[a-z_é]{0,40}", items in items(), count in any::<u64>()) {
        let intent = IntentId::from_bytes(intent);
        for evidence in [Evidence::Ack, Evidence::Marker, Evidence::Outbox] {
            assert_round_trip(sequence, &Frame::Intent { intent, evidence, alias: &alias, items: borrowed(&items) });
        }
        for (resolution, by) in RESULTS {
            assert_round_trip(sequence, &Frame::Outcome { intent, resolution, by, items: borrowed(&items) });
        }
        if let Some(&item) = borrowed(&items).first() {
            assert_round_trip(sequence, &Frame::Event(item));
        }
        assert_round_trip(sequence, &Frame::Loss { count, first_at: Timestamp::from_micros(1), last_at: Timestamp::from_micros(2) });
        assert_round_trip(sequence, &Frame::Close);
    }

    #[test]
    fn every_flipped_bit_is_noticed(items in items(), place in any::<prop::sample::Index>(), bit in 0_u32..8) {
        let mut bytes = outcome(&items);
        let at = place.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(read_frame(STREAM, &bytes).is_err());
    }

    #[test]
    fn a_frame_cut_anywhere_is_incomplete(items in items(), place in any::<prop::sample::Index>()) {
        let bytes = outcome(&items);
        let end = place.index(bytes.len());
        prop_assert_eq!(read_frame(STREAM, &bytes[..end]), Err(FrameError::Incomplete));
    }

    #[test]
    fn a_hostile_payload_that_is_accepted_says_nothing_that_it_did_not_hold(kind in 0_u8..8, payload in vec(any::<u8>(), 0..300)) {
        if let Ok(frame) = Frame::parse(kind, &payload) {
            prop_assert_eq!(&encoded(1, &frame)[20..], &payload[..]);
        }
    }

    #[test]
    fn hostile_bytes_are_refused(bytes in vec(any::<u8>(), 0..300)) {
        prop_assert!(read_frame(STREAM, &bytes).is_err());
        prop_assert!(SegmentHeader::decode(&bytes).is_err());
    }
}

#[test]
fn a_frame_copied_into_another_stream_is_corrupt_there() {
    let bytes = encoded(1, &Frame::Close);
    let other = StreamId::from_bytes([8; 16]);
    assert_eq!(read_frame(other, &bytes), Err(FrameError::Crc { length: bytes.len() }));
}

#[test]
fn a_segment_header_reads_back_and_every_flipped_bit_is_noticed() {
    let header = SegmentHeader { stream: STREAM, number: 3, first_sequence: 1000, created_at: Timestamp::from_micros(-5) };
    let bytes = header.encode();
    assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
    assert_eq!(SegmentHeader::decode(&bytes[..63]), Err(SegmentError::Incomplete));
    for bit in 0..64 * 8 {
        let mut damaged = bytes;
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(SegmentHeader::decode(&damaged).is_err(), "bit {bit}");
    }
}

#[test]
fn a_segment_of_another_version_says_so() {
    let mut bytes = SegmentHeader { stream: STREAM, number: 1, first_sequence: 1, created_at: Timestamp::from_micros(0) }.encode();
    bytes[8] = 2;
    let crc = crc32c::crc32c(&bytes[..60]);
    bytes[60..].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(SegmentHeader::decode(&bytes), Err(SegmentError::Version(2)));
}

#[test]
fn an_outcome_has_one_byte_for_what_became_of_the_intent_and_what_proves_it() {
    let payload = |result| [&[1; 16][..], &[result], &[0; 4]].concat();
    let read = |result| match Frame::parse(3, &payload(result)) {
        Ok(Frame::Outcome { resolution, by, .. }) => Some((resolution, by)),
        _ => None,
    };
    assert_eq!((1..=5).filter_map(read).collect::<Vec<_>>(), RESULTS);
    assert_eq!((6..=255).chain([0]).filter_map(read).collect::<Vec<_>>(), [], "an outbox never proves a rollback");
}
