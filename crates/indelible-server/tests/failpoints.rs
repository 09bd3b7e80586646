//! The agent killed once at each of its failpoints: nothing lost, nothing twice, and the trail intact before and after the next start.
#![allow(clippy::unwrap_used, reason = "tests")]

mod seed;

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Output, Stdio};

use indelible::{Config, Event, Json, Kind, Recorded, Recorder, StreamId};
use indelible_server::Reader;
use seed::Seed;

/// Events of each round; more than a file holds, so that each begins one and seals one.
const EVENTS: u64 = 30;
const LEAVES_PER_FILE: &str = "20";
const SIGKILL: i32 = 9;

/// Each is the place and, after a colon, the how-manieth time that it is come to.
const CREATE: &[&str] = &[
    "folder.before_create",
    "folder.after_create",
    "folder.after_create:4",
    "lock.after_create",
    "replace.before_write",
    "rename.before",
    "folder.before_sync",
    "file.before_sync",
    "create.before_rename",
    "create.after_rename",
    "rename.before_sync",
];
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
    "journal.before_lock",
    "journal.after_lock",
    "journal.after_folder",
    "replace.before_write:5",
    "rename.before:5",
    "folder.before_sync:5",
    "agent.before_withdraw",
];
/// Around what applications may know, which is written after the first batch.
const ANSWERS: &[&str] = &["answers.before_create", "answers.after_write", "answers.before_rename", "answers.after_rename"];
const ROLL: &[&str] = &[
    "roll.before_fold",
    "roll.at_fold",
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
    "file.before_sync:2",
    "trail.before_unlink",
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
    // Somebody wants to know how far it is.
    fs::write(seed.dir().journal().join("load/resolver.lock"), "").unwrap();
}

fn agent(seed: &Seed, failpoint: Option<&str>) -> Output {
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--until-idle", "0", "--leaves-per-file", LEAVES_PER_FILE];
    let mut command = seed.command(&arguments);
    if let Some(failpoint) = failpoint {
        command.env("INDELIBLE_FAILPOINT", failpoint);
    }
    command.stdout(Stdio::null()).output().unwrap()
}

/// What `answers.json` says is in the trail: it may be older, and never ahead.
fn assert_answers_are_behind(seed: &Seed, when: &str) {
    let Ok(text) = fs::read(seed.dir().journal().join("load/answers.json")) else { return };
    let answers: serde_json::Value = serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{when}: half a file: {error}"));
    let reader = Reader::open(&seed.dir()).unwrap();
    let mut last = std::collections::HashMap::<String, u64>::new();
    for file in reader.files() {
        let mut statement = file.connection().unwrap().prepare("SELECT stream, next_sequence FROM stream").unwrap();
        let rows =
            statement.query_map([], |row| Ok((StreamId::from_bytes(row.get(0)?), row.get::<_, i64>(1)?.unsigned_abs() - 1))).unwrap();
        last.extend(rows.map(|row| row.map(|(stream, sequence)| (stream.to_string(), sequence)).unwrap()));
    }
    for (stream, answer) in answers["streams"].as_object().unwrap() {
        let high_water = answer["high_water"].as_u64().unwrap();
        assert!(last.get(stream).is_some_and(|last| high_water <= *last), "{when}: {stream} {answer} {last:?}");
    }
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
        assert_answers_are_behind(&seed, failpoint);
        assert_intact(&seed, &format!("killed at {failpoint}"));
    }
    let ended = agent(&seed, None);
    assert!(ended.status.success(), "after {failpoint}: {}", String::from_utf8_lossy(&ended.stderr));
    assert_intact(&seed, &format!("one agent after {failpoint}"));
    let mut numbers: Vec<u64> = seed.records("load.event").iter().map(|(body, _)| body["meta"]["number"].as_u64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..(rounds_before + 1) * EVENTS).collect::<Vec<_>>(), "{failpoint}: each event once");
    assert_tidy(&seed, failpoint);
    assert_answers_are_behind(&seed, &format!("one agent after {failpoint}"));
    assert!(seed.dir().journal().join("load/answers.json").exists(), "{failpoint}: who asked has an answer");
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
fn an_agent_killed_while_it_answers_applications_leaves_an_older_answer_or_a_whole_one() {
    ANSWERS.iter().for_each(|failpoint| kill_at(failpoint, 1));
}

#[test]
fn an_agent_killed_while_it_begins_a_file_loses_nothing_and_doubles_nothing() {
    ROLL.iter().for_each(|failpoint| kill_at(failpoint, 1));
}

#[test]
fn an_agent_killed_while_it_seals_a_file_loses_nothing_and_doubles_nothing() {
    SEAL.iter().for_each(|failpoint| kill_at(failpoint, 1));
}

/// A machine that lost power may have left a log beside a closed file; SQLite would have removed it with the last connection.
fn leave_log(closed: &Path) {
    let log = closed.with_extension("trail-wal");
    let connection = rusqlite::Connection::open(closed).unwrap();
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    connection.pragma_update(None, "user_version", version).unwrap();
    let left = fs::read(&log).unwrap();
    assert!(!left.is_empty());
    drop(connection);
    fs::write(&log, left).unwrap();
}

#[test]
fn an_agent_killed_while_it_folds_a_log_that_was_left_loses_nothing() {
    for failpoint in ["seal.before_fold", "seal.after_fold"] {
        let seed = Seed::empty();
        record(&seed, 0);
        assert_eq!(agent(&seed, Some("seal.before_commit")).status.signal(), Some(SIGKILL));
        leave_log(&seed.dir().trail().join("000000000000.trail"));
        let killed = agent(&seed, Some(failpoint));
        assert_eq!(killed.status.signal(), Some(SIGKILL), "{failpoint} is not come to: {}", String::from_utf8_lossy(&killed.stderr));
        assert!(agent(&seed, None).status.success(), "{failpoint}");
        assert_intact(&seed, failpoint);
        assert_eq!(seed.records("load.event").len() as u64, EVENTS, "{failpoint}");
        assert_tidy(&seed, failpoint);
    }
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

/// What changes files, as it stands in the source: of the agent the standard library's and SQLite's, of the engine its own trait.
const CALLS: [&str; 25] = [
    "fs::rename(",
    "fs::remove_file(",
    "fs::remove_dir(",
    "fs::remove_dir_all(",
    "fs::create_dir(",
    "fs::create_dir_all(",
    "fs::write(",
    "fs::copy(",
    "io::copy(",
    "DirBuilder::new(",
    ".create(true)",
    ".create_new(true)",
    ".write_all(",
    ".write_all_at(",
    ".set_len(",
    ".sync_all(",
    ".sync_data(",
    ".commit()",
    "\"wal_checkpoint\"",
    // The engine's.
    "files.create",
    "files.rename(",
    "files.remove",
    "files.sync_folder(",
    "file.write(",
    "file.reserve(",
];

/// Folders and lines without a failpoint, and why.
const EXEMPT: [(&str, &str, &str); 11] = [
    ("indelible-server/src/cli/", "", "terminals, and folders of `init`, which says again what is missing"),
    ("indelible-server/src/doctor/", "", "a file to try whether it can be made, removed at once"),
    ("indelible-server/src/trail/view.rs", "", "a private copy for one reader, thrown away with it"),
    ("indelible-server/src/sink/example.rs", "", "not in the program"),
    ("indelible-server/src/sink/conformance.rs", "", "not in the program"),
    ("indelible-server/src/ingest/mod.rs", "batch.commit()?;", "the commit itself, in trail/writer.rs, has two"),
    ("indelible-server/src/sink/files/mod.rs", "let removed = std::fs::remove_file(&probe);", "a file to try whether it can be made"),
    (
        "indelible-server/src/sink/files/mod.rs",
        "DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(&self.config.folder).map_err(failed)?;",
        "to try whether it can be made",
    ),
    ("indelible-server/src/fuzzing/", "", "not in the program"),
    ("indelible/src/journal/files.rs", "", "what stands behind the trait; each call of it has one"),
    ("indelible/src/journal/writer.rs", "let written = file.write(bytes)?;", "each caller of write_whole has one"),
];
const LINES_BETWEEN: usize = 3;

/// Lines of a source file that are no tests and no comments, with their numbers.
fn code(text: &str) -> Vec<(usize, &str)> {
    let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.trim()));
    let tests = |lines: &[(usize, &str)]| lines.windows(2).position(|pair| pair[0].1 == "#[cfg(test)]" && pair[1].1.ends_with('{'));
    let lines: Vec<_> = lines.collect();
    let end = tests(&lines).unwrap_or(lines.len());
    lines[..end].iter().filter(|(_, line)| !line.starts_with("//")).copied().collect()
}

/// Calls that change a file and have no failpoint within a few lines.
fn unguarded(name: &str, text: &str) -> Vec<String> {
    let is_exempt = |line: &str| EXEMPT.iter().any(|(path, exempt, _)| name.starts_with(path) && (exempt.is_empty() || line == *exempt));
    let lines = code(text);
    let is_near = |at: usize| {
        let near = &lines[at.saturating_sub(LINES_BETWEEN)..lines.len().min(at + LINES_BETWEEN + 1)];
        near.iter().any(|(_, line)| line.contains("failpoint!"))
    };
    let changes =
        |line: &str| CALLS.iter().any(|call| line.contains(call)) || (name.starts_with("indelible/") && line.contains("segment.sync("));
    let found = lines.iter().enumerate().filter(|(at, (_, line))| changes(line) && !is_exempt(line) && !is_near(*at));
    found.map(|(_, (number, line))| format!("{name}:{number}: {line}")).collect()
}

fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_code =
            path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") && !path.ends_with("testing.rs");
        if path.is_dir() && !path.ends_with("tests") {
            sources(&path, found);
        } else if is_code {
            let name = path.to_string_lossy().split_once("/../").map(|(_, name)| name.to_owned()).unwrap();
            found.push((name, fs::read_to_string(path).unwrap()));
        }
    }
}

/// A write, sync, rename, unlink or commit without one would be a crash that no test has seen.
#[test]
fn every_call_that_changes_a_file_has_a_failpoint_next_to_it() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for name in ["indelible", "indelible-server"] {
        sources(&crates.join("..").join(name).join("src"), &mut found);
    }
    let calls: usize =
        found.iter().map(|(_, text)| code(text).iter().filter(|(_, line)| CALLS.iter().any(|call| line.contains(call))).count()).sum();
    assert!(calls > 70, "the source was not found: {calls} calls");
    let unguarded: Vec<String> = found.iter().flat_map(|(name, text)| unguarded(name, text)).collect();
    assert!(unguarded.is_empty(), "no failpoint next to\n{}", unguarded.join("\n"));
    eprintln!("{calls} calls that change files");
}

#[test]
fn a_call_without_a_failpoint_is_found() {
    let guarded = "failpoint!(\"x.before\");\nfs::rename(from, to)?;\n";
    assert_eq!(unguarded("indelible-server/src/x.rs", guarded), Vec::<String>::new());
    assert_eq!(unguarded("indelible-server/src/x.rs", "fs::rename(from, to)?;"), ["indelible-server/src/x.rs:1: fs::rename(from, to)?;"]);
    for (_, text) in found_in_source() {
        let without: String = text.lines().filter(|line| !line.contains("failpoint!")).collect::<Vec<_>>().join("\n");
        assert!(!unguarded("indelible-server/src/x.rs", &without).is_empty(), "every file that has some needs one");
    }
}

/// The files of both crates that change files.
fn found_in_source() -> Vec<(String, String)> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    sources(&crates.join("../indelible/src/journal"), &mut found);
    sources(&crates.join("../indelible-server/src/trail"), &mut found);
    found.retain(|(name, text)| text.contains("failpoint!(") && !name.ends_with("sign.rs") && !name.ends_with("mod.rs"));
    found
}
