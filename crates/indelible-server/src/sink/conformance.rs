//! What every sink must do, whatever happens to it: one test, run over each kind of sink.
//!
//! Here faults happen between the delivery core and the sink, in one process; tests/sinks.rs kills real agents.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use indelible_core::{EventId, Hash, LeafEntry, StreamId, Timestamp, Verdict};

use super::control::{Command, CommandError, Control};
use super::delivery::Delivery;
use super::example::Pile;
use super::files::Files;
use super::source::{BatchMax, Source};
use super::{Delivered, Health, Position, Record, Sink, SinkError, State};
use crate::clock::now;
use crate::config::{FilesConfig, Limits};
use crate::sink::shape::Shape;

const PATIENCE: Duration = Duration::from_secs(20);
const CALL_TIMEOUT: Duration = Duration::from_millis(150);

/// What happens to one delivery.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// Nothing.
    None,
    /// It is refused before anything is written.
    Before,
    /// Everything is written, and nobody hears of it.
    After,
    /// Half of it is written, and nobody hears of it.
    Half,
    /// It takes longer than it may, and then fails.
    Hang,
    /// The thread dies.
    Panic,
}

/// A sink with faults in front of it.
struct Faulty {
    sink: Box<dyn Sink>,
    faults: Arc<Mutex<VecDeque<Fault>>>,
}

impl Sink for Faulty {
    fn begin(&mut self, position: Position) -> Result<Position, SinkError> {
        self.sink.begin(position)
    }

    fn deliver(&mut self, batch: &[Record], position: &Position, deadline: Instant) -> Result<Delivered, SinkError> {
        let failed = |_| Err(SinkError::Unavailable("a fault of the test".to_owned()));
        let fault = self.faults.lock().unwrap().pop_front().unwrap_or(Fault::None);
        match fault {
            Fault::None => self.sink.deliver(batch, position, deadline),
            Fault::Before => failed(()),
            Fault::After => self.sink.deliver(batch, position, deadline).map(drop).and_then(failed),
            Fault::Half => self.sink.deliver(&batch[..batch.len() / 2], position, deadline).map(drop).and_then(failed),
            Fault::Hang => {
                thread::sleep(CALL_TIMEOUT * 2);
                Err(SinkError::Deadline("the test"))
            }
            Fault::Panic => {
                drop(self.sink.deliver(&batch[..batch.len() / 2], position, deadline));
                panic!("a fault of the test");
            }
        }
    }

    fn check(&mut self, deadline: Instant) -> Result<String, SinkError> {
        self.sink.check(deadline)
    }

    fn set_apart(&mut self, position: Position) -> Position {
        self.sink.set_apart(position)
    }
}

/// Records that are made when they are read.
struct Made;

impl Source for Made {
    fn read(&mut self, from: u64, end: u64, max: BatchMax) -> Result<Vec<Record>, String> {
        Ok((from..end.min(from + max.records as u64)).map(record).collect())
    }
}

/// A leaf whose body no shape takes.
const DAMAGED: u64 = 13;

fn record(leaf_index: u64) -> Record {
    let at = Timestamp::from_micros(1_700_000_000_000_000 + i64::try_from(leaf_index).unwrap());
    let event = EventId::from_parts(leaf_index, [7; 10]);
    let kind = ["change", "request", "task", "auth"][usize::try_from(leaf_index % 4).unwrap()];
    let body = format!(
        r#"{{"v":1,"id":"{event}","kind":"{kind}","action":"patient.update","outcome":"success","occurred_at":"{at}","recorded_at":"{at}","actor":{{"type":"user","id":"7"}},"source":{{"service":"clinic"}}}}"#
    );
    let body = if leaf_index == DAMAGED { "x".repeat(2 << 20) } else { body };
    let entry = LeafEntry {
        event,
        stream: StreamId::from_bytes([1; 16]),
        stream_index: leaf_index,
        sequence: leaf_index + 1,
        item: 0,
        recorded_at: at,
        received_at: at,
        verdict: Verdict::Recorded,
        commitment: Hash::from_bytes([0; 32]),
    };
    Record { leaf_index, entry, body: body.into_bytes() }
}

/// One kind of sink, as the test sees it.
struct Kind {
    make: fn(PathBuf) -> Box<dyn Sink>,
    /// What is at the destination: for each place, event ids in the order they lie there.
    read: fn(&Path) -> BTreeMap<String, Vec<String>>,
    /// Whether it keeps an order.
    in_order: bool,
}

/// A sink with its destination, its cursor and the trail's end.
struct World {
    kind: Kind,
    folder: tempfile::TempDir,
    signed: Arc<AtomicU64>,
    faults: Arc<Mutex<VecDeque<Fault>>>,
}

/// A running sink.
struct Life {
    control: Arc<Control>,
    signed: Arc<AtomicU64>,
    thread: thread::JoinHandle<()>,
}

impl World {
    fn new(kind: Kind) -> Self {
        Self { kind, folder: tempfile::tempdir().unwrap(), signed: Arc::default(), faults: Arc::default() }
    }

    fn start(&self) -> Life {
        let control = Arc::new(Control::default());
        let (ms, signed) = (Duration::from_millis, Arc::clone(&self.signed));
        let sink = (self.kind.make)(self.folder.path().join("destination"));
        let limits = Limits {
            batch_records_max: 7,
            batch_bytes_max: 1 << 20,
            call_timeout: CALL_TIMEOUT,
            retry_min: ms(1),
            retry_max: ms(5),
            dead_letters_max: 3,
        };
        let delivery = Delivery {
            sink: Box::new(Faulty { sink, faults: Arc::clone(&self.faults) }),
            source: Box::new(Made),
            signed: Arc::new(move || signed.load(Ordering::SeqCst)),
            control: Arc::clone(&control),
            limits,
            starts_newest: false,
            folder: self.folder.path().join("sink"),
        };
        Life { control, signed: Arc::clone(&self.signed), thread: thread::spawn(move || delivery.run()) }
    }

    fn sign(&self, more: u64) {
        self.signed.fetch_add(more, Ordering::SeqCst);
    }

    fn meet(&self, faults: &[Fault]) {
        self.faults.lock().unwrap().extend(faults);
    }

    /// Every event but the damaged one is there, once, and where there is an order in that order.
    fn has_everything(&self) {
        let found = (self.kind.read)(&self.folder.path().join("destination"));
        let mut all: Vec<String> = found.values().flatten().cloned().collect();
        if self.kind.in_order {
            for (place, ids) in &found {
                assert!(ids.is_sorted(), "{place} is out of order: {ids:?}");
            }
        }
        all.sort_unstable();
        let expected: Vec<_> = (0..self.signed.load(Ordering::SeqCst)).filter(|leaf| *leaf != DAMAGED).collect();
        let expected: Vec<_> = expected.iter().map(|leaf| record(*leaf).entry.event.to_string()).collect();
        assert_eq!(all, expected);
    }
}

impl Life {
    fn health(&self) -> Health {
        Health::of(["s", "t", "n"], &self.control.progress(), self.signed.load(Ordering::SeqCst), CALL_TIMEOUT, now())
    }

    fn wait(&self, what: &str, is_so: impl Fn(&Health) -> bool) -> Health {
        let since = Instant::now();
        loop {
            let health = self.health();
            if is_so(&health) {
                return health;
            }
            assert!(since.elapsed() < PATIENCE, "waited in vain until {what}: {health:?}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn order(&self, command: Command) -> Result<String, CommandError> {
        self.control.order(command)?.blocking_recv().unwrap()
    }

    fn stop(self) {
        self.control.stop(Instant::now() + PATIENCE);
        self.thread.join().unwrap();
    }
}

/// Everything that can happen to a sink happens to this one, and every event arrives, once, in order.
fn conforms(kind: Kind) {
    let world = World::new(kind);
    let caught_up = |health: &Health| health.state == State::CaughtUp;

    // Refused, unheard, half done, hanging: it comes back.
    world.sign(60);
    world.meet(&[Fault::Before, Fault::None, Fault::After, Fault::Half, Fault::Half, Fault::None, Fault::After, Fault::Before]);
    let life = world.start();
    let health = life.wait("it has caught up", caught_up);
    assert!(health.retries >= 6 && health.last_error.as_deref() == Some("a fault of the test"), "{health:?}");
    assert_eq!((health.dead_letters, health.lag_records, health.lag_seconds), (1, 0, 0.0), "{health:?}");
    world.has_everything();

    world.meet(&[Fault::Hang]);
    world.sign(5);
    let hanging = life.wait("it hangs", |health| health.state == State::Hanging);
    assert!(hanging.lag_records == 5 && hanging.lag_seconds > 0.0, "{hanging:?}");
    life.wait("it has come back", caught_up);
    world.has_everything();

    // What is refused waits among the dead letters until somebody decides.
    let dead = life.control.progress().dead;
    assert_eq!(dead.iter().map(|letter| letter.leaf).collect::<Vec<_>>(), [DAMAGED]);
    assert_eq!(life.order(Command::ReplayDead).unwrap(), "0 of 1 dead letters delivered");
    assert_eq!(life.control.progress().dead.len(), 1);
    assert_eq!(life.order(Command::DiscardDead).unwrap(), "1 dead letters discarded");
    life.wait("they are gone", |health| health.dead_letters == 0);

    // Told to wait, it waits, through a restart too.
    assert_eq!(life.order(Command::Pause).unwrap(), "paused");
    world.sign(20);
    life.wait("it is paused and behind", |health| health.state == State::Paused && health.lag_records == 20);
    life.stop();
    let life = world.start();
    life.wait("it is still paused", |health| health.state == State::Paused && health.lag_seconds > 0.0);
    assert!(life.order(Command::Test).is_ok());
    assert_eq!(life.order(Command::Resume).unwrap(), "delivers again");
    life.wait("it has caught up", caught_up);
    world.has_everything();
    life.stop();

    // Killed in the middle of a delivery, again and again.
    for _ in 0..5 {
        world.sign(30);
        world.meet(&[Fault::None, Fault::Half, Fault::Panic]);
        let life = world.start();
        let dead = life.wait("its thread is dead", |health| health.state == State::Ended);
        assert!(dead.last_error.is_some_and(|error| error.contains("panicked: a fault of the test")));
        assert!(life.thread.join().is_err());
    }
    let life = world.start();
    life.wait("it has caught up", caught_up);
    world.has_everything();

    // From an earlier leaf on everything comes again; taken once by id it is what it was.
    assert!(matches!(life.order(Command::Replay { from: 1_000_000 }), Err(CommandError::Failed(_))));
    assert!(life.order(Command::Replay { from: 100 }).unwrap().starts_with("delivers again from leaf 100"));
    life.wait("it has caught up again", caught_up);
    let found = (world.kind.read)(&world.folder.path().join("destination"));
    let mut ids: Vec<_> = found.into_values().flatten().collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len() as u64, world.signed.load(Ordering::SeqCst) - 1);
    life.stop();
}

/// Lines of every file, in the order of files and lines, under the name of the current file.
fn read_lines(folder: &Path) -> BTreeMap<String, Vec<String>> {
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    // Rotated files by number, and the current one, which has no number, behind them.
    names.sort_by_key(|name| (name.matches('.').count() == 1, name.clone()));
    let mut found = BTreeMap::<String, Vec<String>>::new();
    for name in names {
        let text = std::fs::read_to_string(folder.join(&name)).unwrap();
        assert!(text.ends_with('\n') || text.is_empty(), "{name} ends in half a line");
        let stem = name.split('.').next().unwrap().to_owned();
        found.entry(stem).or_default().extend(text.lines().map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let id = line.pointer("/event/id").or(line.pointer("/extra/event_id")).unwrap();
            id.as_str().unwrap().to_owned()
        }));
    }
    found
}

fn files(folder: PathBuf, shape: Shape) -> Box<dyn Sink> {
    let config = FilesConfig { folder, file_bytes_max: 4_000, rotated_files_max: 1_000, rotate_after: None, file_mode: 0o600 };
    Box::new(Files::new(config, shape))
}

#[test]
fn files_of_our_own_shape_conform() {
    conforms(Kind { make: |folder| files(folder, Shape::Native), read: read_lines, in_order: true });
}

#[test]
fn several_files_at_once_conform() {
    conforms(Kind { make: |folder| files(folder, Shape::Activity), read: read_lines, in_order: true });
}

#[test]
fn the_example_of_the_documentation_conforms() {
    let names = |folder: &Path| {
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        BTreeMap::from([("pile".to_owned(), names.filter(|name| !name.starts_with('.')).collect())])
    };
    conforms(Kind { make: |folder| Box::new(Pile { folder }), read: names, in_order: false });
}

#[test]
fn the_example_of_the_documentation_is_this_one_and_has_100_lines_at_most() {
    let (docs, example) = (include_str!("../../../../docs/sinks.md"), include_str!("example.rs"));
    assert!(docs.contains(example), "docs/sinks.md shows another example than src/sink/example.rs");
    assert!(example.lines().count() <= 100);
}
