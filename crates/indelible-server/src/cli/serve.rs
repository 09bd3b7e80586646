//! `indelible serve` and `indelible up`: run the agent.

use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Exit, Failure, Globals, PROJECT_DATA_DIR};
use crate::agent::{self, AgentError, Options, Started};
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::trail::LEAVES_PER_FILE;

/// Run the agent: ingest journals, sign the trail, answer on loopback
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// End when everything is in the trail and nobody has recorded for SECONDS
    #[arg(long, value_name = "SECONDS")]
    until_idle: Option<u64>,
    /// Address to listen on [default: 127.0.0.1:8420, or a free port of loopback when that is taken]
    #[arg(long, value_name = "ADDRESS", value_parser = super::loopback)]
    listen: Option<SocketAddr>,
    /// Begin a new file of the trail after N records
    #[arg(long, value_name = "N", default_value_t = LEAVES_PER_FILE, value_parser = clap::value_parser!(u64).range(1..))]
    leaves_per_file: u64,
    /// Configuration [default: config.toml in the data directory, where there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
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
    let options = options(dir, args.listen, until_idle, args.leaves_per_file, args.config.as_deref())?;
    let started = |agent: &Started| {
        tracing::info!(data = %options.dir.root().display(), "listening on http://{}; `indelible link` prints a link for the browser", agent.address);
    };
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
    let options = options(dir, args.listen, None, LEAVES_PER_FILE, None)?;
    agent::serve(&options, |agent| {
        let link = agent.link().unwrap_or_else(|error| format!("http://{} ({error})", agent.address));
        // A closed pipe is no reason not to run.
        let _ = writeln!(io::stdout(), "{link}");
    })?;
    Ok(Exit::Success)
}

/// What the command line says, and the configuration where it says nothing.
fn options(
    dir: DataDir,
    listen: Option<SocketAddr>,
    until_idle: Option<Duration>,
    leaves_per_file: u64,
    config: Option<&Path>,
) -> Result<Options, Failure> {
    let config = Config::load(&dir, config)?;
    Ok(Options { dir, listen: listen.or(config.listen()), until_idle, deadlines: config.deadlines(), leaves_per_file, config })
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
