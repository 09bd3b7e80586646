//! All sinks of an agent: started together, watched and commanded by name, ended together.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::control::{Answer, Command, CommandError, Control};
use super::cursor::DeadLetter;
use super::delivery::{Delivery, Signed};
use super::files::Files;
use super::source::Trail;
use super::stdout::Stdout;
use super::{Health, Sink};
use crate::clock::now;
use crate::config::{SinkConfig, Target};
use crate::data_dir::DataDir;

/// How long an ending agent lets its sinks deliver what is signed.
const STOP_DEADLINE: Duration = Duration::from_secs(2);
/// How much longer it waits for calls to return.
const STOP_ALLOWANCE: Duration = Duration::from_millis(500);

/// The sinks of an agent.
pub(crate) struct Sinks {
    sinks: Vec<Running>,
    signed: Signed,
    /// Whether they have been told to end.
    stopped: AtomicBool,
}

struct Running {
    config: SinkConfig,
    control: Arc<Control>,
}

impl Sinks {
    /// Starts a thread for each sink. Nothing is delivered that `signed` does not cover.
    ///
    /// # Errors
    /// When a thread cannot be started; those before it have been told to end.
    pub(crate) fn start(dir: &DataDir, configs: &[SinkConfig], signed: Signed) -> io::Result<Self> {
        let mut sinks = Self { sinks: Vec::new(), signed, stopped: AtomicBool::new(false) };
        for config in configs {
            match sinks.start_one(dir, config) {
                Ok(running) => sinks.sinks.push(running),
                Err(error) => {
                    sinks.stop();
                    return Err(error);
                }
            }
        }
        Ok(sinks)
    }

    fn start_one(&self, dir: &DataDir, config: &SinkConfig) -> io::Result<Running> {
        let control = Arc::new(Control::default());
        let sink: Box<dyn Sink> = match &config.target {
            Target::Files(files) => Box::new(Files::new(files.clone(), config.shape)),
            Target::Stdout => Box::new(Stdout::new(config.shape)),
        };
        let delivery = Delivery {
            sink,
            source: Box::new(Trail::new(dir.clone())),
            signed: Arc::clone(&self.signed),
            control: Arc::clone(&control),
            limits: config.limits,
            starts_newest: config.starts_newest,
            folder: dir.sink(&config.name),
        };
        thread::Builder::new().name(format!("sink {}", config.name)).spawn(move || delivery.run())?;
        Ok(Running { config: config.clone(), control })
    }

    /// How all of them are, in the order of the configuration.
    pub(crate) fn health(&self) -> Vec<Health> {
        let signed = (self.signed)();
        let one = |sink: &Running| {
            let names = [&sink.config.name, sink.config.target.as_str(), sink.config.shape.as_str()];
            Health::of(names, &sink.control.progress(), signed, sink.config.limits.call_timeout, now())
        };
        self.sinks.iter().map(one).collect()
    }

    /// The dead letters of a sink.
    ///
    /// # Errors
    /// [`CommandError::Unknown`].
    pub(crate) fn dead_letters(&self, name: &str) -> Result<Vec<DeadLetter>, CommandError> {
        Ok(self.find(name)?.control.progress().dead)
    }

    /// Orders something; the receiver gets the answer when it is done.
    ///
    /// # Errors
    /// [`CommandError::Unknown`], [`CommandError::Refused`].
    pub(crate) fn order(&self, name: &str, command: Command) -> Result<oneshot::Receiver<Answer>, CommandError> {
        self.find(name)?.control.order(command)
    }

    /// Checks that there is such a sink.
    ///
    /// # Errors
    /// [`CommandError::Unknown`].
    pub(crate) fn knows(&self, name: &str) -> Result<(), CommandError> {
        self.find(name).map(drop)
    }

    fn find(&self, name: &str) -> Result<&Running, CommandError> {
        self.sinks.iter().find(|sink| sink.config.name == name).ok_or_else(|| {
            let known: Vec<_> = self.sinks.iter().map(|sink| sink.config.name.as_str()).collect();
            let known = if known.is_empty() { "none in this configuration".to_owned() } else { known.join(", ") };
            CommandError::Unknown { name: name.chars().take(64).collect(), known }
        })
    }

    /// Lets all of them deliver what is signed, for a short time, and ends them. A call that does not return is left to the end of
    /// the process: its records come again at the next start. Another call does nothing.
    pub(crate) fn stop(&self) {
        if self.stopped.swap(true, Ordering::Relaxed) {
            return;
        }
        let by = Instant::now() + STOP_DEADLINE;
        self.sinks.iter().for_each(|sink| sink.control.stop(by));
        for sink in &self.sinks {
            if !sink.control.has_ended_by(by + STOP_ALLOWANCE) {
                tracing::warn!(sink = sink.config.name, "the sink has not ended; what it has not confirmed comes again");
            }
        }
    }
}

impl Sinks {
    /// The first sink whose thread has panicked, and what it said.
    pub(crate) fn panicked(&self) -> Option<(String, String)> {
        self.sinks.iter().find_map(|sink| Some((sink.config.name.clone(), sink.control.progress().panic?)))
    }
}

impl std::fmt::Debug for Sinks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.sinks.iter().map(|sink| &sink.config.name)).finish()
    }
}
