//! Checkpoints and states: one text for one meaning, and only the trail's own key may speak for it.

#![allow(clippy::unwrap_used)]

use indelible_core::{BatchNote, Checkpoint, CheckpointError, HashError, Origin, StateDigest, leaf_hash};

const ORIGIN: &str = "indelible/9f2c4e0d6b1a48f7a3c5d8e1f0427b96";

fn checkpoint() -> Checkpoint {
    Checkpoint { origin: ORIGIN.parse().unwrap(), tree_size: 1024, root_hash: leaf_hash(b"root") }
}

fn state() -> StateDigest {
    StateDigest { origin: ORIGIN.parse().unwrap(), tree_size: 1024, digest: leaf_hash(b"rows") }
}

fn batch() -> BatchNote {
    let [root_hash, state, previous_state] = [b"root", b"rows", b"then"].map(|data| leaf_hash(data));
    BatchNote { origin: ORIGIN.parse().unwrap(), tree_size: 1024, root_hash, state, previous_state }
}

#[test]
fn texts_are_those_of_the_format() {
    let root = leaf_hash(b"root").to_base64();
    let rows = leaf_hash(b"rows").to_base64();
    assert_eq!(checkpoint().to_string(), format!("{ORIGIN}\n1024\n{root}\n"));
    assert_eq!(state().to_string(), format!("indelible state v1\n{ORIGIN}\n1024\n{rows}\n"));
    assert_eq!(Checkpoint::parse(&checkpoint().to_string()), Ok(checkpoint()));
    assert_eq!(StateDigest::parse(&state().to_string()), Ok(state()));
    let then = leaf_hash(b"then").to_base64();
    assert_eq!(batch().to_string(), format!("indelible batch v1\n{ORIGIN}\n1024\n{root}\n{rows}\n{then}\n"));
    assert_eq!(BatchNote::parse(&batch().to_string()), Ok(batch()));
}

#[test]
fn an_origin_is_the_prefix_and_its_128_bits() {
    let origin = Origin::from_random([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);
    assert_eq!(origin.as_str(), "indelible/000102030405060708090a0b0c0d0eff");
    assert_eq!(origin.as_str().parse(), Ok(origin));
    for bad in ["", "indelible/", &ORIGIN[1..], &ORIGIN[..41], &format!("{ORIGIN}0"), &ORIGIN.replace('f', "F"), &ORIGIN.replace('f', "g")]
    {
        assert_eq!(bad.parse::<Origin>(), Err(CheckpointError::Origin { found: bad.to_owned() }), "{bad}");
    }
}

#[test]
fn a_checkpoint_written_in_any_other_way_is_refused() {
    let good = checkpoint().to_string();
    let (size, lines) =
        (|found: &str| CheckpointError::TreeSize { found: found.to_owned() }, |found| CheckpointError::Lines { expected: 3, found });
    let table = [
        (good.replace("1024", "01024"), size("01024")),
        (good.replace("1024", "+1024"), size("+1024")),
        (good.replace("1024", "-1"), size("-1")),
        (good.replace("1024", " 1024"), size(" 1024")),
        (good.replace("1024", ""), size("")),
        (good.replace("1024", "18446744073709551616"), size("18446744073709551616")),
        (format!("{good}an extension line\n"), lines(4)),
        (format!("{good}\n"), lines(4)),
        (good.trim_end().to_owned(), lines(1)),
        (String::new(), lines(1)),
        (good.replace('=', ""), CheckpointError::Hash(HashError::Base64)),
        (good.replace(&checkpoint().root_hash.to_base64(), "AAAA"), CheckpointError::Hash(HashError::Length { found: 3 })),
    ];
    for (text, expected) in table {
        assert_eq!(Checkpoint::parse(&text), Err(expected), "{text:?}");
    }
}

#[test]
fn a_note_of_one_kind_is_none_of_another() {
    let untitled = state().to_string().replace("state v1", "state v2");
    assert_eq!(StateDigest::parse(&untitled), Err(CheckpointError::Title { expected: "indelible state v1" }));
    assert!(Checkpoint::parse(&state().to_string()).is_err());
    assert!(StateDigest::parse(&checkpoint().to_string()).is_err());
    let untitled = batch().to_string().replace("batch v1", "state v1");
    assert_eq!(BatchNote::parse(&untitled), Err(CheckpointError::Title { expected: "indelible batch v1" }));
    assert!(BatchNote::parse(&state().to_string()).is_err());
    assert!([Checkpoint::parse(&batch().to_string()).is_ok(), StateDigest::parse(&batch().to_string()).is_ok()] == [false; 2]);
}

#[cfg(feature = "signing")]
mod signed {
    use super::*;
    use indelible_core::{NoteError, SigningKey};

    fn key(name: &str, seed: u8) -> SigningKey {
        SigningKey::from_seed(name, &[seed; 32]).unwrap()
    }

    #[test]
    fn what_the_trail_key_signed_is_opened() {
        let key = key(ORIGIN, 1);
        let (signed, verifier) = (checkpoint().sign(&key).unwrap().to_string(), key.verifier());
        assert_eq!(Checkpoint::open(signed.as_bytes(), &verifier), Ok(checkpoint()));
        let signed = state().sign(&key).unwrap().to_string();
        assert_eq!(StateDigest::open(signed.as_bytes(), &verifier), Ok(state()));
        let signed = batch().sign(&key).unwrap().to_string();
        assert_eq!(BatchNote::open(signed.as_bytes(), &verifier), Ok(batch()));
    }

    #[test]
    fn a_changed_size_or_root_is_noticed() {
        let key = key(ORIGIN, 1);
        let signed = checkpoint().sign(&key).unwrap().to_string();
        let other_root = signed.replace(&leaf_hash(b"root").to_base64(), &leaf_hash(b"toor").to_base64());
        for changed in [signed.replace("1024", "1023"), other_root] {
            let result = Checkpoint::open(changed.as_bytes(), &key.verifier());
            assert!(matches!(result, Err(CheckpointError::Note(NoteError::BadSignature { .. }))), "{result:?}");
        }
    }

    #[test]
    fn another_key_of_the_same_name_does_not_speak_for_the_trail() {
        let signed = checkpoint().sign(&key(ORIGIN, 2)).unwrap().to_string();
        let result = Checkpoint::open(signed.as_bytes(), &key(ORIGIN, 1).verifier());
        assert!(matches!(result, Err(CheckpointError::Note(NoteError::UnknownKey { .. }))), "{result:?}");
    }

    #[test]
    fn a_key_of_another_name_neither_signs_nor_opens() {
        let foreign = key("indelible/00000000000000000000000000000000", 1);
        let expected = CheckpointError::ForeignKey { origin: ORIGIN.parse().unwrap(), key: foreign.name().to_owned() };
        assert_eq!(checkpoint().sign(&foreign), Err(expected.clone()));
        assert_eq!(state().sign(&foreign), Err(expected.clone()));
        assert_eq!(batch().sign(&foreign), Err(expected.clone()));
        let signed = foreign.sign(&checkpoint().to_string()).unwrap().to_string();
        assert_eq!(Checkpoint::open(signed.as_bytes(), &foreign.verifier()), Err(expected.clone()));
        let signed = foreign.sign(&state().to_string()).unwrap().to_string();
        assert_eq!(StateDigest::open(signed.as_bytes(), &foreign.verifier()), Err(expected.clone()));
        let signed = foreign.sign(&batch().to_string()).unwrap().to_string();
        assert_eq!(BatchNote::open(signed.as_bytes(), &foreign.verifier()), Err(expected));
    }
}
