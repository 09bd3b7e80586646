//! The agent: one process for each data directory, which ingests, signs and answers on loopback.

mod announce;
mod ingesting;
mod sealing;
mod status;

use std::fs::{File, TryLockError};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};

use indelible_core::FileSystem;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

pub use self::announce::Announced;
use self::announce::{Announcement, random_token};
use self::sealing::Sealing;
use self::status::Message;
pub use self::status::{NotRecorded, Status};
use crate::collector::Collector;
use crate::config::{Config, Recorded};
use crate::data_dir::{DataDir, create_private_dir, open_lock};
use crate::http;
use crate::ingest::{Deadlines, IngestError, Ingester, Settings};
use crate::metrics::Metrics;
use crate::retention::Retention;
use crate::sink::Sinks;

/// Where the agent listens unless it is told otherwise; when the port is taken, on a free one.
const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8420);

/// How long a starting agent waits for the lock: those who only ask whether an agent runs hold it shared for some microseconds.
const LOCK_PATIENCE: Duration = Duration::from_millis(250);
const LOCK_POLL_INTERVAL: Duration = Duration::from_millis(5);

/// How to run an agent.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data directory; created when it is not there.
    pub dir: DataDir,
    /// Where to listen; 127.0.0.1:8420 or a free port of loopback when absent.
    pub listen: Option<SocketAddr>,
    /// End when nobody has recorded anything for this long and everything is in the trail; never by itself when absent.
    pub until_idle: Option<Duration>,
    /// How long intents wait.
    pub deadlines: Deadlines,
    /// Records after which a file of the trail is full; 131,072 by default, less in tests.
    pub leaves_per_file: u64,
    /// Where events go besides the trail. Its address and deadlines are for whoever makes these options.
    pub config: Config,
}

/// Why an agent did not start, or ended before its time.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// Another agent has the directory.
    #[error("an agent already runs on {0}")]
    Running(PathBuf),
    /// The directory, the lock or the announcement cannot be written.
    #[error("{path}: {error}")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The directory lies on a network file system, where locks do not tell who is alive.
    #[error("{path} is on a network file system ({kind}): put the data directory on a local disk")]
    NetworkFileSystem {
        /// The directory.
        path: PathBuf,
        /// Name of the file system.
        kind: &'static str,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// There are no random bytes for the token of readers.
    #[error("no random bytes: {0}")]
    Random(getrandom::Error),
    /// The HTTP server could not be set up.
    #[error("http server: {0}")]
    Serve(io::Error),
    /// The trail cannot be continued.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// The thread of a sink panicked. Everything else ended as it should; what that sink has not confirmed comes again.
    #[error("the sink `{name}` panicked: {said}")]
    Sink {
        /// Its name.
        name: String,
        /// What it said.
        said: String,
    },
}

/// An agent that has begun to listen.
#[derive(Debug)]
pub struct Started {
    /// Where it listens.
    pub address: SocketAddr,
    status: Arc<Status>,
}

impl Started {
    /// A one-time link for the browser of the user who runs this process.
    ///
    /// # Errors
    /// [`AgentError::Random`]: the system gave no random bytes.
    pub fn link(&self) -> Result<String, AgentError> {
        let uid = rustix::process::getuid().as_raw();
        let token = self.status.sessions().issue(Some(uid), Instant::now()).map_err(AgentError::Random)?;
        Ok(format!("http://{}/open/{token}", self.address))
    }
}

/// Runs an agent until it is told to stop (SIGTERM, SIGINT) or is idle. `started` is told where it listens.
///
/// On return everything that was ingested is signed, and nobody holds the directory.
///
/// # Errors
/// - [`AgentError::Running`]: another agent has the directory; nothing was changed.
/// - [`AgentError::Ingest`]: the trail is not the one that was signed, or cannot be written. Journals are kept.
/// - the other variants: it did not start.
pub fn serve(options: &Options, started: impl FnOnce(&Started)) -> Result<(), AgentError> {
    let _lock = lock(&options.dir)?;
    let ingester = Ingester::open(&options.dir, Settings { deadlines: options.deadlines, leaves_per_file: options.leaves_per_file })?;
    let listener = listen(options.listen)?;
    let address = listener.local_addr().map_err(AgentError::Serve)?;
    let token = random_token()?;
    let announcement = Announcement::write(&options.dir, address, token.clone())?;
    let (status, messages) = Status::new(options.dir.clone(), token, Metrics::new());
    let started_agent = Started { address, status: Arc::new(status) };
    started(&started_agent);
    let result = run(options, ingester, listener, &started_agent.status, messages);
    announcement.withdraw();
    result
}

fn run(
    options: &Options,
    ingester: Ingester,
    listener: TcpListener,
    status: &Arc<Status>,
    messages: Receiver<Message>,
) -> Result<(), AgentError> {
    let (ended, has_ended) = oneshot::channel();
    let sinks = Sinks::start(&options.dir, options.config.sinks(), Arc::new(status.metrics().signed()));
    status.set_sinks(sinks.map_err(AgentError::Serve)?);
    let rules = options.config.rules().to_vec();
    status.set_retention(Retention::new(rules, options.config.digest().map(str::to_owned), ingester.key()));
    let collector = Collector::new(options.dir.clone(), options.config.senders().to_vec());
    let ingester = ingester.collecting(collector.services().into_iter().map(str::to_owned).collect());
    // The random part of the trail's name: nobody else has it, and it never changes.
    let journal = ingester.origin().as_str().rsplit('/').next().unwrap_or_default().to_owned();
    let changed = Recorded::change(&options.dir, &options.config);
    let (until_idle, shared) = (options.until_idle, Arc::clone(status));
    let sealing = Sealing::start(ingester.key(), Arc::clone(status)).map_err(AgentError::Serve)?;
    let ingesting = thread::Builder::new().name("ingest".to_owned()).spawn(move || {
        let result = ingesting::run(ingester, changed, until_idle, &messages, &shared, &sealing);
        drop(sealing);
        // Nobody listens any more when the server ended first.
        let _ = ended.send(());
        result
    });
    let ingesting = ingesting.map_err(AgentError::Serve)?;
    let served = answer(listener, http::router(Arc::clone(status), collector, journal), has_ended);
    status.stop();
    if let Some(retention) = status.retention() {
        retention.end();
    }
    let ingested = ingesting.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    status.stop_sinks();
    ingested?;
    served.map_err(AgentError::Serve)?;
    let panicked = status.sinks().and_then(Sinks::panicked);
    panicked.map_or(Ok(()), |(name, said)| Err(AgentError::Sink { name, said }))
}

/// Answers HTTP until a signal arrives or ingesting has ended.
fn answer(listener: TcpListener, router: axum::Router, has_ended: oneshot::Receiver<()>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let until = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = has_ended => {}
            }
        };
        tokio::select! {
            never = http::answer(listener, router) => match never {},
            () = until => Ok(()),
        }
    })
}

/// Takes the directory for this process, for as long as the file is open.
///
/// # Errors
/// - [`AgentError::Running`]: another process has it.
/// - [`AgentError::File`], [`AgentError::NetworkFileSystem`]: it cannot be locked.
pub(crate) fn lock(dir: &DataDir) -> Result<File, AgentError> {
    let failed = |error| AgentError::File { path: dir.agent_lock(), error };
    create_private_dir(dir.root()).map_err(failed)?;
    refuse_network(dir)?;
    let file = open_lock(&dir.agent_lock()).map_err(failed)?;
    let asked_at = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if asked_at.elapsed() < LOCK_PATIENCE => thread::sleep(LOCK_POLL_INTERVAL),
            Err(TryLockError::WouldBlock) => return Err(AgentError::Running(dir.root().to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
}

/// Refuses a directory where a free lock does not tell that its owner is gone.
fn refuse_network(dir: &DataDir) -> Result<(), AgentError> {
    let failed = |error: rustix::io::Errno| AgentError::File { path: dir.root().to_owned(), error: error.into() };
    let system = rustix::fs::statfs(dir.root()).map_err(failed)?;
    match FileSystem::from_magic(system.f_type as u32) {
        FileSystem::Network(kind) => Err(AgentError::NetworkFileSystem { path: dir.root().to_owned(), kind }),
        FileSystem::Local | FileSystem::Overlay | FileSystem::Memory(_) => Ok(()),
    }
}

fn listen(address: Option<SocketAddr>) -> Result<TcpListener, AgentError> {
    let bind = |address| TcpListener::bind(address).map_err(|error| AgentError::Listen { address, error });
    match (address, bind(address.unwrap_or(DEFAULT_ADDRESS))) {
        (None, Err(_)) => bind(SocketAddr::new(DEFAULT_ADDRESS.ip(), 0)),
        (_, bound) => bound,
    }
}
