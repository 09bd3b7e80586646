//! What a batch does to what applications may know.

use indelible_core::{Evidence, Frame, INTENT_KIND, IntentId, Resolution, StreamId, Timestamp};

use crate::trail::Waiting;

/// An intent whose commit can be proved, without its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Marked {
    pub(crate) intent: IntentId,
    pub(crate) evidence: Evidence,
    pub(crate) stream: StreamId,
    pub(crate) sequence: u64,
    pub(crate) alias: String,
    pub(crate) recorded_at: Timestamp,
    pub(crate) ingested_at: Timestamp,
    pub(crate) in_doubt: bool,
}

impl Marked {
    /// The intent of a frame that waits; `None` when the frame cannot be read.
    pub(crate) fn of(waiting: &Waiting) -> Option<Self> {
        let Ok(Frame::Intent { intent, evidence, alias, items }) = Frame::parse(INTENT_KIND, &waiting.payload) else { return None };
        Some(Self {
            intent,
            evidence,
            stream: waiting.stream,
            sequence: waiting.sequence,
            alias: alias.to_owned(),
            recorded_at: items.first().map_or(waiting.ingested_at, |item| item.recorded_at),
            ingested_at: waiting.ingested_at,
            in_doubt: waiting.in_doubt,
        })
    }

    /// For how long it has waited in the trail, in microseconds.
    pub(crate) fn waits_since(&self, now: Timestamp) -> i64 {
        now.micros().saturating_sub(self.ingested_at.micros()).max(0)
    }
}

/// What an OUTCOME has decided of an intent with a marker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) marked: Marked,
    pub(crate) service: String,
    pub(crate) resolution: Resolution,
    /// When.
    pub(crate) at: Timestamp,
}

/// One change of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// An intent with a marker waits, of this service.
    Announced(Marked, String),
    /// An intent of this service was in an outbox.
    Drained(String),
    /// An intent has its leaves in doubt.
    Doubted(IntentId),
    /// An intent with a marker has its OUTCOME.
    Decided(Decision),
    /// Sequences were passed over.
    Gap { stream: StreamId, first: u64, last: u64 },
}
