//! What a tail hands out of every kind of journal.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use indelible_core::{Frame, StreamId, encode_frame};
use proptest::prelude::*;

use super::resync::FRAME_BYTES_MAX;
use super::testing::TestStream;
use super::{Budget, Cause, Found, Tail, discover};

fn plenty() -> Budget {
    Budget { frames: usize::MAX, bytes: usize::MAX }
}

/// Reads on, and says in short what was found.
fn read(tail: &mut Tail) -> Vec<String> {
    let mut found = Vec::new();
    tail.read(&mut found, &mut plenty()).unwrap();
    found.iter().map(short).collect()
}

fn short(found: &Found) -> String {
    match found {
        Found::Frame { sequence, .. } => format!("{sequence}"),
        Found::Gap { first, last, cause } => format!("gap {first}-{last} {cause:?}"),
        Found::Damage { segment, length, .. } => format!("damage {segment} {length}"),
        Found::TornTail { segment, bytes, .. } => format!("torn {segment} {bytes}"),
    }
}

fn stream() -> (tempfile::TempDir, TestStream) {
    let journal = tempfile::tempdir().unwrap();
    let stream = TestStream::new(journal.path(), 7);
    (journal, stream)
}

#[test]
fn frames_are_handed_out_once_in_order_across_segments_as_they_come() {
    let (_journal, mut stream) = stream();
    let mut tail = Tail::new(stream.folder(), 1);
    assert!(read(&mut tail).is_empty());
    stream.event(1);
    stream.event(2);
    assert_eq!(read(&mut tail), ["1", "2"]);
    stream.event(3);
    stream.rotate();
    stream.event(4);
    assert_eq!(read(&mut tail), ["3", "4"]);
    assert!(tail.is_live() && !tail.has_ended());
    stream.append(&Frame::Close);
    stream.die();
    assert_eq!(read(&mut tail), ["5"]);
    assert!(!tail.is_live() && tail.has_ended());
}

#[test]
fn frames_below_the_high_water_are_passed_over() {
    let (_journal, mut stream) = stream();
    stream.events(1..=3);
    stream.rotate();
    stream.events(4..=6);
    assert_eq!(read(&mut Tail::new(stream.folder(), 3)), ["3", "4", "5", "6"]);
    assert_eq!(read(&mut Tail::new(stream.folder(), 6)), ["6"]);
    assert!(read(&mut Tail::new(stream.folder(), 7)).is_empty());
}

#[test]
fn a_torn_tail_is_waited_for_while_the_process_lives_and_has_no_further_segment() {
    let (_journal, mut stream) = stream();
    stream.event(1);
    let mut tail = Tail::new(stream.folder(), 1);
    let frame = stream.encode(&Frame::Close);
    stream.append_bytes(&frame[..11]);
    assert_eq!(read(&mut tail), ["1"]);
    assert!(read(&mut tail).is_empty());
    stream.append_bytes(&frame[11..]);
    assert_eq!(read(&mut tail), ["2"]);
}

#[test]
fn a_torn_tail_before_a_further_segment_is_reported_and_nothing_is_missing() {
    let (_journal, mut stream) = stream();
    stream.event(1);
    stream.append_bytes(&[9; 30]);
    stream.rotate();
    stream.event(2);
    assert_eq!(read(&mut Tail::new(stream.folder(), 1)), ["1", "torn 1 30", "2"]);
}

#[test]
fn a_torn_tail_of_a_dead_process_costs_one_sequence_once() {
    let (_journal, mut stream) = stream();
    stream.event(1);
    stream.append_bytes(&[9; 30]);
    stream.die();
    let mut tail = Tail::new(stream.folder(), 1);
    assert_eq!(read(&mut tail), ["1", "torn 1 30", "gap 2-2 TornTail"]);
    assert!(tail.has_ended());
    assert_eq!(read(&mut Tail::new(stream.folder(), 3)), ["torn 1 30"], "after a restart the loss is known");
}

#[test]
fn a_segment_that_ends_in_its_header_is_a_torn_tail_too() {
    let (_journal, mut stream) = stream();
    stream.event(1);
    stream.rotate();
    let header = fs::read(stream.segment_path()).unwrap();
    fs::write(stream.segment_path(), &header[..40]).unwrap();
    let mut tail = Tail::new(stream.folder(), 1);
    assert_eq!(read(&mut tail), ["1"], "its writer may still be at it");
    stream.die();
    assert_eq!(read(&mut tail), ["torn 2 40", "gap 2-2 TornTail"]);
}

#[test]
fn a_missing_segment_is_a_gap() {
    let (_journal, mut stream) = stream();
    stream.event(1);
    stream.rotate();
    let lost = stream.segment_path();
    stream.events(2..=4);
    stream.rotate();
    stream.event(5);
    fs::remove_file(lost).unwrap();
    assert_eq!(read(&mut Tail::new(stream.folder(), 1)), ["1", "gap 2-4 Missing", "5"]);
}

#[test]
fn a_corrupt_record_is_kept_whole_and_its_sequences_are_a_gap() {
    let (_journal, mut stream) = stream();
    stream.event(1);
    let mut frame = stream.encode(&Frame::Close);
    frame[8] ^= 1;
    stream.append_bytes(&frame);
    stream.event(3);
    assert_eq!(read(&mut Tail::new(stream.folder(), 1)), ["1", "damage 1 20", "gap 2-2 Corrupt", "3"]);
}

#[test]
fn a_length_that_runs_past_the_end_does_not_hide_the_frames_behind_it() {
    let (_journal, mut stream) = stream();
    let mut frame = stream.encode(&Frame::Close);
    frame[2] = 1;
    stream.append_bytes(&frame);
    stream.event(2);
    let mut tail = Tail::new(stream.folder(), 1);
    assert!(read(&mut tail).is_empty(), "it may be a long write that is under way");
    stream.rotate();
    assert_eq!(read(&mut tail), ["damage 1 20", "gap 1-1 Corrupt", "2"]);
}

#[test]
fn a_damaged_header_costs_no_frame() {
    let (_journal, mut stream) = stream();
    stream.event(1);
    stream.event(2);
    let mut bytes = fs::read(stream.segment_path()).unwrap();
    bytes[20] ^= 1;
    fs::write(stream.segment_path(), bytes).unwrap();
    assert_eq!(read(&mut Tail::new(stream.folder(), 1)), ["damage 1 64", "1", "2"]);
}

#[test]
fn a_frame_of_another_stream_is_corrupt() {
    let (journal, mut stream) = stream();
    let mut other = TestStream::new(journal.path(), 8);
    stream.event(1);
    other.skip(1);
    let frame = other.encode(&Frame::Close);
    stream.append_bytes(&frame);
    stream.skip(1);
    stream.event(3);
    assert_eq!(read(&mut Tail::new(stream.folder(), 1)), ["1", "damage 1 20", "gap 2-2 Corrupt", "3"]);
}

#[test]
fn a_segment_of_another_version_is_left_alone() {
    let (_journal, mut stream) = stream();
    stream.event(1);
    let mut header = fs::read(stream.segment_path()).unwrap();
    header[8] = 2;
    let crc = crc32c_of(&header[..60]);
    header[60..64].copy_from_slice(&crc.to_le_bytes());
    fs::write(stream.segment_path(), header).unwrap();
    stream.die();
    let mut tail = Tail::new(stream.folder(), 1);
    let error = tail.read(&mut Vec::new(), &mut plenty()).unwrap_err();
    assert!(error.to_string().contains("version 2"), "{error}");
    assert!(!tail.has_ended());
}

/// CRC32C, bit by bit (RFC 3720 appendix B.4).
fn crc32c_of(bytes: &[u8]) -> u32 {
    !bytes
        .iter()
        .fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 }))
}

#[test]
fn a_spent_budget_leaves_the_rest_for_later() {
    let (_journal, mut stream) = stream();
    stream.events(1..=5);
    stream.die();
    let mut tail = Tail::new(stream.folder(), 1);
    let mut found = Vec::new();
    let mut budget = Budget { frames: 2, bytes: usize::MAX };
    tail.read(&mut found, &mut budget).unwrap();
    assert_eq!(found.len(), 2);
    assert!(tail.is_behind() && !tail.has_ended());
    tail.read(&mut found, &mut budget).unwrap();
    assert_eq!(found.len(), 2, "a spent budget reads nothing");
    assert_eq!(read(&mut tail), ["3", "4", "5"]);
    assert!(!tail.is_behind() && tail.has_ended());
}

#[test]
fn only_what_was_read_to_its_end_is_deleted() {
    let (_journal, mut stream) = stream();
    stream.event(1);
    stream.rotate();
    stream.event(2);
    let mut tail = Tail::new(stream.folder(), 1);
    tail.delete_consumed().unwrap();
    assert_eq!(super::segment::list(stream.path()).unwrap().numbers, [1, 2]);
    read(&mut tail);
    tail.delete_consumed().unwrap();
    assert_eq!(super::segment::list(stream.path()).unwrap().numbers, [2], "a living process goes on in the newest");
    stream.die();
    read(&mut tail);
    tail.delete_consumed().unwrap();
    assert!(!stream.path().exists());
}

#[test]
fn a_folder_that_somebody_deleted_has_ended() {
    let (_journal, mut stream) = stream();
    stream.event(1);
    let mut tail = Tail::new(stream.folder(), 1);
    fs::remove_dir_all(stream.path()).unwrap();
    assert!(read(&mut tail).is_empty());
    tail.delete_consumed().unwrap();
    assert!(tail.has_ended() && tail.is_gone());
}

#[test]
fn a_folder_that_cannot_be_deleted_is_kept_in_sight() {
    let (_journal, mut stream) = stream();
    stream.event(1);
    fs::write(stream.path().join("not ours"), "x").unwrap();
    stream.die();
    let mut tail = Tail::new(stream.folder(), 1);
    assert_eq!(read(&mut tail), ["1"]);
    tail.delete_consumed().unwrap_err();
    assert!(read(&mut tail).is_empty() && !tail.is_gone());
    fs::remove_file(stream.path().join("not ours")).unwrap();
    tail.delete_consumed().unwrap();
    assert!(tail.is_gone());
}

/// A frame whose checksum held and whose sequence was out of range was found again and again at its own place, as a damage of no
/// bytes, and nothing else was ever read. It is passed by its size now.
#[test]
fn a_valid_frame_out_of_range_is_corrupt_and_passed() {
    for sequence in [0, i64::MAX as u64, u64::MAX] {
        let (_journal, mut stream) = stream();
        stream.event(1);
        let mut frame = Vec::new();
        encode_frame(stream.stream, sequence, &Frame::Close, &mut frame);
        stream.append_bytes(&frame);
        stream.event(2);
        assert_eq!(read(&mut Tail::new(stream.folder(), 1)), ["1", "damage 1 20", "2"], "{sequence}");
    }
}

#[test]
fn a_segment_that_begins_with_a_frame_is_passed_too() {
    let (_journal, mut stream) = stream();
    let mut bytes = stream.encode(&Frame::Close);
    bytes.extend(stream.encode(&Frame::Close));
    fs::write(stream.segment_path(), [&bytes[..], &[0; 64]].concat()).unwrap();
    stream.die();
    assert_eq!(read(&mut Tail::new(stream.folder(), 1)), ["damage 1 20", "gap 1-1 Corrupt", "2", "torn 1 64", "gap 3-3 TornTail"]);
}

#[test]
fn the_highest_sequences_overflow_nothing() {
    let (_journal, mut stream) = stream();
    stream.skip(i64::MAX as u64 - 3);
    stream.append(&Frame::Close);
    stream.append_bytes(&[9; 30]);
    stream.die();
    let mut found = Vec::new();
    Tail::new(stream.folder(), 1).read(&mut found, &mut plenty()).unwrap();
    let Some(Found::Gap { last, .. }) = found.last() else { panic!("{found:?}") };
    assert_eq!(i64::try_from(last + 1), Ok(i64::MAX), "the next sequence can be stored");
}

/// A frame that fails its checksum where its segment ends was taken for a torn tail, and its bytes went with the segment.
#[test]
fn a_corrupt_record_at_the_end_of_a_segment_is_kept() {
    let (_journal, mut stream) = stream();
    stream.event(1);
    let mut frame = stream.encode(&Frame::Close);
    frame[5] ^= 1;
    stream.append_bytes(&frame);
    stream.rotate();
    stream.event(3);
    assert_eq!(read(&mut Tail::new(stream.folder(), 1)), ["1", "damage 1 20", "gap 2-2 Corrupt", "3"]);
}

/// Twenty bad bytes before a gigabyte of nothing were read into memory as one piece.
#[test]
fn damage_longer_than_any_frame_comes_in_pieces_and_the_longest_frame_is_kept() {
    let (_journal, mut stream) = stream();
    stream.event(1);
    let segment = OpenOptions::new().write(true).open(stream.segment_path()).unwrap();
    let length = 2 * FRAME_BYTES_MAX as u64;
    segment.set_len(length).unwrap();
    stream.rotate();
    stream.event(2);
    let mut tail = Tail::new(stream.folder(), 1);
    let (mut kept_bytes, mut next, mut frames) = (0, None, 0);
    for _ in 0..10 {
        let mut found = Vec::new();
        tail.read(&mut found, &mut Budget { frames: 10, bytes: 8 << 20 }).unwrap();
        for found in found {
            match found {
                Found::Damage { offset, length, kept, .. } => {
                    assert!(length <= FRAME_BYTES_MAX as u64 && next.is_none_or(|next| next == offset));
                    next = Some(offset + length);
                    kept_bytes += kept.len();
                }
                Found::Frame { .. } => frames += 1,
                found => panic!("{}", short(&found)),
            }
        }
    }
    assert_eq!((next, kept_bytes, frames), (Some(length), FRAME_BYTES_MAX, 2));
}

/// Each valid frame among headers that announce everything behind them cost one reading of everything.
#[test]
fn frames_among_headers_that_announce_long_ones_are_all_found() {
    let (_journal, mut stream) = stream();
    let mut bytes = Vec::new();
    for _ in 0..20_000 {
        let mut header = stream.encode(&Frame::Close);
        header[..4].copy_from_slice(&300_000_u32.to_le_bytes());
        bytes.extend(header);
        bytes.extend(stream.encode(&Frame::Close));
    }
    stream.append_bytes(&bytes);
    stream.die();
    let found = read(&mut Tail::new(stream.folder(), 1));
    assert_eq!(found.iter().filter(|found| found.starts_with("damage")).count(), 20_000);
}

#[test]
fn only_regular_files_with_the_name_of_their_number_are_segments() {
    let (journal, mut stream) = stream();
    stream.event(1);
    let elsewhere = journal.path().join("trail.key");
    fs::write(&elsewhere, "secret").unwrap();
    let folder = stream.path().to_owned();
    let path = |name: &str| folder.join(name);
    std::os::unix::fs::symlink(&elsewhere, path("00000002.journal")).unwrap();
    fs::create_dir(path("00000003.journal")).unwrap();
    pipe(&path("00000004.journal"));
    for stray in ["7.journal", "+2.journal", "000000009.journal"] {
        fs::write(path(stray), "stray").unwrap();
    }
    stream.die();
    let mut tail = Tail::new(stream.folder(), 1);
    assert_eq!(read(&mut tail), ["1"]);
    assert!(tail.has_ended());
    tail.delete_consumed().unwrap_err();
    assert!(!stream.segment_path().exists() && path("7.journal").exists() && elsewhere.exists());
}

#[test]
fn a_lock_that_is_no_regular_file_is_held_by_nobody() {
    for make in [pipe, |path: &Path| std::os::unix::fs::symlink("/dev/zero", path).unwrap(), |path: &Path| fs::create_dir(path).unwrap()] {
        let (_journal, mut stream) = stream();
        stream.event(1);
        stream.die();
        let lock = stream.path().join("lock");
        fs::remove_file(&lock).unwrap();
        make(&lock);
        let mut tail = Tail::new(stream.folder(), 1);
        assert_eq!(read(&mut tail), ["1"]);
        assert!(!tail.is_live() && tail.has_ended());
    }
}

/// Makes what blocks whoever opens it in the ordinary way.
fn pipe(path: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn a_stream_has_one_name_and_everything_else_is_told() {
    let (journal, stream) = stream();
    let service = stream.path().parent().unwrap();
    let name = stream.stream.to_string();
    for stray in ["not-a-stream", &StreamId::AGENT.to_string(), &name.replace('0', "A")] {
        fs::create_dir(service.join(stray)).unwrap();
    }
    fs::create_dir(service.join(".new")).unwrap();
    fs::write(service.join("answers.json"), "{}").unwrap();
    std::os::unix::fs::symlink(stream.path(), service.join("0199aaaa-0000-7000-8000-000000000000")).unwrap();
    fs::create_dir(journal.path().join(OsStr::from_bytes(b"\xff"))).unwrap();
    let found = discover(journal.path()).unwrap();
    assert_eq!(found.folders, [stream.folder()]);
    assert_eq!(found.strays.len(), 5, "{:?}", found.strays);
}

proptest! {
    /// Whatever is cut out of, flipped in or appended to a journal: what is handed out covers every sequence up to the last
    /// valid frame exactly once, and a frame is handed out only as it was written.
    #[test]
    fn every_sequence_is_accounted_for_once(
        frames in prop::collection::vec((0_u64..50, any::<bool>()), 1..30),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0_u8..4), 0..6),
        budget in 1_usize..8,
    ) {
        let (_journal, mut stream) = stream();
        for (number, rotate) in &frames {
            if *rotate {
                stream.rotate();
            }
            stream.event(*number);
        }
        stream.die();
        let numbers = super::segment::list(stream.path()).unwrap().numbers;
        for (segment, place, kind) in damage {
            harm(&super::segment::path(stream.path(), numbers[segment.index(numbers.len())]), place, kind);
        }
        let mut tail = Tail::new(stream.folder(), 1);
        let mut found = Vec::new();
        for _ in 0..100 {
            if !tail.has_ended() {
                tail.read(&mut found, &mut Budget { frames: budget, bytes: usize::MAX }).unwrap();
            }
        }
        prop_assert!(tail.has_ended());
        let mut next = 1;
        for found in &found {
            match found {
                Found::Frame { sequence, payload, .. } => {
                    prop_assert_eq!(*sequence, next);
                    let number = frames[usize::try_from(next - 1).unwrap()].0;
                    prop_assert!(payload.ends_with(&super::testing::body(number)));
                    next += 1;
                }
                Found::Gap { first, last, cause } => {
                    prop_assert_eq!(*first, next);
                    prop_assert!(last >= first && (*cause != Cause::TornTail || *last <= frames.len() as u64 + 1));
                    next = last + 1;
                }
                Found::Damage { .. } | Found::TornTail { .. } => {}
            }
        }
    }
}

fn harm(segment: &std::path::Path, place: prop::sample::Index, kind: u8) {
    let Ok(mut bytes) = fs::read(segment) else { return };
    if bytes.is_empty() {
        return;
    }
    let place = place.index(bytes.len());
    match kind {
        0 => bytes[place] ^= 0x10,
        1 => bytes.truncate(place),
        2 => drop(bytes.splice(place..place, [0xff; 7])),
        _ => return fs::remove_file(segment).unwrap(),
    }
    fs::write(segment, bytes).unwrap();
}
