//! What is recorded is in the journal, in order, whole, from any thread.

mod support;

use std::collections::HashSet;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;

use indelible::{Config, Durability, Error, Limits, Recorded, Recorder};
use support::{Read, change, read_only_stream, read_stream, recorder, segments, stream_folders};

#[test]
fn an_event_is_in_the_journal_when_record_returns_and_the_end_is_marked() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = recorder(folder.path());
    let Recorded::At(position) = recorder.record(change("patient.create", "1")) else { panic!("it was recorded") };
    assert_eq!(position.sequence, 1);
    let [Read::Event(body)] = &read_only_stream(folder.path())[..] else { panic!("one event") };
    assert_eq!(
        (&body["action"], &body["resource"]["id"], &body["source"]["service"]),
        (&"patient.create".into(), &"1".into(), &"clinic".into())
    );
    recorder.close().unwrap();
    assert_eq!(read_only_stream(folder.path()).last(), Some(&Read::Close));
}

#[test]
fn the_lock_is_held_while_the_recorder_lives_and_free_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = recorder(folder.path());
    recorder.record(change("patient.create", "1"));
    let lock = File::open(stream_folders(folder.path(), "clinic")[0].join("lock")).unwrap();
    assert!(lock.try_lock().is_err(), "it is held");
    let clone = recorder.clone();
    drop(recorder);
    assert!(lock.try_lock().is_err(), "a clone is enough");
    drop(clone);
    assert!(lock.try_lock().is_ok());
}

#[test]
fn nothing_is_written_before_the_first_event() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = recorder(folder.path());
    assert!(stream_folders(folder.path(), "clinic").is_empty());
    drop(recorder);
    assert!(stream_folders(folder.path(), "clinic").is_empty());
}

#[test]
fn files_are_private_and_follow_the_services_folder_where_a_group_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let service_folder = folder.path().join("journal/clinic");
    recorder(folder.path()).record(change("patient.create", "1"));
    assert_eq!(mode(&service_folder), 0o700);
    let private = stream_folders(folder.path(), "clinic").remove(0);
    assert_eq!((mode(&private), mode(&segments(&private)[0])), (0o700, 0o600));
    fs::set_permissions(&service_folder, fs::Permissions::from_mode(0o2770)).unwrap();
    recorder(folder.path()).record(change("patient.create", "1"));
    let shared = stream_folders(folder.path(), "clinic").into_iter().find(|path| *path != private).unwrap();
    assert_eq!((mode(&shared), mode(&segments(&shared)[0])), (0o2770, 0o640));
}

#[test]
fn threads_share_one_stream_and_no_event_is_lost_torn_or_doubled() {
    for durability in [Durability::Buffered, Durability::Synced] {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits { segment_bytes: 20_000, ..Limits::default() };
        let recorder = Recorder::open(Config { durability, limits, ..Config::new(folder.path(), "clinic") }).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let recorder = &recorder;
                scope.spawn(move || {
                    for number in 0..50 {
                        assert!(matches!(recorder.record(change("patient.create", &format!("{thread}-{number}"))), Recorded::At(_)));
                    }
                });
            }
        });
        let frames = read_only_stream(folder.path());
        let id = |frame: &Read| if let Read::Event(body) = frame { body["resource"]["id"].to_string() } else { panic!("{frame:?}") };
        assert_eq!(frames.iter().map(id).collect::<HashSet<_>>().len(), 400);
        assert_eq!(frames.len(), 400);
        assert!(segments(&stream_folders(folder.path(), "clinic")[0]).len() > 3, "segments follow each other");
    }
}

#[test]
fn each_recorder_has_a_stream_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let recorders = [recorder(folder.path()), recorder(folder.path())];
    for recorder in &recorders {
        recorder.record(change("patient.create", "1"));
    }
    let folders = stream_folders(folder.path(), "clinic");
    assert_eq!(folders.len(), 2);
    assert!(folders.iter().all(|folder| read_stream(folder).len() == 1));
}

#[test]
fn a_full_journal_counts_losses_and_goes_on_when_the_agent_has_taken_segments_away() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { journal_bytes: 4_000, segment_bytes: 1_000, ..Limits::default() };
    let config = Config { limits, on_failure: indelible::OnFailure::BestEffort, ..Config::new(folder.path(), "clinic") };
    let recorder = Recorder::open(config).unwrap();
    let recorded = (0..40).map(|id| recorder.record(change("patient.create", &id.to_string()))).collect::<Vec<_>>();
    let lost = recorded.iter().filter(|recorded| **recorded == Recorded::Lost).count() as u64;
    let health = recorder.health();
    assert!(lost > 20 && health.degraded, "{health:?}");
    assert_eq!(health.lost, lost);
    assert!(health.last_error.unwrap().contains("its limit is 4000"));

    for segment in segments(&stream_folders(folder.path(), "clinic")[0]) {
        fs::remove_file(segment).unwrap();
    }
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while recorder.record(change("patient.create", "after")) == Recorded::Lost {
        assert!(std::time::Instant::now() < deadline, "it recovers");
    }
    let health = recorder.health();
    assert!(!health.degraded);
    let folder = &stream_folders(folder.path(), "clinic")[0];
    let bytes = segments(folder).iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>().concat();
    let stream = support::stream_of(folder);
    let (raw, consumed) = indelible::read_frame(stream, &bytes[64..]).unwrap();
    assert!(matches!(raw.parse().unwrap(), indelible::Frame::Loss { count, .. } if count == health.lost), "the loss is told first");
    assert!(indelible::read_frame(stream, &bytes[64 + consumed..]).is_ok(), "and then the event");
}

#[test]
fn what_cannot_be_opened_says_what_where_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["", "Clinic", "../x", "a/b", ".hidden", &"a".repeat(65)] {
        assert!(matches!(Recorder::open(Config::new(folder.path(), name)), Err(Error::Service(_))), "{name:?}");
    }
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Recorder::open(Config::new(&file, "clinic")).map(drop).unwrap_err().to_string();
    assert!(error.contains("file/journal/clinic") && error.contains("check that this user may write there"), "{error}");
}
