//! What a receipt proves, and what it does not.
#![cfg(feature = "signing")]
#![allow(clippy::unwrap_used)]

use indelible_core::{
    Checkpoint, Disclosed, EventId, Hash, InclusionProof, LeafEntry, Origin, Receipt, ReceiptError, SigningKey, StreamId, Timestamp,
    TreeHead, Verdict, commitment,
};

const TREE_SIZE: u64 = 11;
const BODY: &[u8] = b"{\"v\":1}";

fn origin() -> Origin {
    Origin::from_random([3; 16])
}

fn key() -> SigningKey {
    SigningKey::from_seed(origin().as_str(), &[4; 32]).unwrap()
}

fn entry(index: u64) -> LeafEntry {
    LeafEntry {
        event: EventId::from_parts(index, [1; 10]),
        stream: StreamId::from_parts(1, [2; 10]),
        stream_index: index,
        sequence: index + 1,
        item: 0,
        recorded_at: Timestamp::from_micros(1),
        received_at: Timestamp::from_micros(2),
        verdict: Verdict::Recorded,
        commitment: commitment(&[9; 32], BODY),
    }
}

fn leaves() -> Vec<Hash> {
    (0..TREE_SIZE).map(|index| entry(index).hash()).collect()
}

fn receipt(leaf_index: u64) -> Receipt {
    let head = TreeHead::of(leaves());
    let checkpoint = Checkpoint { origin: origin(), tree_size: head.tree_size, root_hash: head.root_hash };
    Receipt {
        entry: entry(leaf_index),
        disclosed: Some(Disclosed { salt: [9; 32], body: BODY.to_vec() }),
        proof: InclusionProof::prove(leaf_index, &leaves()).unwrap(),
        checkpoint: checkpoint.sign(&key()).unwrap(),
    }
}

#[test]
fn every_record_has_a_receipt_that_survives_being_written_and_verifies() {
    for leaf_index in 0..TREE_SIZE {
        let receipt = receipt(leaf_index);
        let read = Receipt::parse(receipt.to_string().as_bytes()).unwrap();
        assert_eq!(read, receipt);
        assert_eq!(read.verify(&key().verifier()).unwrap().tree_size, TREE_SIZE);
    }
}

#[test]
fn a_record_is_proved_without_being_shown() {
    let closed = Receipt { disclosed: None, ..receipt(4) };
    let read = Receipt::parse(closed.to_string().as_bytes()).unwrap();
    assert_eq!(read, closed);
    assert!(read.verify(&key().verifier()).is_ok());
    assert!(!closed.to_string().contains("eyJ2Ijox"), "the body is not in it");
}

#[test]
fn no_changed_byte_of_a_receipt_proves_another_record() {
    let honest = receipt(6);
    let text = honest.to_string().into_bytes();
    let verifier = key().verifier();
    for place in 0..text.len() {
        for mask in [0x01, 0x02, 0x20, 0x80] {
            let mut changed = text.clone();
            changed[place] ^= mask;
            let proved = Receipt::parse(&changed).ok().filter(|receipt| receipt.verify(&verifier).is_ok());
            assert!(proved.is_none(), "byte {place} with {mask:#x}: {proved:?}");
        }
    }
    for end in 0..text.len() {
        let cut = Receipt::parse(&text[..end]);
        assert!(cut.is_err(), "cut at {end}");
    }
}

#[test]
fn another_place_body_or_key_is_refused_by_name() {
    let verifier = key().verifier();
    let mut elsewhere = receipt(6);
    elsewhere.proof.leaf_index = 5;
    assert!(matches!(elsewhere.verify(&verifier), Err(ReceiptError::Proof(_))));

    let mut another = receipt(6);
    another.disclosed.as_mut().unwrap().body = b"{\"v\":2}".to_vec();
    assert_eq!(another.verify(&verifier), Err(ReceiptError::Body));

    let stranger = SigningKey::from_seed(origin().as_str(), &[5; 32]).unwrap();
    assert!(matches!(receipt(6).verify(&stranger.verifier()), Err(ReceiptError::Checkpoint(_))));
}

#[test]
fn what_is_no_receipt_is_refused_with_its_line() {
    let text = receipt(6).to_string();
    let line = |text: &str| match Receipt::parse(text.as_bytes()) {
        Err(ReceiptError::Line { line, .. }) => line,
        other => panic!("{other:?}"),
    };
    assert_eq!(line(""), 1);
    assert_eq!(line(&text.replace("@v1", "@v2")), 1);
    assert_eq!(line(&text.replacen("extra ", "", 1)), 2);
    assert_eq!(line(&text.replacen("extra ", "extra AAAA", 1)), 2, "extra data of somebody else");
    assert_eq!(line(&text.replacen("index 6", "index 06", 1)), 3);
    assert_eq!(line(&text.replacen("index 6", "index -6", 1)), 3);
    assert!(Receipt::parse(text.replacen("=\n", "\n", 2).as_bytes()).is_err());
    assert_eq!(Receipt::parse(&vec![b'x'; Receipt::BYTES_MAX + 1]), Err(ReceiptError::TooLong));
}

/// A stranger has the file, the verifier key, and other people's code.
#[test]
fn other_peoples_code_checks_a_receipt() {
    use signed_note::{Note, StandardVerifier, VerifierList};

    let text = receipt(6).to_string();
    let (head, checkpoint) = text.split_once("\n\n").unwrap();
    let lines: Vec<&str> = head.lines().collect();
    let verifier = StandardVerifier::new(&key().verifier().to_string()).unwrap();
    let note = Note::from_bytes(checkpoint.as_bytes()).unwrap();
    note.verify(&VerifierList::new(vec![Box::new(verifier)])).unwrap();
    let signed: Vec<&str> = std::str::from_utf8(note.text()).unwrap().lines().collect();

    let hash = |text: &str| tlog_tiles::Hash(*Hash::from_base64(text).unwrap().as_bytes());
    let path = lines[3..].iter().map(|line| hash(line)).collect();
    let leaf = tlog_tiles::record_hash(&entry(6).encode());
    let index = lines[2].strip_prefix("index ").unwrap().parse().unwrap();
    tlog_tiles::check_record(&path, signed[1].parse().unwrap(), hash(signed[2]), index, leaf).unwrap();
}
