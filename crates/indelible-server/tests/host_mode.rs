//! `host` mode: application and agent are two users, and neither can do what is the other's. Users are numbers that nobody has;
//! only root can become them, and without root the tests say so and are not run.
#![allow(clippy::unwrap_used, reason = "tests")]

mod host;
mod seed;

use std::env;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Output;

use host::{Program, is_root, set_mode};
use indelible::{Config, Event, Kind, Limits, Recorded, Recorder};
use seed::Seed;
use serde_json::Value;

const APPLICATION: u32 = 61_001;
const AGENT: u32 = 61_002;
const GROUP: u32 = 61_003;
/// Names the data directory for [`application`]; set by the tests that start it.
const DATA_DIR: &str = "INDELIBLE_TEST_HOST_APPLICATION";
/// What [`application`] does.
const DEED: &str = "INDELIBLE_TEST_DEED";

/// An application of its own user: records nine events in many segments, and deletes one of its own when it is told to.
#[test]
#[ignore = "started as a process of its own by the other tests"]
fn application() {
    let data_dir = PathBuf::from(env::var_os(DATA_DIR).expect("set by the test that starts this process"));
    let limits = Limits { segment_bytes: 1, ..Limits::default() };
    let recorder = Recorder::open(Config { limits, ..Config::new(&data_dir, "clinic") }).unwrap();
    for _ in 0..9 {
        assert!(matches!(recorder.record(Event::new(Kind::Action, "visit.note")), Recorded::At(_)));
    }
    let stream = recorder.health().stream.unwrap().to_string();
    let folder = data_dir.join("journal/clinic").join(stream);
    let file = fs::metadata(folder.join("00000002.journal")).unwrap();
    assert_eq!((file.permissions().mode() & 0o7777, file.gid()), (0o640, GROUP), "its agent reads by the group");
    if env::var_os(DEED).is_some() {
        fs::remove_file(folder.join("00000002.journal")).unwrap();
    }
    recorder.close().unwrap();
}

/// A data directory as `indelible init` makes it, and the programs that run on it.
struct Host {
    seed: Seed,
    indelible: Program,
    tests: Program,
}

impl Host {
    fn new() -> Option<Self> {
        if !is_root() {
            eprintln!("not run: only root can become other users");
            return None;
        }
        let host = Self { seed: Seed::empty(), indelible: Program::indelible(), tests: Program::these_tests() };
        let made = host.init(&[]);
        assert!(made.status.success(), "{made:?}");
        Some(host)
    }

    fn unit(&self) -> PathBuf {
        self.seed.path().with_extension("service")
    }

    fn init(&self, more: &[&str]) -> Output {
        let [application, agent, group] = [APPLICATION, AGENT, GROUP].map(|id| id.to_string());
        let mut command = self.indelible.run_as(0);
        command.arg("--data").arg(self.seed.path()).args(["init", "--app-user", &application, "--agent-user", &agent, "--group", &group]);
        command.args(["--service", "clinic", "--unit"]).arg(self.unit()).args(more).output().unwrap()
    }

    /// Runs the agent as its user until everything is in the trail.
    fn ingest(&self) -> Output {
        self.run_as(AGENT, GROUP, &["serve", "--listen", "127.0.0.1:0", "--until-idle", "0"])
    }

    fn run_as(&self, user: u32, group: u32, arguments: &[&str]) -> Output {
        self.indelible.run_as_in(user, group).arg("--data").arg(self.seed.path()).args(arguments).output().unwrap()
    }

    /// Runs the application as its user.
    fn record(&self, deletes_a_segment: bool) {
        let mut command = self.tests.run_as(APPLICATION);
        command.args(["application", "--exact", "--ignored", "--nocapture"]).env(DATA_DIR, self.seed.path());
        if deletes_a_segment {
            command.env(DEED, "delete");
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    fn check(&self, id: &str) -> String {
        let output = self.run_as(0, 0, &["doctor", "-o", "json"]);
        let checks: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        let check = checks.iter().find(|check| check["id"] == id).unwrap();
        check["verdict"].as_str().unwrap().to_owned()
    }

    fn actions(&self) -> Vec<String> {
        let output = self.run_as(0, 0, &["search", "", "-n", "1000", "-o", "ndjson"]);
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["event"]["action"].as_str().unwrap().to_owned()).collect()
    }

    fn notes(&self) -> usize {
        self.actions().iter().filter(|action| *action == "visit.note").count()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.unit());
    }
}

#[test]
fn init_makes_the_layout_once_and_tells_without_doing_when_asked() {
    let Some(host) = Host::new() else { return };
    let root = host.seed.path();
    let found = |path: &str| {
        let metadata = fs::metadata(root.join(path)).unwrap();
        (metadata.uid(), metadata.gid(), metadata.permissions().mode() & 0o7777)
    };
    assert_eq!(found(""), (AGENT, GROUP, 0o711));
    assert_eq!(found("journal"), (AGENT, GROUP, 0o711));
    assert_eq!(found("journal/clinic"), (APPLICATION, GROUP, 0o2770));
    for folder in ["trail", "keys", "quarantine"] {
        assert_eq!(found(folder), (AGENT, GROUP, 0o700));
    }
    let unit = fs::read_to_string(host.unit()).unwrap();
    assert!(unit.contains(&format!("User={AGENT}\nGroup={GROUP}\n")), "{unit}");
    let again = host.init(&[]);
    assert_eq!(String::from_utf8_lossy(&again.stdout), "everything is as it should be\n");
    set_mode(&root.join("keys"), 0o755);
    let told = host.init(&["--dry-run"]);
    assert!(String::from_utf8_lossy(&told.stdout).starts_with("would: give "), "{told:?}");
    assert_eq!(found("keys").2, 0o755, "nothing was done");
    assert!(host.init(&[]).status.success());
    assert_eq!(found("keys").2, 0o700);
}

#[test]
fn init_names_the_commands_that_make_missing_users() {
    let seed = Seed::empty();
    let refused = seed.indelible(&["init", "--app-user", "no-such-user", "--agent-user", "no-such-agent", "--group", "no-such-group"]);
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    for command in [
        "groupadd --system no-such-group",
        "useradd --system --no-create-home --shell /usr/sbin/nologin no-such-agent --gid no-such-group",
        "useradd --system --no-create-home --shell /usr/sbin/nologin no-such-user",
    ] {
        assert!(told.contains(command), "{told}");
    }
    let one_user = seed.indelible(&["init", "--app-user", "7", "--agent-user", "7", "--group", "7", "--service", "clinic"]);
    assert_eq!(one_user.status.code(), Some(2), "{one_user:?}");
    assert_eq!(fs::read_dir(seed.path()).unwrap().count(), 0, "nothing was made");
}

#[test]
fn the_application_appends_and_the_agent_takes_it_in_though_they_share_no_group() {
    let Some(host) = Host::new() else { return };
    assert!(host.ingest().status.success());
    host.record(false);
    assert!(host.ingest().status.success());
    assert_eq!(host.notes(), 9);
    let journal = host.seed.dir().journal().join("clinic");
    assert_eq!(fs::read_dir(journal).unwrap().count(), 0, "what was taken in is deleted");
    for id in ["host.permissions", "host.access", "journal.access", "key.permissions"] {
        assert_eq!(host.check(id), "ok", "{id}");
    }
    assert_eq!(host.run_as(AGENT, GROUP, &["verify"]).status.code(), Some(0));
}

#[test]
fn the_application_can_neither_read_the_trail_nor_stand_in_for_the_agent() {
    let Some(host) = Host::new() else { return };
    assert!(host.ingest().status.success());
    for command in [&["serve", "--until-idle", "0"][..], &["search", ""], &["verify"], &["checkpoint"]] {
        let refused = host.run_as(APPLICATION, APPLICATION, command);
        assert!(!refused.status.success(), "{command:?}: {refused:?}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains("ermission denied"), "{command:?}: {refused:?}");
    }
    let root = host.seed.path();
    let cannot = |program: &str, arguments: &[&Path]| {
        use std::os::unix::process::CommandExt as _;
        let mut command = std::process::Command::new(program);
        let output = command.args(arguments).uid(APPLICATION).gid(APPLICATION).current_dir("/").output().unwrap();
        assert!(!output.status.success(), "{program} {arguments:?}");
    };
    cannot("cat", &[&host.seed.dir().signing_key()]);
    cannot("cat", &[&host.seed.dir().checkpoint()]);
    cannot("ls", &[&host.seed.dir().trail()]);
    cannot("touch", &[&root.join("agent.lock")]);
    cannot("touch", &[&root.join("agent.json")]);
    cannot("mkdir", &[&root.join("journal/billing")]);
    cannot("mv", &[&root.join("trail"), &root.join("trail2")]);
}

/// Runs a shell command as the application's user.
fn as_application(script: &str, path: &Path) -> Output {
    use std::os::unix::process::CommandExt as _;
    let mut command = std::process::Command::new("sh");
    command.args(["-c", script, "sh"]).arg(path).uid(APPLICATION).gid(APPLICATION).current_dir("/").output().unwrap()
}

#[test]
fn the_application_reads_what_the_agent_answers_and_cannot_write_it() {
    let Some(host) = Host::new() else { return };
    let folder = host.seed.dir().journal().join("clinic");
    let answers = folder.join("answers.json");
    assert!(as_application(": > \"$1\"", &folder.join("resolver.lock")).status.success());
    host.record(false);
    assert!(host.ingest().status.success());
    let found = fs::metadata(&answers).unwrap();
    assert_eq!((found.uid(), found.permissions().mode() & 0o7777), (AGENT, 0o644));
    let read = as_application("cat \"$1\"", &answers);
    assert!(read.status.success(), "{read:?}");
    let said: Value = serde_json::from_slice(&read.stdout).unwrap();
    assert_eq!((said["v"].as_u64(), said["streams"].as_object().unwrap().len()), (Some(1), 1), "{said}");
    let refused = as_application("echo '{}' >> \"$1\"", &answers);
    assert!(!refused.status.success() && fs::read(&answers).unwrap() == read.stdout, "{refused:?}");
    assert!(!as_application("chmod 0666 \"$1\"", &answers).status.success());
    assert_eq!(host.check("journal.answers"), "ok");
    let theirs = as_application("rm \"$1\" && echo '{\"v\":1}' > \"$1\"", &answers);
    assert!(theirs.status.success(), "the folder is its own: it may put another there, and fools nobody but itself: {theirs:?}");
    assert_eq!(host.check("journal.answers"), "warn");
    fs::remove_file(&answers).unwrap();
    host.record(false);
    assert!(host.ingest().status.success());
    assert_eq!(fs::metadata(&answers).unwrap().uid(), AGENT);
    set_mode(&answers, 0o600);
    assert_eq!(host.check("journal.answers"), "warn", "its user reads it by the mode for others");
}

#[test]
fn a_segment_that_the_application_deletes_shows_as_a_gap() {
    let Some(host) = Host::new() else { return };
    host.record(true);
    assert!(host.ingest().status.success());
    assert_eq!(host.notes(), 8);
    assert_eq!(host.check("record.missing"), "warn");
}

#[test]
fn a_service_that_the_agent_cannot_read_stops_no_other_and_comes_back() {
    let Some(host) = Host::new() else { return };
    host.seed.record("locked", vec![Event::new(Kind::Action, "ward.note")]);
    let locked = host.seed.dir().journal().join("locked");
    assert_eq!(fs::metadata(&locked).unwrap().uid(), 0, "root's, and private");
    host.record(false);
    let mut agent = host.indelible.run_as_in(AGENT, GROUP);
    agent.arg("--data").arg(host.seed.path()).args(["serve", "--listen", "127.0.0.1:0"]).stderr(std::process::Stdio::null());
    let mut agent = agent.spawn().unwrap();
    seed::eventually("the other service is in the trail", || (host.notes() == 9).then_some(()));
    assert!(!host.actions().contains(&"ward.note".to_owned()));
    assert_eq!(host.check("host.permissions"), "fail", "doctor names the folder");
    host::give_to(&locked, AGENT);
    seed::eventually("it is read when it can be", || host.actions().contains(&"ward.note".to_owned()).then_some(()));
    agent.kill().unwrap();
    agent.wait().unwrap();
}

#[test]
fn doctor_finds_wrong_owners_and_modes_and_tries_as_the_application() {
    let Some(host) = Host::new() else { return };
    assert!(host.ingest().status.success());
    let dir = host.seed.dir();
    for (path, wrong, right) in [(dir.trail(), 0o755, 0o700), (dir.keys(), 0o750, 0o700), (dir.journal().join("clinic"), 0o700, 0o2770)] {
        set_mode(&path, wrong);
        assert_eq!(host.check("host.permissions"), "fail", "{}", path.display());
        set_mode(&path, right);
        assert_eq!(host.check("host.permissions"), "ok", "{}", path.display());
    }
    set_mode(&dir.agent_lock(), 0o644);
    assert_eq!([host.check("host.permissions"), host.check("host.access")], ["ok", "fail"]);
}
