//! An application of several threads, one of whose writes does not come back: what the others wait, and what becomes of what they record.

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use indelible::{Config, Event, Kind as EventKind, OnFailure, Recorded, Recorder};

use super::{Fault, Kind, Signs, arm};
use crate::seed::{Seed, eventually};

/// Names the data directory for [`run`].
const DATA_DIR: &str = "INDELIBLE_TEST_THREADS";
const POLICY: &str = "INDELIBLE_TEST_POLICY";
const OTHERS: usize = 3;
/// What each of the others does while the write hangs.
const EVENTS: u64 = 3;
/// The longest that one event may hold up its caller: two seconds for another thread's write, and a busy machine.
const HELD_UP_MAX: Duration = Duration::from_secs(8);

fn event() -> Event {
    Event::new(EventKind::Action, "note.read")
}

/// The process itself: says when one thread hangs, how the others fared, and what was recorded in all when the fault was lifted.
pub(crate) fn run() {
    let data_dir = PathBuf::from(env::var_os(DATA_DIR).expect("set by the test that starts this process"));
    let on_failure = match env::var(POLICY).unwrap().as_str() {
        "required" => OnFailure::Required,
        "standard" => OnFailure::Standard,
        _ => OnFailure::BestEffort,
    };
    let recorder = Recorder::open(Config { on_failure, ..Config::new(data_dir, "notes") }).unwrap();
    assert!(matches!(recorder.record(event()), Recorded::At(_)));
    let intent = recorder.intent("default", vec![Event::new(EventKind::Change, "note.create")]).unwrap();
    let struck = PathBuf::from(env::var_os("FAULT_STRUCK").unwrap());
    thread::scope(|scope| {
        let hanging = scope.spawn(|| recorder.record(event()));
        eventually("a write hangs", || struck.exists().then_some(()));
        let others: Vec<_> = (0..OTHERS).map(|_| scope.spawn(|| serve(&recorder, on_failure))).collect();
        others.into_iter().for_each(|other| other.join().unwrap());
        let since = Instant::now();
        intent.committed();
        assert!(recorder.health().degraded && since.elapsed() < HELD_UP_MAX);
        assert!(!hanging.is_finished(), "they served while it hung");
        fs::write(env::var_os("FAULT_LIFTED").unwrap(), "").unwrap();
        assert!(matches!(hanging.join().unwrap(), Recorded::At(_)));
    });
    println!("SERVED {}", recorder.health().lost);
    recorder.close().unwrap();
}

/// One of the others: none of its events is recorded, and none waits long.
fn serve(recorder: &Recorder, on_failure: OnFailure) {
    for _ in 0..EVENTS {
        let since = Instant::now();
        if on_failure == OnFailure::Required {
            assert!(recorder.intent("default", vec![event()]).is_err(), "what is required is refused");
        } else {
            assert_eq!(recorder.record(event()), Recorded::Lost);
        }
        assert!(since.elapsed() < HELD_UP_MAX, "{:?}", since.elapsed());
    }
}

/// Lets the third frame of a process hang, and looks at what its trail says afterwards.
pub(crate) fn hang(policy: &str) {
    let (seed, signs) = (Seed::empty(), Signs::new());
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["threads", "--exact", "--ignored", "--nocapture"]).env(DATA_DIR, seed.path()).env(POLICY, policy);
    let kind = Kind { name: "a write that hangs", error: 0, calls: "write" };
    // The header of the segment is the first.
    arm(&mut command, &seed.dir().journal(), kind, Some(&Fault { kind, at: 4, and_on: false }), &signs);
    let mut process = command.env("FAULT_ERROR", "hang").stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let lost = lost_of(process.stdout.take().unwrap());
    assert!(process.wait().unwrap().success(), "{policy}");
    assert_eq!(lost, Some(OTHERS as u64 * EVENTS), "{policy}");
    seed.ingest();
    let told: u64 = seed.records("audit.loss").iter().map(|(body, _)| body["meta"]["count"].as_u64().unwrap()).sum();
    assert_eq!(Some(told), lost, "{policy}");
    assert_eq!(seed.records("note.read").len(), 2, "{policy}: the one before, and the one that hung");
    let verdicts: Vec<_> = seed.records("note.create").into_iter().map(|(_, verdict)| verdict).collect();
    assert_eq!(verdicts, ["committed"], "{policy}: its outcome was kept");
}

fn lost_of(output: ChildStdout) -> Option<u64> {
    let lines = BufReader::new(output).lines().map(Result::unwrap);
    lines.filter_map(|line| line.split_once("SERVED ").and_then(|(_, lost)| lost.trim().parse().ok())).last()
}
