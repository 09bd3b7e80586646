//! A sealed file says what the closed one said, in fewer bytes, and says so under a signature.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use indelible_core::SealNote;

use super::*;
use crate::trail::files::{self, Listed, seal_note};
use crate::trail::seal::{Sealed, digest_of, seal};
use crate::trail::{FileState, SealedFiles, StoredLeaf};

fn closed(site: &Site) -> Vec<Listed> {
    let mut listed = files::list(&site.dir).unwrap();
    listed.pop();
    listed
}

fn seal_one(site: &Site, file: &Listed) -> Result<Option<Sealed>, TrailError> {
    seal(file, &site.ingester.as_ref().unwrap().key(), &AtomicBool::new(false))
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

/// Three files of 300 records and one that is open.
fn rolled() -> Site {
    let mut site = Site::with_files_of(300);
    let mut stream = site.stream(1);
    for round in 0..10 {
        stream.events(round * 100 + 1..=round * 100 + 100);
        site.step();
    }
    assert_eq!(closed(&site).len(), 3);
    site
}

#[test]
fn a_sealed_file_holds_what_the_closed_one_held_and_is_under_a_signature() {
    let site = rolled();
    let before = stored(&site);
    for file in closed(&site) {
        let closed_bytes = fs::metadata(&file.path).unwrap().len();
        let sealed = seal_one(&site, &file).unwrap().unwrap();
        assert_eq!(sealed.leaves, 300);
        assert!(sealed.bytes * 2 < closed_bytes, "{} of {closed_bytes} bytes", sealed.bytes);
        let note = fs::read(seal_note(&file.path)).unwrap();
        let note = SealNote::open(&note, &site.ingester.as_ref().unwrap().key().signing.verifier()).unwrap();
        assert_eq!((note.first_index, note.end_index), (file.first_index, file.first_index + 300));
        assert_eq!((note.digest, sealed.bytes), digest_of(&file.path).unwrap());
    }
    assert!(stored(&site) == before, "the records are not the same");
    let reader = Reader::open(&site.dir).unwrap();
    let states: Vec<_> = reader.files().iter().map(|file| (file.range(), file.state())).collect();
    let expected =
        [(0..300, FileState::Sealed), (300..600, FileState::Sealed), (600..900, FileState::Sealed), (900..1000, FileState::Open)];
    assert_eq!(states, expected);
    assert_eq!(reader.files()[1].spans().unwrap().iter().map(|span| (span.range(), span.indexed)).collect::<Vec<_>>(), [(300..600, true)]);
}

#[test]
fn proofs_and_single_records_come_out_of_sealed_files_as_out_of_closed_ones() {
    let site = rolled();
    let before = stored(&site);
    for file in closed(&site) {
        seal_one(&site, &file).unwrap();
    }
    let reader = Reader::open(&site.dir).unwrap();
    for leaf_index in [0, 255, 256, 299, 300, 511, 512, 899, 900, 999, 256, 0] {
        let leaf = &before[leaf_index as usize];
        assert_eq!(reader.record(leaf_index).unwrap().as_ref(), Some(leaf));
        assert_eq!(reader.places(leaf.entry.event).unwrap(), [leaf_index]);
    }
    for (start, end) in [(0, 1000), (0, 512), (512, 1000), (256, 512), (512, 768), (768, 1000), (299, 301), (7, 8)] {
        let expected = indelible_core::root_of(before[start..end].iter().map(|leaf| leaf.leaf_hash));
        assert_eq!(reader.subtree(start as u64..end as u64).unwrap(), expected, "{start}..{end}");
    }
    let mut newest = Vec::new();
    let each = |leaf: StoredLeaf| {
        newest.push(leaf);
        ControlFlow::Continue(())
    };
    reader.records(290..620, Order::NewestFirst, each).unwrap();
    newest.reverse();
    assert!(newest == before[290..620]);
}

#[test]
fn a_reader_that_was_there_before_the_seal_reads_on() {
    let site = rolled();
    let before = stored(&site);
    let reader = Reader::open(&site.dir).unwrap();
    assert_eq!(reader.record(0).unwrap().as_ref(), Some(&before[0]));
    for file in closed(&site) {
        seal_one(&site, &file).unwrap();
    }
    for leaf_index in [1, 299, 300, 700, 950] {
        assert_eq!(reader.record(leaf_index).unwrap().as_ref(), Some(&before[leaf_index as usize]), "{leaf_index}");
    }
}

#[test]
fn a_closed_file_that_somebody_changed_is_not_sealed_and_stays() {
    let changes = [
        "UPDATE record SET body = zeroblob(4) WHERE leaf_index = 7",
        "UPDATE record SET leaf_hash = zeroblob(32) WHERE leaf_index = 7",
        "DELETE FROM record WHERE leaf_index = 7",
        "DELETE FROM record WHERE leaf_index = 299",
        "UPDATE stream SET next_sequence = 9",
        "UPDATE meta SET value = '1' WHERE key = 'first_index'",
        "CREATE INDEX evil ON record (body)",
    ];
    for change in changes {
        let site = rolled();
        let file = &closed(&site)[0];
        rusqlite::Connection::open(&file.path).unwrap().execute_batch(change).unwrap();
        let bytes = fs::read(&file.path).unwrap();
        let error = seal_one(&site, file).unwrap_err();
        assert!(error.is_final(), "{change}: {error}");
        assert!(fs::read(&file.path).unwrap() == bytes && !seal_note(&file.path).exists(), "{change}");
    }
}

#[test]
fn sealing_stops_when_told_and_leaves_no_trace() {
    let site = rolled();
    let file = &closed(&site)[0];
    let bytes = fs::read(&file.path).unwrap();
    assert_eq!(seal(file, &site.ingester.as_ref().unwrap().key(), &AtomicBool::new(true)).unwrap(), None);
    assert!(fs::read(&file.path).unwrap() == bytes);
    assert!(!fs::read_dir(site.dir.trail()).unwrap().any(|entry| entry.unwrap().file_name().to_string_lossy().contains("seal")));
}

#[test]
fn a_run_is_written_with_the_batch_that_completes_it_and_again_after_a_crash() {
    let mut site = Site::new();
    let mut stream = site.stream(1);
    stream.events(1..=3000);
    site.step();
    site.kill();
    site.start().unwrap();
    stream.events(3001..=5000);
    while site.step().worked {}
    stream.events(5001..=5010);
    site.step();
    let spans = Reader::open(&site.dir).unwrap().open_file().spans().unwrap();
    let spans: Vec<_> = spans.into_iter().map(|span| (span.range(), span.indexed)).collect();
    assert_eq!(spans.len(), 2, "{spans:?}");
    assert!(spans[0].1 && spans[0].0.start == 0 && spans[0].0.end >= 4096, "{spans:?}");
    assert!(!spans[1].1 && spans[1].0.end == 5010, "{spans:?}");
}

#[test]
fn a_reader_takes_over_the_sealed_files_of_the_one_before_unless_they_were_sealed_anew() {
    let site = rolled();
    let before = stored(&site);
    for file in closed(&site) {
        seal_one(&site, &file).unwrap();
    }
    let kept = Arc::new(SealedFiles::default());
    let stored_with = |kept: &Arc<SealedFiles>| {
        let reader = Reader::open_with(&site.dir, kept).unwrap();
        let mut stored = Vec::new();
        let each = |leaf| {
            stored.push(leaf);
            ControlFlow::Continue(())
        };
        reader.records(0..u64::MAX, Order::OldestFirst, each).unwrap();
        (stored, reader)
    };
    let (one, first) = stored_with(&kept);
    let (other, second) = stored_with(&kept);
    assert!(one == before && other == before);
    assert_eq!(kept.idle(), 0, "both have files of their own");
    drop(first);
    assert_eq!(kept.idle(), 3);
    assert!(stored_with(&kept).0 == before);
    drop(second);
    assert_eq!(kept.idle(), 6);

    // The same bytes under the same name, and another file; the name of the last one means nothing sealed any more.
    let paths: Vec<_> = closed(&site).into_iter().map(|file| file.path).collect();
    let copied = paths[0].with_extension("copy");
    fs::copy(&paths[0], &copied).unwrap();
    fs::rename(&copied, &paths[0]).unwrap();
    let reader = Reader::open_with(&site.dir, &kept).unwrap();
    assert_eq!(kept.idle(), 4, "what lies no longer there is closed");
    assert_eq!(reader.record(7).unwrap().as_ref(), Some(&before[7]));
    drop(reader);
    assert_eq!(kept.idle(), 5, "the new file is kept");
    fs::write(&paths[2], b"").unwrap();
    let reader = Reader::open_with(&site.dir, &kept).unwrap();
    assert!(reader.record(700).is_err(), "a file is not read as it was before");
}
