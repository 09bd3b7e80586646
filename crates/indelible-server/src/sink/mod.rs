//! Sinks: projections of the trail that can be dropped and rebuilt.
//!
//! A sink gets every record that is under a checkpoint, in the order of the leaves, at least once, and knows an event it has had
//! before by its id. It runs on a thread of its own, so one that hangs delays only itself. What all of them share, reading, batches,
//! cursor, retries, dead letters, commands, health, is in [`delivery`]; a new kind of sink implements [`Sink`] and nothing else
//! (docs/sinks.md, "A sink in 100 lines").

mod backoff;
#[cfg(test)]
mod conformance;
mod control;
mod cursor;
mod delivery;
#[cfg(test)]
mod example;
mod files;
mod health;
mod metrics;
pub(crate) mod shape;
mod sinks;
mod source;
mod stdout;

use std::time::Instant;

use indelible_core::LeafEntry;

pub(crate) use control::{Command, CommandError};
pub(crate) use cursor::DeadLetter;
pub(crate) use health::{Health, State};
pub(crate) use metrics::SinkMetrics;
pub(crate) use shape::Shape;
pub(crate) use sinks::Sinks;

/// One record on its way to a sink.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// Its leaf index.
    pub(crate) leaf_index: u64,
    /// Its leaf: identity, times and verdict.
    pub(crate) entry: LeafEntry,
    /// The event as it was recorded.
    pub(crate) body: Vec<u8>,
}

/// What a sink must find again after a crash, in its own words; stored with the cursor, `null` for a sink that is new.
pub(crate) type Position = serde_json::Value;

/// What became of a batch.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Delivered {
    /// So many records from the beginning of the batch are dealt with: durable at the destination, passed over or refused. Fewer
    /// than the batch has is no failure; the others come again at once.
    pub(crate) records: usize,
    /// Those among them that the destination will never take.
    pub(crate) rejected: Vec<Rejected>,
    /// How many among them this sink has no use for.
    pub(crate) skipped: u64,
    /// What to remember with the cursor.
    pub(crate) position: Position,
}

/// One record that the destination will never take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejected {
    /// Its place in the batch.
    pub(crate) index: usize,
    /// Why, in one sentence.
    pub(crate) reason: String,
}

/// A delivery that is tried again, after a pause that grows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SinkError {
    /// The destination does not take anything now.
    #[error("{0}")]
    Unavailable(String),
    /// It did not answer before the deadline.
    #[error("{0} took nothing before the deadline")]
    Deadline(&'static str),
}

/// Where events go.
///
/// One thread calls it, one call at a time. A call ends by its deadline where the operating system lets it; one that does not is
/// reported as hanging and left alone.
pub(crate) trait Sink: Send {
    /// Prepares for delivering. `position` is what was stored with the cursor; the answer is stored before anything is delivered.
    ///
    /// # Errors
    /// [`SinkError`]: it is called again later.
    fn begin(&mut self, position: Position) -> Result<Position, SinkError>;

    /// Delivers the beginning of a batch. On return those records are durable at the destination.
    ///
    /// After a failure or a crash the records come again from the one after the last that was answered for, with the position that
    /// was answered with it: whatever lies at the destination beyond that position was written by a delivery nobody knows of.
    ///
    /// # Errors
    /// [`SinkError`]: nothing is answered for; the batch comes again later.
    fn deliver(&mut self, batch: &[Record], position: &Position, deadline: Instant) -> Result<Delivered, SinkError>;

    /// Looks whether the destination would take something now, leaves nothing there, and says in a few words what it looked at.
    ///
    /// # Errors
    /// [`SinkError`]: it would not.
    fn check(&mut self, deadline: Instant) -> Result<String, SinkError>;

    /// Sets what was delivered apart from what comes now, because records come again from an earlier leaf.
    fn set_apart(&mut self, position: Position) -> Position {
        position
    }
}
