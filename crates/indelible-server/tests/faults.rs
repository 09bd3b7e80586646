//! Real processes whose files fail: the worker killed at each failpoint of the engine, and an error at each call that can give one.
//!
//! `INDELIBLE_FAULTS=all` tries every call of a run, once and from then on; without it one call of each place in the source.
#![allow(clippy::unwrap_used, reason = "tests")]

mod faulty;
mod seed;

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt as _;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use std::{env, fs, thread};

use faulty::worker::{self, Manner, REQUIRED, STANDARD, World};
use faulty::{EIO, Fault, HEALS_WITHIN, KINDS, Kind, agent, places};

const SIGKILL: i32 = 9;
/// Faults that are tried at once where everything is tried.
const AT_ONCE: usize = 3;

#[test]
#[ignore = "started as a process of its own by the other tests"]
fn worker() {
    worker::run();
}

#[test]
#[ignore = "started as a process of its own by the other tests"]
fn threads() {
    faulty::threads::run();
}

#[test]
fn a_write_that_does_not_come_back_holds_up_no_other_thread_for_longer_than_its_bound() {
    for policy in ["best_effort", "standard", "required"] {
        faulty::threads::hang(policy);
    }
}

/// Failpoints that are in the source of the engine.
fn engine_failpoints() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../indelible/src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().unwrap() != "failpoint.rs" {
                let source = fs::read_to_string(path).unwrap();
                found.extend(source.split("failpoint!(\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()));
            }
        }
    }
    found
}

/// Failpoints that a healthy disk never comes by: what leads there, as call, error, and the how-manieth of these calls.
const AFTER_FAULTS: [(&str, &str, i32, usize); 3] =
    [("undo.", "write", faulty::ENOSPC, 1), ("undo.folder", "rename", EIO, 1), ("repeat.", "fsync", EIO, 6)];

/// Whether everything is tried, not only one of each kind.
fn is_full() -> bool {
    env::var("INDELIBLE_FAULTS").is_ok_and(|value| value == "all")
}

fn kill_worker_at(failpoint: &str) -> bool {
    let manner = if failpoint.starts_with("service.") { STANDARD } else { REQUIRED };
    let world = World::new(manner);
    let name = failpoint.replace("undo.before_folder", "undo.folder").replace("undo.after_folder", "undo.folder");
    let leads = AFTER_FAULTS.iter().rev().find(|(begin, ..)| name.starts_with(begin));
    let fault = leads.map(|&(_, calls, error, at)| Fault { kind: Kind { name: "a fault", error, calls }, at, and_on: false });
    let (output, said) = world.work(Some(failpoint), fault.as_ref().map(|fault| fault.kind), fault.as_ref());
    let is_killed = output.status.signal() == Some(SIGKILL);
    if is_killed {
        let (output, again) = world.work(None, None, None);
        assert!(output.status.success(), "after {failpoint}: {}", String::from_utf8_lossy(&output.stdout));
        world.check(&[&said, &again], failpoint);
    }
    is_killed
}

#[test]
fn a_worker_killed_at_each_failpoint_of_the_engine_has_every_commit_in_the_trail_and_claims_no_other() {
    let names = engine_failpoints();
    assert!(names.len() > 30, "{names:?}");
    let kills = AtomicUsize::new(0);
    let names: Vec<String> = names.into_iter().collect();
    try_each(&names, |name| {
        assert!(kill_worker_at(name), "{name} is not come to");
        // Later ones are come to where the place lies on the way of every event.
        let later = (2..=12).take_while(|_| is_full()).filter(|hit| kill_worker_at(&format!("{name}:{hit}")));
        kills.fetch_add(1 + later.count(), Ordering::Relaxed);
    });
    eprintln!("{} failpoints of the engine, {} kills", names.len(), kills.into_inner());
}

/// Tries each, several at a time where everything is tried: most of it is waiting.
fn try_each<T: Sync>(all: &[T], attempt: impl Fn(&T) + Sync) {
    let (next, has_failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = || {
        while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)).filter(|_| !has_failed.load(Ordering::Relaxed)) {
            // One failure is told; what the others would say is not waited for.
            let result = panic::catch_unwind(AssertUnwindSafe(|| attempt(one)));
            has_failed.fetch_or(result.is_err(), Ordering::Relaxed);
            result.unwrap_or_else(|failure| panic::resume_unwind(failure));
        }
    };
    thread::scope(|scope| (0..if is_full() { AT_ONCE } else { 1 }).for_each(|_| drop(scope.spawn(work))));
}

/// What was tried, for the line at the end.
#[derive(Default)]
struct Tried(Mutex<Sum>);

#[derive(Default)]
struct Sum {
    faults: usize,
    healed_after: Duration,
    restarts: u32,
}

impl Tried {
    /// The promise is five seconds, which a busy machine does not know of.
    fn add(&self, healed_after: Duration, restarts: u32, when: &str) {
        {
            let mut sum = self.0.lock().unwrap();
            sum.faults += 1;
            sum.restarts += restarts;
            sum.healed_after = sum.healed_after.max(healed_after);
        }
        assert!(healed_after < 4 * HEALS_WITHIN, "{when}: healed after {healed_after:?}");
    }

    fn print(&self, of: &str) {
        let Sum { faults, healed_after, restarts } = &*self.0.lock().unwrap();
        eprintln!("{of}: {faults} faults, healed after {healed_after:?} at the latest, {restarts} starts anew");
    }
}

/// The faults of one kind: where each is met once or for a while, or both.
fn faults(kind: Kind, places: Vec<usize>) -> impl Iterator<Item = Fault> {
    let both = move |at: usize| if is_full() { vec![false, true] } else { vec![at.is_multiple_of(2)] };
    places.into_iter().flat_map(move |at| both(at).into_iter().map(move |and_on| Fault { kind, at, and_on }))
}

fn work_through(kind: Kind, manner: Manner, tried: &Tried) {
    let counted = World::new(manner);
    let (output, said) = counted.work(None, Some(kind), None);
    assert!(output.status.success() && said.lost == Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    let places = places(&counted.signs.calls(), &counted.journal(), is_full());
    assert!(!places.is_empty(), "no call can give {}", kind.name);
    let faults: Vec<Fault> = faults(kind, places).collect();
    try_each(&faults, |fault| {
        let world = World::new(manner);
        let when = format!("{}, {fault}", manner.policy);
        let (output, said) = world.work(None, Some(kind), Some(fault));
        assert!(output.status.success(), "{when}: {}", String::from_utf8_lossy(&output.stdout));
        // The last calls of a run are not in each: where a segment ends depends on how long the times are.
        assert!(world.signs.struck().exists() || is_full(), "{when}: not met");
        assert!(manner == REQUIRED || !said.has("refused"), "{when}: the application was held up");
        tried.add(said.healed_after.unwrap(), 0, &when);
        world.check(&[&said], &when);
    });
}

#[test]
fn an_application_goes_on_whatever_its_disk_answers_and_what_it_lost_is_told() {
    let tried = Tried::default();
    KINDS.iter().for_each(|kind| work_through(*kind, STANDARD, &tried));
    tried.print("worker, standard");
}

#[test]
fn a_write_that_requires_its_record_is_refused_before_commit_or_recorded() {
    let tried = Tried::default();
    let kinds = KINDS.iter().filter(|kind| is_full() || ["ENOSPC", "failed fsync"].contains(&kind.name));
    kinds.for_each(|kind| work_through(*kind, REQUIRED, &tried));
    tried.print("worker, required");
}

#[test]
fn an_agent_loses_nothing_and_doubles_nothing_whatever_its_disk_answers() {
    let tried = Tried::default();
    for kind in KINDS {
        let counted = agent::World::new();
        let calls = counted.calls(kind);
        let places = places(&calls, counted.seed.path(), is_full());
        // A few of each kind, others at each run.
        let step = if is_full() { 1 } else { places.len().div_ceil(5) };
        let first = std::process::id() as usize % step;
        let faults: Vec<Fault> = faults(kind, places.into_iter().skip(first).step_by(step).collect()).collect();
        try_each(&faults, |fault| {
            let world = agent::World::new();
            let (call, path) = &calls[fault.at - 1];
            let when = format!("agent, {fault}: {call} {}", path.rsplit('/').next().unwrap());
            let met = world.meet(fault);
            assert!(met.struck || is_full(), "{when}: not met");
            tried.add(met.healed_after, met.restarts, &when);
            world.check(&when);
        });
    }
    tried.print("agent");
}
