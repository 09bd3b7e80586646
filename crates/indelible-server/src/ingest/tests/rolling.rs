//! A trail of many files: what waits and what lives goes on in the next one, and no file is needed twice.

use indelible_core::{Frontier, Hash};

use super::*;
use crate::trail::FileState;

/// Range and state of each file.
fn files(site: &Site) -> Vec<(std::ops::Range<u64>, FileState)> {
    Reader::open(&site.dir).unwrap().files().iter().map(|file| (file.range(), file.state())).collect()
}

fn open_file(site: &Site, select: &str) -> i64 {
    Reader::open(&site.dir).unwrap().connection().query_row(select, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_full_file_is_closed_at_the_end_of_its_batch_and_the_next_one_goes_on() {
    let mut site = Site::with_files_of(4);
    let mut stream = site.stream(1);
    stream.events(1..=3);
    assert!(!site.step().rolled_over);
    stream.events(4..=9);
    assert!(site.step().rolled_over);
    stream.events(10..=14);
    assert!(site.step().rolled_over);
    stream.event(15);
    site.step();
    assert_eq!(files(&site), [(0..9, FileState::Closed), (9..14, FileState::Closed), (14..15, FileState::Open)]);
    assert_eq!(site.names(), (1..=15).map(|number| number.to_string()).collect::<Vec<_>>());
    let indexes: Vec<u64> = site.leaves().iter().map(|(entry, _)| entry.stream_index).collect();
    assert_eq!(indexes, (0..15).collect::<Vec<_>>());
    let logs = fs::read_dir(site.dir.trail()).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().ends_with("-wal")
    });
    assert_eq!(logs.count(), 1, "only the open file has a log");
}

#[test]
fn readers_see_the_files_as_one_trail() {
    let mut site = Site::with_files_of(4);
    let mut stream = site.stream(1);
    for number in 1..=11 {
        stream.event(number);
        site.step();
    }
    let reader = Reader::open(&site.dir).unwrap();
    assert_eq!((reader.files().len(), reader.tree_size()), (3, 11));
    let read = |range, order| {
        let mut read = Vec::new();
        let each = |leaf: crate::trail::StoredLeaf| {
            read.push(leaf.leaf_index);
            if read.len() == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        reader.records(range, order, each).unwrap();
        read
    };
    assert_eq!(read(2..99, Order::OldestFirst), [2, 3, 4, 5, 6]);
    assert_eq!(read(0..10, Order::NewestFirst), [9, 8, 7, 6, 5]);
    for leaf_index in 0..11 {
        let leaf = reader.record(leaf_index).unwrap().unwrap();
        assert_eq!((leaf.leaf_index, leaf.leaf_hash), (leaf_index, leaf.entry.hash()));
        assert_eq!(reader.places(leaf.entry.event).unwrap(), [leaf_index]);
    }
    assert_eq!(reader.record(11).unwrap(), None);
    let hashes: Vec<Hash> = (0..11).map(|leaf_index| reader.record(leaf_index).unwrap().unwrap().leaf_hash).collect();
    for (start, end) in [(0, 1), (0, 8), (8, 11), (0, 11), (4, 8)] {
        let expected = indelible_core::root_of(hashes[start..end].iter().copied());
        assert_eq!(reader.subtree(start as u64..end as u64).unwrap(), expected, "{start}..{end}");
    }
    let mut tree = Frontier::default();
    tree.extend(hashes);
    assert_eq!(reader.open_file().head().unwrap(), tree);
}

#[test]
fn what_waits_for_its_other_half_waits_in_the_next_file() {
    let mut site = Site::with_files_of(2);
    let mut stream = site.stream(1);
    stream.intent(1, &[1, 2]);
    stream.outcome(2, COMMITTED);
    stream.events(7..=8);
    assert!(site.step().rolled_over);
    let waiting = ["SELECT count(*) FROM pending", "SELECT count(*) FROM orphan_outcome"].map(|select| open_file(&site, select));
    assert_eq!(waiting, [1, 1]);
    stream.outcome(1, COMMITTED);
    stream.intent(2, &[3, 4]);
    site.step();
    let made: Vec<_> = site.records().into_iter().skip(2).collect();
    assert_eq!(made, ["1", "2", "3", "4"].map(|number| (number.to_owned(), Verdict::Committed)));
}

#[test]
fn a_stream_that_is_gone_stays_behind_and_one_that_waits_or_lives_does_not() {
    let mut site = Site::with_files_of(4);
    let mut gone = site.stream(1);
    gone.event(1);
    gone.die();
    let mut waits = site.stream(2);
    waits.intent(1, &[2]);
    waits.die();
    let mut lives = site.stream(3);
    lives.event(3);
    site.step();
    assert!(!gone.path().exists());
    lives.events(4..=6);
    assert!(site.step().rolled_over);
    let known = [1, 2, 3].map(|number| open_file(&site, &format!("SELECT count(*) FROM stream WHERE hex(stream) LIKE '0{number}%'")));
    assert_eq!(known, [0, 1, 1]);
}

/// A folder of journals that was restored from a backup was once read from its first sequence again when its stream had been left
/// behind in an older file.
#[test]
fn a_forgotten_stream_that_comes_back_is_continued_and_nothing_of_it_is_recorded_twice() {
    let mut site = Site::with_files_of(3);
    site.now_ms = 3_000_000_000_000;
    let mut stream = site.stream(1);
    stream.events(1..=2);
    let backup = fs::read(stream.segment_path()).unwrap();
    stream.die();
    site.step();
    assert!(!stream.path().exists());
    for number in 1..=3 {
        let mut other = site.stream(1 + number);
        other.events(u64::from(number) * 10..=u64::from(number) * 10 + 2);
        assert!(site.step().rolled_over, "{number}");
    }
    site.kill();
    site.start().unwrap();
    fs::create_dir_all(stream.path()).unwrap();
    fs::write(stream.segment_path(), backup).unwrap();
    let frame = stream.encode(&Frame::Event(item(3, &body(3))));
    stream.append_bytes(&frame);
    site.step();
    let of_stream: Vec<_> = site.leaves().into_iter().filter(|(entry, _)| entry.stream.as_bytes()[0] == 1).collect();
    let numbers: Vec<_> = of_stream.iter().map(|(entry, body)| (entry.stream_index, name(body))).collect();
    assert_eq!(numbers, [(0, "1".to_owned()), (1, "2".to_owned()), (2, "3".to_owned())]);
}

#[test]
fn a_file_that_a_reader_holds_open_grows_until_the_reader_has_finished() {
    let mut site = Site::with_files_of(2);
    // Without the agent's lock a reader would read a copy.
    let lock = fs::File::create(site.dir.agent_lock()).unwrap();
    lock.try_lock().unwrap();
    let mut stream = site.stream(1);
    stream.event(1);
    site.step();
    let reader = Reader::open(&site.dir).unwrap();
    let view = reader.connection().unchecked_transaction().unwrap();
    view.query_row("SELECT count(*) FROM record", [], |row| row.get::<_, i64>(0)).unwrap();
    stream.events(2..=3);
    assert!(!site.step().rolled_over, "its log holds what the reader reads");
    drop(view);
    stream.event(4);
    assert!(site.step().rolled_over);
    assert_eq!(files(&site), [(0..4, FileState::Closed), (4..4, FileState::Open)]);
    assert_eq!(reader.record(0).unwrap().unwrap().leaf_index, 0, "the reader still reads what it saw");
}

#[test]
fn what_was_not_finished_is_removed_at_the_start() {
    let mut site = Site::with_files_of(2);
    site.stream(1).events(1..=2);
    site.step();
    site.kill();
    for name in ["000000000009.trail.new", "000000000009.trail.new-wal", "000000000000.sealed.new", "000000000000.sealed.new-journal"] {
        fs::write(site.dir.trail().join(name), "half").unwrap();
    }
    site.start().unwrap();
    let names: Vec<_> = fs::read_dir(site.dir.trail()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().contains(".new")), "{names:?}");
}
