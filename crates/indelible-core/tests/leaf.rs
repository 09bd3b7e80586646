//! Leaf entries: every field has its place, and every byte counts.

use indelible_core::{EventId, Hash, LeafEntry, LeafError, StreamId, Timestamp, Verdict, commitment};
use proptest::prelude::*;

fn entry() -> LeafEntry {
    LeafEntry {
        event: EventId::from_bytes([1; 16]),
        stream: StreamId::from_bytes([2; 16]),
        stream_index: 0x0303_0303_0303_0303,
        sequence: 0x0404_0404_0404_0404,
        item: 0x0505_0505,
        recorded_at: Timestamp::from_micros(0x0606_0606_0606_0606),
        received_at: Timestamp::from_micros(-1),
        verdict: Verdict::InDoubt,
        commitment: Hash::from_bytes([7; 32]),
    }
}

#[test]
fn fields_stand_where_the_format_puts_them() {
    let mut expected = vec![1];
    for (byte, length) in [(1, 16), (2, 16), (3, 8), (4, 8), (5, 4), (6, 8), (0xff, 8), (5, 1), (7, 32)] {
        expected.extend(std::iter::repeat_n(byte, length));
    }
    assert_eq!(entry().encode().as_slice(), expected);
}

#[test]
fn bytes_that_version_1_never_writes_are_refused() {
    let good = entry().encode();
    for length in [0, 101, 103] {
        let bytes: Vec<_> = good.iter().copied().cycle().take(length).collect();
        assert_eq!(LeafEntry::decode(&bytes), Err(LeafError::Length { found: length }));
    }
    for version in [0, 2, 255] {
        let mut bytes = good;
        bytes[0] = version;
        assert_eq!(LeafEntry::decode(&bytes), Err(LeafError::Version { found: version }));
    }
    for verdict in [0, 6, 255] {
        let mut bytes = good;
        bytes[69] = verdict;
        assert_eq!(LeafEntry::decode(&bytes), Err(LeafError::Verdict { found: verdict }));
    }
}

#[test]
fn another_salt_or_body_gives_another_commitment() {
    let salt = [9; 32];
    let of = commitment(&salt, b"{}");
    assert_ne!(commitment(&salt, b"{ }"), of);
    for bit in 0..256 {
        let mut other = salt;
        other[bit / 8] ^= 1 << (bit % 8);
        assert_ne!(commitment(&other, b"{}"), of, "bit {bit}");
    }
}

proptest! {
    /// Two records never share a leaf hash, and what can be read is exactly what was hashed.
    #[test]
    fn every_changed_bit_of_an_entry_changes_its_hash_or_is_refused(bit in 0..LeafEntry::BYTES * 8) {
        let mut bytes = entry().encode();
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(other) = LeafEntry::decode(&bytes) {
            prop_assert_eq!(other.encode(), bytes);
            prop_assert_ne!(other.hash(), entry().hash());
        } else {
            prop_assert!(bit / 8 == 0 || bit / 8 == 69, "bit {} of a field was refused", bit);
        }
    }

    #[test]
    fn entries_round_trip(
        event: [u8; 16], stream: [u8; 16], stream_index: u64, sequence: u64, item: u32,
        recorded_at: i64, received_at: i64, verdict in prop::sample::select(&Verdict::ALL[..]), commitment: [u8; 32],
    ) {
        let entry = LeafEntry {
            event: EventId::from_bytes(event),
            stream: StreamId::from_bytes(stream),
            stream_index,
            sequence,
            item,
            recorded_at: Timestamp::from_micros(recorded_at),
            received_at: Timestamp::from_micros(received_at),
            verdict,
            commitment: Hash::from_bytes(commitment),
        };
        prop_assert_eq!(LeafEntry::decode(&entry.encode()), Ok(entry));
    }
}
