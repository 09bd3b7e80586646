//! `kill -9` of a recording process in the middle of its transactions: every change that its database has committed is in the
//! trail, once, and what nobody can know is flagged and not claimed.
//!
//! `INDELIBLE_KILLS` is the number of kills (default 10).
#![allow(clippy::unwrap_used, reason = "tests")]

mod seed;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use indelible::{Config, Event, Json, Kind, Recorder};
use rusqlite::Connection;
use seed::Seed;

/// Names the data directory for [`worker`]; set by the test that starts it.
const WORKER: &str = "INDELIBLE_TEST_WORKER";
/// The longest life of a worker after its first commit, in milliseconds.
const LIFE_MS_MAX: u32 = 60;

fn database(data_dir: &Path) -> Connection {
    let connection = Connection::open(data_dir.join("application.db")).unwrap();
    connection.busy_timeout(Duration::from_secs(5)).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; CREATE TABLE IF NOT EXISTS change (number INTEGER PRIMARY KEY)",
        )
        .unwrap();
    connection
}

fn event(number: i64) -> Event {
    let mut event = Event::new(Kind::Change, "note.create");
    event.meta = Some(Json::from_text(format!(r#"{{"number":{number}}}"#)));
    event
}

/// The process that is killed: transactions of two changes, every fifth rolled back, until the end of its life.
#[test]
#[ignore = "started as a process of its own by the other test"]
fn worker() {
    let data_dir = PathBuf::from(env::var_os(WORKER).expect("set by the test that starts this process"));
    let recorder = Recorder::open(Config::new(&data_dir, "notes")).unwrap();
    let mut database = database(&data_dir);
    let first: i64 = database.query_row("SELECT coalesce(max(number), 0) + 1 FROM change", [], |row| row.get(0)).unwrap();
    for number in (first..).step_by(2) {
        let mut held = recorder.transaction("default");
        let transaction = database.transaction().unwrap();
        for number in [number, number + 1] {
            transaction.execute("INSERT INTO change (number) VALUES (?1)", [number]).unwrap();
            held.record(event(number));
        }
        let intent = held.prepare().unwrap().unwrap();
        if number % 5 == 0 {
            transaction.rollback().unwrap();
            intent.rolled_back();
        } else {
            transaction.commit().unwrap();
            intent.committed();
        }
        println!("{number}");
    }
}

/// Starts a worker, waits for its first transaction and kills it some time later.
fn live_and_die(data_dir: &Path, life: Duration) {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["worker", "--exact", "--ignored", "--nocapture"]).env(WORKER, data_dir).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut worker = command.spawn().unwrap();
    let lines = BufReader::new(worker.stdout.as_mut().unwrap()).lines();
    let transactions = lines.map(Result::unwrap).filter(|line| line.ends_with(|end: char| end.is_ascii_digit()) && !line.contains(' '));
    assert!(transactions.take(1).count() == 1, "the worker ended before its first transaction");
    thread::sleep(life);
    worker.kill().unwrap();
    worker.wait().unwrap();
}

/// Verdicts of each number that is in the trail.
fn recorded(seed: &Seed) -> BTreeMap<i64, Vec<&'static str>> {
    let mut recorded: BTreeMap<i64, Vec<&str>> = BTreeMap::new();
    for (body, verdict) in seed.records("note.create") {
        recorded.entry(body["meta"]["number"].as_i64().unwrap()).or_default().push(verdict);
    }
    recorded
}

#[test]
fn every_committed_change_of_a_killed_process_is_in_the_trail_once() {
    let kills = env::var("INDELIBLE_KILLS").map_or(10, |kills| kills.parse().unwrap());
    let seed = Seed::empty();
    seed.ingest();
    for kill in 0..kills {
        live_and_die(seed.path(), Duration::from_millis(u64::from(kill * 37 % LIFE_MS_MAX)));
    }
    seed.ingest();

    let database = database(seed.path());
    let mut statement = database.prepare("SELECT number FROM change").unwrap();
    let committed: BTreeSet<i64> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let recorded = recorded(&seed);
    assert!(committed.len() > usize::try_from(kills).unwrap(), "the workers did not work");
    for number in &committed {
        let verdicts = recorded.get(number).unwrap_or_else(|| panic!("{number} was committed and is not in the trail"));
        let claimed = verdicts.iter().filter(|verdict| **verdict == "committed").count();
        assert!(claimed <= 1, "{number} is claimed {claimed} times");
    }
    let in_doubt = recorded.values().flatten().filter(|verdict| **verdict == "in_doubt").count();
    assert!(in_doubt <= 2 * usize::try_from(kills).unwrap(), "at most the transaction in flight is in doubt, at each kill: {in_doubt}");
    for (number, verdicts) in recorded {
        let claimed = verdicts.contains(&"committed");
        assert!(!claimed || committed.contains(&number), "{number} is claimed and was never committed");
    }
    assert_eq!(seed.indelible(&["verify"]).status.code(), Some(0));
}
