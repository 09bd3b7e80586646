//! The streams that drainers have: how many there may be, and when one ends.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indelible::Recorder;
use indelible_core::StreamId;

use super::Refusal;

/// How long a stream waits for its drainer to say something.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(60);
/// The most streams at the same time.
pub(super) const STREAMS_MAX: usize = 64;
/// The most streams of one service at the same time, so that no service takes those of the others.
pub(crate) const STREAMS_PER_SERVICE: usize = 16;

/// A stream that a drainer writes to.
pub(super) struct Lent {
    service: String,
    stream: StreamId,
    pub(super) recorder: Recorder,
    heard_at: Mutex<Instant>,
    turn: Mutex<()>,
}

impl Lent {
    pub(super) fn new(service: &str, stream: StreamId, recorder: Recorder, now: Instant) -> Self {
        Self { service: service.to_owned(), stream, recorder, heard_at: Mutex::new(now), turn: Mutex::default() }
    }

    /// One request at a time.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard_at(&self) -> MutexGuard<'_, Instant> {
        self.heard_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lent").field("service", &self.service).field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // Nobody else has it: where its lock cannot be had, a panic has poisoned it, and dropping the recorder writes nothing either.
        let _ = self.recorder.abandon();
    }
}

/// All streams that are lent. To end one may wait for the disk, which nobody else waits for then.
#[derive(Debug, Default)]
pub(super) struct Streams {
    streams: Mutex<HashMap<StreamId, Arc<Lent>>>,
    lent: AtomicU64,
    rows: AtomicU64,
}

impl Streams {
    /// Whether a service may have one more.
    ///
    /// # Errors
    /// [`Refusal::CrowdedService`], [`Refusal::Crowded`].
    pub(super) fn check_room(&self, service: &str) -> Result<(), Refusal> {
        let streams = self.streams();
        if streams.values().filter(|lent| lent.service == service).count() >= STREAMS_PER_SERVICE {
            return Err(Refusal::CrowdedService);
        }
        if streams.len() >= STREAMS_MAX { Err(Refusal::Crowded) } else { Ok(()) }
    }

    pub(super) fn add(&self, lent: Lent) {
        self.lent.fetch_add(1, Ordering::Relaxed);
        self.streams().insert(lent.stream, Arc::new(lent));
    }

    /// The stream of a service, whose drainer is there.
    ///
    /// # Errors
    /// [`Refusal::Ended`]: it has no such stream.
    pub(super) fn heard(&self, service: &str, stream: StreamId, now: Instant) -> Result<Arc<Lent>, Refusal> {
        self.take_back_silent(now);
        let lent = self.streams().get(&stream).filter(|lent| lent.service == service).cloned().ok_or(Refusal::Ended)?;
        *lent.heard_at() = now;
        Ok(lent)
    }

    pub(super) fn take_back(&self, service: &str, stream: StreamId) {
        let mut streams = self.streams();
        let is_its = streams.get(&stream).is_some_and(|lent| lent.service == service);
        let taken = is_its.then(|| streams.remove(&stream));
        drop(streams);
        drop(taken);
    }

    pub(super) fn take_back_silent(&self, now: Instant) {
        let is_silent = |lent: &Lent| now.saturating_duration_since(*lent.heard_at()) >= SILENCE_MAX;
        let taken: Vec<_> = self.streams().extract_if(|_, lent| is_silent(lent)).collect();
        drop(taken);
    }

    pub(super) fn has(&self, stream: StreamId) -> bool {
        self.streams().contains_key(&stream)
    }

    pub(super) fn count_row(&self) {
        self.rows.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there are now.
    pub(super) fn len(&self) -> usize {
        self.streams().len()
    }

    /// How many there have been.
    pub(super) fn lent(&self) -> u64 {
        self.lent.load(Ordering::Relaxed)
    }

    /// How many rows were journaled.
    pub(super) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<StreamId, Arc<Lent>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
