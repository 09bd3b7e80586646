//! From what was found in a stream to rows of the trail (docs/format.md, "Journal").

use std::collections::HashMap;
use std::path::Path;

use indelible_core::{Frame, IntentId, Item, Outcome, Resolution, Source, StreamId, Timestamp, Verdict};

use super::own::OwnEvent;
use super::{Counts, IngestError, quarantine};
use crate::answers::{Change, Decided};
use crate::journal::{Cause, Found};
use crate::trail::{Batch, NewRecord};

/// Applies what was found to one batch.
pub(crate) struct Apply<'a, 'b> {
    pub(crate) batch: &'a mut Batch<'b>,
    pub(crate) source: &'a Source,
    pub(crate) quarantine: &'a Path,
    pub(crate) now: Timestamp,
    pub(crate) counts: Counts,
    /// What was decided in earlier batches.
    pub(crate) decided: &'a Decided,
    /// What was decided in this one.
    pub(crate) decided_now: HashMap<IntentId, Resolution>,
    /// What applications may know once the batch is committed.
    pub(crate) changes: Vec<Change>,
}

/// The frame that is being applied.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) stream: StreamId,
    pub(crate) service: &'a str,
    pub(crate) sequence: u64,
}

impl Apply<'_, '_> {
    /// Applies one finding and moves the stream's high-water past it.
    ///
    /// # Errors
    /// [`IngestError`]: the batch must be dropped.
    pub(crate) fn found(&mut self, stream: StreamId, service: &str, found: Found) -> Result<(), IngestError> {
        match found {
            Found::Frame { sequence, kind, payload } => {
                // First, so that the stream is known with its service: leaves of other frames may be made on its behalf.
                self.batch.set_next_sequence(stream, service, sequence + 1);
                self.frame(Place { stream, service, sequence }, kind, payload)?;
            }
            Found::Gap { first, last, cause } => {
                self.gap(stream, service, (first, last), cause)?;
                self.batch.set_next_sequence(stream, service, last + 1);
            }
            Found::Damage { segment, offset, length, kept } => {
                if !kept.is_empty() {
                    quarantine::keep(self.quarantine, &format!("{stream}-{segment:08}-{offset}"), &kept)?;
                }
                let (bytes, kept) = (length, kept.len());
                tracing::error!(%stream, service, segment, offset, bytes, kept, "corrupt journal record was put into quarantine");
                self.counts.corrupt += 1;
            }
            Found::TornTail { segment, offset, bytes } => {
                tracing::warn!(%stream, service, segment, offset, bytes, "journal segment ends in a half-written frame");
                self.counts.torn += 1;
            }
        }
        Ok(())
    }

    fn frame(&mut self, place: Place<'_>, kind: u8, payload: Vec<u8>) -> Result<(), IngestError> {
        match Frame::parse(kind, &payload) {
            Ok(Frame::Event(item)) => self.record(place, 0, &item, Verdict::Recorded),
            Ok(Frame::Intent { intent, evidence, .. }) => self.intent(place, intent, evidence, payload),
            Ok(Frame::Outcome { intent, .. }) => self.outcome(place, intent, &payload),
            Ok(Frame::Loss { count, first_at, last_at }) => self.loss(place, count, first_at, last_at),
            Ok(Frame::Close) => Ok(()),
            Err(error) => self.corrupt(place, &payload, &error.to_string()),
        }
    }

    pub(super) fn record(&mut self, place: Place<'_>, item_index: u32, item: &Item<'_>, verdict: Verdict) -> Result<(), IngestError> {
        let record = NewRecord {
            event: item.event,
            stream: place.stream,
            sequence: place.sequence,
            item: item_index,
            recorded_at: item.recorded_at,
            received_at: self.now,
            verdict,
            body: item.body,
        };
        self.counts.see_event(item.recorded_at, self.now);
        Ok(self.batch.append(place.service, &record)?)
    }

    fn loss(&mut self, place: Place<'_>, count: u64, first_at: Timestamp, last_at: Timestamp) -> Result<(), IngestError> {
        tracing::error!(stream = %place.stream, service = place.service, count, "an application lost events");
        self.counts.lost = self.counts.lost.saturating_add(count);
        let event = OwnEvent::new("audit.loss", Outcome::Failure).about("stream", place.stream).meta(|meta| {
            meta.string("service", place.service);
            meta.integer("sequence", place.sequence);
            meta.integer("count", count);
            meta.string("first_at", &first_at.to_string());
            meta.string("last_at", &last_at.to_string());
        });
        self.own(&event)
    }

    fn gap(&mut self, stream: StreamId, service: &str, (first, last): (u64, u64), cause: Cause) -> Result<(), IngestError> {
        let cause = match cause {
            Cause::Missing => "missing",
            Cause::Corrupt => "corrupt_record",
            Cause::TornTail => "torn_tail",
        };
        tracing::error!(%stream, service, first, last, cause, "frames are missing from a journal");
        self.counts.gaps += 1;
        self.changes.push(Change::Gap { stream, first, last });
        let event = OwnEvent::new("audit.gap", Outcome::Failure).about("stream", stream).meta(|meta| {
            meta.string("service", service);
            meta.string("cause", cause);
            meta.integer("first_sequence", first);
            meta.integer("last_sequence", last);
        });
        self.own(&event)
    }

    /// Keeps a frame that no crash explains, and says so.
    pub(super) fn corrupt(&mut self, place: Place<'_>, payload: &[u8], what: &str) -> Result<(), IngestError> {
        let Place { stream, service, sequence } = place;
        let file = quarantine::keep(self.quarantine, &format!("{stream}-frame-{sequence}"), payload)?;
        tracing::error!(%stream, service, sequence, what, file = %file.display(), "corrupt journal record was put into quarantine");
        self.counts.corrupt += 1;
        self.changes.push(Change::Gap { stream, first: sequence, last: sequence });
        let event = OwnEvent::new("audit.gap", Outcome::Failure).about("stream", stream).meta(|meta| {
            meta.string("service", service);
            meta.string("cause", "corrupt_record");
            meta.string("what", what);
            meta.integer("first_sequence", sequence);
            meta.integer("last_sequence", sequence);
        });
        self.own(&event)
    }

    /// Appends an event of the agent's own.
    ///
    /// # Errors
    /// [`IngestError`]: the batch must be dropped.
    pub(crate) fn own(&mut self, event: &OwnEvent) -> Result<(), IngestError> {
        self.counts.records += 1;
        Ok(event.append(self.batch, self.source, self.now)?)
    }
}
