//! What the thread that answers and the one that ingests tell each other.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::oneshot;

use crate::data_dir::DataDir;
use crate::http::Sessions;
use crate::ingest::OwnEvent;
use crate::metrics::Metrics;
use crate::retention::Retention;
use crate::sink::Sinks;

/// The most events that wait to be recorded on behalf of readers.
const EVENTS_WAITING_MAX: usize = 256;

/// To the thread that ingests.
#[derive(Debug)]
pub(super) enum Message {
    /// Record this, and answer when it is signed.
    Record(Box<OwnEvent>, oneshot::Sender<()>),
    /// Begin the next file of the trail, and answer whether that was possible.
    CloseFile(oneshot::Sender<bool>),
    /// End in order.
    Stop,
}

/// An event that the agent was asked to record and did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the agent could not record this now; try again")]
pub struct NotRecorded;

/// The agent as its HTTP half sees it.
#[derive(Debug)]
pub struct Status {
    dir: DataDir,
    token: String,
    metrics: Metrics,
    sessions: Sessions,
    trouble: Mutex<Option<String>>,
    seal_trouble: Mutex<Option<String>>,
    messages: SyncSender<Message>,
    sinks: OnceLock<Sinks>,
    retention: OnceLock<Arc<Retention>>,
}

impl Status {
    pub(super) fn new(dir: DataDir, token: String, metrics: Metrics) -> (Self, Receiver<Message>) {
        let (messages, receiver) = sync_channel(EVENTS_WAITING_MAX);
        let sessions = Sessions::default();
        let (trouble, seal_trouble) = (Mutex::new(None), Mutex::new(None));
        (
            Self { dir, token, metrics, sessions, trouble, seal_trouble, messages, sinks: OnceLock::new(), retention: OnceLock::new() },
            receiver,
        )
    }

    /// The data directory.
    #[must_use]
    pub fn dir(&self) -> &DataDir {
        &self.dir
    }

    /// What a request must show in order to see records.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// The metrics.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The sinks; none before they are started.
    pub(crate) fn sinks(&self) -> Option<&Sinks> {
        self.sinks.get()
    }

    pub(super) fn set_sinks(&self, sinks: Sinks) {
        // An agent starts its sinks once.
        let _ = self.sinks.set(sinks);
    }

    /// Ends the sinks; what is signed by now is delivered where that takes no time. Another call does nothing.
    pub(super) fn stop_sinks(&self) {
        if let Some(sinks) = self.sinks() {
            sinks.stop();
        }
    }

    /// Retention; nothing before it is set up.
    pub(crate) fn retention(&self) -> Option<&Arc<Retention>> {
        self.retention.get()
    }

    pub(super) fn set_retention(&self, retention: Retention) {
        // An agent has one.
        let _ = self.retention.set(Arc::new(retention));
    }

    /// Who may see pages.
    pub(crate) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Why nothing is being ingested, if that is so.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why a closed file of the trail is not being sealed, if that is so. Nothing is lost by it.
    #[must_use]
    pub fn seal_trouble(&self) -> Option<String> {
        self.seal_trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_seal_trouble(&self, trouble: Option<String>) {
        *self.seal_trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    pub(super) fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// Records an event of the agent's own; on return it is under a signed checkpoint.
    ///
    /// # Errors
    /// [`NotRecorded`]: too many wait already, or the agent is ending or cannot write.
    pub(crate) async fn record(&self, event: OwnEvent) -> Result<(), NotRecorded> {
        let (recorded, is_recorded) = oneshot::channel();
        self.messages.try_send(Message::Record(Box::new(event), recorded)).map_err(|_| NotRecorded)?;
        is_recorded.await.map_err(|_| NotRecorded)
    }

    /// The same for a thread that may wait.
    ///
    /// # Errors
    /// As [`Status::record`].
    pub(crate) fn record_blocking(&self, event: OwnEvent) -> Result<(), NotRecorded> {
        let (recorded, is_recorded) = oneshot::channel();
        self.messages.try_send(Message::Record(Box::new(event), recorded)).map_err(|_| NotRecorded)?;
        is_recorded.blocking_recv().map_err(|_| NotRecorded)
    }

    /// Closes the open file of the trail and begins the next one; `false` where a reader still needs it.
    ///
    /// # Errors
    /// [`NotRecorded`]: the agent is ending or cannot write.
    pub(crate) fn close_file(&self) -> Result<bool, NotRecorded> {
        let (closed, is_closed) = oneshot::channel();
        self.messages.try_send(Message::CloseFile(closed)).map_err(|_| NotRecorded)?;
        is_closed.blocking_recv().map_err(|_| NotRecorded)
    }

    /// Asks the thread that ingests to end. It ends by itself when it has ended already.
    pub(super) fn stop(&self) {
        let _ = self.messages.send(Message::Stop);
    }
}
