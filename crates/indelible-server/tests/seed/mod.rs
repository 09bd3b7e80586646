//! Trails for tests, made the real way: recorded by a [`Recorder`] and ingested by an agent.
#![allow(clippy::unwrap_used, dead_code, reason = "each test file uses a part of it")]

pub(crate) mod ward;

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use indelible::{
    Actor, ActorType, Config, Event, Evidence, Frame, IntentId, Item, Kind, Outcome, Recorder, Request, Resolution, Resource,
    SegmentHeader, StreamId, Timestamp, encode_frame,
};
use indelible_server::{
    Announced, Config as AgentConfig, DataDir, Deadlines, LEAVES_PER_FILE, Options, Order, Reader, StoredLeaf, TrailError, serve,
};
use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A data directory that lasts as long as the test.
pub(crate) struct Seed {
    folder: TempDir,
}

/// Builds an event of the trail of [`Seed::clinic`].
pub(crate) fn event(kind: Kind, action: &str, occurred_at: &str) -> Event {
    let mut event = Event::new(kind, action);
    event.occurred_at = Some(occurred_at.parse().unwrap());
    event
}

impl Seed {
    /// A directory without a trail.
    pub(crate) fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// A small trail with something in it for every key of the grammar.
    pub(crate) fn clinic() -> Self {
        let seed = Self::empty();
        seed.record("clinic", clinic_events());
        seed.ingest();
        seed.record("worker", vec![nightly_report()]);
        seed.leave_in_doubt("clinic", vec![stock_move()]);
        seed.ingest();
        seed
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn dir(&self) -> DataDir {
        DataDir::new(self.folder.path())
    }

    /// Records events by one process that ends in order.
    pub(crate) fn record(&self, service: &str, events: Vec<Event>) {
        let recorder = Recorder::open(Config::new(self.path(), service)).unwrap();
        for event in events {
            recorder.record(event);
        }
        recorder.close().unwrap();
    }

    /// Prepares a transaction by a process that ends before its COMMIT returns.
    pub(crate) fn leave_in_doubt(&self, service: &str, events: Vec<Event>) {
        let recorder = Recorder::open(Config::new(self.path(), service)).unwrap();
        let intent = recorder.intent("default", events).unwrap();
        drop(intent);
        recorder.close().unwrap();
    }

    /// Runs an agent until everything is in the trail.
    pub(crate) fn ingest(&self) {
        serve(&self.options(Some(Duration::ZERO)), |_| ()).unwrap();
    }

    /// The same, with files of so many records, all of which are sealed but the newest.
    pub(crate) fn ingest_in_files_of(&self, leaves_per_file: u64) {
        serve(&Options { leaves_per_file, ..self.options(Some(Duration::ZERO)) }, |_| ()).unwrap();
    }

    /// Tells, from a process that looked it up, that the only transaction in doubt was committed.
    pub(crate) fn resolve_the_doubt(&self) {
        self.resolve_the_doubt_with(&[]);
    }

    /// The same, with the final bodies of its events, or with none.
    pub(crate) fn resolve_the_doubt_with(&self, bodies: &[Vec<u8>]) {
        let reader = Reader::open(&self.dir()).unwrap();
        let select = "SELECT intent, payload FROM pending";
        let pending = reader.connection().query_row(select, [], |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?)));
        let (intent, payload) = pending.unwrap();
        let intent = IntentId::from_bytes(intent);
        let Ok(Frame::Intent { items: promised, .. }) = Frame::parse(2, &payload) else { panic!("an intent waits") };
        let items = promised.into_iter().zip(bodies).map(|(item, body)| Item { body, ..item }).collect();
        let stream = StreamId::from_bytes([7; 16]);
        let header = SegmentHeader { stream, number: 1, first_sequence: 1, created_at: Timestamp::from_micros(0) };
        let mut segment = header.encode().to_vec();
        encode_frame(stream, 1, &Frame::Outcome { intent, resolution: Resolution::Committed, by: Evidence::Ack, items }, &mut segment);
        let folder = self.dir().journal().join("clinic").join(stream.to_string());
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("lock"), "").unwrap();
        std::fs::write(folder.join("00000001.journal"), segment).unwrap();
    }

    fn options(&self, until_idle: Option<Duration>) -> Options {
        let deadlines = Deadlines { stream_dead_ms: 0, ..Deadlines::default() };
        let listen = Some("127.0.0.1:0".parse().unwrap());
        Options { dir: self.dir(), listen, until_idle, deadlines, leaves_per_file: LEAVES_PER_FILE, config: AgentConfig::default() }
    }

    /// Body and verdict of every record, oldest first, from all files of the trail; none where there is no trail.
    pub(crate) fn all_records(&self) -> Vec<(Value, &'static str)> {
        let mut records = Vec::new();
        let each = |leaf: StoredLeaf| {
            records.push((serde_json::from_slice(&leaf.body).unwrap(), leaf.entry.verdict.as_str()));
            ControlFlow::Continue(())
        };
        match Reader::open(&self.dir()) {
            Ok(reader) => reader.records(0..u64::MAX, Order::OldestFirst, each).unwrap(),
            Err(TrailError::Missing { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        records
    }

    /// The same of one action.
    pub(crate) fn records(&self, action: &str) -> Vec<(Value, &'static str)> {
        self.all_records().into_iter().filter(|(body, _)| body["action"] == action).collect()
    }

    /// Runs the command on this directory.
    pub(crate) fn indelible(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_indelible"));
        command.arg("--data").arg(self.path()).args(arguments);
        command.env_remove("INDELIBLE_DATA_DIR").env("TZ", "UTC").stdin(Stdio::null());
        command
    }

    /// Starts an agent as a process of its own.
    pub(crate) fn agent(&self) -> Agent {
        self.announced(self.command(&["serve", "--listen", "127.0.0.1:0"]).stderr(Stdio::null()))
    }

    /// Starts this agent, and waits until it says where it is.
    pub(crate) fn announced(&self, command: &mut Command) -> Agent {
        let process = command.spawn().unwrap();
        let mut agent = Agent { process, address: ([127, 0, 0, 1], 0).into(), token: String::new() };
        let pid = agent.process.id();
        (agent.address, agent.token) = eventually("the agent announces itself", || {
            let announced = Announced::read(&self.dir()).filter(|announced| announced.pid == pid)?;
            Some((announced.address.parse().ok()?, announced.token))
        });
        agent
    }
}

/// A running agent, which ends with the test.
pub(crate) struct Agent {
    pub(crate) process: Child,
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits until something is so, and fails the test when it never is.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(since.elapsed() < PATIENCE, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn clinic_events() -> Vec<Event> {
    vec![
        Event {
            actor: Actor::user("7", "ana").into(),
            resource: Some(Resource::new("clinic.Patient", "42")),
            request: Some(request("r1", 201)),
            reason: Some("intake".to_owned()),
            ..event(Kind::Change, "patient.create", "2026-01-10T08:00:00Z")
        },
        patient_update(),
        Event {
            actor: Actor::user("7", "ana").into(),
            resource: Some(Resource::new("clinic.Patient", "43")),
            request: Some(request("r3", 200)),
            ..event(Kind::Read, "patient.read", "2026-01-31T23:59:59.999999Z")
        },
        Event {
            actor: Actor::new(ActorType::Anonymous).into(),
            request: Some(request("r4", 401)),
            outcome: Outcome::Failure,
            ..event(Kind::Auth, "auth.login", "2026-02-01T00:00:00Z")
        },
        Event {
            actor: Actor::user("8", "bo").into(),
            resource: Some(Resource::new("billing.Invoice", "42")),
            outcome: Outcome::Denied,
            ..event(Kind::Action, "invoice.approve", "2026-02-02T00:00:00Z")
        },
        Event {
            request: Some(request("r5", 500)),
            outcome: Outcome::Failure,
            ..event(Kind::Request, "page.error", "2026-02-04T00:00:00Z")
        },
    ]
}

/// A change with one field of every form.
fn patient_update() -> Event {
    let mut event = Event {
        actor: Actor::user("8", "bo").into(),
        resource: Some(Resource::new("clinic.Patient", "42")),
        request: Some(request("r2", 200)),
        ..event(Kind::Change, "patient.update", "2026-01-20T08:00:00Z")
    };
    event.changes.push_values("name", Some("\"Ana\""), Some("\"Bo\\u001b[2J\""));
    event.changes.push_masked("ssn");
    event
}

fn nightly_report() -> Event {
    Event {
        actor: Actor::system("nightly").into(),
        outcome: Outcome::Aborted,
        ..event(Kind::Task, "report.export", "2026-02-03T00:00:00Z")
    }
}

fn stock_move() -> Event {
    Event {
        actor: Actor { id: Some("sync".to_owned()), ..Actor::new(ActorType::Service) }.into(),
        resource: Some(Resource::new("stock.Item", "a b")),
        ..event(Kind::Change, "stock.move", "2026-02-05T00:00:00Z")
    }
}

fn request(id: &str, status: u16) -> Request {
    Request { status: Some(status), ..Request::from_id(id) }
}
