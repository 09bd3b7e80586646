//! The journal of one process: a folder of segments that only this process appends to.
//!
//! **Invariant**: a sequence is used for one frame only, and no sequence is skipped. Nothing that was written is ever cut off or written over.

mod files;
mod fork;
mod group;
mod network;
mod stream;
#[cfg(test)]
mod tests;
mod turn;
mod waiting;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indelible_core::{Frame, StreamId};

use crate::clock::{Clock, SystemClock};
use crate::config::{Durability, Limits};
use crate::error::Error;
use files::{Files, OpenFile, SystemFiles};
use fork::ForkGate;
use group::GroupSync;
use stream::Stream;
use turn::Turn;
use waiting::Waiting;
use writer::{Room, Writer};

const RETRY_EVERY: Duration = Duration::from_millis(5);
const DEGRADED_FOR: Duration = Duration::from_millis(100);
/// How long a thread waits for another thread's sync, when the policy would not wait at all.
const SYNC_PATIENCE_MIN: Duration = Duration::from_secs(2);
/// How long a thread waits for another thread's write, whatever the policy: it takes a microsecond, but for a busy machine or disk.
const TURN_PATIENCE: Duration = Duration::from_secs(2);
/// The same where the journal has just failed, and for what is kept when it cannot be written.
const TURN_PATIENCE_SHORT: Duration = Duration::from_millis(50);

/// A place in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The stream.
    pub stream: StreamId,
    /// Number of the frame in it, from 1.
    pub sequence: u64,
}

/// What the journal needs to know of the configuration.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) data_dir: PathBuf,
    pub(crate) service: String,
    pub(crate) durability: Durability,
    pub(crate) limits: Limits,
}

/// Everything that the journal takes from the operating system.
#[derive(Clone)]
struct System {
    files: Arc<dyn Files>,
    clock: Arc<dyn Clock>,
}

impl Default for System {
    fn default() -> Self {
        Self { files: Arc::new(SystemFiles), clock: Arc::new(SystemClock) }
    }
}

/// What happened to the journal until now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JournalHealth {
    /// The stream, once something was recorded.
    pub stream: Option<StreamId>,
    /// Sequence of the last frame.
    pub sequence: u64,
    /// Bytes in segments, as far as this process knows.
    pub bytes: u64,
    /// Events that could not be recorded since the process began.
    pub lost: u64,
    /// Whether the last attempt failed.
    pub degraded: bool,
    /// What it failed with.
    pub last_error: Option<String>,
}

#[derive(Default)]
struct Failures {
    lost: u64,
    degraded_until: Option<Instant>,
    last_error: Option<String>,
}

/// Appends frames for all threads of one process.
pub(crate) struct Journal {
    settings: Settings,
    service_folder: PathBuf,
    system: System,
    writer: Turn<Writer>,
    waiting: Waiting,
    /// Whether a sync failed and the writer was busy, so that nobody could tell it.
    unpoisoned: AtomicBool,
    group: GroupSync,
    failures: Mutex<Failures>,
    lock: Mutex<Option<Arc<dyn OpenFile>>>,
    forks: ForkGate,
}

impl Journal {
    /// Makes the service's folder; the stream is made by the first frame.
    pub(crate) fn open(settings: Settings) -> Result<Self, Error> {
        Self::open_with(settings, System::default())
    }

    fn open_with(settings: Settings, system: System) -> Result<Self, Error> {
        let service_folder = stream::create_service_folder(&settings.data_dir, &settings.service, &*system.files)?;
        network::refuse(&settings.data_dir, &*system.files)?;
        Ok(Self::unopened(settings, service_folder, system))
    }

    /// A journal that nothing is appended to, for a process whose events are captured. Makes no folder.
    pub(crate) fn nowhere(settings: Settings) -> Self {
        Self::unopened(settings, PathBuf::new(), System::default())
    }

    fn is_nowhere(&self) -> bool {
        self.service_folder.as_os_str().is_empty()
    }

    fn unopened(settings: Settings, service_folder: PathBuf, system: System) -> Self {
        Self {
            settings,
            service_folder,
            system,
            writer: Turn::new(Writer::new()),
            waiting: Waiting::default(),
            unpoisoned: AtomicBool::new(false),
            group: GroupSync::default(),
            failures: Mutex::new(Failures::default()),
            lock: Mutex::new(None),
            forks: ForkGate::default(),
        }
    }

    /// Appends one frame, trying for up to `patience`, and then waits as long for the disk where the frame has to be `synced`.
    ///
    /// After a failed write the next attempt of any thread fails at once until 100 ms have passed, unless it is `insistent`, so that
    /// a full disk does not make every event wait.
    ///
    /// # Errors
    /// The frame is not in the journal. Where it is and is not known to be on disk, the second part of the answer is [`Error::Sync`] or
    /// [`Error::SyncTimeout`].
    pub(crate) fn append(
        &self,
        frame: &Frame<'_>,
        synced: bool,
        patience: Duration,
        insistent: bool,
    ) -> Result<(Position, Result<(), Error>), Error> {
        before_boundary(frame);
        let (position, must_sync) = self.write(frame, patience, insistent).inspect_err(|error| self.failed(error))?;
        if self.settings.durability == Durability::Synced && (synced || must_sync) {
            let synced = self.force_out(position, patience);
            if synced.is_err() {
                return Ok((position, synced));
            }
        }
        self.recovered();
        after_boundary(frame);
        Ok((position, Ok(())))
    }

    fn force_out(&self, position: Position, patience: Duration) -> Result<(), Error> {
        let synced = self.group.wait(position.sequence, patience.max(SYNC_PATIENCE_MIN), || self.sync());
        synced.inspect_err(|error| self.failed(error))
    }

    /// Forces out what was written until this position, where this journal does that; a failure is kept for whoever comes next.
    pub(crate) fn settle(&self, position: Position) {
        if self.settings.durability == Durability::Synced {
            let _ = self.force_out(position, SYNC_PATIENCE_MIN);
        }
    }

    /// Where the next frame will be, if no other thread appends one before: the stream is opened and losses are written down for that.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub(crate) fn next_position(&self) -> Result<Position, Error> {
        let next = || {
            let mut writer = self.writer.take(TURN_PATIENCE)?;
            let stream = self.ensure_stream(&mut writer)?;
            self.catch_up(&mut writer, false)?;
            Ok(Position { stream, sequence: writer.last_sequence() + 1 })
        };
        next().inspect_err(|error| self.failed(error))
    }

    /// Appends one frame where it is the next one at this position; `None`: it is not, and nothing was appended. It is tried once, at once.
    ///
    /// # Errors
    /// The frame is not in the journal.
    pub(crate) fn append_as(&self, frame: &Frame<'_>, position: Position) -> Result<Option<Position>, Error> {
        let append = || {
            let mut writer = self.writer.take(TURN_PATIENCE)?;
            if !writer.is_next(position) || self.waiting.is_any() {
                return Ok(None);
            }
            before_boundary(frame);
            writer.append(frame, Room::Ordinary, &self.settings, &self.system)?;
            after_boundary(frame);
            Ok(Some(position))
        };
        append().inspect_err(|error| self.failed(error)).inspect(|_| self.recovered())
    }

    fn write(&self, frame: &Frame<'_>, patience: Duration, insistent: bool) -> Result<(Position, bool), Error> {
        if !insistent && self.is_waiting_after_failure() {
            return Err(Error::Degraded);
        }
        let is_tried = insistent || !self.is_degraded();
        let patience = if is_tried { patience } else { Duration::ZERO };
        let turn = if is_tried { TURN_PATIENCE } else { TURN_PATIENCE_SHORT };
        // The clock is looked at only where something failed: it costs more than a frame's checksum.
        match self.try_write(frame, turn) {
            Err(error) if !patience.is_zero() && !matches!(error, Error::Busy(_)) => self.write_until(frame, patience),
            result => result,
        }
    }

    fn write_until(&self, frame: &Frame<'_>, patience: Duration) -> Result<(Position, bool), Error> {
        let clock = &*self.system.clock;
        let deadline = clock.instant() + patience;
        loop {
            clock.sleep(RETRY_EVERY);
            match self.try_write(frame, deadline.saturating_duration_since(clock.instant())) {
                Err(_) if clock.instant() + RETRY_EVERY < deadline => {}
                result => return result,
            }
        }
    }

    fn try_write(&self, frame: &Frame<'_>, turn: Duration) -> Result<(Position, bool), Error> {
        let mut writer = self.writer.take(turn)?;
        let stream = self.ensure_stream(&mut writer)?;
        self.catch_up(&mut writer, false)?;
        let sequence = writer.append(frame, Room::Ordinary, &self.settings, &self.system)?;
        Ok((Position { stream, sequence }, writer.must_sync()))
    }

    /// Says what became of an intent that stands in the journal. It is tried once, also where the journal has just failed, and may use the
    /// reserve; what cannot be written now is kept and precedes the next frame that can be.
    pub(crate) fn answer(&self, outcome: &Frame<'_>) {
        before_boundary(outcome);
        match self.try_answer(outcome) {
            Ok((position, must_sync)) => {
                if must_sync {
                    self.settle(position);
                }
            }
            Err(error) => {
                self.waiting.keep_outcome(outcome);
                // That it was not waited for says nothing of the disk.
                if !matches!(error, Error::Busy(_)) {
                    self.failed(&error);
                }
            }
        }
        after_boundary(outcome);
    }

    fn try_answer(&self, outcome: &Frame<'_>) -> Result<(Position, bool), Error> {
        let mut writer = self.writer.take(TURN_PATIENCE_SHORT)?;
        let stream = self.ensure_stream(&mut writer)?;
        self.write_outcomes(&mut writer)?;
        let sequence = writer.append(outcome, Room::Reserve, &self.settings, &self.system)?;
        Ok((Position { stream, sequence }, writer.must_sync()))
    }

    /// Writes what could not be written before, if there is anything: for a process that has nothing else to record.
    ///
    /// # Errors
    /// As [`Journal::append`]; what is not written is kept.
    pub(crate) fn write_waiting(&self) -> Result<(), Error> {
        if self.is_nowhere() || !self.waiting.is_any() {
            return Ok(());
        }
        let write = || {
            let mut writer = self.writer.take(TURN_PATIENCE_SHORT)?;
            self.ensure_stream(&mut writer)?;
            self.catch_up(&mut writer, false)
        };
        write().inspect_err(|error| self.failed(error)).inspect(|()| self.recovered())
    }

    /// Writes what the next frame must be preceded by.
    fn catch_up(&self, writer: &mut Writer, at_end: bool) -> Result<(), Error> {
        if !self.waiting.is_any() {
            return Ok(());
        }
        self.write_outcomes(writer)?;
        let Some(loss) = self.waiting.loss() else { return Ok(()) };
        writer.append_loss(&loss, at_end, &self.settings, &self.system)?;
        self.waiting.told(&loss);
        Ok(())
    }

    fn write_outcomes(&self, writer: &mut Writer) -> Result<(), Error> {
        if !self.waiting.is_any() {
            return Ok(());
        }
        while let Some(outcome) = self.waiting.take_outcome() {
            let written = writer.append(&outcome.frame(), Room::Reserve, &self.settings, &self.system);
            if written.is_err() {
                self.waiting.give_back(outcome);
                written?;
            }
        }
        Ok(())
    }

    fn ensure_stream(&self, writer: &mut Writer) -> Result<StreamId, Error> {
        if let Some(stream) = writer.stream() {
            return Ok(stream);
        }
        let _section = self.forks.enter();
        let (stream, lock) = Stream::create(&self.service_folder, self.settings.durability, &self.system)?;
        let id = stream.id;
        *self.lock.lock().map_err(|_| Error::Poisoned)? = Some(lock);
        writer.set_stream(stream);
        Ok(id)
    }

    /// Forces out what was written until now, on a second try in a new segment, and returns the last sequence that is safe.
    fn sync(&self) -> Result<u64, Error> {
        let mut failure = None;
        for _ in 0..2 {
            let mut writer = self.writer.take(TURN_PATIENCE).map_err(Error::unsynced)?;
            if self.unpoisoned.swap(false, Ordering::Relaxed) {
                writer.poison(&self.system);
            }
            let work = writer.sync_work(&self.settings, &self.system).map_err(Error::unsynced)?;
            drop(writer);
            let synced = work.sync();
            let writer = self.writer.take(TURN_PATIENCE).map_err(Error::unsynced);
            match (synced, writer) {
                (Ok(()), writer) => {
                    writer?.synced(&work);
                    return Ok(work.sequence);
                }
                (Err(error), Ok(mut writer)) => {
                    writer.poison(&self.system);
                    failure = Some(error);
                }
                (Err(error), Err(_)) => {
                    self.unpoisoned.store(true, Ordering::Relaxed);
                    return Err(Error::Sync(error));
                }
            }
        }
        Err(Error::Sync(failure.unwrap_or_else(|| io::ErrorKind::Other.into())))
    }

    /// Counts events that were given up, here or before they came here. Nothing is written: the next frame that can be is preceded by a
    /// LOSS frame with the sum.
    pub(crate) fn count_losses(&self, count: u64) {
        self.waiting.count_losses(count, self.system.clock.now());
        if let Ok(mut failures) = self.failures.lock() {
            failures.lost += count;
        }
    }

    fn is_degraded(&self) -> bool {
        self.failures.lock().is_ok_and(|failures| failures.degraded_until.is_some())
    }

    fn is_waiting_after_failure(&self) -> bool {
        self.failures.lock().is_ok_and(|failures| failures.degraded_until.is_some_and(|until| self.system.clock.instant() < until))
    }

    fn failed(&self, error: &Error) {
        // An event that was not tried says nothing new, and must not put off the next attempt.
        if matches!(error, Error::Degraded) {
            return;
        }
        if let Ok(mut failures) = self.failures.lock() {
            failures.degraded_until = Some(self.system.clock.instant() + DEGRADED_FOR);
            failures.last_error = Some(error.to_string());
        }
    }

    fn recovered(&self) {
        if let Ok(mut failures) = self.failures.lock() {
            failures.degraded_until = None;
        }
    }

    pub(crate) fn health(&self) -> JournalHealth {
        let mut health = JournalHealth::default();
        if let Ok(failures) = self.failures.lock() {
            health.lost = failures.lost;
            health.degraded = failures.degraded_until.is_some();
            health.last_error.clone_from(&failures.last_error);
        }
        match self.writer.take(TURN_PATIENCE_SHORT) {
            Ok(writer) => {
                health.stream = writer.stream();
                health.sequence = writer.last_sequence();
                health.bytes = writer.bytes();
            }
            Err(error) => {
                health.degraded = true;
                health.last_error = Some(error.to_string());
            }
        }
        health
    }

    /// Keeps the stream from being opened and closed until [`Journal::after_fork_in_parent`].
    pub(crate) fn before_fork(&self) {
        self.forks.before_fork();
    }

    pub(crate) fn after_fork_in_parent(&self) {
        self.forks.after_fork();
    }

    /// Closes this process's copy of the parent's lock after a fork, without unlocking it.
    ///
    /// The lock belongs to the open file, which the parent still holds: closing a copy leaves it in place, keeping one would make a
    /// dead parent look alive. Nothing else of the inherited journal is touched; its mutexes may have been held at the fork.
    pub(crate) fn abandon_after_fork(&self) {
        if let Ok(mut lock) = self.lock.try_lock() {
            drop(lock.take());
        }
    }

    /// Gives the stream back as it stands, as a process does that is killed: not even CLOSE is written. Later frames go to a new stream.
    pub(crate) fn abandon(&self) -> Result<(), Error> {
        let mut writer = self.writer.take(TURN_PATIENCE)?;
        *writer = Writer::new();
        let section = self.forks.enter();
        drop(self.lock.lock().map_err(|_| Error::Poisoned)?.take());
        drop(section);
        Ok(())
    }

    /// Writes what waits and CLOSE, into the reserve where the disk is full, and gives the lock back. Later frames go to a new stream. Where
    /// nothing was appended and something was lost, a stream is opened to say so.
    pub(crate) fn close(&self) -> Result<(), Error> {
        let mut writer = self.writer.take(TURN_PATIENCE)?;
        if writer.stream().is_none() {
            if !self.waiting.is_any() || self.is_nowhere() {
                return Ok(());
            }
            self.ensure_stream(&mut writer)?;
        }
        failpoint!("close.before");
        let closed = self.catch_up(&mut writer, true);
        let closed = closed.and_then(|()| writer.append(&Frame::Close, Room::Reserve, &self.settings, &self.system));
        failpoint!("close.after");
        *writer = Writer::new();
        let section = self.forks.enter();
        drop(self.lock.lock().map_err(|_| Error::Poisoned)?.take());
        drop(section);
        closed.map(|_| ())
    }
}

/// What a COMMIT stands between: INTENT before it and OUTCOME after it.
fn before_boundary(frame: &Frame<'_>) {
    match frame {
        Frame::Intent { .. } => failpoint!("intent.before"),
        Frame::Outcome { .. } => failpoint!("outcome.before"),
        _ => {}
    }
}

fn after_boundary(frame: &Frame<'_>) {
    match frame {
        Frame::Intent { .. } => failpoint!("intent.after"),
        Frame::Outcome { .. } => failpoint!("outcome.after"),
        _ => {}
    }
}
