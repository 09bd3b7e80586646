//! Signed notes: what is a note, and whom a key vouches for (C2SP signed-note).
#![cfg(feature = "signing")]
#![allow(clippy::unwrap_used)]

use indelible_core::{KeyError, Note, NoteError, SigningKey, VerifierKey};
use proptest::prelude::*;

const TEXT: &str = "first line\n\nthird line\n";

fn key(name: &str, seed: u8) -> SigningKey {
    SigningKey::from_seed(name, &[seed; 32]).unwrap()
}

fn signed(key: &SigningKey) -> String {
    key.sign(TEXT).unwrap().to_string()
}

fn signature_line(key: &SigningKey) -> String {
    signed(key).strip_prefix(TEXT).unwrap().trim_start_matches('\n').to_owned()
}

fn note(signature_lines: &[&str]) -> Note {
    Note::parse(format!("{TEXT}\n{}", signature_lines.concat()).as_bytes()).unwrap()
}

#[test]
fn a_signed_note_is_read_back_and_verified_and_its_text_may_hold_empty_lines() {
    let key = key("example.com/trail", 1);
    let note = Note::parse(signed(&key).as_bytes()).unwrap();
    assert_eq!(note, key.sign(TEXT).unwrap());
    assert_eq!(note.verify(&key.verifier()), Ok(TEXT));
    assert_eq!(note.unverified_text(), TEXT);
}

#[test]
fn the_example_of_the_go_implementation_verifies() {
    let key: VerifierKey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".parse().unwrap();
    let text = "If you think cryptography is the answer to your problem,\n\
                then you don't know what your problem is.\n";
    let signature = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    let note = Note::parse(format!("{text}\n{signature}").as_bytes()).unwrap();
    assert_eq!(note.verify(&key), Ok(text));
}

#[test]
fn signatures_by_unknown_keys_are_ignored_also_under_the_same_name() {
    let (ours, same_name, witness) = (key("trail", 1), key("trail", 2), key("witness", 1));
    let note = note(&[&signature_line(&same_name), &signature_line(&witness), &signature_line(&ours)]);
    assert_eq!(note.verify(&ours.verifier()), Ok(TEXT));
    assert_eq!(note.verify(&witness.verifier()), Ok(TEXT));
}

#[test]
fn a_note_that_the_key_did_not_sign_is_not_vouched_for() {
    let (ours, other) = (key("trail", 1), key("trail", 2));
    let unknown = NoteError::UnknownKey { key: "trail+KEYID".replace("KEYID", &key_id(&ours)) };
    assert_eq!(note(&[&signature_line(&other)]).verify(&ours.verifier()), Err(unknown));
}

#[test]
fn one_false_signature_of_the_key_fails_the_note_whatever_else_it_carries() {
    let key = key("trail", 1);
    let good = signature_line(&key);
    let false_one = key.sign("another text\n").unwrap().to_string().replace("another text\n\n", "");
    let bad = NoteError::BadSignature { key: format!("trail+{}", key_id(&key)) };
    for lines in [[good.as_str(), &false_one], [&false_one, &good]] {
        assert_eq!(note(&lines).verify(&key.verifier()), Err(bad.clone()));
    }
    assert_eq!(note(&[&good, &good]).verify(&key.verifier()), Ok(TEXT));
}

#[test]
fn a_signature_of_another_length_is_false() {
    let key = key("trail", 1);
    for encoded in ["AAAAAAA=", &"AAAA".repeat(30)] {
        let bytes = decode(encoded);
        let line = format!("— trail {}\n", encode(&[&decode_id(&key), &bytes[4..]].concat()));
        assert!(matches!(note(&[&line]).verify(&key.verifier()), Err(NoteError::BadSignature { .. })), "{encoded}");
    }
}

#[test]
fn what_is_not_a_note_is_refused() {
    let line = signature_line(&key("trail", 1));
    let malformed = Err(NoteError::Signature { line: 1 });
    let table: Vec<(Vec<u8>, Result<Note, NoteError>)> = vec![
        (b"".to_vec(), Err(NoteError::Incomplete)),
        (TEXT.into(), malformed.clone()),
        (b"text\n".to_vec(), Err(NoteError::Incomplete)),
        (b"text\n\n".to_vec(), Err(NoteError::Incomplete)),
        (format!("text\n{line}").into(), Err(NoteError::Incomplete)),
        (format!("text\n\n{}", line.trim_end()).into(), Err(NoteError::Incomplete)),
        (format!("text\n\n{line}tail").into(), Err(NoteError::Incomplete)),
        (format!("text\n\n{line}tail\n").into(), Err(NoteError::Signature { line: 2 })),
        (format!("text\r\n\n{line}").into(), Err(NoteError::NotText)),
        (format!("te\txt\n\n{line}").into(), Err(NoteError::NotText)),
        ([b"te\xffxt\n\n", line.as_bytes()].concat(), Err(NoteError::NotText)),
        (format!("text\n\n{}", line.replace('—', "-")).into(), malformed.clone()),
        (format!("text\n\n{}", line.replace("— ", "—")).into(), malformed.clone()),
        (format!("text\n\n{}", line.replace("trail", "tra+il")).into(), malformed.clone()),
        (format!("text\n\n{}", line.replace("trail", "tra\u{a0}il")).into(), malformed.clone()),
        (format!("text\n\n{}", line.replace("trail", "")).into(), malformed.clone()),
        (format!("text\n\n{}", line.replace("trail ", "trail  ")).into(), malformed.clone()),
        (format!("text\n\n{}", line.replace('=', "")).into(), malformed.clone()),
        (format!("text\n\n{}", line.replace('\n', " \n")).into(), malformed.clone()),
        (b"text\n\n\xe2\x80\x94 trail AAAA\n".to_vec(), malformed.clone()),
        (b"text\n\n\xe2\x80\x94 trail AAAAAA==\n".to_vec(), malformed),
        (format!("text\n\n{}", line.repeat(Note::SIGNATURES_MAX + 1)).into(), Err(NoteError::TooManySignatures)),
        (format!("{}\n\n{line}", "x".repeat(Note::BYTES_MAX)).into(), Err(NoteError::TooLong)),
    ];
    for (bytes, expected) in table {
        assert_eq!(Note::parse(&bytes), expected, "{}", String::from_utf8_lossy(&bytes[..bytes.len().min(200)]));
    }
}

#[test]
fn as_many_signatures_as_allowed_are_read() {
    let key = key("trail", 1);
    let line = signature_line(&key);
    let note = note(&vec![line.as_str(); Note::SIGNATURES_MAX]);
    assert_eq!(note.verify(&key.verifier()), Ok(TEXT));
}

#[test]
fn only_text_that_a_note_can_carry_is_signed() {
    for text in ["", "no line feed", "tab\tin it\n", "carriage return\r\n", "\0\n"] {
        assert_eq!(key("trail", 1).sign(text), Err(KeyError::Text), "{text:?}");
    }
}

#[test]
fn keys_round_trip_through_their_text() {
    let signing = key("example.com/trail", 3);
    let again: SigningKey = signing.secret_text().parse().unwrap();
    assert_eq!(again.verifier(), signing.verifier());
    assert_eq!(*again.secret_text(), *signing.secret_text());
    assert_eq!(signing.verifier().to_string().parse(), Ok(signing.verifier()));
}

#[test]
fn no_key_is_made_under_a_name_that_a_signature_line_cannot_carry() {
    for name in ["", "two words", "no\u{2003}break", "pl+us", "line\nfeed", "\u{7}"] {
        let expected = KeyError::Name { name: name.to_owned() };
        assert_eq!(SigningKey::from_seed(name, &[1; 32]).unwrap_err(), expected);
    }
}

#[test]
fn damaged_keys_are_refused_and_say_what_is_wrong() {
    let key = key("trail", 1);
    let (public, id) = (key.verifier().to_string(), key_id(&key));
    let damaged_id = KeyError::Id { expected: id.clone(), found: "00000000".to_owned() };
    assert_eq!(public.replace(&id, "00000000").parse::<VerifierKey>(), Err(damaged_id.clone()));
    assert!(matches!(public.replace(&id, &id.to_uppercase()).parse::<VerifierKey>(), Err(KeyError::Id { .. })));
    assert!(matches!(public.replace("trail", "trial").parse::<VerifierKey>(), Err(KeyError::Id { .. })));
    assert!(matches!(public.replace("trail", "").parse::<VerifierKey>(), Err(KeyError::Name { .. })));
    assert_eq!(public.replace("+A", "+B").parse::<VerifierKey>(), Err(KeyError::Type { found: 5 }));
    for bad in ["", "trail", "trail+00000000", "trail+00000000+", "trail+00000000+AQ==", &format!("{public}AAAA"), &format!("{public}\n")] {
        assert_eq!(bad.parse::<VerifierKey>(), Err(KeyError::Malformed), "{bad}");
    }
    let secret_of_another_id = key.secret_text().replace(&id, "00000000");
    assert_eq!(secret_of_another_id.parse::<SigningKey>().unwrap_err(), damaged_id);
    assert_eq!(public.parse::<SigningKey>().unwrap_err(), KeyError::Malformed);
    assert!(key.secret_text().parse::<VerifierKey>().is_err());
}

#[test]
fn showing_a_signing_key_for_debugging_does_not_show_its_secret() {
    let key = key("trail", 1);
    let shown = format!("{key:?}");
    assert!(shown.contains("trail"), "{shown}");
    let secret = key.secret_text();
    let (_, encoded) = secret.rsplit_once('+').unwrap();
    assert!(!shown.contains(encoded) && !shown.contains("1, 1, 1"), "{shown}");
}

proptest! {
    #[test]
    fn every_changed_byte_of_a_note_is_noticed(at: prop::sample::Index, change in 1..=255_u8) {
        let key = key("trail", 1);
        let mut bytes = signed(&key).into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        let vouched = Note::parse(&bytes).is_ok_and(|note| note.verify(&key.verifier()).is_ok());
        prop_assert!(!vouched, "byte {} changed by {}", at, change);
    }

    #[test]
    fn any_bytes_are_refused_or_come_out_as_they_went_in(
        bytes in prop::collection::vec(prop::sample::select(b"\n\n\n\n- aA=+\xe2\x80\x94\x00".to_vec()), 0..60),
    ) {
        if let Ok(note) = Note::parse(&bytes) {
            prop_assert_eq!(note.to_string().into_bytes(), bytes);
        }
    }
}

fn key_id(key: &SigningKey) -> String {
    decode_id(key).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn decode_id(key: &SigningKey) -> Vec<u8> {
    key.verifier().id().to_vec()
}

fn decode(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

fn encode(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
