//! What goes into a block comes out of it, and other bytes are refused.

use indelible_core::{EventId, StreamId, Timestamp, Verdict};
use proptest::prelude::*;

use super::*;

fn stored(leaf_index: u64, salt: Option<[u8; 32]>, body: Vec<u8>, mut entry: LeafEntry) -> StoredLeaf {
    if let Some(salt) = &salt {
        entry.commitment = commitment(salt, &body);
    }
    StoredLeaf { leaf_index, leaf_hash: entry.hash(), entry, salt, body }
}

prop_compose! {
    fn entry()(
        event in any::<[u8; 16]>(),
        stream in 0..4_u8,
        numbers in any::<(u64, u64, u32)>(),
        times in any::<(i64, i64)>(),
        verdict in 0..5_usize,
        commitment in any::<[u8; 32]>(),
    ) -> LeafEntry {
        LeafEntry {
            event: EventId::from_bytes(event),
            stream: StreamId::from_bytes([stream; 16]),
            stream_index: numbers.0,
            sequence: numbers.1,
            item: numbers.2,
            recorded_at: Timestamp::from_micros(times.0),
            received_at: Timestamp::from_micros(times.1),
            verdict: Verdict::ALL[verdict],
            commitment: Hash::from_bytes(commitment),
        }
    }
}

fn record() -> impl Strategy<Value = StoredLeaf> {
    let body = prop_oneof![prop::collection::vec(any::<u8>(), 0..40), Just(vec![b'x'; 400_000])];
    (entry(), any::<[u8; 32]>(), any::<bool>(), body).prop_map(|(entry, salt, erased, body)| {
        if erased { stored(0, None, Vec::new(), entry) } else { stored(0, Some(salt), body, entry) }
    })
}

fn numbered(mut records: Vec<StoredLeaf>, first_index: u64) -> Vec<StoredLeaf> {
    (first_index..).zip(&mut records).for_each(|(leaf_index, record)| record.leaf_index = leaf_index);
    records
}

fn decode(encoded: &Encoded, count: u64) -> Result<Vec<StoredLeaf>, TrailError> {
    let mut block = Block::decode(7..7 + count, &encoded.leaves, encoded.bodies.clone())?;
    (7..7 + count).map(|leaf_index| block.record(leaf_index)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn records_come_out_as_they_went_in(records in prop::collection::vec(record(), 1..20)) {
        let records = numbered(records, 7);
        let encoded = encode(&records).unwrap();
        prop_assert_eq!(decode(&encoded, records.len() as u64).unwrap(), records);
    }

    #[test]
    fn other_bytes_are_refused_or_differ(
        records in prop::collection::vec(record(), 1..6), place in any::<prop::sample::Index>(), bit in 0..8_u32, in_bodies in any::<bool>()
    ) {
        let records = numbered(records, 7);
        let mut encoded = encode(&records).unwrap();
        let bytes = if in_bodies { &mut encoded.bodies } else { &mut encoded.leaves };
        let place = place.index(bytes.len());
        bytes[place] ^= 1_u8 << bit;
        let count = records.len() as u64;
        match decode(&encoded, count) {
            Err(TrailError::Block { first_index: 7, end_index, .. }) => prop_assert_eq!(end_index, 7 + count),
            Ok(found) => prop_assert!(in_bodies || found != records, "byte {} of the leaves says nothing", place),
            Err(error) => prop_assert!(false, "{error}"),
        }
    }
}

#[test]
fn a_full_block_knows_the_root_over_its_leaves() {
    let template = LeafEntry::decode(&{
        let mut bytes = [0; LeafEntry::BYTES];
        (bytes[0], bytes[69]) = (1, 1);
        bytes
    })
    .unwrap();
    let records = |count: u64| (0..count).map(|index| stored(index, Some([index as u8; 32]), vec![1], template)).collect::<Vec<_>>();
    assert_eq!(encode(&records(255)).unwrap().node, None);
    let full = records(256);
    assert_eq!(encode(&full).unwrap().node, Some(root_of(full.iter().map(|record| record.leaf_hash))));
    assert_eq!([0, 255, 256].map(end_of), [256, 256, 512]);
}

#[test]
fn a_body_that_is_said_to_be_erased_is_not_there() {
    let entry = LeafEntry::decode(&{
        let mut bytes = [0; LeafEntry::BYTES];
        (bytes[0], bytes[69]) = (1, 1);
        bytes
    })
    .unwrap();
    let refused = |body| decode(&encode(&[stored(7, None, body, entry)]).unwrap(), 1).is_err();
    assert_eq!([refused(vec![]), refused(b"{}".to_vec())], [false, true]);
}
