//! Signed notes, their texts and keys: nothing panics, what is accepted has one form, and only the key's own signature opens a note.
#![no_main]

use std::fmt::Display;
use std::str::FromStr;

use indelible_core::{BatchNote, Checkpoint, Note, SigningKey, StateDigest, VerifierKey};
use libfuzzer_sys::fuzz_target;

const NAME: &str = "indelible/9f2c4e0d6b1a48f7a3c5d8e1f0427b96";

fuzz_target!(|bytes: &[u8]| {
    let key = SigningKey::from_seed(NAME, &[7; 32]).expect("a name of a trail names a key");
    let verifier = key.verifier();
    is_refused(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    has_one_form::<VerifierKey>(text);
    let _ = SigningKey::from_str(text);
    signs_and_opens(text, &key, &verifier);
    exchanged_text_is_refused(text, &key, &verifier);
});

/// No seed was signed by this key, so that nothing that the fuzzer makes may be accepted.
fn is_refused(bytes: &[u8]) {
    let Ok(note) = Note::parse(bytes) else { return };
    assert_eq!(note.to_string().as_bytes(), bytes, "a note has one form");
    let stranger = SigningKey::from_seed(NAME, b"no seed of the corpus is of this").expect("a name of a trail names a key").verifier();
    assert!(note.verify(&stranger).is_err(), "a forged note: {note:?}");
}

/// A true signature does not vouch for another text.
fn exchanged_text_is_refused(text: &str, key: &SigningKey, verifier: &VerifierKey) {
    const SIGNED: &str = "indelible\n";
    let note = key.sign(SIGNED).expect("plain text can be signed").to_string();
    let exchanged = note.replacen(SIGNED, text, 1);
    if let Ok(note) = Note::parse(exchanged.as_bytes()) {
        assert!(note.unverified_text() == SIGNED || note.verify(verifier).is_err(), "{text:?} was not signed");
    }
}

fn has_one_form<T: FromStr + Display>(text: &str) {
    if let Ok(value) = T::from_str(text) {
        assert_eq!(value.to_string(), text);
    }
}

/// A text that is understood can be signed, and says the same afterwards.
fn signs_and_opens(text: &str, key: &SigningKey, verifier: &VerifierKey) {
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        if let Ok(note) = checkpoint.sign(key) {
            assert_eq!(note.unverified_text(), text, "a checkpoint has one form");
            assert_eq!(Checkpoint::open(note.to_string().as_bytes(), verifier), Ok(checkpoint));
        }
    }
    if let Ok(state) = StateDigest::parse(text) {
        if let Ok(note) = state.sign(key) {
            assert_eq!(note.unverified_text(), text, "a state has one form");
            assert_eq!(StateDigest::open(note.to_string().as_bytes(), verifier), Ok(state));
        }
    }
    if let Ok(batch) = BatchNote::parse(text) {
        if let Ok(note) = batch.sign(key) {
            assert_eq!(note.unverified_text(), text, "a batch note has one form");
            assert_eq!(BatchNote::open(note.to_string().as_bytes(), verifier), Ok(batch));
        }
    }
}
