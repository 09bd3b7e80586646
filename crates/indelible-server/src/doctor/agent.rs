//! The running agent: whether there is one, who it says it is, and whether it works.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;
use std::{fs, io};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::journals::Journals;
use super::{Check, command, quoted};
use crate::agent::Announced;
use crate::data_dir::DataDir;

pub(super) const IDS: &[&str] =
    &["agent.lock", "agent.running", "agent.announcement", "agent.version", "agent.answers", "agent.ingests", "agent.port"];

/// Longest wait for the agent's answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);

/// What the agent says of its health.
#[derive(Debug, Deserialize)]
struct Health {
    version: String,
    #[serde(default)]
    problem: Option<String>,
}

/// What is known of the agent.
pub(super) struct Agent {
    running: io::Result<bool>,
    announced: Option<Announced>,
    health: Option<Result<Health, String>>,
}

impl Agent {
    pub(super) fn of(dir: &DataDir) -> Self {
        let running = dir.agent_is_running();
        let announced = if matches!(running, Ok(true)) { Announced::read(dir) } else { None };
        let announced = announced.filter(|announced| is_alive(announced.pid));
        let health = announced.as_ref().map(|announced| ask(announced, "/healthz"));
        Self { running, announced, health }
    }

    /// What an agent that answers says under a path; nothing when there is none.
    pub(super) fn ask<T: DeserializeOwned>(&self, path: &str) -> Option<Result<T, String>> {
        let answers = matches!(self.health, Some(Ok(_)));
        self.announced.as_ref().filter(|_| answers).map(|announced| ask(announced, path))
    }

    /// Whether the agent's lock tells anything.
    pub(super) fn lock_can_be_tried(&self) -> bool {
        self.running.is_ok()
    }

    /// Whether one runs, answers and ingests.
    pub(super) fn works(&self) -> bool {
        matches!(&self.health, Some(Ok(health)) if health.problem.is_none())
    }

    pub(super) fn checks(&self, dir: &DataDir, journals: &Journals, listen: Option<SocketAddr>) -> Vec<Check> {
        vec![
            self.lock(dir),
            self.running(dir, journals),
            self.announcement(dir),
            self.version(dir),
            self.answers(dir),
            self.ingests(),
            self.port(dir, listen),
        ]
    }

    fn lock(&self, dir: &DataDir) -> Check {
        let id = "agent.lock";
        match &self.running {
            Ok(_) => Check::ok(id, "can be tried"),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Check::skipped(id, "run doctor as the user of the agent"),
            Err(error) => {
                let finding = format!("{}: {error}: no agent can start", dir.agent_lock().display());
                Check::fail(id, finding, format!("rm -r {}", quoted(&dir.agent_lock())))
            }
        }
    }

    fn running(&self, dir: &DataDir, journals: &Journals) -> Check {
        let id = "agent.running";
        match (&self.running, journals.waiting()) {
            (Err(_), _) => Check::skipped(id, "the agent's lock cannot be tried"),
            (Ok(true), _) => Check::ok(id, self.announced.as_ref().map_or("yes".to_owned(), |agent| format!("yes, pid {}", agent.pid))),
            (Ok(false), 0) => Check::ok(id, "no, and nothing waits for it"),
            (Ok(false), waiting) => {
                Check::warn(id, format!("none runs, and {waiting} streams hold what is not in the trail"), command(dir, "serve"))
            }
        }
    }

    fn announcement(&self, dir: &DataDir) -> Check {
        let id = "agent.announcement";
        let path = dir.agent_json();
        if !matches!(self.running, Ok(true)) {
            return Check::skipped(id, "no agent runs");
        }
        let mode = fs::symlink_metadata(&path).map(|metadata| metadata.permissions().mode() & 0o777);
        match (&self.announced, mode) {
            (_, Ok(mode)) if mode & 0o077 != 0 => {
                let finding = format!("{} has mode {mode:03o}: the token in it lets others read records", path.display());
                Check::fail(id, finding, format!("chmod 600 {}", quoted(&path)))
            }
            (Some(agent), _) => Check::ok(id, format!("http://{}", agent.address)),
            (None, _) => {
                let finding = format!("{} does not name the agent that runs: applications and commands cannot reach it", path.display());
                Check::warn(id, finding, format!("fuser -k -TERM {} && {}", quoted(&dir.agent_lock()), command(dir, "serve")))
            }
        }
    }

    fn version(&self, dir: &DataDir) -> Check {
        let (id, ours) = ("agent.version", env!("CARGO_PKG_VERSION"));
        let Some(agent) = &self.announced else { return Check::skipped(id, "no agent is announced") };
        let answered = self.health.as_ref().and_then(|health| health.as_ref().ok()).map(|health| &health.version);
        match answered.unwrap_or(&agent.version) {
            version if version == ours => Check::ok(id, ours),
            version => {
                let finding = format!("the agent has version {version}, this command {ours}: start the agent of this version");
                Check::warn(id, finding, format!("kill -TERM {} && {}", agent.pid, command(dir, "serve")))
            }
        }
    }

    fn answers(&self, dir: &DataDir) -> Check {
        let id = "agent.answers";
        match (&self.health, &self.announced) {
            (Some(Ok(_)), _) => Check::ok(id, "yes"),
            (Some(Err(error)), Some(agent)) => {
                let finding = format!("{error}: it is stuck or stopped");
                Check::fail(id, finding, format!("kill -CONT {0}; kill -TERM {0} && {1}", agent.pid, command(dir, "serve")))
            }
            _ => Check::skipped(id, "no agent is announced"),
        }
    }

    fn ingests(&self) -> Check {
        let id = "agent.ingests";
        match &self.health {
            Some(Ok(Health { problem: None, .. })) => Check::ok(id, "yes"),
            Some(Ok(Health { problem: Some(problem), .. })) => {
                Check::fail(id, format!("it cannot, and tries again; journals are kept: {problem}"), "df -h; journalctl -u indelible -n 20")
            }
            _ => Check::skipped(id, "no agent answers"),
        }
    }

    /// Whether an agent could listen where it is told to.
    fn port(&self, dir: &DataDir, listen: Option<SocketAddr>) -> Check {
        let id = "agent.port";
        let Some(address) = listen else { return Check::skipped(id, "name the agent's address with --listen") };
        if self.announced.as_ref().is_some_and(|agent| agent.address == address.to_string()) {
            return Check::ok(id, format!("the agent listens on {address}"));
        }
        match TcpListener::bind(address) {
            Ok(_) => Check::ok(id, format!("{address} is free")),
            Err(error) => Check::fail(
                id,
                format!("{address}: {error}: an agent that is told to listen there does not start"),
                command(dir, "serve --listen 127.0.0.1:0"),
            ),
        }
    }
}

/// Asks the agent how it is, or something else that it knows.
fn ask<T: DeserializeOwned>(agent: &Announced, path: &str) -> Result<T, String> {
    let address: SocketAddr = agent.address.parse().map_err(|_| format!("`{}` is not an address", agent.address))?;
    if !address.ip().is_loopback() {
        return Err(format!("{address} is not on this host"));
    }
    let config = ureq::Agent::config_builder().timeout_global(Some(ANSWER_DEADLINE)).proxy(None).http_status_as_error(false).build();
    let answer = ureq::Agent::new_with_config(config).get(format!("http://{address}{path}"));
    let answer = answer.header("Authorization", format!("Bearer {}", agent.token)).call();
    let answer = answer.and_then(|mut answer| answer.body_mut().read_json());
    answer.map_err(|error| format!("http://{address}{path}: {error}"))
}

/// Whether there is a process of this number; one of another user is one.
fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}
