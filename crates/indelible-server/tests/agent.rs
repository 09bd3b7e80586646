//! The agent as a process: one for each directory, seen while it runs, and gone in order.
#![allow(clippy::unwrap_used, reason = "tests")]

mod seed;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use indelible::{Config, Event, Kind, Recorder};
use indelible_server::Announced;
use rustix::process::{Pid, Signal, kill_process};
use seed::{Seed, eventually};

fn spawn(seed: &Seed, arguments: &[&str]) -> Child {
    seed.command(arguments).stderr(Stdio::null()).spawn().unwrap()
}

fn announced(seed: &Seed, agent: &Child) -> Announced {
    eventually("the agent announces itself", || Announced::read(&seed.dir()).filter(|announced| announced.pid == agent.id()))
}

fn signal(agent: &Child, signal: Signal) {
    kill_process(Pid::from_child(agent), signal).unwrap();
}

fn ended(agent: &mut Child) -> ExitStatus {
    eventually("the agent ends", || agent.try_wait().unwrap())
}

fn event() -> Event {
    Event::new(Kind::Action, "visit.note")
}

/// Actions in the order of the leaves.
fn actions(seed: &Seed) -> Vec<String> {
    seed.all_records().into_iter().map(|(body, _)| body["action"].as_str().unwrap().to_owned()).collect()
}

fn get(address: &str, path: &str) -> (u16, String) {
    let config = ureq::Agent::config_builder().http_status_as_error(false).build();
    let mut response = ureq::Agent::new_with_config(config).get(format!("http://{address}{path}")).call().unwrap();
    (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
}

#[test]
fn a_directory_has_one_agent_and_a_second_one_leaves_it_alone() {
    let seed = Seed::empty();
    let mut agent = spawn(&seed, &["serve", "--listen", "127.0.0.1:0"]);
    announced(&seed, &agent);
    let loser = seed.indelible(&["serve"]);
    assert_eq!(loser.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&loser.stderr).contains("already runs"), "{loser:?}");
    let started_by_an_application = seed.indelible(&["serve", "--until-idle", "60"]);
    assert_eq!(started_by_an_application.status.code(), Some(0), "{started_by_an_application:?}");
    signal(&agent, Signal::TERM);
    assert_eq!(ended(&mut agent).code(), Some(0));
}

/// A pipe in place of the lock kept every command waiting for its other end.
#[test]
fn a_lock_that_is_no_regular_file_is_refused_at_once() {
    let pipe = |lock: &Path| assert!(Command::new("mkfifo").arg(lock).status().unwrap().success());
    let link = |lock: &Path| std::os::unix::fs::symlink(lock.with_file_name("elsewhere"), lock).unwrap();
    for make in [&pipe as &dyn Fn(&Path), &link] {
        let seed = Seed::empty();
        fs::create_dir_all(seed.path()).unwrap();
        make(&seed.dir().agent_lock());
        for command in [&["serve", "--listen", "127.0.0.1:0"][..], &["doctor"]] {
            let refused = seed.indelible(command);
            assert_eq!(refused.status.code(), Some(1), "{refused:?}");
            let told = String::from_utf8([refused.stdout, refused.stderr].concat()).unwrap();
            assert!(told.contains("agent.lock"), "{told}");
        }
        assert!(!seed.path().join("elsewhere").exists());
    }
}

#[test]
fn a_signal_ends_it_in_order_with_everything_signed() {
    for how in [Signal::TERM, Signal::INT] {
        let seed = Seed::empty();
        let recorder = Recorder::open(Config::new(seed.path(), "clinic")).unwrap();
        let mut agent = spawn(&seed, &["serve", "--listen", "127.0.0.1:0"]);
        announced(&seed, &agent);
        recorder.record(event());
        eventually("the event is in the trail", || actions(&seed).contains(&"visit.note".to_owned()).then_some(()));
        signal(&agent, how);
        assert_eq!(ended(&mut agent).code(), Some(0));
        assert_eq!(actions(&seed), ["audit.start", "visit.note", "audit.stop"]);
        assert!(!seed.dir().agent_json().exists());
        assert!(!seed.dir().trail().join("000000000000.trail-wal").exists(), "the file alone is the trail");
        assert_eq!(seed.indelible(&["verify"]).status.code(), Some(0));
    }
}

#[test]
fn until_idle_it_outlives_every_process_that_records() {
    let seed = Seed::empty();
    let recorder = Recorder::open(Config::new(seed.path(), "clinic")).unwrap();
    recorder.record(event());
    let mut agent = spawn(&seed, &["serve", "--until-idle", "0", "--listen", "127.0.0.1:0"]);
    eventually("the event is in the trail", || actions(&seed).contains(&"visit.note".to_owned()).then_some(()));
    recorder.record(event());
    eventually("the next one, too", || (actions(&seed).len() == 3).then_some(()));
    assert_eq!(agent.try_wait().unwrap(), None, "its stream is locked");
    recorder.close().unwrap();
    assert_eq!(ended(&mut agent).code(), Some(0));
    assert_eq!(fs::read_dir(seed.dir().journal().join("clinic")).unwrap().count(), 0);
}

#[test]
fn it_says_how_it_is_on_loopback() {
    let seed = Seed::empty();
    let recorder = Recorder::open(Config::new(seed.path(), "clinic")).unwrap();
    recorder.record(event());
    let mut agent = spawn(&seed, &["serve", "--listen", "127.0.0.1:0"]);
    let announced = announced(&seed, &agent);
    assert_eq!(announced.version, env!("CARGO_PKG_VERSION"));
    assert!(announced.address.starts_with("127.0.0.1:"));
    assert_eq!(get(&announced.address, "/healthz").0, 200);
    let metrics = eventually("the metrics count the event", || {
        let (status, text) = get(&announced.address, "/metrics");
        assert_eq!(status, 200);
        text.contains("indelible_tree_size 2").then_some(text)
    });
    for line in ["indelible_records_total 1", "indelible_live_streams 1", "indelible_journal_segments 1", "indelible_gaps_total 0"] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
    let seconds = metrics.lines().find_map(|line| line.strip_prefix("indelible_checkpoint_timestamp_seconds ")).unwrap();
    assert!(seconds.parse::<f64>().unwrap() > 1.7e9);
    signal(&agent, Signal::TERM);
    ended(&mut agent);
}

#[test]
fn agents_of_two_directories_find_a_port_each() {
    let (one, other) = (Seed::empty(), Seed::empty());
    let mut agents = [(&one, spawn(&one, &["serve"])), (&other, spawn(&other, &["serve"]))];
    let addresses = agents.each_ref().map(|(seed, agent)| announced(seed, agent).address);
    assert_ne!(addresses[0], addresses[1]);
    let refused = Seed::empty().indelible(&["serve", "--listen", &addresses[0]]);
    assert_eq!(refused.status.code(), Some(1), "an address that was asked for is not exchanged: {refused:?}");
    for (_, agent) in &mut agents {
        signal(agent, Signal::TERM);
        ended(agent);
    }
}

#[test]
fn what_it_makes_is_for_its_user_alone() {
    let seed = Seed::clinic();
    let mut open = Vec::new();
    look_at(seed.path(), &mut |path, mode| {
        if mode & 0o077 != 0 {
            open.push((path.to_owned(), mode));
        }
    });
    assert!(open.is_empty(), "{open:?}");
    assert_eq!(fs::read_to_string(seed.path().join(".gitignore")).unwrap(), "*\n");
}

fn look_at(path: &Path, see: &mut impl FnMut(&Path, u32)) {
    for entry in fs::read_dir(path).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        let metadata = fs::metadata(&path).unwrap();
        see(&path, metadata.permissions().mode());
        if metadata.is_dir() {
            look_at(&path, see);
        }
    }
}

#[test]
fn up_makes_a_directory_here_and_prints_a_link_that_opens_once() {
    let here = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_indelible"));
    command.current_dir(here.path()).env_remove("INDELIBLE_DATA_DIR").args(["up", "--listen", "127.0.0.1:0"]);
    let mut agent = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(agent.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let (address, token) = line.trim().strip_prefix("http://").unwrap().split_once("/open/").unwrap();
    assert_eq!(get(address, "/healthz").0, 200);
    let opened = [(); 2].map(|()| get(address, &format!("/open/{token}")).0);
    assert_eq!(opened, [200, 403]);
    assert!(here.path().join(".indelible/trail/checkpoint").exists());
    signal(&agent, Signal::TERM);
    assert_eq!(ended(&mut agent).code(), Some(0));
}

#[test]
fn an_agent_refuses_a_trail_that_was_rolled_back_and_says_so() {
    let seed = Seed::empty();
    seed.ingest();
    let trail = seed.dir().trail().join("000000000000.trail");
    let old = fs::read(&trail).unwrap();
    seed.ingest();
    fs::write(&trail, old).unwrap();
    let refused = seed.indelible(&["serve", "--until-idle", "0"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("rolled back"), "{refused:?}");
}
