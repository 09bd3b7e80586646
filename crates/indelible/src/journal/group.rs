//! One `fdatasync` for all who wait for one.

use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::error::Error;

#[derive(Default)]
struct State {
    /// Every frame up to this sequence is on disk.
    synced: u64,
    /// Whether a thread is syncing right now.
    leader: bool,
}

/// Lets the first thread that waits sync for all that wait.
#[derive(Default)]
pub(super) struct GroupSync {
    state: Mutex<State>,
    woken: Condvar,
}

impl GroupSync {
    /// Returns when the frame with this sequence is on disk. `sync` forces out what was written and returns up to which sequence that went.
    ///
    /// # Errors
    /// Those of `sync` for the thread that called it; [`Error::SyncTimeout`] for one that waited longer than `patience` for another.
    pub(super) fn wait(&self, sequence: u64, patience: Duration, sync: impl Fn() -> Result<u64, Error>) -> Result<(), Error> {
        let deadline = Instant::now() + patience;
        let mut state = self.state.lock().map_err(|_| Error::Poisoned)?;
        loop {
            if state.synced >= sequence {
                return Ok(());
            }
            if !state.leader {
                state.leader = true;
                drop(state);
                let result = sync();
                state = self.state.lock().map_err(|_| Error::Poisoned)?;
                state.leader = false;
                self.woken.notify_all();
                state.synced = state.synced.max(result?);
                continue;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::SyncTimeout(patience.as_millis()));
            }
            (state, _) = self.woken.wait_timeout(state, left).map_err(|_| Error::Poisoned)?;
        }
    }
}
