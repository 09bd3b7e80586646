//! Erased bodies are gone, and `verify` accepts that only where the trail says that they were to go, and no hold keeps them.

use std::sync::atomic::AtomicBool;

use super::*;
use crate::ingest::OwnEvent;
use crate::ranges::LeafRanges;
use crate::trail::erase::{Erased, erase};
use crate::trail::files::{self, Listed, reseal_note, seal_note};
use crate::trail::seal::seal;
use crate::trail::{FileState, StoredLeaf};
use crate::verify::FaultKind;

const NOW: Timestamp = Timestamp::from_micros(1_000_000_000);

/// A sealed file of 600 records, a closed one, and one that is open.
fn sealed() -> (Site, Listed) {
    let mut site = Site::with_files_of(600);
    let mut stream = site.stream(1);
    for round in 0..13 {
        stream.events(round * 100 + 1..=round * 100 + 100);
        site.step();
    }
    let file = files::list(&site.dir).unwrap().remove(0);
    seal(&file, &site.ingester.as_ref().unwrap().key(), &AtomicBool::new(false)).unwrap().unwrap();
    (site, file)
}

fn leaves(text: &str) -> LeafRanges {
    text.parse().unwrap()
}

fn erased(site: &Site, file: &Listed, text: &str) -> Result<Option<Erased>, TrailError> {
    erase(file, &leaves(text), &site.ingester.as_ref().unwrap().key(), &AtomicBool::new(false))
}

fn stored(site: &Site) -> Vec<StoredLeaf> {
    let mut stored = Vec::new();
    let each = |leaf| {
        stored.push(leaf);
        ControlFlow::Continue(())
    };
    Reader::open(&site.dir).unwrap().records(0..u64::MAX, Order::OldestFirst, each).unwrap();
    stored
}

fn record(site: &mut Site, action: &str, meta: &[(&'static str, &str)]) {
    let event = OwnEvent::new(action, indelible_core::Outcome::Success);
    let event = event.meta(|object| meta.iter().for_each(|(name, value)| object.string(name, value)));
    site.ingester.as_mut().unwrap().record_own(&[event], NOW).unwrap();
}

fn announce(site: &mut Site, text: &str) {
    record(site, "audit.purge", &[("step", "begin"), ("leaves", text)]);
}

/// What `verify` finds: kind of fault and the leaves; nothing where the trail is intact. A range of its own is told the same.
fn fault(site: &Site) -> Option<(FaultKind, std::ops::Range<u64>)> {
    let found = |range| match verify(&site.dir, &Trust { deep: true, range, ..Trust::default() }) {
        Report::Intact(_) => None,
        Report::Tampered(fault) => Some((fault.kind, fault.leaves.unwrap())),
        Report::CouldNotCheck(reason) => panic!("{reason}"),
    };
    let whole = found(None);
    assert_eq!(found(Some(0..600)), whole, "a range alone");
    whole
}

#[test]
fn what_is_erased_is_gone_and_everything_else_is_as_it_was() {
    let (mut site, file) = sealed();
    let before = stored(&site);
    announce(&mut site, "3-5 300-599");
    let found = erased(&site, &file, "3-5 300-599").unwrap().unwrap();
    assert_eq!(found.bodies, 303);
    assert!(found.bytes <= found.bytes_before, "{found:?}");
    let doomed = leaves("3-5 300-599");
    for (was, is) in before.iter().zip(stored(&site)) {
        assert_eq!((was.leaf_index, was.entry, was.leaf_hash), (is.leaf_index, is.entry, is.leaf_hash));
        let gone = doomed.contains(was.leaf_index);
        assert_eq!((is.is_erased(), is.body.is_empty()), (gone, gone), "{}", was.leaf_index);
        assert!(gone || (is.body == was.body && is.salt == was.salt));
    }
    let files: Vec<Vec<u8>> = fs::read_dir(site.dir.trail()).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
    let is_there = |salt: &[u8]| files.iter().any(|bytes| bytes.windows(salt.len()).any(|part| part == salt));
    for leaf_index in [3, 5, 300, 511, 599] {
        assert!(!is_there(&before[leaf_index].salt.unwrap()), "the salt of {leaf_index} is in some file");
    }
    assert!(is_there(&before[6].salt.unwrap()), "salts that stay are found like this");
    assert_eq!(fault(&site), None);
    assert_eq!(Reader::open(&site.dir).unwrap().files()[0].state(), FileState::Sealed);
    assert!(seal_note(&file.path).exists() && !reseal_note(&file.path).exists());
}

#[test]
fn erasing_again_takes_only_what_is_still_there() {
    let (mut site, file) = sealed();
    announce(&mut site, "0-9");
    assert_eq!(erased(&site, &file, "0-4").unwrap().unwrap().bodies, 5);
    assert_eq!(erased(&site, &file, "0-9").unwrap().unwrap().bodies, 5);
    let bytes = fs::read(&file.path).unwrap();
    assert_eq!(erased(&site, &file, "0-9").unwrap().unwrap().bodies, 0);
    assert!(fs::read(&file.path).unwrap() == bytes, "the same bytes");
    assert_eq!(fault(&site), None);
}

#[test]
fn a_body_that_goes_without_a_purge_is_missed_though_the_file_is_sealed_with_the_key() {
    let (mut site, file) = sealed();
    announce(&mut site, "3-5");
    erased(&site, &file, "3-5 7 9").unwrap();
    assert_eq!(fault(&site), Some((FaultKind::Erased, 7..8)));
}

#[test]
fn an_application_that_records_a_purge_permits_nothing() {
    let (mut site, file) = sealed();
    let mut stream = site.stream(2);
    let body = br#"{"v":1,"id":"0","kind":"audit","action":"audit.purge","outcome":"success","meta":{"step":"begin","leaves":"3-5"}}"#;
    stream.append(&Frame::Event(item(1, body)));
    assert!(site.step().worked);
    erased(&site, &file, "3-5").unwrap();
    assert_eq!(fault(&site), Some((FaultKind::Erased, 3..6)));
}

#[test]
fn a_purge_that_somebody_has_changed_permits_nothing() {
    let (mut site, file) = sealed();
    announce(&mut site, "3-5");
    let purge = stored(&site).last().unwrap().leaf_index;
    erased(&site, &file, "3-6").unwrap();
    assert_eq!(fault(&site), Some((FaultKind::Erased, 6..7)));
    let open = files::list(&site.dir).unwrap().pop().unwrap();
    let change = "UPDATE record SET body = CAST(replace(CAST(body AS TEXT), '3-5', '3-6') AS BLOB) WHERE leaf_index = ?1";
    assert_eq!(rusqlite::Connection::open(&open.path).unwrap().execute(change, [i64::try_from(purge).unwrap()]).unwrap(), 1);
    assert_eq!(fault(&site), Some((FaultKind::Body, purge..purge + 1)));
}

#[test]
fn a_purge_that_is_not_signed_yet_permits_nothing_and_does_no_harm() {
    let (mut site, file) = sealed();
    announce(&mut site, "3-5");
    let signed = [site.dir.checkpoint(), site.dir.state()].map(|path| (fs::read(&path).unwrap(), path));
    announce(&mut site, "4-6");
    for (note, path) in signed {
        fs::write(path, note).unwrap();
    }
    erased(&site, &file, "3-5").unwrap();
    assert_eq!(fault(&site), None);
    erased(&site, &file, "6").unwrap();
    assert_eq!(fault(&site), Some((FaultKind::Erased, 6..7)));
}

#[test]
fn a_key_that_was_named_is_enough_for_a_range_without_some_bodies() {
    let (mut site, file) = sealed();
    announce(&mut site, "3-5");
    erased(&site, &file, "3-5").unwrap();
    let key = site.dir.trail().join("kept-key");
    fs::rename(site.dir.verifier(), &key).unwrap();
    for range in [None, Some(2..9)] {
        let report = verify(&site.dir, &Trust { key: Some(key.clone()), range, ..Trust::default() });
        assert!(matches!(report, Report::Intact(_)), "{report:?}");
    }
}

#[test]
fn a_purge_that_says_only_that_it_is_done_permits_nothing() {
    let (mut site, file) = sealed();
    record(&mut site, "audit.purge", &[("step", "done"), ("leaves", "3-5")]);
    record(&mut site, "audit.read", &[("query", "action:audit.purge"), ("step", "begin"), ("leaves", "3-5")]);
    erased(&site, &file, "3-5").unwrap();
    assert_eq!(fault(&site), Some((FaultKind::Erased, 3..6)));
}

#[test]
fn a_hold_that_is_ignored_is_found_until_it_is_released_and_the_purge_announced_anew() {
    let (mut site, file) = sealed();
    announce(&mut site, "0-2");
    record(&mut site, "audit.hold", &[("command", "add"), ("name", "case"), ("query", "x"), ("leaves", "1 5")]);
    announce(&mut site, "4-6");
    erased(&site, &file, "4 6").unwrap();
    assert_eq!(fault(&site), None);
    erased(&site, &file, "5").unwrap();
    assert_eq!(fault(&site), Some((FaultKind::Held, 5..6)), "announced while it was in force");
    record(&mut site, "audit.hold", &[("command", "release"), ("name", "case")]);
    assert_eq!(fault(&site), Some((FaultKind::Held, 5..6)), "it was in force then");
    announce(&mut site, "5");
    assert_eq!(fault(&site), None);
    erased(&site, &file, "0-2").unwrap();
    assert_eq!(fault(&site), Some((FaultKind::Held, 1..2)), "announced before it was in force");
}

#[test]
fn a_sealed_file_that_somebody_changed_is_not_sealed_anew() {
    for change in ["DELETE FROM run_value", "UPDATE block SET node = zeroblob(32) WHERE node IS NOT NULL", "PRAGMA user_version = 7"] {
        let (site, file) = sealed();
        rusqlite::Connection::open(&file.path).unwrap().execute_batch(change).unwrap();
        let bytes = fs::read(&file.path).unwrap();
        let error = erased(&site, &file, "3-5").unwrap_err();
        assert!(error.is_final(), "{change}: {error}");
        assert!(fs::read(&file.path).unwrap() == bytes && !reseal_note(&file.path).exists(), "{change}");
    }
}

#[test]
fn erasing_stops_when_told_and_leaves_no_trace() {
    let (site, file) = sealed();
    let bytes = fs::read(&file.path).unwrap();
    let key = site.ingester.as_ref().unwrap().key();
    assert_eq!(erase(&file, &leaves("0-9"), &key, &AtomicBool::new(true)).unwrap(), None);
    assert!(fs::read(&file.path).unwrap() == bytes);
    assert!(!fs::read_dir(site.dir.trail()).unwrap().any(|entry| entry.unwrap().file_name().to_string_lossy().contains("new")));
}

#[test]
fn an_exchange_that_was_interrupted_is_ended_by_the_next_start_on_either_side_of_the_rename() {
    let (mut site, file) = sealed();
    let (old, old_seal) = (fs::read(&file.path).unwrap(), fs::read(seal_note(&file.path)).unwrap());
    announce(&mut site, "0-9");
    erased(&site, &file, "0-9").unwrap();
    let (new, new_seal) = (fs::read(&file.path).unwrap(), fs::read(seal_note(&file.path)).unwrap());
    for (bytes, seal, after) in [(&old, &old_seal, &old_seal), (&new, &old_seal, &new_seal), (&new, &new_seal, &new_seal)] {
        fs::write(&file.path, bytes).unwrap();
        fs::write(seal_note(&file.path), seal).unwrap();
        fs::write(reseal_note(&file.path), &new_seal).unwrap();
        assert_eq!(fault(&site), None, "before");
        site.start().unwrap();
        assert!(!reseal_note(&file.path).exists() && fs::read(seal_note(&file.path)).unwrap() == **after);
        assert_eq!(fault(&site), None, "after");
    }
    fs::write(reseal_note(&file.path), "no note").unwrap();
    site.start().unwrap();
    assert!(!reseal_note(&file.path).exists());
    assert_eq!(fault(&site), None);
}
