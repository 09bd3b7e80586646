//! `indelible serve` and `indelible up`: run the agent.

use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use super::{Exit, Failure, Globals, PROJECT_DATA_DIR};
use crate::agent::{self, AgentError, Options};
use crate::data_dir::DataDir;
use crate::ingest::Deadlines;

/// Run the agent: ingest journals, sign the trail, answer on loopback
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// End when everything is in the trail and nobody has recorded for SECONDS
    #[arg(long, value_name = "SECONDS")]
    until_idle: Option<u64>,
    /// Address to listen on [default: 127.0.0.1:8420, or a free port of loopback when that is taken]
    #[arg(long, value_name = "ADDRESS", value_parser = super::loopback)]
    listen: Option<SocketAddr>,
}

/// Run the agent for a project, on ./.indelible
#[derive(Debug, clap::Args)]
pub(crate) struct UpArgs {
    /// Address to listen on [default: 127.0.0.1:8420, or a free port of loopback when that is taken]
    #[arg(long, value_name = "ADDRESS", value_parser = super::loopback)]
    listen: Option<SocketAddr>,
}

pub(crate) fn run(args: &Args, globals: &Globals) -> Result<Exit, Failure> {
    log_to_stderr();
    let dir = globals.data_dir()?;
    let until_idle = args.until_idle.map(Duration::from_secs);
    let options = Options { dir, listen: args.listen, until_idle, deadlines: Deadlines::default() };
    let started = |address| tracing::info!(data = %options.dir.root().display(), "listening on http://{address}");
    match agent::serve(&options, started) {
        // Several processes of one application start an agent at once; the others have nothing to complain of.
        Err(error @ AgentError::Running(_)) if until_idle.is_some() => {
            eprintln!("{error}");
            Ok(Exit::Success)
        }
        result => Ok(result.map(|()| Exit::Success)?),
    }
}

pub(crate) fn run_up(args: &UpArgs, globals: &Globals) -> Result<Exit, Failure> {
    log_to_stderr();
    let dir = globals.named_data_dir().unwrap_or_else(|| DataDir::new(PROJECT_DATA_DIR));
    let options = Options { dir, listen: args.listen, until_idle: None, deadlines: Deadlines::default() };
    agent::serve(&options, |address| {
        // A closed pipe is no reason not to run.
        let _ = writeln!(io::stdout(), "http://{address}");
    })?;
    Ok(Exit::Success)
}

fn log_to_stderr() {
    tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(io::stderr().is_terminal()).with_target(false).init();
}

impl From<AgentError> for Failure {
    fn from(error: AgentError) -> Self {
        match error {
            AgentError::Running(_) => Self::new(Exit::Failed, &error).help("`indelible doctor` shows which process it is"),
            AgentError::File { error: ref cause, .. } if cause.kind() == io::ErrorKind::PermissionDenied => {
                Self::new(Exit::Permission, &error)
            }
            _ => Self::new(Exit::Failed, &error),
        }
    }
}
