//! An agent that ingests, seals and delivers to files while its disk fails, and is started again where it ends.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use indelible::{Config, Event, Json, Kind as EventKind, Recorder};

use super::trace::{Op, read_trace};
use super::{Fault, Kind, Signs, arm, arm_trace};
use crate::seed::{PATIENCE, Seed};

/// More than a file holds, so that one is begun and one is sealed.
const EVENTS: u64 = 30;
const ARGUMENTS: [&str; 7] = ["serve", "--listen", "127.0.0.1:0", "--until-idle", "0", "--leaves-per-file", "20"];
const CONFIG: &str = "[[sink]]\nname = \"s\"\ntype = \"files\"\nretry_min_ms = 10\nretry_max_ms = 50\n";

/// A data directory with journals that wait.
pub(crate) struct World {
    pub(crate) seed: Seed,
    pub(crate) signs: Signs,
}

/// What became of an agent that met a fault.
pub(crate) struct Met {
    /// Whether it came to the call at all.
    pub(crate) struck: bool,
    /// From the end of the fault to everything being in the trail.
    pub(crate) healed_after: Duration,
    /// How often it had to be started again.
    pub(crate) restarts: u32,
}

fn event(number: u64) -> Event {
    let mut event = Event::new(EventKind::Action, "load.event");
    event.meta = Some(Json::from_text(format!(r#"{{"number":{number}}}"#)));
    event
}

impl World {
    pub(crate) fn new() -> Self {
        let seed = Seed::empty();
        fs::write(seed.dir().config(), CONFIG).unwrap();
        let recorder = Recorder::open(Config::new(seed.path(), "load")).unwrap();
        for number in 0..EVENTS - 2 {
            recorder.record(event(number));
        }
        let mut transaction = recorder.transaction("default");
        for number in EVENTS - 2..EVENTS {
            transaction.record(event(number));
        }
        transaction.prepare().unwrap().unwrap().committed();
        recorder.close().unwrap();
        Self { seed, signs: Signs::new() }
    }

    fn start(&self, kind: Option<Kind>, fault: Option<&Fault>) -> Child {
        let mut command = self.seed.command(&ARGUMENTS);
        if let Some(kind) = kind {
            arm(&mut command, &self.seed.path().canonicalize().unwrap().join(""), kind, fault, &self.signs);
        }
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// The calls of an agent that meets nothing.
    pub(crate) fn calls(&self, kind: Kind) -> Vec<(String, String)> {
        assert!(self.start(Some(kind), None).wait().unwrap().success());
        self.signs.calls()
    }

    /// Lets an agent do everything and answers what it did to its files.
    pub(crate) fn trace(&self) -> Vec<Op> {
        let mut command = self.seed.command(&ARGUMENTS);
        arm_trace(&mut command, self.seed.path(), &self.signs);
        assert!(command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
        read_trace(&self.signs, self.seed.path())
    }

    /// Runs an agent into a fault, lifts it once it was met, and starts the agent again until one ends well, as its supervisor would.
    pub(crate) fn meet(&self, fault: &Fault) -> Met {
        let mut agent = self.start(Some(fault.kind), Some(fault));
        let since = Instant::now();
        while !self.signs.struck().exists() && agent.try_wait().unwrap().is_none() {
            assert!(since.elapsed() < PATIENCE, "{fault}: the agent neither meets it nor ends");
            thread::sleep(Duration::from_millis(2));
        }
        let (lifted_at, mut restarts) = (Instant::now(), 0);
        fs::write(self.signs.lifted(), "").unwrap();
        while !self.ends_well(&mut agent, fault) {
            restarts += 1;
            assert!(restarts < 5, "{fault}: the agent does not start any more");
            agent = self.start(None, None);
        }
        let met = Met { struck: self.signs.struck().exists(), healed_after: lifted_at.elapsed(), restarts };
        // An agent that ends does not wait for a sink to try again: what it has not delivered is the next one's.
        assert!(self.ends_well(&mut self.start(None, None), fault), "{fault}: the next agent does not end well");
        met
    }

    fn ends_well(&self, agent: &mut Child, fault: &Fault) -> bool {
        let status = end_of(agent).unwrap_or_else(|| panic!("{fault}: the agent hangs"));
        status.success()
    }

    /// Every event is in the trail once and at the sink once, and the trail is intact.
    pub(crate) fn check(&self, when: &str) {
        self.look(&[]).unwrap_or_else(|what| panic!("{when}: {what}"));
    }

    /// The same for the caller to judge. `verify`: what is asked of `verify` beside.
    ///
    /// # Errors
    /// What is not so.
    pub(crate) fn look(&self, verify: &[&str]) -> Result<(), String> {
        let report = self.seed.indelible(&[&["verify"], verify].concat());
        if report.status.code() != Some(0) {
            return Err(String::from_utf8_lossy(&report.stdout).into_owned());
        }
        let number = |body: &serde_json::Value| body["meta"]["number"].as_u64().unwrap();
        let mut numbers: Vec<u64> = self.seed.records("load.event").iter().map(|(body, _)| number(body)).collect();
        numbers.sort_unstable();
        let each_once = (0..EVENTS).collect::<Vec<_>>();
        if numbers != each_once {
            return Err(format!("in the trail are {numbers:?}"));
        }
        let delivered = delivered(&self.seed.dir().sink("s").join("files"));
        if delivered == each_once { Ok(()) } else { Err(format!("at the sink are {delivered:?}")) }
    }

    /// Starts an agent on what the loss of power has left, and another one behind it, which delivers what the first has not.
    ///
    /// # Errors
    /// One does not end well.
    pub(crate) fn serve_on(&self) -> Result<(), String> {
        for agent in ["first", "second"] {
            let command = self.seed.command(&ARGUMENTS).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
            let mut child = command.unwrap();
            let status = end_of(&mut child).ok_or_else(|| format!("the {agent} agent hangs"))?;
            if !status.success() {
                let mut said = String::new();
                child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
                return Err(format!("the {agent} agent: {said}"));
            }
        }
        Ok(())
    }
}

/// How an agent has ended; `None` where it never does.
fn end_of(agent: &mut Child) -> Option<ExitStatus> {
    let since = Instant::now();
    loop {
        if let Some(status) = agent.try_wait().unwrap() {
            return Some(status);
        }
        if since.elapsed() > PATIENCE {
            agent.kill().unwrap();
            return None;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Numbers of the events that lie in a sink's files, ascending.
fn delivered(folder: &Path) -> Vec<u64> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        for line in text.lines().filter(|line| line.contains("load.event")) {
            let (_, rest) = line.split_once("\"number\":").unwrap();
            numbers.push(rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap());
        }
    }
    numbers.sort_unstable();
    numbers
}

/// What an agent did to the small files that it replaces and to those of its sink.
pub(crate) fn small_trace() -> Vec<Op> {
    let mut ops = vec![Op::MakeFolder { path: "journal".into() }];
    ops.extend(World::new().trace());
    // The trail and the journals are too many changes for every subset of them; power/trail.rs has them.
    let is_of_sqlite = |path: &Path| path.starts_with("trail") && path.to_string_lossy().contains(".trail");
    let is_ours = |path: &Path| !is_of_sqlite(path) && !path.starts_with("journal");
    ops.retain(|op| is_ours(op.path()));
    ops
}
