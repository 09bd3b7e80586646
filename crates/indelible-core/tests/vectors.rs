//! The golden vectors of `testdata/vectors`, which implementations in other languages check themselves against
//! (`tests/python/test_vectors.py` is one).
//!
//! Each file is computed here anew and must be equal to the stored one: a changed vector and a changed format both fail.
//! After a deliberate change of the format, `INDELIBLE_WRITE_VECTORS=1 cargo test -p indelible-core --all-features --test vectors`
//! writes the files.
#![cfg(feature = "signing")]
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use indelible_core::{
    BatchNote, Checkpoint, ConsistencyProof, Disclosed, EventId, Evidence, Frame, Frontier, Hash, InclusionProof, IntentId, Item,
    LeafEntry, Origin, Receipt, Resolution, SealNote, SegmentHeader, SigningKey, StateDigest, StreamId, Timestamp, TreeHead, Verdict,
    commitment, encode_frame, leaf_hash, read_frame,
};
use serde_json::{Value, json};

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hexadecimal(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// Compares a file with what was computed, or writes it when `INDELIBLE_WRITE_VECTORS` is set.
fn check(name: &str, computed: &Value) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/vectors").join(name);
    if std::env::var_os("INDELIBLE_WRITE_VECTORS").is_some() {
        std::fs::write(&path, format!("{computed:#}\n")).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let stored: Value = serde_json::from_str(&stored).unwrap();
    assert_eq!(&stored, computed, "{} is not what this program computes", path.display());
    stored
}

/// A body with every kind of byte that a careless reader would change: escapes, other scripts, no white space.
const BODY: &str = r#"{"v":1,"id":"01938f00-0001-7000-8000-000000000001","kind":"change","action":"patient.update","outcome":"success","recorded_at":"2026-01-31T09:30:00.123456Z","actor":{"type":"user","id":"7","label":"Zoë 🩺"},"changes":[{"field":"note","old":"a\u0000b","new":"/\\\"é"}]}"#;

fn event(number: u8) -> EventId {
    EventId::from_parts(1_738_315_800_000 + u64::from(number), [number; 10])
}

fn stream() -> StreamId {
    StreamId::from_parts(1_738_315_700_000, [0xa5; 10])
}

mod leaves {
    use super::*;

    fn entries() -> Vec<(LeafEntry, [u8; 32], &'static str)> {
        let entry = |number: u8, verdict, salt: u8, body: &'static str| {
            let salt = [salt; 32];
            let entry = LeafEntry {
                event: event(number),
                stream: stream(),
                stream_index: u64::from(number) - 1,
                sequence: u64::from(number) * 3,
                item: u32::from(number) % 2,
                recorded_at: Timestamp::from_micros(1_769_851_800_123_456 + i64::from(number)),
                received_at: Timestamp::from_micros(1_769_851_801_000_000 + i64::from(number)),
                verdict,
                commitment: commitment(&salt, body.as_bytes()),
            };
            (entry, salt, body)
        };
        let mut entries = vec![
            entry(1, Verdict::Recorded, 0x00, BODY),
            entry(2, Verdict::Committed, 0xff, "{}"),
            entry(3, Verdict::CommittedByMarker, 0x01, BODY),
            entry(4, Verdict::CommittedByOutbox, 0x80, ""),
            entry(5, Verdict::InDoubt, 0x5a, BODY),
            entry(6, Verdict::Recorded, 0x77, BODY),
        ];
        let extreme = &mut entries[5].0;
        extreme.stream = StreamId::AGENT;
        (extreme.stream_index, extreme.sequence, extreme.item) = (u64::MAX, u64::MAX, u32::MAX);
        (extreme.recorded_at, extreme.received_at) = (Timestamp::from_micros(i64::MIN), Timestamp::from_micros(-1));
        entries
    }

    fn vector((entry, salt, body): &(LeafEntry, [u8; 32], &str)) -> Value {
        json!({
            "event": hexadecimal(entry.event.as_bytes()),
            "stream": hexadecimal(entry.stream.as_bytes()),
            "stream_index": entry.stream_index,
            "sequence": entry.sequence,
            "item": entry.item,
            "recorded_at": entry.recorded_at.micros(),
            "received_at": entry.received_at.micros(),
            "verdict": entry.verdict.as_str(),
            "salt": hexadecimal(salt),
            "body": body,
            "commitment": entry.commitment.to_string(),
            "entry": hexadecimal(&entry.encode()),
            "leaf_hash": entry.hash().to_string(),
        })
    }

    #[test]
    fn entries_commitments_and_leaf_hashes_are_those_of_the_vectors() {
        let entries = entries();
        let stored = check("leaves.json", &json!({ "leaves": entries.iter().map(vector).collect::<Vec<_>>() }));
        for (stored, (entry, ..)) in stored["leaves"].as_array().unwrap().iter().zip(entries) {
            assert_eq!(LeafEntry::decode(&from_hexadecimal(&stored["entry"])), Ok(entry));
        }
    }
}

mod tree {
    use super::*;

    /// All shapes up to the second power of two after the first odd ones, and some that are deep.
    const SIZES: [u64; 24] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 31, 32, 33, 255, 1000, 4097];
    const INCLUSIONS: [(u64, u64); 10] =
        [(0, 1), (0, 17), (15, 17), (16, 17), (31, 33), (32, 33), (254, 255), (500, 1000), (999, 1000), (4096, 4097)];
    const CONSISTENCIES: [(u64, u64); 10] =
        [(0, 8), (8, 17), (13, 17), (16, 17), (17, 17), (31, 33), (32, 33), (255, 1000), (512, 1000), (4096, 4097)];

    fn leaves() -> Vec<Hash> {
        (0..4097_u64).map(|index| leaf_hash(&index.to_le_bytes())).collect()
    }

    /// All proofs in small trees, then those of the list.
    fn pairs(small: impl Fn(u64) -> std::ops::Range<u64>, larger: &[(u64, u64)]) -> Vec<(u64, u64)> {
        let all_small = (1..=8).flat_map(|size| small(size).map(move |other| (other, size)));
        all_small.chain(larger.iter().copied()).collect()
    }

    fn texts(path: &[Hash]) -> Vec<String> {
        path.iter().map(Hash::to_string).collect()
    }

    fn root(leaves: &[Hash], size: u64) -> Value {
        let mut frontier = Frontier::default();
        frontier.extend(leaves[..size as usize].iter().copied());
        json!({ "tree_size": size, "root_hash": frontier.root().to_string(), "frontier": hexadecimal(&frontier.to_bytes()) })
    }

    fn inclusion(leaves: &[Hash], (leaf_index, tree_size): (u64, u64)) -> Value {
        let proof = InclusionProof::prove(leaf_index, &leaves[..tree_size as usize]).unwrap();
        json!({ "leaf_index": leaf_index, "tree_size": tree_size, "path": texts(&proof.path) })
    }

    fn consistency(leaves: &[Hash], (old_size, new_size): (u64, u64)) -> Value {
        let proof = ConsistencyProof::prove(old_size, &leaves[..new_size as usize]).unwrap();
        json!({ "old_size": old_size, "new_size": new_size, "path": texts(&proof.path) })
    }

    fn path(proof: &Value) -> Vec<Hash> {
        proof["path"].as_array().unwrap().iter().map(|hash| hash.as_str().unwrap().parse().unwrap()).collect()
    }

    #[test]
    fn roots_frontiers_and_proofs_are_those_of_the_vectors_and_verify() {
        let leaves = leaves();
        let inclusions = pairs(|size| 0..size, &INCLUSIONS);
        let consistencies = pairs(|size| 1..size + 1, &CONSISTENCIES);
        let stored = check(
            "tree.json",
            &json!({
                "leaves": "The entry of leaf n is n as 8 little-endian bytes.",
                "roots": SIZES.map(|size| root(&leaves, size)),
                "inclusion": inclusions.iter().map(|&pair| inclusion(&leaves, pair)).collect::<Vec<_>>(),
                "consistency": consistencies.iter().map(|&pair| consistency(&leaves, pair)).collect::<Vec<_>>(),
            }),
        );

        let head = |size: u64| TreeHead::of(leaves[..size as usize].iter().copied());
        for root in stored["roots"].as_array().unwrap() {
            let frontier = Frontier::from_bytes(&from_hexadecimal(&root["frontier"])).unwrap();
            assert_eq!(frontier.head(), head(root["tree_size"].as_u64().unwrap()));
        }
        for (stored, (leaf_index, size)) in stored["inclusion"].as_array().unwrap().iter().zip(inclusions) {
            let proof = InclusionProof { leaf_index, path: path(stored) };
            assert_eq!(proof.verify(&leaves[leaf_index as usize], &head(size)), Ok(()));
        }
        for (stored, (old, new)) in stored["consistency"].as_array().unwrap().iter().zip(consistencies) {
            assert_eq!(ConsistencyProof { path: path(stored) }.verify(&head(old), &head(new)), Ok(()));
        }
    }
}

mod notes {
    use super::*;

    #[test]
    fn keys_and_signed_notes_are_those_of_the_vectors_and_verify() {
        let origin = Origin::from_random(*b"\x9f\x2c\x4e\x0d\x6b\x1a\x48\xf7\xa3\xc5\xd8\xe1\xf0\x42\x7b\x96");
        let seed = std::array::from_fn(|index| index as u8);
        let key = SigningKey::from_seed(origin.as_str(), &seed).unwrap();
        let checkpoint = |tree_size: u64| {
            let leaves = (0..tree_size).map(|index| leaf_hash(&index.to_le_bytes()));
            Checkpoint { origin: origin.clone(), tree_size, root_hash: TreeHead::of(leaves).root_hash }
        };
        let state = StateDigest { origin: origin.clone(), tree_size: 1000, digest: leaf_hash(b"rows") };
        let batch = BatchNote {
            origin: origin.clone(),
            tree_size: 1000,
            root_hash: checkpoint(1000).root_hash,
            state: leaf_hash(b"rows"),
            previous_state: leaf_hash(b"rows before"),
        };
        let seal = SealNote { origin: origin.clone(), first_index: 256, end_index: 1000, digest: leaf_hash(b"a sealed file") };
        let signed = |checkpoint: &Checkpoint| {
            json!({
                "tree_size": checkpoint.tree_size,
                "root_hash": checkpoint.root_hash.to_string(),
                "note": checkpoint.sign(&key).unwrap().to_string(),
            })
        };
        let note = checkpoint(1000).sign(&key).unwrap().to_string();
        let stored = check(
            "notes.json",
            &json!({
                "origin": origin.as_str(),
                "seed": hexadecimal(&seed),
                "signing_key": key.secret_text().as_str(),
                "verifier": key.verifier().to_string(),
                "checkpoints": [signed(&checkpoint(0)), signed(&checkpoint(1)), signed(&checkpoint(1000))],
                "state": { "tree_size": 1000, "digest": state.digest.to_string(), "note": state.sign(&key).unwrap().to_string() },
                "batch": {
                    "tree_size": 1000,
                    "root_hash": batch.root_hash.to_string(),
                    "state": batch.state.to_string(),
                    "previous_state": batch.previous_state.to_string(),
                    "note": batch.sign(&key).unwrap().to_string(),
                },
                "seal": {
                    "first_index": 256,
                    "end_index": 1000,
                    "digest": seal.digest.to_string(),
                    "note": seal.sign(&key).unwrap().to_string(),
                },
                "refused": [
                    { "why": "the tree size was changed", "note": note.replace("1000", "1001") },
                    { "why": "another key of the same name", "note": checkpoint(1000).sign(&SigningKey::from_seed(origin.as_str(), &[9; 32]).unwrap()).unwrap().to_string() },
                    { "why": "an extension line was added", "note": note.replacen("\n\n", "\nextension\n\n", 1) },
                    { "why": "the last line feed is missing", "note": note.trim_end() },
                ],
            }),
        );

        let verifier = stored["verifier"].as_str().unwrap().parse().unwrap();
        for stored in stored["checkpoints"].as_array().unwrap() {
            let expected = checkpoint(stored["tree_size"].as_u64().unwrap());
            assert_eq!(Checkpoint::open(stored["note"].as_str().unwrap().as_bytes(), &verifier), Ok(expected));
        }
        let note = stored["state"]["note"].as_str().unwrap();
        assert_eq!(StateDigest::open(note.as_bytes(), &verifier), Ok(state));
        let note = stored["batch"]["note"].as_str().unwrap();
        assert_eq!(BatchNote::open(note.as_bytes(), &verifier), Ok(batch));
        let note = stored["seal"]["note"].as_str().unwrap();
        assert_eq!(SealNote::open(note.as_bytes(), &verifier), Ok(seal));
        for refused in stored["refused"].as_array().unwrap() {
            assert!(Checkpoint::open(refused["note"].as_str().unwrap().as_bytes(), &verifier).is_err(), "{refused}");
        }
    }
}

mod receipts {
    use super::*;

    /// Three leaves, of which the middle one is proved.
    fn receipt(body: &str, shown: bool) -> Value {
        let origin = Origin::from_random([0x42; 16]);
        let key = SigningKey::from_seed(origin.as_str(), &[6; 32]).unwrap();
        let salt = [0x5a; 32];
        let entry = LeafEntry {
            event: event(2),
            stream: stream(),
            stream_index: 1,
            sequence: 4,
            item: 0,
            recorded_at: Timestamp::from_micros(1_769_851_800_123_456),
            received_at: Timestamp::from_micros(1_769_851_801_000_000),
            verdict: Verdict::Committed,
            commitment: commitment(&salt, body.as_bytes()),
        };
        let leaves = [leaf_hash(b"first"), entry.hash(), leaf_hash(b"third")];
        let root_hash = TreeHead::of(leaves).root_hash;
        let receipt = Receipt {
            entry,
            disclosed: shown.then(|| Disclosed { salt, body: body.as_bytes().to_vec() }),
            proof: InclusionProof::prove(1, &leaves).unwrap(),
            checkpoint: Checkpoint { origin, tree_size: 3, root_hash }.sign(&key).unwrap(),
        };
        let body = shown.then_some(body);
        json!({ "verifier": key.verifier().to_string(), "root_hash": root_hash.to_string(), "body": body, "receipt": receipt.to_string() })
    }

    #[test]
    fn receipts_are_those_of_the_vectors_and_verify() {
        let stored = check("receipts.json", &json!({ "receipts": [receipt(BODY, true), receipt("", true), receipt(BODY, false)] }));
        for stored in stored["receipts"].as_array().unwrap() {
            let receipt = Receipt::parse(stored["receipt"].as_str().unwrap().as_bytes()).unwrap();
            receipt.verify(&stored["verifier"].as_str().unwrap().parse().unwrap()).unwrap();
            assert_eq!(receipt.disclosed.map(|shown| String::from_utf8(shown.body).unwrap()).as_deref(), stored["body"].as_str());
        }
    }
}

mod journal {
    use super::*;

    fn item(number: u8, body: &str) -> Item<'_> {
        let recorded_at = Timestamp::from_micros(1_769_851_800_123_456 + i64::from(number));
        Item { event: event(number), recorded_at, body: body.as_bytes() }
    }

    fn intent() -> IntentId {
        IntentId::from_parts(1_738_315_800_500, [0x3c; 10])
    }

    fn frames() -> Vec<Frame<'static>> {
        let items = vec![item(2, BODY), item(3, "{}")];
        vec![
            Frame::Event(item(1, BODY)),
            Frame::Intent { intent: intent(), evidence: Evidence::Ack, alias: "default", items: items.clone() },
            Frame::Outcome {
                intent: intent(),
                resolution: Resolution::Committed,
                by: Evidence::Ack,
                items: vec![item(2, BODY), item(3, "")],
            },
            Frame::Intent { intent: intent(), evidence: Evidence::Marker, alias: "réplica", items: items.clone() },
            outcome(Resolution::RolledBack, Evidence::Ack),
            Frame::Intent { intent: intent(), evidence: Evidence::Outbox, alias: "", items },
            Frame::Loss { count: 17, first_at: Timestamp::from_micros(-5), last_at: Timestamp::from_micros(1_769_851_900_000_000) },
            Frame::Close,
            outcome(Resolution::Committed, Evidence::Marker),
            outcome(Resolution::RolledBack, Evidence::Marker),
            outcome(Resolution::Committed, Evidence::Outbox),
        ]
    }

    fn outcome(resolution: Resolution, by: Evidence) -> Frame<'static> {
        Frame::Outcome { intent: intent(), resolution, by, items: Vec::new() }
    }

    fn items(items: &[Item<'_>]) -> Value {
        let item = |item: &Item<'_>| {
            json!({
                "event": hexadecimal(item.event.as_bytes()),
                "recorded_at": item.recorded_at.micros(),
                "body": std::str::from_utf8(item.body).unwrap(),
            })
        };
        items.iter().map(item).collect()
    }

    fn fields(frame: &Frame<'_>) -> Value {
        match frame {
            Frame::Event(item) => json!({ "kind": "event", "items": items(&[*item]) }),
            Frame::Intent { intent, evidence, alias, items: held } => json!({
                "kind": "intent",
                "intent": hexadecimal(intent.as_bytes()),
                "evidence": evidence.as_str(),
                "alias": alias,
                "items": items(held),
            }),
            Frame::Outcome { intent, resolution, by, items: held } => json!({
                "kind": "outcome",
                "intent": hexadecimal(intent.as_bytes()),
                "result": match resolution { Resolution::Committed => "committed", Resolution::RolledBack => "rolled_back" },
                "by": by.as_str(),
                "items": items(held),
            }),
            Frame::Loss { count, first_at, last_at } => {
                json!({ "kind": "loss", "count": count, "first_at": first_at.micros(), "last_at": last_at.micros() })
            }
            Frame::Close => json!({ "kind": "close" }),
        }
    }

    fn encoded(sequence: u64, frame: &Frame<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_frame(stream(), sequence, frame, &mut bytes);
        bytes
    }

    fn vector((sequence, frame): (u64, &Frame<'_>)) -> Value {
        let mut vector = fields(frame);
        vector["sequence"] = sequence.into();
        vector["bytes"] = hexadecimal(&encoded(sequence, frame)).into();
        vector
    }

    #[test]
    fn segment_header_and_frames_are_those_of_the_vectors() {
        let created_at = Timestamp::from_micros(1_769_851_700_000_000);
        let header = SegmentHeader { stream: stream(), number: 3, first_sequence: 41, created_at };
        let frames = frames();
        let stored = check(
            "journal.json",
            &json!({
                "stream": hexadecimal(stream().as_bytes()),
                "header": {
                    "number": header.number,
                    "first_sequence": header.first_sequence,
                    "created_at": created_at.micros(),
                    "bytes": hexadecimal(&header.encode()),
                },
                "frames": (header.first_sequence..).zip(&frames).map(vector).collect::<Vec<_>>(),
            }),
        );

        assert_eq!(SegmentHeader::decode(&from_hexadecimal(&stored["header"]["bytes"])), Ok(header));
        for (stored, expected) in stored["frames"].as_array().unwrap().iter().zip(frames) {
            let bytes = from_hexadecimal(&stored["bytes"]);
            let (raw, consumed) = read_frame(stream(), &bytes).unwrap();
            assert_eq!((raw.sequence, consumed), (stored["sequence"].as_u64().unwrap(), bytes.len()));
            assert_eq!(raw.parse(), Ok(expected));
        }
    }
}
