//! `kill -9` of the agent at random moments under load: nothing lost, nothing twice, and the trail intact after every single kill.
//!
//! `INDELIBLE_KILLS` is the number of kills (default 10), `INDELIBLE_SEED` repeats a run.
#![allow(clippy::unwrap_used, reason = "tests")]

mod random;
mod seed;

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use indelible::{Config, Event, Json, Kind, Recorded, Recorder};
use random::{Random, from_env};
use seed::Seed;

/// Recording threads, each with a recorder of its own.
const WRITERS: u64 = 3;
/// The longest life of an agent: long enough to start, to ingest and to be killed at anything.
const LIFE_MS_MAX: u64 = 400;
/// Events that may be recorded for each life of an agent, so that many kills do not make a trail that takes minutes to verify.
const EVENTS_PER_LIFE: u64 = 200;
/// So few that most lives of an agent begin files and seal some.
const LEAVES_PER_FILE: &str = "30";
/// Between two actions of a writer, so that they last about as long as the agent.
const PAUSE: Duration = Duration::from_millis(1);

/// What the writers share.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    /// The number of the next event.
    next: AtomicU64,
    /// The number of the first event that must wait for the next agent.
    allowed: AtomicU64,
}

/// What must be in the trail: each number, and whether its transaction is known to have been committed.
type Ledger = Arc<Mutex<BTreeMap<u64, &'static str>>>;

fn event(number: u64) -> Event {
    let mut event = Event::new(Kind::Action, "load.event");
    event.meta = Some(Json::from_text(format!(r#"{{"number":{number}}}"#)));
    event
}

/// One writer's life: plain events, committed and rolled-back transactions of several events, until told to stop.
fn write(recorder: &Recorder, random: &mut Random, load: &Load, ledger: &Ledger) {
    while !load.stop.load(Ordering::Relaxed) {
        thread::sleep(PAUSE);
        if load.next.load(Ordering::Relaxed) >= load.allowed.load(Ordering::Relaxed) {
            continue;
        }
        let count = 1 + random.below(4);
        let first = load.next.fetch_add(count, Ordering::Relaxed);
        let numbers = first..first + count;
        let verdict = match random.below(4) {
            0 => {
                roll_back(recorder, numbers.clone());
                None
            }
            1 | 2 => {
                commit(recorder, numbers.clone());
                Some("committed")
            }
            _ => {
                for number in numbers.clone() {
                    assert!(matches!(recorder.record(event(number)), Recorded::At(_)));
                }
                Some("recorded")
            }
        };
        if let Some(verdict) = verdict {
            ledger.lock().unwrap().extend(numbers.map(|number| (number, verdict)));
        }
    }
}

fn commit(recorder: &Recorder, numbers: std::ops::Range<u64>) {
    let mut transaction = recorder.transaction("default");
    numbers.for_each(|number| assert_eq!(transaction.record(event(number)), Recorded::Held));
    transaction.prepare().unwrap().unwrap().committed();
}

fn roll_back(recorder: &Recorder, numbers: std::ops::Range<u64>) {
    let mut transaction = recorder.transaction("default");
    numbers.for_each(|number| assert_eq!(transaction.record(event(number)), Recorded::Held));
    transaction.prepare().unwrap().unwrap().rolled_back();
}

fn start_agent(seed: &Seed) -> Child {
    seed.command(&["serve", "--listen", "127.0.0.1:0", "--leaves-per-file", LEAVES_PER_FILE]).stderr(Stdio::null()).spawn().unwrap()
}

fn recorded(seed: &Seed) -> Vec<(u64, &'static str)> {
    seed.records("load.event").into_iter().map(|(body, verdict)| (body["meta"]["number"].as_u64().unwrap(), verdict)).collect()
}

#[test]
fn killing_the_agent_loses_nothing_and_doubles_nothing() {
    let kills = from_env("INDELIBLE_KILLS").unwrap_or(10);
    let seed_number = random::seed();
    println!("INDELIBLE_SEED={seed_number} INDELIBLE_KILLS={kills}");
    let mut random = Random::new(seed_number);
    let seed = Seed::empty();
    seed.ingest();
    let (load, ledger) = (Load::default(), Ledger::default());

    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let recorder = Recorder::open(Config::new(seed.path(), "load")).unwrap();
            let mut random = Random::new(seed_number ^ (writer + 1) << 17);
            let (load, ledger) = (&load, &ledger);
            scope.spawn(move || {
                write(&recorder, &mut random, load, ledger);
                recorder.close().unwrap();
            });
        }
        for kill in 0..kills {
            load.allowed.fetch_add(EVENTS_PER_LIFE, Ordering::Relaxed);
            let mut agent = start_agent(&seed);
            thread::sleep(Duration::from_millis(random.below(LIFE_MS_MAX)));
            agent.kill().unwrap();
            agent.wait().unwrap();
            let report = seed.indelible(&["verify"]);
            assert_eq!(report.status.code(), Some(0), "after kill {kill}: {}", String::from_utf8_lossy(&report.stdout));
        }
        load.stop.store(true, Ordering::Relaxed);
    });

    seed.ingest();
    let report = seed.indelible(&["verify"]);
    assert_eq!(report.status.code(), Some(0), "{}", String::from_utf8_lossy(&report.stdout));
    let expected = Arc::try_unwrap(ledger).unwrap().into_inner().unwrap();
    let mut found = recorded(&seed);
    assert!(expected.len() > 100, "the load was no load: {} events", expected.len());
    let in_order_of_arrival = found.len();
    found.sort_unstable();
    found.dedup_by_key(|(number, _)| *number);
    assert_eq!(found.len(), in_order_of_arrival, "an event is in the trail twice");
    let found: BTreeMap<u64, &str> = found.into_iter().collect();
    let missing: Vec<_> = expected.iter().filter(|(number, verdict)| found.get(number) != Some(*verdict)).collect();
    assert!(missing.is_empty(), "{} events are lost or have another verdict: {:?} …", missing.len(), &missing[..missing.len().min(20)]);
    assert_eq!(found.len(), expected.len(), "what was rolled back is in the trail");
    assert_eq!(std::fs::read_dir(seed.dir().journal().join("load")).unwrap().count(), 0, "journals that were ingested are gone");
}
