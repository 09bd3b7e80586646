//! Thousands of streams, long backlogs and long frames: everything is taken in, with few open files and bounded memory.
//!
//! `INDELIBLE_BACKLOG` is the number of events of the backlog (default 20,000; `make torture`: 10,000,000).
#![allow(clippy::unwrap_used, reason = "tests")]

mod seed;

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use indelible::{
    Event, EventId, Evidence, Frame, IntentId, Item, Json, Kind, Recorded, Recorder, SegmentHeader, StreamId, Timestamp, encode_frame,
};
use indelible_server::Reader;
use seed::{PATIENCE, Seed};

/// What DESIGN allows the agent, in kibibytes.
const MEMORY_KIB_MAX: u64 = 256 * 1024;
const STREAMS: u64 = 5000;

fn stream_id(number: u64) -> StreamId {
    let mut id = [0; 16];
    id[8..].copy_from_slice(&number.to_be_bytes());
    (id[6], id[8]) = (0x70, 0x80);
    StreamId::from_bytes(id)
}

/// The folder of a process that has ended, with these frames.
fn dead_stream(seed: &Seed, number: u64, frames: &[Frame<'_>]) {
    let stream = stream_id(number);
    let mut segment = SegmentHeader { stream, number: 1, first_sequence: 1, created_at: Timestamp::from_micros(0) }.encode().to_vec();
    for (sequence, frame) in (1..).zip(frames) {
        encode_frame(stream, sequence, frame, &mut segment);
    }
    let folder = seed.dir().journal().join("clinic").join(stream.to_string());
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("lock"), "").unwrap();
    fs::write(folder.join("00000001.journal"), segment).unwrap();
}

fn item(number: u64, body: &[u8]) -> Item<'_> {
    Item { event: EventId::from_parts(number, [0; 10]), recorded_at: Timestamp::from_micros(1), body }
}

/// An agent that may open 256 files.
struct Agent {
    process: Child,
}

impl Agent {
    fn start(seed: &Seed) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", r#"ulimit -n 256; exec "$0" --data "$1" serve --listen 127.0.0.1:0"#]);
        command.arg(env!("CARGO_BIN_EXE_indelible")).arg(seed.path()).env_remove("INDELIBLE_DATA_DIR");
        Self { process: command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap() }
    }

    /// The most memory that it has had, in kibibytes.
    fn memory_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn records(seed: &Seed) -> u64 {
    Reader::open(&seed.dir()).map_or(0, |reader| reader.tree_size())
}

/// Looks now and then, for work that takes longer than other tests wait.
fn wait_for(patience: Duration, what: &str, mut look: impl FnMut() -> bool) {
    let since = Instant::now();
    while !look() {
        assert!(since.elapsed() < patience, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(100));
    }
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn thousands_of_dead_streams_are_taken_in_with_few_open_files_and_little_memory() {
    let seed = Seed::empty();
    for number in 0..STREAMS {
        let body = format!(r#"{{"v":1,"id":"{}","kind":"action","action":"visit.note"}}"#, EventId::from_parts(number, [0; 10]));
        dead_stream(&seed, number, &[Frame::Event(item(number, body.as_bytes()))]);
    }
    let agent = Agent::start(&seed);
    wait_for(4 * PATIENCE, "every stream is in the trail and gone", || {
        records(&seed) == STREAMS + 1 && is_empty(&seed.dir().journal().join("clinic"))
    });
    let memory = agent.memory_kib();
    eprintln!("{STREAMS} streams: {memory} KiB");
    assert!(memory < MEMORY_KIB_MAX / 2, "{memory} KiB");
    drop(agent);
    assert_eq!(seed.indelible(&["verify"]).status.code(), Some(0));
}

#[test]
fn a_backlog_is_taken_in_with_bounded_memory() {
    let events: u64 = env::var("INDELIBLE_BACKLOG").map_or(20_000, |events| events.parse().unwrap());
    let seed = Seed::empty();
    let limits = indelible::Limits { journal_bytes: u64::MAX, ..indelible::Limits::default() };
    let recorder = Recorder::open(indelible::Config { limits, ..indelible::Config::new(seed.path(), "clinic") }).unwrap();
    for number in 0..events {
        let mut event = Event::new(Kind::Action, "visit.note");
        event.meta = Some(Json::from_text(format!(r#"{{"number":{number},"text":"{}"}}"#, "x".repeat(200))));
        assert!(matches!(recorder.record(event), Recorded::At(_)));
    }
    let agent = Agent::start(&seed);
    let since = Instant::now();
    let patience = PATIENCE * u32::try_from(4 + events / 50_000).unwrap();
    wait_for(patience, "every event is in the trail", || records(&seed) == events + 1);
    let memory = agent.memory_kib();
    eprintln!("{events} events in {:?}: {memory} KiB", since.elapsed());
    assert!(memory < MEMORY_KIB_MAX, "{memory} KiB");
}

#[test]
fn the_longest_intent_is_taken_in_and_doubted_with_bounded_memory() {
    let seed = Seed::empty();
    let body = |number| {
        let event = EventId::from_parts(number, [0; 10]);
        format!(r#"{{"v":1,"id":"{event}","kind":"change","action":"visit.note","meta":{{"text":"{}"}}}}"#, "x".repeat(250_000))
            .into_bytes()
    };
    let bodies: Vec<_> = (0..268).map(body).collect();
    let items: Vec<_> = (0..).zip(&bodies).map(|(number, body)| item(number, body)).collect();
    let bytes: usize = bodies.iter().map(Vec::len).sum();
    assert!((63 << 20..64 << 20).contains(&bytes), "{bytes}");
    dead_stream(&seed, 1, &[Frame::Intent { intent: IntentId::from_bytes([1; 16]), evidence: Evidence::Ack, alias: "default", items }]);
    let agent = Agent::start(&seed);
    wait_for(4 * PATIENCE, "its events are in the trail, in doubt", || records(&seed) == 268 + 1);
    let memory = agent.memory_kib();
    eprintln!("an intent of {bytes} bytes: {memory} KiB");
    assert!(memory < MEMORY_KIB_MAX, "{memory} KiB");
}
