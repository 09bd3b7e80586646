//! The thread that seals closed files of the trail, beside the one that ingests: it may take its time, and its failure stops nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{io, panic};

use super::status::Status;
use crate::keys::TrailKey;
use crate::trail::{FileState, TrailError, files, seal};

/// How often closed files are looked for when nobody tells of one.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);
/// How long to wait after a failure; doubled with each that follows.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The running thread. It ends, within one block, when this is dropped.
#[derive(Debug)]
pub(super) struct Sealing {
    stop: Arc<AtomicBool>,
    rounds: Arc<Rounds>,
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// How often the thread was asked to look, and for how many of these it has.
#[derive(Debug, Default)]
struct Rounds {
    asked: AtomicU64,
    done: AtomicU64,
}

impl Sealing {
    /// Starts the thread, which begins with the files that were closed before.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub(super) fn start(key: Arc<TrailKey>, status: Arc<Status>) -> io::Result<Self> {
        let (wake, woken) = sync_channel(1);
        let stop = Arc::new(AtomicBool::new(false));
        let rounds = Arc::new(Rounds { asked: AtomicU64::new(1), done: AtomicU64::new(0) });
        let (stopped, shared) = (Arc::clone(&stop), Arc::clone(&rounds));
        let thread = thread::Builder::new().name("seal".to_owned()).spawn(move || run(&key, &status, &stopped, &shared, &woken))?;
        Ok(Self { stop, rounds, wake: Some(wake), thread: Some(thread) })
    }

    /// Tells that a file was closed.
    pub(super) fn wake(&self) {
        self.rounds.asked.fetch_add(1, Ordering::Release);
        // When the channel is full, the thread is about to look anyway.
        let _ = self.wake.as_ref().map(|wake| wake.try_send(()));
    }
}

impl Sealing {
    /// Whether every file that was told of has been sealed, or could not be.
    pub(super) fn is_done(&self) -> bool {
        self.rounds.done.load(Ordering::Acquire) == self.rounds.asked.load(Ordering::Acquire)
    }
}

impl Drop for Sealing {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.wake = None;
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
            && !thread::panicking()
        {
            panic::resume_unwind(panic);
        }
    }
}

fn run(key: &TrailKey, status: &Status, stop: &AtomicBool, rounds: &Rounds, woken: &Receiver<()>) {
    let mut wait = RETRY_INTERVAL;
    loop {
        let asked = rounds.asked.load(Ordering::Acquire);
        let next = match seal_all(key, status, stop) {
            Ok(()) => {
                status.set_seal_trouble(None);
                wait = RETRY_INTERVAL;
                LOOK_INTERVAL
            }
            Err(error) => {
                tracing::error!(%error, "a file of the trail could not be sealed and stays as it is; sealing is tried again");
                status.metrics().count_seal_error();
                status.set_seal_trouble(Some(error.to_string()));
                wait = (wait * 2).min(LOOK_INTERVAL);
                wait
            }
        };
        rounds.done.store(asked, Ordering::Release);
        match woken.recv_timeout(next) {
            Err(RecvTimeoutError::Disconnected) => return,
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Seals every closed file, the oldest first. One that cannot be sealed does not keep the others from it; the first error is returned.
fn seal_all(key: &TrailKey, status: &Status, stop: &AtomicBool) -> Result<(), TrailError> {
    let mut listed = files::list(status.dir())?;
    // The newest is open.
    listed.pop();
    let mut closed = Vec::new();
    for file in listed {
        match files::state_of(&file.path)? {
            FileState::Sealed => files::remove_log_of_sealed(&file.path)?,
            _ => closed.push(file),
        }
    }
    let mut left = closed.len();
    let mut result = Ok(());
    status.metrics().set_unsealed(left);
    for file in closed {
        match seal::seal(&file, key, stop) {
            Ok(None) => return result,
            Ok(Some(sealed)) => {
                left -= 1;
                status.metrics().observe_seal(sealed, left);
                tracing::info!(first_index = file.first_index, leaves = sealed.leaves, bytes = sealed.bytes, "sealed a file of the trail");
            }
            Err(error) => result = result.and(Err(error)),
        }
    }
    result
}
