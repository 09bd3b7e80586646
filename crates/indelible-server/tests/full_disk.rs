//! A disk that is full, or read-only, and then is not any more: the application goes on, what it lost is told, and what was recorded
//! is in the trail within five seconds.
//!
//! The disks are tmpfs of a fixed size, mounted by the test, which only root can; the processes under test run as nobody. Without
//! root, `journal/tests.rs` of the crate `indelible` covers the application's half with a fault layer.
#![allow(clippy::unwrap_used, reason = "tests")]

mod host;
mod seed;

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use host::{NOBODY, Program, Tmpfs, give_to, set_mode};
use indelible::{Config, Event, Kind, Recorded, Recorder};
use indelible_server::{Announced, DataDir};
use seed::{Seed, eventually};
use serde_json::Value;

/// Names the data directory for [`application`]; set by the tests that start it.
const APPLICATION: &str = "INDELIBLE_TEST_APPLICATION";
/// From room on the disk to everything in the trail.
const HEALED_WITHIN: Duration = Duration::from_secs(5);
/// The longest that one event may hold up its caller: 50 ms by policy, and a busy machine.
const RECORD_MS_MAX: u128 = 1000;

fn event() -> Event {
    Event::new(Kind::Action, "visit.note")
}

/// An application that records an event each millisecond until its standard input ends, and says when recording begins to fail
/// and to work again.
#[test]
#[ignore = "started as a process of its own by the other tests"]
fn application() {
    let data_dir = PathBuf::from(env::var_os(APPLICATION).expect("set by the test that starts this process"));
    let recorder = Recorder::open(Config::new(&data_dir, "clinic")).unwrap();
    let (ended, has_ended) = channel();
    thread::spawn(move || {
        let _ = std::io::stdin().read(&mut [0]);
        drop(ended);
    });
    let (mut recorded, mut lost, mut longest, mut worked) = (0, 0, 0, None);
    while has_ended.recv_timeout(Duration::from_millis(1)) == Err::<(), _>(RecvTimeoutError::Timeout) {
        let since = Instant::now();
        let works = matches!(recorder.record(event()), Recorded::At(_));
        longest = longest.max(since.elapsed().as_millis());
        if works {
            recorded += 1;
        } else {
            lost += 1;
        }
        if worked != Some(works) {
            println!("STATE {}", if works { "records" } else { "loses" });
            worked = Some(works);
        }
    }
    assert_eq!(recorder.health().lost, lost);
    recorder.close().unwrap();
    println!("END {recorded} {lost} {longest}");
}

/// How many transactions wait for their COMMIT while the disk fills up.
const TRANSACTIONS: usize = 100;
/// How many events the same process loses then.
const LOST: usize = 50;

/// An application whose transactions have begun to commit when its disk is full: the database commits them, other events are lost, and it
/// ends while the disk is as full as before.
#[test]
#[ignore = "started as a process of its own by the other tests"]
fn committing_application() {
    let data_dir = PathBuf::from(env::var_os(APPLICATION).expect("set by the test that starts this process"));
    let recorder = Recorder::open(Config::new(&data_dir, "clinic")).unwrap();
    let intents: Vec<_> = (0..TRANSACTIONS).map(|_| recorder.intent("default", vec![event()]).unwrap()).collect();
    println!("STATE announced");
    std::io::stdin().read_exact(&mut [0]).unwrap();
    let (mut lost, since) = (0, Instant::now());
    let mut lose = |until: usize| {
        while lost < until {
            assert!(since.elapsed() < Duration::from_secs(60), "the disk is not full");
            lost += usize::from(recorder.record(Event::new(Kind::Action, "visit.other")) == Recorded::Lost);
        }
    };
    lose(LOST / 2);
    intents.into_iter().for_each(|intent| intent.committed());
    lose(LOST);
    recorder.close().unwrap();
    println!("END {TRANSACTIONS} {LOST} 0");
}

/// The application as a process of nobody's.
struct Application {
    process: Child,
    output: BufReader<ChildStdout>,
    _program: Program,
}

impl Application {
    fn start(data_dir: &Path) -> Self {
        Self::start_as("application", data_dir)
    }

    fn start_as(test: &str, data_dir: &Path) -> Self {
        let program = Program::these_tests();
        let mut command = program.run_as(NOBODY);
        command.args([test, "--exact", "--ignored", "--nocapture"]).env(APPLICATION, data_dir);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self { process, output, _program: program }
    }

    /// Waits for a line that begins like this, and answers its words behind it.
    fn says(&mut self, beginning: &str) -> Vec<String> {
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "it ended before it said {beginning}");
            if let Some((_, rest)) = line.trim_end().split_once(beginning) {
                return rest.split_whitespace().map(str::to_owned).collect();
            }
        }
    }

    /// Ends it; how many events it recorded and lost, and how long one took at most.
    fn end(mut self) -> (u64, u64) {
        drop(self.process.stdin.take());
        let numbers: Vec<u128> = self.says("END ").iter().map(|word| word.parse().unwrap()).collect();
        assert!(self.process.wait().unwrap().success());
        assert!(numbers[2] <= RECORD_MS_MAX, "one event held the application up for {} ms", numbers[2]);
        (u64::try_from(numbers[0]).unwrap(), u64::try_from(numbers[1]).unwrap())
    }
}

/// Records and losses that the trail tells of.
fn told(seed: &Seed) -> (u64, u64) {
    let lines = |query: &str| {
        let output = seed.indelible(&["search", query, "-n", "100000", "-o", "ndjson"]);
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
    };
    let lost = lines("action:audit.loss").iter().map(count_of).sum();
    (lines("action:visit.note").len() as u64, lost)
}

fn count_of(record: &Value) -> u64 {
    let text = record.to_string();
    let (_, rest) = text.split_once(r#""count":"#).unwrap();
    rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

#[test]
fn an_application_serves_while_its_disk_is_full_and_what_it_lost_becomes_an_event() {
    let seed = Seed::empty();
    let Some(disk) = Tmpfs::mount(seed.path(), "size=24m,mode=700") else { return };
    give_to(seed.path(), NOBODY);
    let mut application = Application::start(seed.path());
    application.says("STATE records");
    let filler = disk.fill();
    application.says("STATE loses");
    fs::remove_file(filler).unwrap();
    application.says("STATE records");
    let (recorded, lost) = application.end();
    assert!(recorded > 0 && lost > 0);
    seed.ingest();
    assert_eq!(told(&seed), (recorded, lost));
    assert_eq!(seed.indelible(&["verify"]).status.code(), Some(0));
}

#[test]
fn what_was_announced_before_the_disk_was_full_is_told_as_committed_and_so_is_the_loss_though_no_room_comes_back() {
    let seed = Seed::empty();
    let Some(disk) = Tmpfs::mount(seed.path(), "size=24m,mode=700") else { return };
    give_to(seed.path(), NOBODY);
    let mut application = Application::start_as("committing_application", seed.path());
    application.says("STATE announced");
    let filler = disk.fill();
    application.process.stdin.as_mut().unwrap().write_all(b".").unwrap();
    let (committed, lost) = application.end();
    fs::remove_file(filler).unwrap();
    seed.ingest();
    let verdicts: Vec<_> = seed.records("visit.note").into_iter().map(|(_, verdict)| verdict).collect();
    assert_eq!(verdicts, vec!["committed"; usize::try_from(committed).unwrap()]);
    assert_eq!(told(&seed).1, lost);
    assert_eq!(seed.indelible(&["verify"]).status.code(), Some(0));
}

#[test]
fn an_application_serves_while_its_disk_is_read_only() {
    let seed = Seed::empty();
    let Some(disk) = Tmpfs::mount(seed.path(), "size=24m,mode=700") else { return };
    fs::create_dir_all(seed.dir().journal().join("clinic")).unwrap();
    give_to(seed.path(), NOBODY);
    disk.remount("ro");
    let mut application = Application::start(seed.path());
    application.says("STATE loses");
    disk.remount("rw");
    application.says("STATE records");
    let (recorded, lost) = application.end();
    assert!(recorded > 0 && lost > 0);
    seed.ingest();
    assert_eq!(told(&seed), (recorded, lost));
}

/// An agent of nobody's.
struct Agent {
    process: Child,
    _program: Program,
}

impl Agent {
    fn start(seed: &Seed) -> Self {
        let program = Program::indelible();
        let mut command = program.run_as(NOBODY);
        command.arg("--data").arg(seed.path()).args(["serve", "--listen", "127.0.0.1:0"]).stderr(Stdio::null());
        let process = command.spawn().unwrap();
        let agent = Self { process, _program: program };
        eventually("the agent announces itself", || agent.address(&seed.dir()));
        agent
    }

    fn address(&self, dir: &DataDir) -> Option<String> {
        Announced::read(dir).filter(|announced| announced.pid == self.process.id()).map(|announced| announced.address)
    }

    /// What it says of its health: the status and the problem.
    fn health(&self, dir: &DataDir) -> (u16, Value) {
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        let url = format!("http://{}/healthz", self.address(dir).unwrap());
        let mut response = ureq::Agent::new_with_config(config).get(url).call().unwrap();
        (response.status().as_u16(), response.body_mut().read_json::<Value>().unwrap()["problem"].clone())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn an_agent_whose_disk_is_full_keeps_the_journals_and_heals_within_five_seconds_of_room() {
    let seed = Seed::empty();
    let folders = [seed.dir().journal(), seed.dir().trail(), seed.dir().keys()];
    folders.iter().for_each(|folder| fs::create_dir_all(folder).unwrap());
    let Some(disk) = Tmpfs::mount(&seed.dir().trail(), "size=8m,mode=700") else { return };
    set_mode(seed.path(), 0o700);
    give_to(seed.path(), NOBODY);
    let mut agent = Agent::start(&seed);
    let application = Application::start(seed.path());
    eventually("the first events are in the trail", || (told(&seed).0 > 0).then_some(()));
    let filler = disk.fill();
    let problem = eventually("the agent is unwell", || match agent.health(&seed.dir()) {
        (503, problem) => Some(problem),
        _ => None,
    });
    // Which of its files finds no room first is chance: SQLite says that the disk is full, the system that no space is left.
    let names_it = |said: &str| said.contains("is full") || said.contains("No space left");
    assert!(problem.as_str().is_some_and(names_it), "{problem}");
    // Reading asks the agent to record that, which it cannot now; it goes on all the same.
    assert_eq!(seed.indelible(&["search", "action:visit.note"]).status.code(), Some(0));
    assert_eq!(agent.process.try_wait().unwrap(), None, "a full disk ends no agent");
    fs::remove_file(filler).unwrap();
    let since = Instant::now();
    eventually("the agent is well again", || (agent.health(&seed.dir()).0 == 200).then_some(()));
    let healed = since.elapsed();
    let (recorded, lost) = application.end();
    eventually("everything is in the trail", || (told(&seed) == (recorded, 0)).then_some(()));
    assert_eq!(lost, 0, "the application's disk was never full");
    assert!(healed < HEALED_WITHIN, "{healed:?}");
    eprintln!("healed after {healed:?}");
    assert_eq!(seed.indelible(&["verify"]).status.code(), Some(0));
}
