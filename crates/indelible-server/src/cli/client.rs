//! Asking the running agent for something, or ordering it.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::{Exit, Failure};
use crate::agent::Announced;
use crate::data_dir::DataDir;

/// Longest wait for the agent; it answers sooner.
const DEADLINE: Duration = Duration::from_secs(10);

/// The running agent, as a command reaches it.
pub(super) struct Agent {
    address: SocketAddr,
    token: String,
    http: ureq::Agent,
}

impl Agent {
    /// The agent that runs on a directory. `help`: what to do where none does.
    ///
    /// # Errors
    /// None runs, or it does not say where.
    pub(super) fn of(dir: &DataDir, help: &str) -> Result<Self, Failure> {
        let none = |reason: String| Failure::new(Exit::Temporary, reason).help(help);
        if !dir.agent_is_running()? {
            return Err(none(format!("no agent runs on {}", dir.root().display())));
        }
        let announced = Announced::read(dir).ok_or_else(|| none(format!("{} names no agent", dir.agent_json().display())))?;
        let address: Option<SocketAddr> = announced.address.parse().ok();
        let address = address.filter(|address| address.ip().is_loopback());
        let address = address.ok_or_else(|| none(format!("`{}` is no address of this host", announced.address)))?;
        // Nothing of this leaves the machine, so no proxy of the environment applies.
        let config = ureq::Agent::config_builder().timeout_global(Some(DEADLINE)).proxy(None).http_status_as_error(false).build();
        Ok(Self { address, token: announced.token, http: ureq::Agent::new_with_config(config) })
    }

    /// What it says under a path.
    ///
    /// # Errors
    /// It does not answer, or refuses.
    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let request = self.http.get(format!("http://{}{path}", self.address));
        self.answer(request.header("Authorization", format!("Bearer {}", self.token)).call())
    }

    /// Orders something. An answer without a body is JSON `null`.
    ///
    /// # Errors
    /// As [`Agent::get`].
    pub(super) fn post<T: DeserializeOwned>(&self, path: &str, order: &impl Serialize) -> Result<T, Failure> {
        let request = self.http.post(format!("http://{}{path}", self.address));
        self.answer(request.header("Authorization", format!("Bearer {}", self.token)).send_json(order))
    }

    fn answer<T: DeserializeOwned>(&self, answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<T, Failure> {
        let failed = |error: ureq::Error| Failure::new(Exit::Temporary, format!("the agent at {}: {error}", self.address));
        let mut answer = answer.map_err(failed)?;
        if answer.status().as_u16() == 204 {
            return serde_json::from_value(Json::Null).map_err(|error| Failure::new(Exit::Temporary, error));
        }
        if answer.status().is_success() {
            return answer.body_mut().read_json().map_err(failed);
        }
        let problem: Json = answer.body_mut().read_json().unwrap_or_default();
        let exit = match answer.status().as_u16() {
            401 | 403 => Exit::Permission,
            400 | 404 => Exit::Usage,
            _ => Exit::Temporary,
        };
        let failure = Failure::new(exit, problem["error"].as_str().unwrap_or("the agent gave no reason"));
        Err(match problem["help"].as_str() {
            Some(help) => failure.help(help),
            None => failure,
        })
    }
}
