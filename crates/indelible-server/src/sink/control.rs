//! What a sink's thread and those who watch or command it share. Nobody holds the lock during a delivery.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indelible_core::Timestamp;
use tokio::sync::oneshot;

use super::cursor::DeadLetter;

/// The most commands that wait for a sink's thread.
const COMMANDS_MAX: usize = 16;

/// What somebody wants of a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    /// Look whether the destination takes something.
    Test,
    /// Deliver nothing until told to go on; survives a restart.
    Pause,
    /// Go on.
    Resume,
    /// Deliver again from this leaf on.
    Replay {
        /// The first leaf to come again, at most the end of the trail.
        from: u64,
    },
    /// Try the dead letters again.
    ReplayDead,
    /// Forget the dead letters; their records stay in the trail.
    DiscardDead,
}

/// Why a command was not, or not yet, carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CommandError {
    /// There is no such sink.
    #[error("there is no sink `{name}`; there are: {known}")]
    Unknown {
        /// The name that was asked for.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// The thread of the sink is in a call that has not returned, and does it afterwards.
    #[error("the sink is in a call that has not returned yet; this is done afterwards")]
    Busy,
    /// Too many commands wait, or the agent is ending.
    #[error("the sink takes no commands now")]
    Refused,
    /// It was tried and failed.
    #[error("{0}")]
    Failed(String),
}

/// How a command ended: what was done, or why not.
pub(super) type Answer = Result<String, CommandError>;
/// A command with the place for its answer.
pub(super) type Ordered = (Command, oneshot::Sender<Answer>);

/// What is known of a sink's work.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    pub(super) next_leaf: u64,
    /// When the oldest record that waits was received.
    pub(super) waiting_since: Option<Timestamp>,
    /// Whether the sink has got as far as delivering since the agent started.
    pub(super) has_begun: bool,
    pub(super) is_paused: bool,
    pub(super) is_retrying: bool,
    /// Why it cannot go on without somebody's help.
    pub(super) blocked: Option<String>,
    /// Since when a call has not returned.
    pub(super) in_call_since: Option<Instant>,
    pub(super) has_ended: bool,
    /// What its thread said when it panicked.
    pub(super) panic: Option<String>,
    pub(super) delivered: u64,
    pub(super) skipped: u64,
    pub(super) retries: u64,
    pub(super) dead: Vec<DeadLetter>,
    pub(super) last_error: Option<(String, Timestamp)>,
    pub(super) last_success: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Inner {
    commands: VecDeque<Ordered>,
    /// Until when the thread may still deliver what is signed; set when the agent ends.
    stop_by: Option<Instant>,
    progress: Progress,
}

/// The meeting place of a sink's thread and everybody else.
#[derive(Debug, Default)]
pub(super) struct Control {
    inner: Mutex<Inner>,
    changed: Condvar,
}

impl Control {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves a command for the thread.
    ///
    /// # Errors
    /// [`CommandError::Refused`]: too many wait, or the thread ends.
    pub(super) fn order(&self, command: Command) -> Result<oneshot::Receiver<Answer>, CommandError> {
        let mut inner = self.lock();
        if inner.commands.len() >= COMMANDS_MAX || inner.stop_by.is_some() || inner.progress.has_ended {
            return Err(CommandError::Refused);
        }
        let (answer, answered) = oneshot::channel();
        inner.commands.push_back((command, answer));
        self.changed.notify_all();
        Ok(answered)
    }

    /// The next command, for the thread.
    pub(super) fn next_command(&self) -> Option<Ordered> {
        self.lock().commands.pop_front()
    }

    /// Tells the thread to end by then.
    pub(super) fn stop(&self, by: Instant) {
        self.lock().stop_by = Some(by);
        self.changed.notify_all();
    }

    /// Until when the thread may go on, once it has been told to end.
    pub(super) fn stop_by(&self) -> Option<Instant> {
        self.lock().stop_by
    }

    /// Waits until a command or the end comes, for so long at most.
    pub(super) fn wait(&self, at_most: Duration) {
        let inner = self.lock();
        let nothing = |inner: &mut Inner| inner.commands.is_empty() && inner.stop_by.is_none();
        // Whether it was time or a command that ended the wait is seen by who looks next.
        drop(self.changed.wait_timeout_while(inner, at_most, nothing));
    }

    /// What is known.
    pub(super) fn progress(&self) -> Progress {
        self.lock().progress.clone()
    }

    /// Changes what is known.
    pub(super) fn update(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.lock().progress);
        self.changed.notify_all();
    }

    /// Waits until the thread has ended; `false` when it has not by then.
    pub(super) fn has_ended_by(&self, deadline: Instant) -> bool {
        let inner = self.lock();
        let left = deadline.saturating_duration_since(Instant::now());
        let waited = self.changed.wait_timeout_while(inner, left, |inner| !inner.progress.has_ended);
        waited.is_ok_and(|(inner, _)| inner.progress.has_ended)
    }
}
