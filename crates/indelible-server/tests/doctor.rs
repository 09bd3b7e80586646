//! `indelible doctor` finds each fault that is seeded here, by its id and no other, and none where nothing is wrong.
#![allow(clippy::unwrap_used, reason = "tests")]

mod host;
mod seed;

use std::any::Any;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::{self, JoinHandle};

use host::{NOBODY, Program, Tmpfs, give_to, is_root, set_mode};
use indelible::{Config, Event, EventId, FileSystem, Frame, Item, Kind, Recorder, SegmentHeader, StreamId, Timestamp, encode_frame};
use rustix::process::{Pid, Signal, kill_process};
use seed::{Agent, Seed, eventually};
use serde_json::{Value, json};

/// A trail with a few records and nothing wrong.
fn healthy() -> Seed {
    let seed = Seed::empty();
    seed.record("clinic", vec![Event::new(Kind::Action, "visit.note"), Event::new(Kind::Action, "visit.close")]);
    seed.ingest();
    seed
}

fn checks(output: &Output) -> Vec<Value> {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

/// Ids of what is wrong.
fn faults(output: &Output) -> Vec<String> {
    let checks = checks(output);
    let wrong = |check: &&Value| matches!(check["verdict"].as_str().unwrap(), "warn" | "fail");
    checks.iter().filter(wrong).map(|check| check["id"].as_str().unwrap().to_owned()).collect()
}

fn doctor(seed: &Seed) -> Output {
    seed.indelible(&["doctor", "-o", "json"])
}

/// What doctor says of any directory where tests keep theirs.
fn of_this_disk(path: &Path) -> Vec<String> {
    let system = rustix::fs::statfs(path).unwrap();
    let disk = rustix::fs::statvfs(path).unwrap();
    let mut ids = Vec::new();
    if FileSystem::from_magic(system.f_type as u32) != FileSystem::Local {
        ids.push("data.file_system".to_owned());
    }
    if disk.f_bavail * disk.f_frsize < 512 << 20 {
        ids.push("data.space".to_owned());
    }
    ids
}

fn assert_healthy(seed: &Seed, when: &str) {
    let output = doctor(seed);
    let told: Vec<_> = checks(&output).into_iter().filter(|check| !check["fix"].is_null()).collect();
    assert_eq!(faults(&output), of_this_disk(seed.path()), "{when}: {told:?}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn nothing_is_wrong_with_a_healthy_directory() {
    let seed = healthy();
    assert_healthy(&seed, "at rest");
    let mut agent = seed.agent();
    assert_healthy(&seed, "with an idle agent");
    let recorder = Recorder::open(Config::new(seed.path(), "clinic")).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let load = {
        let (recorder, stop) = (recorder.clone(), Arc::clone(&stop));
        thread::spawn(move || {
            while !stop.load(SeqCst) {
                recorder.record(Event::new(Kind::Action, "visit.note"));
                thread::yield_now();
            }
        })
    };
    for _ in 0..3 {
        assert_healthy(&seed, "under load");
    }
    stop.store(true, SeqCst);
    load.join().unwrap();
    eventually("nothing waits", || (waiting(&doctor(&seed)) == 0).then_some(()));
    agent.process.kill().unwrap();
    agent.process.wait().unwrap();
    assert_healthy(&seed, "after the agent was killed");
    recorder.close().unwrap();
    assert_healthy(&seed, "after the application has ended, too");
    seed.ingest();
    assert_healthy(&seed, "after a clean stop");
}

fn waiting(output: &Output) -> u64 {
    let checks = checks(output);
    let access = checks.iter().find(|check| check["id"] == "journal.access").unwrap();
    access["finding"].as_str().unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn the_findings_are_a_table_or_csv_too() {
    let seed = healthy();
    let csv = String::from_utf8(seed.indelible(&["doctor", "-o", "csv"]).stdout).unwrap();
    assert!(csv.starts_with("id,verdict,finding,fix\r\n") && csv.contains("\r\nagent.lock,ok,can be tried,\r\n"), "{csv}");
    let table = String::from_utf8(seed.indelible(&["doctor", "-o", "table"]).stdout).unwrap();
    let column = |id: &str, finding: &str| table.lines().find(|line| line.contains(id)).and_then(|line| line.find(finding)).unwrap();
    assert_eq!(column("agent.lock", "can be tried"), column("retention.unfinished", "no rule of retention"));
}

/// What keeps a fault in place until it was seen.
type Guard = Box<dyn Any>;

/// A fault: what it is, the id under which it is found, and how it comes about.
struct Fault {
    what: &'static str,
    id: &'static str,
    seed: fn(&Seed) -> Guard,
}

const fn fault(what: &'static str, id: &'static str, seed: fn(&Seed) -> Guard) -> Fault {
    Fault { what, id, seed }
}

const FAULTS: &[Fault] = &[
    fault("the directory is missing", "data.directory", |seed| {
        fs::remove_dir_all(seed.path()).unwrap();
        nothing()
    }),
    fault("others can enter the trail", "data.permissions", |seed| mode(&seed.dir().trail(), 0o755)),
    fault("a trail file is readable by the group", "data.permissions", |seed| mode(&seed.dir().checkpoint(), 0o640)),
    fault("a pipe stands in for the agent's lock", "agent.lock", |seed| {
        fs::remove_file(seed.dir().agent_lock()).unwrap();
        assert!(Command::new("mkfifo").arg(seed.dir().agent_lock()).status().unwrap().success());
        nothing()
    }),
    fault("no agent runs and events wait", "agent.running", |seed| {
        seed.record("clinic", vec![Event::new(Kind::Action, "visit.note")]);
        nothing()
    }),
    fault("others can read the agent's token", "agent.announcement", |seed| {
        let agent = seed.agent();
        mode(&seed.dir().agent_json(), 0o644);
        Box::new(agent)
    }),
    fault("the announcement is gone", "agent.announcement", |seed| {
        let agent = seed.agent();
        fs::remove_file(seed.dir().agent_json()).unwrap();
        Box::new(agent)
    }),
    fault("the announcement is of an agent that died", "agent.announcement", |seed| {
        let agent = seed.agent();
        let announced = fs::read_to_string(seed.dir().agent_json()).unwrap();
        fs::write(seed.dir().agent_json(), announced.replace(&agent.process.id().to_string(), &dead_process().to_string())).unwrap();
        Box::new(agent)
    }),
    fault("the agent has another version", "agent.version", |seed| Box::new(FakeAgent::start(seed, "0.0.1", None))),
    fault("the agent is stopped", "agent.answers", |seed| {
        let agent = seed.agent();
        kill_process(Pid::from_child(&agent.process), Signal::STOP).unwrap();
        Box::new(agent)
    }),
    fault("the agent cannot ingest", "agent.ingests", |seed| {
        Box::new(FakeAgent::start(seed, env!("CARGO_PKG_VERSION"), Some("trail file: database or disk is full")))
    }),
    fault("the signing key is missing", "key.signing", |seed| remove(&seed.dir().signing_key())),
    fault("the signing key is damaged", "key.signing", |seed| damage(&seed.dir().signing_key())),
    fault("others can read the signing key", "key.permissions", |seed| mode(&seed.dir().signing_key(), 0o640)),
    fault("the verifier key is missing", "key.verifier", |seed| remove(&seed.dir().verifier())),
    fault("the verifier key is damaged", "key.verifier", |seed| damage(&seed.dir().verifier())),
    fault("the verifier key is another trail's", "key.pair", |seed| {
        fs::copy(healthy().dir().verifier(), seed.dir().verifier()).unwrap();
        nothing()
    }),
    fault("a trail file of another version", "trail.version", |seed| {
        let path = trail_file(seed);
        let mut bytes = fs::read(&path).unwrap();
        bytes[60..64].copy_from_slice(&99_u32.to_be_bytes());
        fs::write(path, bytes).unwrap();
        nothing()
    }),
    fault("a rollback journal beside the trail", "trail.files", |seed| write(&trail_file(seed).with_extension("trail-journal"), "x")),
    fault("a trail file that is none", "trail.files", |seed| write(&trail_file(seed), "not a database")),
    fault("the checkpoint is missing", "trail.checkpoint", |seed| remove(&seed.dir().checkpoint())),
    fault("the checkpoint is damaged", "trail.checkpoint", |seed| damage(&seed.dir().checkpoint())),
    fault("the state is missing", "trail.state", |seed| remove(&seed.dir().state())),
    fault("the state is damaged", "trail.state", |seed| damage(&seed.dir().state())),
    fault("an old trail file was put back", "trail.head", |seed| {
        let old = fs::read(trail_file(seed)).unwrap();
        seed.record("clinic", vec![Event::new(Kind::Action, "visit.note")]);
        seed.ingest();
        fs::write(trail_file(seed), old).unwrap();
        nothing()
    }),
    fault("a dead process left a transaction without outcome", "trail.in_doubt", |seed| {
        seed.leave_in_doubt("clinic", vec![Event::new(Kind::Change, "visit.update")]);
        seed.ingest();
        nothing()
    }),
    fault("closed files wait to be sealed", "trail.sealing", |seed| {
        for _ in 0..6 {
            seed.record("clinic", vec![Event::new(Kind::Action, "visit.note"); 4]);
            let arguments = ["serve", "--listen", "127.0.0.1:0", "--until-idle", "0", "--leaves-per-file", "4"];
            assert_eq!(seed.indelible(&arguments).status.code(), Some(0));
        }
        let notes = fs::read_dir(seed.dir().trail()).unwrap().map(|entry| entry.unwrap().path());
        notes.filter(|path| path.extension().is_some_and(|extension| extension == "seal")).for_each(|path| fs::remove_file(path).unwrap());
        nothing()
    }),
    fault("a segment of another version", "journal.version", |seed| {
        let mut stream = RawStream::new(seed, 9);
        stream.rotate();
        let mut bytes = fs::read(stream.segment()).unwrap();
        bytes[8] = 9;
        let crc = crc32c(&bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        fs::write(stream.segment(), bytes).unwrap();
        Box::new(stream)
    }),
    fault("a link among the journals", "journal.strays", |seed| {
        symlink("/etc", seed.dir().journal().join("etc")).unwrap();
        nothing()
    }),
    fault("a file of somebody else in a stream", "journal.strays", |seed| {
        let stream = RawStream::new(seed, 9);
        write(&stream.folder.join("notes.txt"), "x");
        Box::new(stream)
    }),
    fault("an event waits although the agent works", "journal.lag", |seed| {
        let mut stream = RawStream::new(seed, 9);
        stream.event(now() - 3_600_000_000);
        Box::new((stream, FakeAgent::start(seed, env!("CARGO_PKG_VERSION"), None)))
    }),
    fault("segments pile up", "journal.size", |seed| {
        let mut stream = RawStream::new(seed, 9);
        (0..40).for_each(|_| stream.rotate());
        Box::new(stream)
    }),
    fault("the application cannot read what the agent answers", "journal.answers", |seed| {
        write(&asking(seed).join("answers.json"), r#"{"v":1}"#);
        mode(&asking(seed).join("answers.json"), 0o200)
    }),
    fault("what the agent answers is cut off", "journal.answers", |seed| write(&asking(seed).join("answers.json"), r#"{"v":1,"str"#)),
    fault("the agent cannot write into the folder of a service", "journal.answers", |seed| mode(&asking(seed), 0o500)),
    fault("a segment was deleted before it was taken in", "record.missing", |seed| {
        let mut stream = RawStream::new(seed, 9);
        stream.event(now());
        stream.rotate();
        stream.event(now());
        fs::remove_file(stream.folder.join("00000001.journal")).unwrap();
        stream.die();
        seed.ingest();
        nothing()
    }),
    fault("a process died in the middle of a write", "record.torn", |seed| {
        let mut stream = RawStream::new(seed, 9);
        stream.event(now());
        stream.append(&[60, 0, 0, 0, 1, 2, 3]);
        stream.die();
        seed.ingest();
        nothing()
    }),
    fault("a frame was damaged on disk", "record.corrupt", |seed| {
        let mut stream = RawStream::new(seed, 9);
        stream.event(now());
        let mut bytes = fs::read(stream.segment()).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(stream.segment(), bytes).unwrap();
        stream.event(now());
        stream.die();
        seed.ingest();
        nothing()
    }),
    fault("something is left in quarantine", "record.corrupt", |seed| {
        fs::create_dir(seed.dir().quarantine()).unwrap();
        mode(&seed.dir().quarantine(), 0o700);
        write(&seed.dir().quarantine().join("x.corrupt"), "x")
    }),
    fault("an application lost events", "record.lost", |seed| {
        let mut stream = RawStream::new(seed, 9);
        let at = Timestamp::from_micros(now());
        stream.frame(&Frame::Loss { count: 3, first_at: at, last_at: at });
        stream.die();
        seed.ingest();
        nothing()
    }),
    fault("a database has committed what has no record", "record.database", |seed| {
        told(seed, "audit.gap", &json!({"cause": "marker_without_record"}))
    }),
    fault("a database has lost what is recorded", "record.database", |seed| {
        told(seed, "audit.resolve", &json!({"result": "lost_by_database"}))
    }),
    fault("an event was recorded in the future", "clock.records", |seed| {
        let mut stream = RawStream::new(seed, 9);
        stream.event(now() + 3_600_000_000);
        stream.die();
        seed.ingest();
        nothing()
    }),
    fault("the configuration has a mistake", "config.file", |seed| write(&seed.path().join("config.toml"), "[agent]\nlisten = 7\n")),
    fault("a sink was told to wait", "sink.paused", |seed| {
        sink(seed, None);
        cursor(seed, &json!({"version": 1, "next_leaf": 0, "paused": true, "position": null, "dead": []}))
    }),
    fault("a destination refused an event", "sink.dead_letters", |seed| {
        sink(seed, None);
        let letter = json!({"leaf": 1, "event": "x", "reason": "not JSON", "rejected_at": "2026-01-01T00:00:00.000000Z"});
        cursor(seed, &json!({"version": 1, "next_leaf": 2, "paused": false, "position": null, "dead": [letter]}))
    }),
    fault("a sink cannot deliver", "sink.delivery", |seed| {
        sink(seed, Some("/dev/null/folder"));
        let agent = seed.agent();
        eventually("the sink has failed", || {
            let output = seed.indelible(&["sink", "list", "-o", "json"]);
            String::from_utf8_lossy(&output.stdout).contains(r#""retrying""#).then_some(())
        });
        Box::new(agent)
    }),
];

#[test]
fn each_seeded_fault_is_found_by_its_id_and_no_other() {
    let mut wrong = Vec::new();
    let original = healthy();
    for Fault { what, id, seed: make } in FAULTS {
        let seed = copy(&original);
        let expected = if *id == "data.directory" { Vec::new() } else { of_this_disk(seed.path()) };
        let guard = make(&seed);
        let output = doctor(&seed);
        let found = faults(&output);
        let all: Vec<_> = expected.into_iter().chain([(*id).to_owned()]).collect();
        if !same(&found, &all) {
            let told = checks(&output).into_iter().filter(|check| !check["fix"].is_null()).collect::<Vec<_>>();
            wrong.push(format!("{what}: expected {all:?}, found {found:?}\n{told:?}"));
        }
        drop(guard);
    }
    assert!(FAULTS.len() >= 20);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The same directory once more.
fn copy(original: &Seed) -> Seed {
    let seed = Seed::empty();
    let copied = Command::new("cp").arg("-a").arg(original.path().join(".")).arg(seed.path()).status().unwrap();
    assert!(copied.success());
    seed
}

fn same(one: &[String], other: &[String]) -> bool {
    let sorted = |ids: &[String]| {
        let mut ids = ids.to_vec();
        ids.sort();
        ids
    };
    sorted(one) == sorted(other)
}

#[test]
fn a_stream_that_its_user_cannot_read_is_found() {
    let seed = healthy();
    let mut stream = RawStream::new(&seed, 9);
    stream.event(now());
    let output = if is_root() {
        // Root reads everything, so doctor runs as somebody else.
        give_to(seed.path(), NOBODY);
        chown(&stream.folder, Some(0), Some(0)).unwrap();
        mode(&stream.folder, 0o700);
        as_user(NOBODY, &seed, &["doctor", "-o", "json"])
    } else {
        mode(&stream.segment(), 0o000);
        doctor(&seed)
    };
    let mut expected = of_this_disk(seed.path());
    expected.push("journal.access".to_owned());
    assert!(same(&faults(&output), &expected), "{output:?}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn an_address_that_is_taken_is_found_when_it_is_named() {
    let seed = healthy();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = seed.indelible(&["doctor", "-o", "json", "--listen", &address]);
    assert!(faults(&output).contains(&"agent.port".to_owned()), "{output:?}");
    drop(taken);
    let output = seed.indelible(&["doctor", "-o", "json", "--listen", &address]);
    assert!(!faults(&output).contains(&"agent.port".to_owned()), "{output:?}");
}

/// Runs on a size-limited tmpfs that the test mounts, which only root can.
#[test]
fn a_disk_that_is_memory_and_nearly_full_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let Some(_mounted) = Tmpfs::mount(folder.path(), "size=8m") else {
        return;
    };
    let run = || {
        let output = Command::new(env!("CARGO_BIN_EXE_indelible")).arg("--data").arg(folder.path()).args(["doctor", "-o", "json"]).output();
        faults(&output.unwrap())
    };
    mode(folder.path(), 0o700);
    assert_eq!(run(), ["data.file_system", "data.space"]);
}

#[test]
fn every_check_is_in_the_documents() {
    let documents = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md")).unwrap();
    for check in checks(&doctor(&healthy())) {
        let id = check["id"].as_str().unwrap();
        assert!(documents.contains(&format!("| `{id}` |")), "{id} is not listed in docs/operations.md");
    }
}

#[test]
fn exit_codes_tell_failures_from_warnings() {
    let seed = healthy();
    let code = |arguments: &[&str]| seed.indelible(arguments).status.code();
    if of_this_disk(seed.path()).is_empty() {
        assert_eq!(code(&["doctor", "--strict"]), Some(0));
    }
    seed.record("clinic", vec![Event::new(Kind::Action, "visit.note")]);
    assert_eq!([code(&["doctor"]), code(&["doctor", "--strict"])], [Some(0), Some(7)]);
    fs::remove_file(seed.dir().verifier()).unwrap();
    assert_eq!([code(&["doctor"]), code(&["doctor", "--strict"])], [Some(1), Some(1)]);
}

/// The folder of a service that has a resolver.
fn asking(seed: &Seed) -> PathBuf {
    let folder = seed.dir().journal().join("clinic");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("resolver.lock"), "").unwrap();
    mode(&folder, 0o700);
    folder
}

fn nothing() -> Guard {
    Box::new(())
}

fn mode(path: &Path, mode: u32) -> Guard {
    set_mode(path, mode);
    nothing()
}

fn write(path: &Path, text: &str) -> Guard {
    fs::write(path, text).unwrap();
    mode(path, 0o600)
}

fn remove(path: &Path) -> Guard {
    fs::remove_file(path).unwrap();
    nothing()
}

fn damage(path: &Path) -> Guard {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] = if bytes[middle] == b'x' { b'y' } else { b'x' };
    fs::write(path, bytes).unwrap();
    nothing()
}

/// Configures a sink that writes files.
fn sink(seed: &Seed, folder: Option<&str>) {
    let folder = folder.map(|folder| format!("folder = \"{folder}\"\n")).unwrap_or_default();
    write(&seed.path().join("config.toml"), &format!("[[sink]]\nname = \"copy\"\ntype = \"files\"\n{folder}"));
}

fn cursor(seed: &Seed, cursor: &Value) -> Guard {
    let folder = seed.path().join("sinks/copy");
    fs::create_dir_all(&folder).unwrap();
    write(&folder.join("cursor"), &format!("{cursor}\n"))
}

fn trail_file(seed: &Seed) -> PathBuf {
    seed.dir().trail().join("000000000000.trail")
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_micros()).unwrap()
}

/// Number of a process that has just ended.
fn dead_process() -> u32 {
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    child.id()
}

fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 })
    })
}

/// Runs the command as another user.
fn as_user(user: u32, seed: &Seed, arguments: &[&str]) -> Output {
    Program::indelible().run_as(user).arg("--data").arg(seed.path()).args(arguments).output().unwrap()
}

/// A stream that is written byte by byte.
struct RawStream {
    stream: StreamId,
    folder: PathBuf,
    lock: Option<File>,
    segment: u64,
    sequence: u64,
}

impl RawStream {
    fn new(seed: &Seed, number: u8) -> Self {
        let mut id = [number; 16];
        (id[6], id[8]) = (0x70 | (number & 15), 0x80 | (number & 15));
        let stream = StreamId::from_bytes(id);
        let folder = seed.dir().journal().join("clinic").join(stream.to_string());
        fs::create_dir_all(&folder).unwrap();
        let lock = File::create(folder.join("lock")).unwrap();
        lock.try_lock().unwrap();
        let mut stream = Self { stream, folder, lock: Some(lock), segment: 0, sequence: 0 };
        stream.rotate();
        stream
    }

    fn segment(&self) -> PathBuf {
        self.folder.join(format!("{:08}.journal", self.segment))
    }

    fn rotate(&mut self) {
        self.segment += 1;
        let created_at = Timestamp::from_micros(now());
        let header = SegmentHeader { stream: self.stream, number: self.segment, first_sequence: self.sequence + 1, created_at };
        fs::write(self.segment(), header.encode()).unwrap();
    }

    fn append(&self, bytes: &[u8]) {
        File::options().append(true).open(self.segment()).unwrap().write_all(bytes).unwrap();
    }

    fn frame(&mut self, frame: &Frame<'_>) {
        self.sequence += 1;
        let mut bytes = Vec::new();
        encode_frame(self.stream, self.sequence, frame, &mut bytes);
        self.append(&bytes);
    }

    fn event(&mut self, recorded_at: i64) {
        let event = EventId::from_parts(self.sequence, [3; 10]);
        let body = format!(r#"{{"v":1,"id":"{event}","kind":"action","action":"visit.note","outcome":"success"}}"#);
        self.frame(&Frame::Event(Item { event, recorded_at: Timestamp::from_micros(recorded_at), body: body.as_bytes() }));
    }

    fn die(&mut self) {
        self.lock = None;
    }
}

/// An application tells that the trail and its database differ in an intent.
fn told(seed: &Seed, action: &str, meta: &Value) -> Guard {
    let mut stream = RawStream::new(seed, 9);
    let event = EventId::from_parts(1, [3; 10]);
    let about = json!({"type": "intent", "id": event.to_string()});
    let body =
        json!({"v": 1, "id": event.to_string(), "kind": "audit", "action": action, "outcome": "failure", "resource": about, "meta": meta});
    stream.frame(&Frame::Event(Item { event, recorded_at: Timestamp::from_micros(now()), body: body.to_string().as_bytes() }));
    stream.die();
    seed.ingest();
    nothing()
}

/// Holds the agent's lock, says that it is one, and ingests nothing.
struct FakeAgent {
    _lock: File,
    stop: Arc<AtomicBool>,
    address: std::net::SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl FakeAgent {
    fn start(seed: &Seed, version: &str, problem: Option<&str>) -> Self {
        let lock = File::create(seed.dir().agent_lock()).unwrap();
        lock.try_lock().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let announced = json!({"pid": std::process::id(), "version": version, "address": address.to_string(), "token": "t"});
        write(&seed.dir().agent_json(), &announced.to_string());
        let health = json!({"state": "ok", "version": version, "tree_size": 2, "lag_seconds": 0.0, "problem": problem}).to_string();
        let status = if problem.is_some() { "503 Service Unavailable" } else { "200 OK" };
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{health}",
            health.len()
        );
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            for connection in listener.incoming() {
                if stopped.load(SeqCst) {
                    return;
                }
                let mut connection = connection.unwrap();
                let _ = connection.read(&mut [0; 4096]);
                let _ = connection.write_all(answer.as_bytes());
            }
        });
        Self { _lock: lock, stop, address, thread: Some(thread) }
    }
}

impl Drop for FakeAgent {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        let _ = std::net::TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The agents of this file end by being killed; one that was stopped, too.
#[test]
fn a_stopped_agent_is_killed_with_its_guard() {
    let seed = healthy();
    let agent: Agent = seed.agent();
    kill_process(Pid::from_child(&agent.process), Signal::STOP).unwrap();
    drop(agent);
    assert_healthy(&seed, "after a stopped agent was killed");
}

#[test]
fn the_age_of_the_oldest_transaction_in_doubt_is_told() {
    let seed = Seed::empty();
    seed.leave_in_doubt("clinic", vec![Event::new(Kind::Change, "visit.update")]);
    seed.ingest();
    let output = doctor(&seed);
    let check = checks(&output).into_iter().find(|check| check["id"] == "trail.in_doubt").unwrap();
    let finding = check["finding"].as_str().unwrap();
    let (_, age) = finding.split_once("the oldest unresolved is ").unwrap_or_else(|| panic!("{finding}"));
    let seconds: u64 = age.strip_suffix(" s old").unwrap().parse().unwrap();
    assert!(seconds < 3600, "since it was ingested, not since some other time: {finding}");
}

#[test]
fn a_collector_that_cannot_write_where_others_post_is_told() {
    let seed = Seed::clinic();
    let digest = "0".repeat(64);
    fs::write(seed.path().join("config.toml"), format!("[[collector]]\nservice = \"clinic\"\ntoken_sha256 = \"{digest}\"\n")).unwrap();
    let verdict = |seed: &Seed| {
        let check = checks(&doctor(seed)).into_iter().find(|check| check["id"] == "collector.journals").unwrap();
        check["verdict"].as_str().unwrap().to_owned()
    };
    assert_eq!(verdict(&seed), "ok");
    let folder = seed.dir().journal().join("clinic");
    set_mode(&folder, 0o500);
    assert_eq!(verdict(&seed), "warn");
    set_mode(&folder, 0o700);
}
