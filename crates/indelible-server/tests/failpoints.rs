//! The agent killed once at each of its failpoints: nothing lost, nothing twice, and the trail intact before and after the next start.
#![allow(clippy::unwrap_used, reason = "tests")]

mod seed;

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Output, Stdio};

use indelible::{Config, Event, Json, Kind, Recorded, Recorder};
use seed::Seed;

/// Events of each round; more than a file holds, so that each begins one and seals one.
const EVENTS: u64 = 30;
const LEAVES_PER_FILE: &str = "20";
const SIGKILL: i32 = 9;

/// Each is the place and, after a colon, the how-manieth time that it is come to.
const CREATE: &[&str] = &["create.before_rename", "create.after_rename", "rename.before_sync"];
const INGEST: &[&str] = &[
    "ingest.before_commit",
    "ingest.before_commit:2",
    "ingest.after_commit",
    "ingest.after_commit:2",
    "sign.before_checkpoint:2",
    "sign.before_state:3",
    "sign.after_state:3",
    "replace.after_write",
    "replace.after_write:5",
    "replace.after_sync",
    "replace.after_sync:5",
    "journal.before_unlink",
    "journal.after_unlink",
];
const ROLL: &[&str] = &[
    "roll.before_fold",
    "roll.after_fold",
    "roll.before_commit",
    "roll.after_commit",
    "roll.after_sync",
    "roll.before_rename",
    "roll.after_rename",
    "roll.before_sign",
];
const SEAL: &[&str] = &[
    "seal.before_commit",
    "seal.after_commit",
    "seal.after_sync",
    "seal.before_note",
    "seal.before_rename",
    "seal.after_rename",
    "seal.after_unlink",
];

fn record(seed: &Seed, first: u64) {
    let recorder = Recorder::open(Config::new(seed.path(), "load")).unwrap();
    let event = |number| {
        let mut event = Event::new(Kind::Action, "load.event");
        event.meta = Some(Json::from_text(format!(r#"{{"number":{number}}}"#)));
        event
    };
    for number in first..first + EVENTS - 2 {
        recorder.record(event(number));
    }
    let mut transaction = recorder.transaction("default");
    (first + EVENTS - 2..first + EVENTS).for_each(|number| assert_eq!(transaction.record(event(number)), Recorded::Held));
    transaction.prepare().unwrap().unwrap().committed();
    recorder.close().unwrap();
}

fn agent(seed: &Seed, failpoint: Option<&str>) -> Output {
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--until-idle", "0", "--leaves-per-file", LEAVES_PER_FILE];
    let mut command = seed.command(&arguments);
    if let Some(failpoint) = failpoint {
        command.env("INDELIBLE_FAILPOINT", failpoint);
    }
    command.stdout(Stdio::null()).output().unwrap()
}

fn assert_intact(seed: &Seed, when: &str) {
    let report = seed.indelible(&["verify"]);
    assert_eq!(report.status.code(), Some(0), "{when}: {}", String::from_utf8_lossy(&report.stdout));
}

/// Kills an agent at a place and looks at what it left, then lets another one finish.
fn kill_at(failpoint: &str, rounds_before: u64) {
    let seed = Seed::empty();
    for round in 0..rounds_before {
        record(&seed, round * EVENTS);
        assert!(agent(&seed, None).status.success());
    }
    record(&seed, rounds_before * EVENTS);
    let killed = agent(&seed, Some(failpoint));
    assert_eq!(killed.status.signal(), Some(SIGKILL), "{failpoint} is not come to: {}", String::from_utf8_lossy(&killed.stderr));
    if rounds_before > 0 {
        assert_intact(&seed, &format!("killed at {failpoint}"));
    }
    let ended = agent(&seed, None);
    assert!(ended.status.success(), "after {failpoint}: {}", String::from_utf8_lossy(&ended.stderr));
    assert_intact(&seed, &format!("one agent after {failpoint}"));
    let mut numbers: Vec<u64> = seed.records("load.event").iter().map(|(body, _)| body["meta"]["number"].as_u64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..(rounds_before + 1) * EVENTS).collect::<Vec<_>>(), "{failpoint}: each event once");
    assert_tidy(&seed, failpoint);
}

/// Every file but the newest is sealed, with its seal, and nothing unfinished is left.
fn assert_tidy(seed: &Seed, failpoint: &str) {
    let mut names: Vec<String> =
        fs::read_dir(seed.dir().trail()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    let ending = |end: &str| names.iter().filter_map(|name| name.strip_suffix(end)).collect::<Vec<_>>();
    let (mut files, seals) = (ending(".trail"), ending(".seal"));
    files.pop();
    assert!(!files.is_empty(), "{failpoint}: {names:?}");
    assert_eq!(files, seals, "{failpoint}: {names:?}");
    let beside = names
        .iter()
        .filter(|name| name.ends_with("-wal") || name.ends_with("-shm") || name.contains(".trail.new") || name.contains("sealed"));
    assert_eq!(beside.count(), 0, "{failpoint}: {names:?}");
}

#[test]
fn an_agent_killed_while_it_makes_its_trail_leaves_none_or_a_whole_one() {
    CREATE.iter().for_each(|failpoint| kill_at(failpoint, 0));
}

#[test]
fn an_agent_killed_while_it_ingests_loses_nothing_and_doubles_nothing() {
    INGEST.iter().for_each(|failpoint| kill_at(failpoint, 1));
}

#[test]
fn an_agent_killed_while_it_begins_a_file_loses_nothing_and_doubles_nothing() {
    ROLL.iter().for_each(|failpoint| kill_at(failpoint, 1));
}

#[test]
fn an_agent_killed_while_it_seals_a_file_loses_nothing_and_doubles_nothing() {
    SEAL.iter().for_each(|failpoint| kill_at(failpoint, 1));
}

fn texts(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            texts(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(fs::read_to_string(path).unwrap());
        }
    }
}

/// A failpoint that nobody tests would say that a crash there is harmless, and nobody would know.
#[test]
fn every_failpoint_of_the_source_is_in_the_table_of_some_test() {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut source, mut tests) = (Vec::new(), Vec::new());
    texts(&crate_folder.join("src"), &mut source);
    texts(&crate_folder.join("tests"), &mut tests);
    let names: Vec<&str> = source
        .iter()
        .flat_map(|text| text.split("failpoint!(\"").skip(1))
        .filter_map(|rest| rest.split_once("\")").map(|(name, _)| name))
        // tests/sinks.rs takes those of the sinks from the source.
        .filter(|name| name.contains('.') && !name.starts_with("sink."))
        .collect();
    assert!(names.len() > 20, "the source was not found: {names:?}");
    let is_tested = |name: &str| tests.iter().any(|text| text.contains(&format!("\"{name}\"")) || text.contains(&format!("\"{name}:")));
    let untested: Vec<_> = names.iter().filter(|name| !is_tested(name)).collect();
    assert!(untested.is_empty(), "no test kills the agent at {untested:?}");
}
