//! An application that records while its disk fails, as a process of its own, and what must be true of its trail afterwards.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs::{self, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use indelible::{Config, Durability, Event, Json, Kind as EventKind, Limits, OnFailure, Recorded, Recorder};
use rusqlite::Connection;

use super::trace::{Op, read_trace};
use super::{Fault as Ordered, HEALS_WITHIN, Kind, Signs, arm, arm_trace};
use crate::seed::Seed;

/// Names the data directory for [`run`].
const WORKER: &str = "INDELIBLE_TEST_WORKER";
const POLICY: &str = "INDELIBLE_TEST_POLICY";
/// The first number of its operations, so that no two workers use the same.
const FIRST: &str = "INDELIBLE_TEST_FIRST";
/// Names a file that a traced worker writes its facts to, so that they have their place among its changes.
const SAID: &str = "INDELIBLE_TEST_SAID";
const DURABILITY: &str = "INDELIBLE_TEST_DURABILITY";
/// Each is a transaction of two changes, an event, or one that is told once.
const OPERATIONS: i64 = 12;
/// Every second transaction needs a new segment.
const SEGMENT_BYTES: u64 = 1536;

pub(crate) const SERVICE: &str = "notes";

/// How the worker runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Manner {
    pub(crate) policy: &'static str,
    pub(crate) durability: &'static str,
    /// Whether the service's folder is read by a group, as `init` makes it.
    pub(crate) host: bool,
}

pub(crate) const STANDARD: Manner = Manner { policy: "standard", durability: "synced", host: false };
pub(crate) const REQUIRED: Manner = Manner { policy: "required", durability: "synced", host: true };

fn database(data_dir: &Path) -> Connection {
    let connection = Connection::open(data_dir.join("application.db")).unwrap();
    let create = "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; CREATE TABLE IF NOT EXISTS change (number INTEGER PRIMARY KEY)";
    connection.execute_batch(create).unwrap();
    connection
}

fn event(number: i64) -> Event {
    let mut event = Event::new(EventKind::Change, "note.create");
    event.meta = Some(Json::from_text(format!(r#"{{"number":{number}}}"#)));
    event
}

fn word(recorded: Recorded) -> &'static str {
    match recorded {
        Recorded::At(_) => "recorded",
        Recorded::Held => "held",
        Recorded::Lost => "lost",
    }
}

/// The process itself: says of each number what became of it, then lifts the fault and says how long it took to record again.
pub(crate) fn run() {
    let data_dir = PathBuf::from(env::var_os(WORKER).expect("set by the test that starts this process"));
    let is = |name, value| env::var(name).is_ok_and(|set| set == value);
    let config = Config {
        durability: if is(DURABILITY, "synced") { Durability::Synced } else { Durability::Buffered },
        on_failure: if is(POLICY, "required") { OnFailure::Required } else { OnFailure::Standard },
        limits: Limits { segment_bytes: SEGMENT_BYTES, ..Limits::default() },
        ..Config::new(&data_dir, SERVICE)
    };
    let mut database = database(&data_dir);
    let first: i64 = env::var(FIRST).unwrap().parse().unwrap();
    let mut opened = None;
    let mut fault = Fault::default();
    for number in (first..).step_by(2).take(OPERATIONS as usize) {
        let worked = match open(&mut opened, &config) {
            Some(recorder) => operate(recorder, &mut database, number),
            None => tell(&[number], "unopened"),
        };
        if worked {
            fault.healed();
        } else if config.on_failure == OnFailure::Required {
            // Each refusal takes its two seconds; one of them is enough.
            fault.lift();
        }
    }
    fault.lift();
    let recorder = heal(&mut opened, &config, &mut fault);
    println!("END {}", recorder.health().lost);
    recorder.close().unwrap();
}

/// The fault that the test has ordered, as its victim sees it.
#[derive(Default)]
struct Fault {
    lifted_at: Option<Instant>,
    is_healed: bool,
}

impl Fault {
    fn lift(&mut self) {
        if self.lifted_at.is_none() {
            drop(env::var_os("FAULT_LIFTED").map(|lifted| fs::write(lifted, "")));
            self.lifted_at = Some(Instant::now());
        }
    }

    fn healed(&mut self) {
        let Some(lifted_at) = self.lifted_at else { return };
        if !std::mem::replace(&mut self.is_healed, true) {
            println!("HEALED {}", lifted_at.elapsed().as_millis());
        }
    }
}

fn open<'a>(opened: &'a mut Option<Recorder>, config: &Config) -> Option<&'a Recorder> {
    if opened.is_none() {
        *opened = Recorder::open(config.clone()).ok();
    }
    opened.as_ref()
}

/// Says what became of these numbers, and answers whether they were recorded.
fn tell(numbers: &[i64], fact: &str) -> bool {
    numbers.iter().for_each(|number| println!("FACT {number} {fact}"));
    if let Some(said) = env::var_os(SAID) {
        let facts: String = numbers.iter().map(|number| format!("{number} {fact}\n")).collect();
        OpenOptions::new().append(true).create(true).open(said).unwrap().write_all(facts.as_bytes()).unwrap();
    }
    ["recorded", "held"].contains(&fact)
}

fn operate(recorder: &Recorder, database: &mut Connection, number: i64) -> bool {
    match number % 3 {
        0 => tell(&[number], word(recorder.record(event(number)))),
        1 => {
            let recorded = recorder.record_once(event(number), 1_700_000_000_000 + number as u64, [number as u8; 10]);
            tell(&[number], recorded.map_or("told", word))
        }
        _ => transact(recorder, database, number),
    }
}

fn transact(recorder: &Recorder, database: &mut Connection, number: i64) -> bool {
    let numbers = [number, number + 1];
    let mut held = recorder.transaction("default");
    let transaction = database.transaction().unwrap();
    for number in numbers {
        transaction.execute("INSERT INTO change (number) VALUES (?1)", [number]).unwrap();
        held.record(event(number));
    }
    let Ok(intent) = held.prepare() else {
        transaction.rollback().unwrap();
        return tell(&numbers, "refused");
    };
    let intent = intent.unwrap();
    let word = word(intent.recorded());
    transaction.commit().unwrap();
    intent.committed();
    tell(&numbers, word)
}

fn heal(opened: &mut Option<Recorder>, config: &Config, fault: &mut Fault) -> Recorder {
    let since = Instant::now();
    loop {
        let recorder = open(opened, config);
        if recorder.is_some_and(|recorder| matches!(recorder.record(Event::new(EventKind::Action, "note.heal")), Recorded::At(_))) {
            fault.healed();
            return opened.take().unwrap();
        }
        assert!(since.elapsed() < 4 * HEALS_WITHIN, "recording does not work again");
        thread::sleep(Duration::from_millis(5));
    }
}

/// What a worker said before it ended.
#[derive(Debug, Default)]
pub(crate) struct Said {
    facts: BTreeMap<i64, String>,
    pub(crate) lost: Option<u64>,
    pub(crate) healed_after: Option<Duration>,
}

impl Said {
    fn read(text: &str) -> Self {
        let mut said = Self::default();
        for line in text.lines() {
            // The first line of the test runner may stand before ours.
            let words: Vec<&str> = line.split_whitespace().skip_while(|word| !["FACT", "HEALED", "END"].contains(word)).collect();
            match words[..] {
                ["FACT", number, fact] => drop(said.facts.insert(number.parse().unwrap(), fact.to_owned())),
                ["HEALED", millis] => said.healed_after = Some(Duration::from_millis(millis.parse().unwrap())),
                ["END", lost] => said.lost = Some(lost.parse().unwrap()),
                _ => {}
            }
        }
        said
    }

    pub(crate) fn has(&self, fact: &str) -> bool {
        self.facts.values().any(|known| known == fact)
    }
}

/// A worker and its data directory.
pub(crate) struct World {
    pub(crate) seed: Seed,
    pub(crate) signs: Signs,
    pub(crate) manner: Manner,
    workers: Cell<i64>,
}

impl World {
    pub(crate) fn new(manner: Manner) -> Self {
        let seed = Seed::empty();
        if manner.host {
            let service = seed.dir().journal().join(SERVICE);
            fs::create_dir_all(&service).unwrap();
            fs::set_permissions(&service, Permissions::from_mode(0o2770)).unwrap();
        }
        Self { seed, signs: Signs::new(), manner, workers: Cell::new(0) }
    }

    /// Where the worker's files lie that may fail; its database is none of them.
    pub(crate) fn journal(&self) -> PathBuf {
        self.seed.dir().journal()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["worker", "--exact", "--ignored", "--nocapture"]).env(WORKER, self.seed.path());
        command.env(POLICY, self.manner.policy).env(DURABILITY, self.manner.durability);
        self.workers.set(self.workers.get() + 1);
        command.env(FIRST, (self.workers.get() * 100).to_string()).stdin(Stdio::null());
        command
    }

    /// Runs a worker to its end, which may be a violent one.
    pub(crate) fn work(&self, failpoint: Option<&str>, kind: Option<Kind>, fault: Option<&Ordered>) -> (Output, Said) {
        let mut command = self.command();
        if let Some(failpoint) = failpoint {
            command.env("INDELIBLE_FAILPOINT", failpoint);
        }
        if let Some(kind) = kind {
            arm(&mut command, &self.journal(), kind, fault, &self.signs);
        }
        let output = command.output().unwrap();
        let said = Said::read(&String::from_utf8_lossy(&output.stdout));
        (output, said)
    }

    /// Runs a worker whose trace is then in the log.
    pub(crate) fn trace(&self) -> Said {
        let mut command = self.command();
        arm_trace(&mut command, self.seed.path(), &self.signs);
        command.env(SAID, self.seed.path().join("said"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        Said::read(&String::from_utf8_lossy(&output.stdout))
    }

    /// Ingests everything and checks it against the database and what the workers said.
    pub(crate) fn check(&self, all_said: &[&Said], when: &str) {
        self.seed.ingest();
        let mut verdicts: BTreeMap<i64, Vec<&str>> = BTreeMap::new();
        for (body, verdict) in self.seed.records("note.create") {
            verdicts.entry(body["meta"]["number"].as_i64().unwrap()).or_default().push(verdict);
        }
        let database = database(self.seed.path());
        let mut statement = database.prepare("SELECT number FROM change").unwrap();
        let committed: BTreeSet<i64> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        for (number, found) in &verdicts {
            assert_eq!(found.len(), 1, "{when}: {number} is in the trail as {found:?}");
            assert!(found != &["committed"] || committed.contains(number), "{when}: {number} is claimed and was never committed");
        }
        let facts: BTreeMap<i64, &str> =
            all_said.iter().flat_map(|said| &said.facts).map(|(number, fact)| (*number, fact.as_str())).collect();
        for (number, fact) in &facts {
            let found = verdicts.get(number);
            match *fact {
                "recorded" | "held" => assert!(found.is_some(), "{when}: {number} was {fact} and is not in the trail"),
                "refused" => assert!(!committed.contains(number) && found != Some(&vec!["committed"]), "{when}: {number}"),
                "lost" | "unopened" => {}
                other => panic!("{when}: {number} is {other}"),
            }
        }
        for number in &committed {
            let is_told = facts.get(number).is_some_and(|fact| ["lost", "unopened"].contains(fact));
            assert!(is_told || verdicts.contains_key(number), "{when}: {number} was committed and is missing");
        }
        if let [said] = all_said {
            self.check_losses(said, when);
        }
        assert_eq!(self.seed.indelible(&["verify"]).status.code(), Some(0), "{when}");
    }

    /// What a worker that ended in order counted is what the trail says.
    fn check_losses(&self, said: &Said, when: &str) {
        let Some(lost) = said.lost else { return };
        let told = self.seed.records("audit.loss");
        let told: u64 = told.iter().map(|(body, _)| body["meta"]["count"].as_u64().unwrap_or_else(|| panic!("{body}"))).sum();
        assert_eq!(told, lost, "{when}: losses that the trail tells");
    }
}

/// What a worker did to its journal, and what it said meanwhile, in the one order.
pub(crate) fn journal_trace(manner: Manner) -> Vec<Op> {
    let world = World::new(manner);
    let said = world.trace();
    assert_eq!(said.lost, Some(0));
    let mut ops = read_trace(&world.signs, world.seed.path());
    // What was told once is a hint and never synced: it would always be pending.
    let is_ours =
        |path: &Path| (path.starts_with("journal") && !path.ends_with("told")) || [Path::new("said"), Path::new("")].contains(&path);
    ops.retain(|op| is_ours(op.path()));
    if manner.host {
        // Made by `init`, long ago.
        let made = ["journal", "journal/notes"].map(|path| Op::MakeFolder { path: path.into() });
        ops = made.into_iter().chain(["", "journal"].map(|path| Op::Sync { path: path.into() })).chain(ops).collect();
    }
    ops
}
