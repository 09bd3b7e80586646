//! Tells the agent that the trail was read, so that it records it.
//!
//! Reading goes on when that fails, since the files can be read anyway; standard error says so.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;
use ureq::Body;
use ureq::http::Response;

use super::output::tell;
use crate::agent::Announced;
use crate::data_dir::DataDir;
use crate::http::Read;

/// Longest wait for the agent.
const DEADLINE: Duration = Duration::from_secs(5);

/// Has the running agent record a reading. Without one, or when it does not answer, says on standard error why nothing was
/// recorded.
pub(super) fn record(dir: &DataDir, read: &Read) {
    if let Err(reason) = send(dir, read) {
        tell(&format!("not recorded: {reason}"));
    }
}

fn send(dir: &DataDir, read: &Read) -> Result<(), String> {
    ask(dir, "/v1/reads", read).map(drop)
}

/// Sends a request to the agent that runs on a directory, with its token; answers where it listens and what it said.
pub(super) fn ask(dir: &DataDir, path: &str, body: &impl Serialize) -> Result<(SocketAddr, Response<Body>), String> {
    // A copied directory may hold an announcement, but nobody holds its lock.
    if !dir.agent_is_running().map_err(|error| error.to_string())? {
        return Err(format!("no agent runs on {}", dir.root().display()));
    }
    let announced = Announced::read(dir).ok_or_else(|| format!("{} names no agent", dir.agent_json().display()))?;
    let address = address(&announced)?;
    // What is looked for must not leave the machine, so no proxy of the environment applies.
    let config = ureq::Agent::config_builder().timeout_global(Some(DEADLINE)).proxy(None).build();
    let request = ureq::Agent::new_with_config(config).post(format!("http://{address}{path}"));
    let answer = request.header("Authorization", format!("Bearer {}", announced.token)).send_json(body);
    answer.map(|answer| (address, answer)).map_err(|error| format!("the agent at {address}: {error}"))
}

fn address(announced: &Announced) -> Result<SocketAddr, String> {
    let address: SocketAddr = announced.address.parse().map_err(|_| format!("`{}` is not an address", announced.address))?;
    if address.ip().is_loopback() { Ok(address) } else { Err(format!("{address} is not on this host")) }
}
