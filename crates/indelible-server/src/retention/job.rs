//! The agent's half: one run at a time, on a thread of its own, which whoever ordered it asks about.

use std::sync::atomic::{AtomicBool, Ordering as Atomic};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use indelible_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::hold::{HoldOrder, hold_event};
use super::run::{Order, Owner, Progress, Run, unsealed};
use super::{RetentionError, Rule};
use crate::agent::Status;
use crate::clock::now;
use crate::http::stated_by;
use crate::ingest::OwnEvent;
use crate::keys::TrailKey;
use crate::trail::Reader;

/// How long a run waits for a closed file to be sealed.
const SEAL_DEADLINE: Duration = Duration::from_secs(300);
/// How long it tries to close the open file, which others may be reading; each attempt waits a little by itself.
const CLOSE_DEADLINE: Duration = Duration::from_secs(10);
const SEAL_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The retention of a running agent.
#[derive(Debug)]
pub(crate) struct Retention {
    rules: Vec<Rule>,
    /// SHA-256 of the configuration that the rules are from.
    config: Option<String>,
    key: Arc<TrailKey>,
    stop: AtomicBool,
    /// Held by whoever changes what may go: a run, or the adding of a hold.
    at_work: Mutex<()>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    told: Started,
    thread: Option<JoinHandle<()>>,
}

/// How the newest run is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Started {
    /// Whether it goes on.
    pub(crate) running: bool,
    /// How far it has come.
    pub(crate) progress: Progress,
    /// Why it ended before its end.
    pub(crate) error: Option<String>,
}

impl Retention {
    pub(crate) fn new(rules: Vec<Rule>, config: Option<String>, key: Arc<TrailKey>) -> Self {
        let (stop, at_work, state) = (AtomicBool::new(false), Mutex::default(), Mutex::default());
        Self { rules, config, key, stop, at_work, state }
    }

    /// How the newest run is.
    pub(crate) fn told(&self) -> Started {
        self.state().told.clone()
    }

    /// Whether nothing goes on.
    pub(crate) fn is_idle(&self) -> bool {
        !self.state().told.running
    }

    /// Begins a run, and does not wait for its end.
    ///
    /// # Errors
    /// - [`RetentionError::Running`]: another one goes on.
    /// - [`RetentionError::ConfigChanged`]: the order is meant by another configuration than the agent has.
    pub(crate) fn start(self: &Arc<Self>, status: Arc<Status>, order: Order) -> Result<(), RetentionError> {
        if order.config != self.config {
            return Err(RetentionError::ConfigChanged);
        }
        let mut state = self.state();
        if state.told.running || self.stop.load(Atomic::Relaxed) {
            return Err(RetentionError::Running);
        }
        let shared = Arc::clone(self);
        let spawned = thread::Builder::new().name("retention".to_owned()).spawn(move || shared.work(&status, &order));
        let thread = spawned.map_err(|error| crate::trail::TrailError::File { path: "thread".into(), error })?;
        *state = State { told: Started { running: true, ..Started::default() }, thread: Some(thread) };
        Ok(())
    }

    fn work(&self, status: &Status, order: &Order) {
        let _ended = Ended(self);
        let at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        let run = Run { dir: status.dir(), key: &self.key, rules: &self.rules, order, actor: stated_by(order.uid), stop: &self.stop };
        let result = run.all(&mut OfAgent { status, stop: &self.stop }, now(), |progress| self.state().told.progress = progress.clone());
        drop(at_work);
        if let Err(error) = &result {
            tracing::error!(%error, "a retention run ended before its end");
        }
        self.state().told.error = result.err().map(|error| error.to_string());
    }

    /// Adds or ends a hold.
    ///
    /// # Errors
    /// - [`RetentionError::Running`]: a run goes on, or another hold is being added.
    /// - those of [`hold_event`], and [`RetentionError::NotRecorded`].
    pub(crate) fn hold(&self, status: &Status, order: &HoldOrder, now: Timestamp) -> Result<(), RetentionError> {
        let Ok(_at_work) = self.at_work.try_lock() else { return Err(RetentionError::Running) };
        let event = hold_event(&Reader::open(status.dir())?, order, stated_by(order.uid), now)?;
        status.record_blocking(event).map_err(|_| RetentionError::NotRecorded)
    }

    /// Ends a run, within one block of the file that it works on, and waits for it.
    pub(crate) fn end(&self) {
        self.stop.store(true, Atomic::Relaxed);
        let thread = self.state().thread.take();
        if let Some(Err(panic)) = thread.map(JoinHandle::join)
            && !thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says that a run has ended, however it did.
struct Ended<'a>(&'a Retention);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.state().told.running = false;
    }
}

struct OfAgent<'a> {
    status: &'a Status,
    stop: &'a AtomicBool,
}

impl Owner for OfAgent<'_> {
    fn record(&mut self, event: OwnEvent) -> Result<(), RetentionError> {
        self.status.record_blocking(event).map_err(|_| RetentionError::NotRecorded)
    }

    fn close_and_seal(&mut self, close: bool) -> Result<(), RetentionError> {
        let patience = Instant::now() + CLOSE_DEADLINE;
        while close && !self.status.close_file().map_err(|_| RetentionError::NotRecorded)? {
            if Instant::now() > patience {
                return Err(RetentionError::Busy);
            }
        }
        let deadline = Instant::now() + SEAL_DEADLINE;
        while let Some(file) = unsealed(self.status.dir())?.into_iter().next() {
            if self.stop.load(Atomic::Relaxed) {
                return Err(RetentionError::Stopped);
            }
            if Instant::now() > deadline {
                return Err(RetentionError::NotSealed(file.path));
            }
            thread::sleep(SEAL_POLL_INTERVAL);
        }
        Ok(())
    }
}
