//! Notes and checkpoints signed by one implementation are opened by the other (`signed_note`, `tlog_tiles`).
#![cfg(feature = "signing")]
#![allow(clippy::unwrap_used)]

use indelible_core::{Checkpoint, Note, Origin, SigningKey, VerifierKey, leaf_hash};
use signed_note::{Note as TheirNote, Signer as _, StandardSigner, StandardVerifier, VerifierList};

const TEXT: &str = "a text\n\nof three lines\n";

fn ours() -> SigningKey {
    SigningKey::from_seed("example.com/trail", &[5; 32]).unwrap()
}

fn verifiers(key: &VerifierKey) -> VerifierList {
    VerifierList::new(vec![Box::new(StandardVerifier::new(&key.to_string()).unwrap())])
}

#[test]
fn a_note_signed_by_us_is_opened_by_signed_note() {
    let key = ours();
    let note = key.sign(TEXT).unwrap().to_string();
    let opened = TheirNote::from_bytes(note.as_bytes()).unwrap();
    let (verified, unverified) = opened.verify(&verifiers(&key.verifier())).unwrap();
    assert_eq!((verified.len(), unverified.len()), (1, 0));
    assert_eq!(opened.text(), TEXT.as_bytes());
}

#[test]
fn a_note_signed_by_signed_note_is_opened_by_us() {
    let key = ours();
    let signer = StandardSigner::new(&key.secret_text()).unwrap();
    assert_eq!(signer.key_id().to_be_bytes(), key.verifier().id());
    let mut note = TheirNote::new(TEXT.as_bytes(), &[]).unwrap();
    note.add_sigs(&[&signer]).unwrap();
    assert_eq!(Note::parse(&note.to_bytes()).unwrap().verify(&key.verifier()), Ok(TEXT));
    assert_eq!(note.to_bytes(), key.sign(TEXT).unwrap().to_string().into_bytes());
}

#[test]
fn a_witness_adds_its_signature_and_both_keys_vouch_for_the_note() {
    let (key, witness) = (ours(), SigningKey::from_seed("witness.example", &[6; 32]).unwrap());
    let mut note = TheirNote::from_bytes(key.sign(TEXT).unwrap().to_string().as_bytes()).unwrap();
    note.add_sigs(&[&StandardSigner::new(&witness.secret_text()).unwrap()]).unwrap();
    let note = Note::parse(&note.to_bytes()).unwrap();
    assert_eq!(note.verify(&key.verifier()), Ok(TEXT));
    assert_eq!(note.verify(&witness.verifier()), Ok(TEXT));
}

#[test]
fn both_refuse_a_note_that_was_changed() {
    let key = ours();
    let changed = key.sign(TEXT).unwrap().to_string().replace("three", "seven");
    assert!(Note::parse(changed.as_bytes()).unwrap().verify(&key.verifier()).is_err());
    assert!(TheirNote::from_bytes(changed.as_bytes()).unwrap().verify(&verifiers(&key.verifier())).is_err());
}

#[test]
fn checkpoints_are_read_alike_by_tlog_tiles() {
    let origin = Origin::from_random([0xab; 16]);
    for tree_size in [0, 1, 1024, u64::MAX] {
        let ours = Checkpoint { origin: origin.clone(), tree_size, root_hash: leaf_hash(b"root") };
        let theirs = tlog_tiles::Checkpoint::from_bytes(ours.to_string().as_bytes()).unwrap();
        assert_eq!((theirs.origin(), theirs.size(), theirs.extension()), (origin.as_str(), tree_size, ""));
        assert_eq!(theirs.hash().0, *ours.root_hash.as_bytes());
        let back = String::from_utf8(theirs.to_bytes()).unwrap();
        assert_eq!(Checkpoint::parse(&back), Ok(ours));
    }
}
