//! A data directory with sinks, and what has arrived at their destinations.
#![allow(clippy::unwrap_used, dead_code, reason = "each test file uses a part of it")]

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use indelible::{Event, Json, Kind};
use indelible_server::{Announced, Order, Reader};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::seed::{Seed, eventually};

/// Sinks with small files, so that they rotate often, and short pauses.
pub(crate) const FILES: &str = "[[sink]]\nname = \"s\"\ntype = \"files\"\nfile_bytes_max = 8192\nrotated_files_max = 10000\nretry_min_ms = 10\nretry_max_ms = 50\nbatch_records_max = 3\n";
pub(crate) const STDOUT: &str =
    "[[sink]]\nname = \"s\"\ntype = \"stdout\"\nretry_min_ms = 10\nretry_max_ms = 50\nbatch_records_max = 3\ncall_timeout_ms = 300\n";

/// An event that arrived: its leaf and its id.
pub(crate) type Arrived = (u64, String);

/// An agent's process, which ends with the test.
pub(crate) struct Process(Child);

impl Deref for Process {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Process {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A data directory and the agents that lived on it.
pub(crate) struct World {
    pub(crate) seed: Seed,
    lives: usize,
}

impl World {
    pub(crate) fn new(config: &str) -> Self {
        let seed = Seed::empty();
        fs::create_dir_all(seed.path()).unwrap();
        fs::write(seed.dir().config(), config).unwrap();
        Self { seed, lives: 0 }
    }

    /// Records events of every kind, one of them longer than a pipe takes at once.
    pub(crate) fn record(&self, rounds: u32) {
        let mut events = Vec::new();
        for round in 0..rounds {
            let kinds =
                [(Kind::Change, "patient.update"), (Kind::Request, "page.view"), (Kind::Task, "report.export"), (Kind::Auth, "auth.login")];
            events.extend(kinds.map(|(kind, action)| Event::new(kind, action)));
            let long = events.last_mut().unwrap();
            long.meta =
                Some(Json::from_text(format!("{{\"text\":\"{}\"}}", "x".repeat(5_000 + usize::try_from(round % 7).unwrap() * 100))));
        }
        self.seed.record("load", events);
    }

    /// Starts an agent whose standard output is a file of its own, and which a failpoint may kill.
    pub(crate) fn start(&mut self, failpoint: Option<&str>) -> Process {
        self.lives += 1;
        let out = File::create(self.output(self.lives)).unwrap();
        self.start_with(failpoint, out.into())
    }

    pub(crate) fn start_with(&self, failpoint: Option<&str>, stdout: Stdio) -> Process {
        self.start_armed(failpoint, stdout, |_| ())
    }

    /// The same, with what else the agent shall meet put into its environment by `arm`.
    pub(crate) fn start_armed(&self, failpoint: Option<&str>, stdout: Stdio, arm: impl FnOnce(&mut Command)) -> Process {
        let mut command = self.seed.command(&["serve", "--listen", "127.0.0.1:0"]);
        if let Some(failpoint) = failpoint {
            command.env("INDELIBLE_FAILPOINT", failpoint);
        }
        arm(&mut command);
        Process(command.stdout(stdout).stderr(Stdio::null()).spawn().unwrap())
    }

    fn output(&self, life: usize) -> PathBuf {
        self.seed.path().join(format!("output-{life}"))
    }

    /// Events in the trail.
    pub(crate) fn trail(&self) -> Vec<Arrived> {
        let reader = Reader::open(&self.seed.dir()).unwrap();
        let mut found = Vec::new();
        let add = |leaf: indelible_server::StoredLeaf| {
            found.push((leaf.leaf_index, leaf.entry.event.to_string()));
            ControlFlow::Continue(())
        };
        reader.records(0..reader.tree_size(), Order::OldestFirst, add).unwrap();
        found
    }

    /// Lines on standard output of every agent so far. The last line of a killed one may be unfinished.
    pub(crate) fn outputs(&self) -> Vec<Vec<Arrived>> {
        let lives = (1..=self.lives).map(|life| {
            let text = fs::read_to_string(self.output(life)).unwrap();
            let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
            whole.lines().map(arrived).collect()
        });
        lives.collect()
    }

    /// Lines of the sink's files: those of one name together, rotated ones by number, the current one last.
    pub(crate) fn files(&self) -> Vec<Vec<Arrived>> {
        files_in(&self.seed.dir().sink("s").join("files"))
    }

    /// How the one sink is, as the running agent says.
    pub(crate) fn health(&self) -> Option<Value> {
        let announced = Announced::read(&self.seed.dir())?;
        let mut answer = ureq::get(format!("http://{}/healthz", announced.address)).call().ok()?;
        let health: Value = serde_json::from_str(&answer.body_mut().read_to_string().ok()?).ok()?;
        Some(health["sinks"][0].clone())
    }

    pub(crate) fn wait_for(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || self.health().filter(|sink| is_so(sink)))
    }

    /// Runs `indelible sink …` and answers exit code and both outputs.
    pub(crate) fn sink(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = self.seed.indelible(&[&["sink"], arguments].concat());
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }
}

pub(crate) fn files_in(folder: &Path) -> Vec<Vec<Arrived>> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_by_key(|name| (name.split('.').next().unwrap().to_owned(), name.matches('.').count() == 1, name.clone()));
    let mut found: Vec<(String, Vec<Arrived>)> = Vec::new();
    for name in names {
        let text = fs::read_to_string(folder.join(&name)).unwrap();
        let stem = name.split('.').next().unwrap();
        if found.last().is_none_or(|(last, _)| last != stem) {
            found.push((stem.to_owned(), Vec::new()));
        }
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        found.last_mut().unwrap().1.extend(whole.lines().map(arrived));
    }
    found.into_iter().map(|(_, lines)| lines).collect()
}

fn arrived(line: &str) -> Arrived {
    let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in the line {line}"));
    let find = |native: &str, other: &str| line.pointer(native).or(line.pointer(other)).unwrap().clone();
    (find("/leaf", "/extra/leaf").as_u64().unwrap(), find("/event/id", "/extra/event_id").as_str().unwrap().to_owned())
}

/// Tells an agent to end, and waits until it has.
pub(crate) fn end(agent: &mut Process) {
    assert_eq!(end_code(agent), Some(0));
}

/// Tells an agent to end, and answers how it did.
pub(crate) fn end_code(agent: &mut Process) -> Option<i32> {
    kill_process(Pid::from_child(agent), Signal::TERM).unwrap();
    eventually("the agent ends", || agent.try_wait().unwrap()).code()
}
