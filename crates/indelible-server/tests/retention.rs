//! A retention run that is killed at each of its failpoints: the trail verifies, and another run ends the work.
#![allow(clippy::unwrap_used, reason = "tests")]

mod dump;
mod seed;

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use dump::copy_folder;
use indelible::{Actor, Event, Json, Kind, Resource};
use indelible_server::{DataDir, Order, Reader, StoredLeaf};
use seed::{Seed, eventually};
use serde_json::Value;

const SIGKILL: i32 = 9;
const RULE: &str = "[[retention]]\nname = \"old\"\nmatch = \"action:visit.note\"\ndays = 30\n";

/// Each is the place and, after a colon, the how-manieth time that it is come to.
const PURGE: &[&str] = &[
    "purge.before_begin",
    "purge.before_begin:2",
    "purge.after_begin",
    "purge.after_begin:2",
    "erase.before_commit",
    "erase.after_commit:2",
    "erase.after_sync",
    "erase.before_note:2",
    "erase.before_rename",
    "erase.after_rename",
    "erase.after_rename:2",
    "erase.after_settle",
    "purge.before_done",
    "purge.after_done",
];

fn note(number: u64, occurred_at: &str) -> Event {
    let mut event = seed::event(Kind::Action, "visit.note", occurred_at);
    event.actor = Actor::user((number % 7).to_string(), "ana").into();
    event.resource = Some(Resource::new("clinic.Visit", number.to_string()));
    event.meta = Some(Json::from_text(format!(r#"{{"number":{number}}}"#)));
    event
}

/// Two sealed files and the open one. Each second event is old; those of actor 3 are under a hold.
fn aged() -> Seed {
    let seed = Seed::empty();
    let now = indelible::Timestamp::from_micros(now_us()).to_string();
    for round in 0..2 {
        let events =
            (round * 100..round * 100 + 100).map(|number| note(number, if number % 2 == 0 { "2020-01-31T08:00:00Z" } else { &now }));
        seed.record("clinic", events.collect());
        seed.ingest_in_files_of(90);
    }
    seed.record("clinic", (200..220).map(|number| note(number, "2020-01-31T08:00:00Z")).collect());
    seed.ingest();
    fs::write(seed.path().join("config.toml"), RULE).unwrap();
    assert_done(&indelible(seed.path(), &["retention", "hold", "add", "case", "--actor", "3", "--reason", "court order"]));
    seed
}

fn now_us() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_micros()).unwrap()
}

fn command(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_indelible"));
    command.arg("--data").arg(dir).args(arguments);
    command.env_remove("INDELIBLE_DATA_DIR").env("TZ", "UTC").stdin(Stdio::null());
    command
}

fn indelible(dir: &Path, arguments: &[&str]) -> Output {
    command(dir, arguments).output().unwrap()
}

fn assert_done(output: &Output) {
    assert!(output.status.success(), "{output:?}");
}

fn assert_intact(dir: &Path, when: &str) {
    let report = indelible(dir, &["verify", "--deep"]);
    assert_eq!(report.status.code(), Some(0), "{when}: {}", String::from_utf8_lossy(&report.stdout));
}

/// Numbers of the notes that are there, and how many records have no body.
fn left(dir: &Path) -> (Vec<u64>, usize) {
    let (mut numbers, mut erased) = (Vec::new(), 0);
    let each = |leaf: StoredLeaf| {
        erased += usize::from(leaf.is_erased());
        let body: Value = serde_json::from_slice(&leaf.body).unwrap_or_default();
        numbers.extend(body["meta"]["number"].as_u64());
        std::ops::ControlFlow::Continue(())
    };
    Reader::open(&DataDir::new(dir)).unwrap().records(0..u64::MAX, Order::OldestFirst, each).unwrap();
    (numbers, erased)
}

/// What must be there at the end: the young ones and those under the hold.
fn expected() -> Vec<u64> {
    (0..220).filter(|number| number % 7 == 3 || (number % 2 == 1 && *number < 200)).collect()
}

fn assert_tidy(dir: &Path, when: &str) {
    let names: Vec<String> =
        fs::read_dir(dir.join("trail")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let stray = names.iter().filter(|name| name.contains("new") || name.ends_with("-wal") || name.ends_with(".reseal"));
    assert_eq!(stray.count(), 0, "{when}: {names:?}");
}

#[test]
fn a_run_that_is_killed_leaves_a_trail_that_verifies_and_another_one_ends_the_work() {
    let seed = aged();
    for failpoint in PURGE {
        let folder = dump::fast_folder();
        copy_folder(seed.path(), folder.path());
        let dir = folder.path();
        let run = ["retention", "run", "--yes", "--batch", "20"];
        let killed = command(dir, &run).env("INDELIBLE_FAILPOINT", failpoint).output().unwrap();
        assert_eq!(killed.status.signal(), Some(SIGKILL), "{failpoint} is not come to: {}", String::from_utf8_lossy(&killed.stderr));
        assert_intact(dir, &format!("killed at {failpoint}"));
        let (numbers, _) = left(dir);
        assert!(expected().iter().all(|number| numbers.contains(number)), "{failpoint}: something went that was to stay");
        assert_done(&indelible(dir, &run));
        let (numbers, erased) = left(dir);
        assert_eq!(numbers, expected(), "{failpoint}");
        assert_eq!(erased, 220 - numbers.len(), "{failpoint}: each body once");
        assert_intact(dir, &format!("the run after {failpoint}"));
        assert_tidy(dir, failpoint);
        let plan: Value = serde_json::from_slice(&indelible(dir, &["retention", "plan", "-o", "json"]).stdout).unwrap();
        assert_eq!((&plan["unfinished"], &plan["rules"][0]["eligible"]), (&0.into(), &0.into()), "{failpoint}: {plan}");
    }
}

/// What was announced and is there again, as after a backup was put back, goes with the next run.
#[test]
fn bodies_that_come_back_with_a_restored_file_go_again() {
    let seed = aged();
    let first = seed.path().join("trail/000000000000.trail");
    let (file, note) = (fs::read(&first).unwrap(), fs::read(first.with_extension("seal")).unwrap());
    assert_done(&seed.indelible(&["retention", "run", "--yes"]));
    assert!(file != fs::read(&first).unwrap());
    fs::write(&first, file).unwrap();
    fs::write(first.with_extension("seal"), note).unwrap();
    assert_intact(seed.path(), "a file of before is as good as it was");
    assert!(left(seed.path()).0.len() > expected().len());
    assert_done(&seed.indelible(&["retention", "run", "--yes"]));
    assert_eq!(left(seed.path()).0, expected());
    assert_intact(seed.path(), "after the second run");
}

fn doubted(seed: &Seed) -> u64 {
    let records = seed.all_records();
    let place = records.iter().position(|(_, verdict)| *verdict == "in_doubt").unwrap();
    u64::try_from(place).unwrap()
}

/// The final body of an event in doubt stands in a record of its own, which goes with the event.
#[test]
fn what_an_audit_resolve_quotes_goes_with_the_event() {
    let seed = Seed::empty();
    seed.leave_in_doubt("clinic", vec![note(1, "2020-01-31T08:00:00Z")]);
    seed.ingest();
    let body = Reader::open(&seed.dir()).unwrap().record(doubted(&seed)).unwrap().unwrap().body;
    seed.resolve_the_doubt_with(&[body]);
    seed.ingest();
    fs::write(seed.path().join("config.toml"), RULE).unwrap();
    assert_eq!(seed.records("audit.resolve").len(), 1);
    assert_done(&seed.indelible(&["retention", "run", "--yes"]));
    let (numbers, erased) = left(seed.path());
    assert_eq!((numbers.len(), erased), (0, 2), "the event and what quotes it");
    assert_intact(seed.path(), "after the run");
}

#[test]
fn a_run_that_the_agent_carries_out_ends_with_the_agent_and_goes_on_with_the_next() {
    let seed = aged();
    let mut agent = seed
        .command(&["serve", "--listen", "127.0.0.1:0"])
        .env("INDELIBLE_FAILPOINT", "erase.after_rename:2")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pid = agent.id();
    eventually("the agent announces itself", || indelible_server::Announced::read(&seed.dir()).filter(|announced| announced.pid == pid));
    let run = seed.indelible(&["retention", "run", "--yes", "--batch", "20"]);
    assert_eq!(run.status.code(), Some(75), "its agent died: {run:?}");
    agent.wait().unwrap();
    assert_intact(seed.path(), "the agent was killed while it erased");
    let _agent = seed.agent();
    assert_done(&seed.indelible(&["retention", "run", "--yes", "--batch", "20"]));
    assert_eq!(left(seed.path()).0, expected());
    assert_intact(seed.path(), "the next agent has gone on");
}
