//! `agent.json`: who the running agent is and where it listens, for applications and commands on the same host.

use std::fs;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::AgentError;
use crate::data_dir::{DataDir, read_small, write_atomically};

/// What a running agent says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced {
    /// Process id.
    pub pid: u32,
    /// Version of the program.
    pub version: String,
    /// Where it listens.
    pub address: String,
    /// What a request to it must show in order to see records; another one at each start.
    pub token: String,
}

impl Announced {
    /// Reads what was announced last. Only together with a held lock does it speak of an agent that lives.
    #[must_use]
    pub fn read(dir: &DataDir) -> Option<Self> {
        serde_json::from_slice(&read_small(&dir.agent_json()).ok()?).ok()
    }
}

/// A token that nobody can guess.
///
/// # Errors
/// [`AgentError::Random`]: the system gave no random bytes.
pub(super) fn random_token() -> Result<String, AgentError> {
    crate::http::random_token().map_err(AgentError::Random)
}

/// The announcement of this process.
pub(super) struct Announcement<'a> {
    dir: &'a DataDir,
}

impl<'a> Announcement<'a> {
    pub(super) fn write(dir: &'a DataDir, address: SocketAddr, token: String) -> Result<Self, AgentError> {
        let (version, address) = (env!("CARGO_PKG_VERSION").to_owned(), address.to_string());
        let announced = Announced { pid: std::process::id(), version, address, token };
        let json = serde_json::to_vec(&announced).expect("a struct of texts and numbers is JSON");
        write_atomically(&dir.agent_json(), &json).map_err(|error| AgentError::File { path: dir.agent_json(), error })?;
        Ok(Self { dir })
    }

    /// Removes it. What stays behind misleads nobody: without the lock it speaks of no one.
    pub(super) fn withdraw(self) {
        failpoint!("agent.before_withdraw");
        if let Err(error) = fs::remove_file(self.dir.agent_json()) {
            tracing::warn!(%error, path = %self.dir.agent_json().display(), "announcement of the agent stays behind");
        }
    }
}
