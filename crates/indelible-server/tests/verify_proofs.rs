//! Proofs that leave the house: receipts of records, and the growth from one checkpoint to a later one.
#![allow(clippy::unwrap_used, reason = "tests")]

mod seed;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use indelible::{Event, Kind};
use indelible_core::Hash;
use indelible_server::Reader;
use seed::Seed;
use serde_json::Value;
use signed_note::{Note, StandardVerifier, VerifierList};
use tempfile::TempDir;

fn trail_of(records: usize) -> Seed {
    let seed = Seed::empty();
    seed.record("clinic", (0..records).map(|_| Event::new(Kind::Action, "visit.note")).collect());
    seed.ingest();
    seed
}

/// Somebody elsewhere, who has what was sent and nothing else.
struct Stranger {
    folder: TempDir,
}

impl Stranger {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn keep(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Exit code and answer of `verify --proof`, where there is no trail.
    fn check(&self, receipt: &Path, key: &Path) -> (i32, Value) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_indelible"));
        command.arg("--data").arg(self.folder.path().join("nothing")).args(["-o", "json", "verify", "--proof"]).arg(receipt);
        let output = command.arg("--key").arg(key).output().unwrap();
        (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}")))
    }
}

fn printed(output: Output) -> Vec<u8> {
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

#[test]
fn a_receipt_proves_its_record_where_there_is_no_trail() {
    let seed = trail_of(20);
    let stranger = Stranger::new();
    let key = stranger.keep("key", &fs::read(seed.path().join("trail/verifier")).unwrap());
    let receipt = stranger.keep("7.tlog-proof", &printed(seed.indelible(&["show", "7", "--proof"])));
    let shown: Value = serde_json::from_slice(&printed(seed.indelible(&["show", "7", "-o", "json"]))).unwrap();
    let (code, answer) = stranger.check(&receipt, &key);
    assert_eq!((code, answer["result"].as_str(), answer["leaf"].as_u64()), (0, Some("proved"), Some(7)), "{answer}");
    assert_eq!(answer["event"], shown["event"], "the body that it proves is the one in the trail");
}

#[test]
fn a_receipt_that_was_changed_is_refuted_and_what_is_none_accuses_nobody() {
    let seed = trail_of(5);
    let stranger = Stranger::new();
    let verifier = fs::read(seed.path().join("trail/verifier")).unwrap();
    let key = stranger.keep("key", &verifier);
    let text = String::from_utf8(printed(seed.indelible(&["show", "3", "--proof"]))).unwrap();
    let check = |text: &str, key: &Path| stranger.check(&stranger.keep("receipt", text.as_bytes()), key).0;
    assert_eq!(check(&text, &key), 0);
    assert_eq!(check(&text.replacen("index 3", "index 2", 1), &key), 5, "another place");
    assert_eq!(check(&text.replacen("\n7\n", "\n8\n", 1), &key), 5, "another size than was signed");
    assert_eq!(check("", &key), 6);
    assert_eq!(check(&text[..text.len() / 2], &key), 6);
    assert_eq!(check(&text, Path::new("/nonexistent")), 6);
    let foreign = stranger.keep("foreign", &fs::read(trail_of(1).path().join("trail/verifier")).unwrap());
    assert_eq!(check(&text, &foreign), 6, "a key that is not its trail's knows nothing of it");
}

#[test]
fn a_record_that_was_changed_has_no_receipt() {
    let seed = trail_of(5);
    let file = rusqlite::Connection::open(seed.path().join("trail/000000000000.trail")).unwrap();
    file.execute("UPDATE record SET body = CAST('{}' AS BLOB) WHERE leaf_index = 3", []).unwrap();
    drop(file);
    let output = seed.indelible(&["show", "3", "--proof"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(5), 0), "{output:?}");
}

#[test]
fn a_record_that_is_gone_was_taken_and_one_that_is_not_there_yet_was_not() {
    let seed = trail_of(5);
    let why = |leaf_index| indelible_server::receipt(&seed.dir(), &Reader::open(&seed.dir()).unwrap(), leaf_index).unwrap_err();
    assert!(!why(99).is_tampering(), "{}", why(99));
    let file = rusqlite::Connection::open(seed.path().join("trail/000000000000.trail")).unwrap();
    file.execute("DELETE FROM record WHERE leaf_index = 3", []).unwrap();
    drop(file);
    assert!(why(3).is_tampering(), "{}", why(3));
    let output = seed.indelible(&["show", "3", "--proof"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(5), 0), "{output:?}");
}

#[test]
fn the_growth_of_a_trail_is_proved_from_every_kept_checkpoint() {
    let seed = Seed::empty();
    let stranger = Stranger::new();
    let mut kept = Vec::new();
    for round in 0..5_usize {
        seed.record("clinic", (0..round * 3 + 1).map(|_| Event::new(Kind::Action, "visit.note")).collect());
        seed.ingest();
        kept.push(stranger.keep(&format!("kept{round}"), &printed(seed.indelible(&["checkpoint"]))));
    }
    for path in &kept {
        let growth = String::from_utf8(printed(seed.indelible(&["checkpoint", "--consistency-from", path.to_str().unwrap()]))).unwrap();
        theirs::check_growth(&growth, &fs::read_to_string(path).unwrap());
    }
    let foreign = stranger.keep("foreign", &printed(trail_of(1).indelible(&["checkpoint"])));
    let refused = seed.indelible(&["checkpoint", "--consistency-from", foreign.to_str().unwrap()]);
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(5), 0));
    let nothing = seed.indelible(&["checkpoint", "--consistency-from", "/nonexistent"]);
    assert_eq!(nothing.status.code(), Some(6));
}

#[test]
fn a_trail_that_was_rolled_back_did_not_grow_out_of_a_kept_checkpoint() {
    let seed = trail_of(4);
    let past = tempfile::tempdir().unwrap();
    let names = ["checkpoint", "state", "000000000000.trail"];
    for name in names {
        fs::copy(seed.path().join("trail").join(name), past.path().join(name)).unwrap();
    }
    seed.record("clinic", vec![Event::new(Kind::Action, "visit.note")]);
    seed.ingest();
    let kept = Stranger::new().folder;
    let path = kept.path().join("kept");
    fs::write(&path, printed(seed.indelible(&["checkpoint"]))).unwrap();
    for name in names {
        fs::copy(past.path().join(name), seed.path().join("trail").join(name)).unwrap();
    }
    let refused = seed.indelible(&["checkpoint", "--consistency-from", path.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(5), "{refused:?}");
}

#[test]
fn every_record_has_a_receipt_that_other_peoples_code_checks() {
    let seed = trail_of(40);
    let reader = Reader::open(&seed.dir()).unwrap();
    let verifier = fs::read_to_string(seed.path().join("trail/verifier")).unwrap();
    for leaf_index in 0..40 {
        let receipt = indelible_server::receipt(&seed.dir(), &reader, leaf_index).unwrap();
        theirs::check_receipt(&receipt.to_string(), verifier.trim_end(), &receipt.entry.encode());
    }
    assert!(indelible_server::receipt(&seed.dir(), &reader, u64::MAX).is_err());
}

/// Checks by `signed_note` and `tlog_tiles`, which share no code with ours.
mod theirs {
    use super::*;

    fn hash(text: &str) -> tlog_tiles::Hash {
        tlog_tiles::Hash(*Hash::from_base64(text).unwrap().as_bytes())
    }

    /// Size and root of a checkpoint that this key signed.
    fn open(note: &str, verifier: &str) -> (u64, tlog_tiles::Hash) {
        let note = Note::from_bytes(note.as_bytes()).unwrap();
        note.verify(&VerifierList::new(vec![Box::new(StandardVerifier::new(verifier).unwrap())])).unwrap();
        let lines: Vec<&str> = std::str::from_utf8(note.text()).unwrap().lines().collect();
        (lines[1].parse().unwrap(), hash(lines[2]))
    }

    pub(super) fn check_receipt(receipt: &str, verifier: &str, entry: &[u8]) {
        let (head, note) = receipt.split_once("\n\n").unwrap();
        let lines: Vec<&str> = head.lines().collect();
        let index = lines[2].strip_prefix("index ").unwrap().parse().unwrap();
        let (size, root) = open(note, verifier);
        let path = lines[3..].iter().map(|line| hash(line)).collect();
        tlog_tiles::check_record(&path, size, root, index, tlog_tiles::record_hash(entry)).unwrap();
    }

    pub(super) fn check_growth(growth: &str, kept: &str) {
        let (old_note, verifier) = kept.trim_end().rsplit_once("\n\n").unwrap();
        let (old_size, old_root) = open(&format!("{old_note}\n"), verifier);
        let (head, note) = growth.split_once("\n\n").unwrap();
        let (size, root) = open(note, verifier);
        let mut lines = head.lines();
        assert_eq!(lines.next(), Some(format!("old {old_size}").as_str()));
        let path = lines.map(hash).collect();
        tlog_tiles::check_tree(&path, size, root, old_size, old_root).unwrap();
    }
}
