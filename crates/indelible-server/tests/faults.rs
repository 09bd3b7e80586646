//! Real processes whose files fail: the worker killed at each failpoint of the engine, and an error at each call that can give one.
//!
//! `INDELIBLE_FAULTS=all` tries every call of a run, once and from then on; without it one call of each place in the source.
#![allow(clippy::unwrap_used, reason = "tests")]

mod faulty;
mod seed;

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::{env, fs};

use faulty::worker::{self, REQUIRED, STANDARD, World};
use faulty::{EIO, Fault, Kind};

const SIGKILL: i32 = 9;

#[test]
#[ignore = "started as a process of its own by the other tests"]
fn worker() {
    worker::run();
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
    let mut kills = 0;
    for name in &names {
        assert!(kill_worker_at(name), "{name} is not come to");
        kills += 1;
        if is_full() {
            // Later ones are come to where the place lies on the way of every event.
            kills += (2..=12).filter(|hit| kill_worker_at(&format!("{name}:{hit}"))).count();
        }
    }
    eprintln!("{} failpoints of the engine, {kills} kills", names.len());
}
