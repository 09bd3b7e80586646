//! Files after crashes, and after what somebody else did to them.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::Duration;

use indelible_core::{EventId, Hash, LeafEntry, StreamId, Timestamp, Verdict};
use tempfile::TempDir;

use super::append::append;
use super::*;

fn record(leaf_index: u64) -> Record {
    let at = Timestamp::from_micros(1_700_000_000_000_000);
    let entry = LeafEntry {
        event: EventId::from_parts(leaf_index, [7; 10]),
        stream: StreamId::from_bytes([1; 16]),
        stream_index: leaf_index,
        sequence: leaf_index + 1,
        item: 0,
        recorded_at: at,
        received_at: at,
        verdict: Verdict::Recorded,
        commitment: Hash::from_bytes([0; 32]),
    };
    let body = r#"{"kind":"task","action":"a.b","outcome":"success","occurred_at":""}"#;
    Record { leaf_index, entry, body: body.as_bytes().to_vec() }
}

/// A sink in a folder of its own, with the position that the cursor would have.
struct World {
    folder: TempDir,
    config: FilesConfig,
    position: Position,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("files");
        let config = FilesConfig { folder: path, file_bytes_max: 1 << 20, rotated_files_max: 5, rotate_after: None, file_mode: 0o640 };
        let mut world = Self { folder, config, position: Position::Null };
        world.begin();
        world
    }

    /// What a new agent does with the cursor that is there.
    fn begin(&mut self) {
        self.position = self.sink().begin(self.position.clone()).unwrap();
    }

    fn sink(&self) -> Files {
        Files::new(self.config.clone(), Shape::Native)
    }

    /// Delivers everything of a range, and remembers the position after each call unless it is `lost`.
    fn deliver(&mut self, leaves: std::ops::Range<u64>, lost: bool) {
        let batch: Vec<_> = leaves.map(record).collect();
        let (mut done, before) = (0, self.position.clone());
        while done < batch.len() {
            let delivered = self.sink().deliver(&batch[done..], &self.position, Instant::now()).unwrap();
            done += delivered.records;
            self.position = delivered.position;
        }
        if lost {
            self.position = before;
        }
    }

    fn current(&self) -> PathBuf {
        self.config.folder.join("events.jsonl")
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(&self.config.folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn leaves(&self, name: &str) -> Vec<u64> {
        let text = fs::read_to_string(self.config.folder.join(name)).unwrap();
        assert!(text.ends_with('\n'), "{name} ends in half a line");
        text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["leaf"].as_u64().unwrap()).collect()
    }
}

fn line_bytes() -> u64 {
    let mut line = String::new();
    Shape::Native.render(&record(0), &mut line);
    line.len() as u64 + 1
}

/// The agent was killed after any number of bytes of a batch, before its cursor moved. The next one writes the rest.
#[test]
fn a_half_written_batch_is_completed_wherever_it_ends() {
    let lines = line_bytes();
    for cut in [0, 1, lines - 1, lines, lines + 1, 2 * lines, 3 * lines - 1, 3 * lines] {
        let mut world = World::new();
        world.deliver(0..2, false);
        world.deliver(2..5, true);
        let file = fs::OpenOptions::new().write(true).open(world.current()).unwrap();
        file.set_len(2 * lines + cut).unwrap();
        world.begin();
        world.deliver(2..6, false);
        assert_eq!(world.leaves("events.jsonl"), [0, 1, 2, 3, 4, 5], "cut after {cut} bytes");
    }
}

/// The batch that comes again may be shorter than the one that was lost: what it does not have stays for the next one to meet.
#[test]
fn what_is_there_beyond_a_shorter_batch_is_met_by_the_next_one() {
    let mut world = World::new();
    world.deliver(0..5, true);
    world.deliver(0..2, false);
    assert_eq!(world.leaves("events.jsonl"), [0, 1, 2, 3, 4]);
    world.deliver(2..7, false);
    assert_eq!(world.leaves("events.jsonl"), [0, 1, 2, 3, 4, 5, 6]);
}

/// After a crash of the machine a file can be longer than what reached the disk of it.
#[test]
fn bytes_that_nobody_wrote_are_cut_off() {
    let mut world = World::new();
    world.deliver(0..2, false);
    let mut content = fs::read(world.current()).unwrap();
    content.extend([0; 700]);
    fs::write(world.current(), content).unwrap();
    world.deliver(2..4, false);
    assert_eq!(world.leaves("events.jsonl"), [0, 1, 2, 3]);
}

#[test]
fn a_full_file_is_put_away_under_the_next_number_and_the_oldest_are_deleted() {
    let mut world = World::new();
    world.config.file_bytes_max = 2 * line_bytes();
    world.config.rotated_files_max = 2;
    world.deliver(0..9, false);
    assert_eq!(world.names(), ["events.000003.jsonl", "events.000004.jsonl", "events.jsonl"]);
    let found = ["events.000003.jsonl", "events.000004.jsonl", "events.jsonl"].map(|name| world.leaves(name));
    assert_eq!(found, [vec![4, 5], vec![6, 7], vec![8]]);
    for name in world.names() {
        let bytes = fs::metadata(world.config.folder.join(name)).unwrap().len();
        assert!(bytes <= world.config.file_bytes_max);
    }
}

/// The agent was killed after a file was renamed and before, or after part of the new one was written.
#[test]
fn a_rotation_is_finished_once_wherever_it_was_left() {
    let lines = line_bytes();
    for written in [None, Some(0), Some(1), Some(lines), Some(2 * lines - 1)] {
        let mut world = World::new();
        world.config.file_bytes_max = 3 * lines;
        let mut marked = world.position.clone();
        while marked["files"]["events.jsonl"]["rotate_to"].is_null() {
            let batch: Vec<_> = (0..4).map(record).collect();
            marked = world.sink().deliver(&batch, &world.position, Instant::now()).unwrap().position;
        }
        world.position = marked;
        if let Some(written) = written {
            world.deliver(3..5, true);
            fs::OpenOptions::new().write(true).open(world.current()).unwrap().set_len(written).unwrap();
        }
        world.begin();
        world.deliver(3..5, false);
        assert_eq!(world.names(), ["events.000001.jsonl", "events.jsonl"], "{written:?}");
        assert_eq!((world.leaves("events.000001.jsonl"), world.leaves("events.jsonl")), (vec![0, 1, 2], vec![3, 4]), "{written:?}");
    }
}

/// A file is put away with what the cursor covers: the rest comes again, into the new file.
#[test]
fn what_a_lost_delivery_wrote_does_not_come_twice_when_the_file_is_rotated() {
    let mut world = World::new();
    world.deliver(0..2, false);
    world.deliver(2..4, true);
    world.position = world.sink().set_apart(world.position.clone());
    world.deliver(2..5, false);
    assert_eq!((world.leaves("events.000001.jsonl"), world.leaves("events.jsonl")), (vec![0, 1], vec![2, 3, 4]));
}

#[test]
fn an_old_file_is_rotated_before_it_is_written_again() {
    let mut world = World::new();
    world.deliver(0..1, false);
    world.config.rotate_after = Some(Duration::from_secs(3_600));
    world.deliver(1..2, false);
    assert_eq!(world.names(), ["events.jsonl"], "it is not old yet");
    world.position["files"]["events.jsonl"]["began_at_s"] = (now().micros() / 1_000_000 - 3_601).into();
    world.deliver(2..3, false);
    assert_eq!((world.leaves("events.000001.jsonl"), world.leaves("events.jsonl")), (vec![0, 1], vec![2]));
}

/// After a failed sync the system may call pages clean that never reached the disk.
#[test]
fn a_file_whose_sync_failed_is_not_written_again() {
    let mut world = World::new();
    world.deliver(0..2, false);
    let mut sink = world.sink();
    sink.unsynced.insert("events.jsonl");
    let marked = sink.deliver(&[record(2)], &world.position, Instant::now()).unwrap();
    assert_eq!(marked.records, 0, "first it is remembered that the file will be put away");
    assert_eq!(sink.deliver(&[record(2)], &marked.position, Instant::now()).unwrap().records, 1);
    assert_eq!((world.leaves("events.000001.jsonl"), world.leaves("events.jsonl")), (vec![0, 1], vec![2]));
}

#[test]
fn a_file_that_was_there_before_the_sink_is_set_aside_untouched() {
    let mut world = World::new();
    fs::write(world.current(), "somebody else's").unwrap();
    fs::write(world.config.folder.join("events.000007.jsonl"), "older\n").unwrap();
    world.position = Position::Null;
    world.begin();
    world.deliver(0..1, false);
    assert_eq!(fs::read(world.config.folder.join("events.000008.jsonl")).unwrap(), b"somebody else's");
    assert_eq!(world.leaves("events.jsonl"), [0]);
}

#[test]
fn a_file_that_was_emptied_exchanged_or_taken_away_is_gone_on_with() {
    let mut world = World::new();
    world.deliver(0..3, false);
    fs::write(world.current(), "").unwrap();
    world.deliver(3..4, false);
    assert_eq!(world.leaves("events.jsonl"), [3]);
    fs::remove_file(world.current()).unwrap();
    world.deliver(4..6, false);
    assert_eq!(world.leaves("events.jsonl"), [4, 5]);
    fs::write(world.current(), "{\"leaf\":99").unwrap();
    world.deliver(6..7, false);
    let text = fs::read_to_string(world.current()).unwrap();
    assert!(text.starts_with("{\"leaf\":99\n{\"leaf\":6,"), "on a line of its own: {text}");
}

#[test]
fn files_have_their_mode_and_lead_nowhere_else() {
    let mut world = World::new();
    world.deliver(0..1, false);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!([mode(&world.config.folder), mode(&world.current())], [0o700, 0o640]);
    fs::remove_file(world.current()).unwrap();
    let elsewhere = world.folder.path().join("elsewhere");
    fs::write(&elsewhere, "").unwrap();
    symlink(&elsewhere, world.current()).unwrap();
    let refused = world.sink().deliver(&[record(1)], &world.position, Instant::now());
    assert!(matches!(refused, Err(SinkError::Unavailable(_))), "{refused:?}");
    assert_eq!(fs::read(&elsewhere).unwrap(), b"");
    fs::remove_file(world.current()).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(world.current()).status().unwrap().success());
    let refused = append(&world.current(), 0, b"x\n", 0o600);
    assert!(refused.is_err(), "a pipe without a reader is not waited for");
}

#[test]
fn a_check_leaves_nothing_behind() {
    let world = World::new();
    let said = world.sink().check(Instant::now()).unwrap();
    assert!(said.contains("wrote, synced and removed"), "{said}");
    assert!(world.names().is_empty());
}

/// Whoever can write the cursor, or a file into the folder, ends no thread with it.
#[test]
fn numbers_that_no_file_can_have_are_refused_and_names_with_them_are_somebody_elses() {
    for key in ["next_number", "rotate_to"] {
        let mut world = World::new();
        world.deliver(0..1, false);
        world.position["files"]["events.jsonl"][key] = u64::MAX.into();
        world.config.file_bytes_max = 1;
        let refused = world.sink().deliver(&[record(1)], &world.position, Instant::now());
        let told = refused.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(told.contains("18446744073709551615") && told.contains("delete the cursor"), "{key}: {told}");
        assert_eq!(world.leaves("events.jsonl"), [0], "{key}");
    }
    let mut world = World::new();
    world.position["files"]["events.jsonl"]["bytes"] = u64::MAX.into();
    world.deliver(0..1, false);
    fs::write(world.config.folder.join("events.18446744073709551615.jsonl"), "").unwrap();
    world.config.file_bytes_max = 1;
    world.deliver(1..2, false);
    assert_eq!(world.leaves("events.jsonl"), [1]);
}
