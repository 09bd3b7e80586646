//! From what was found in a stream to rows of the trail (docs/format.md, "Journal").

use std::path::Path;

use indelible_core::{
    Evidence, FRAME_HEADER_BYTES, Frame, IntentId, Item, Json, Outcome, Resolution, Source, StreamId, Timestamp, Verdict, encode_frame,
    push_string,
};
use serde_json::value::RawValue;

use super::own::OwnEvent;
use super::{Counts, IngestError, quarantine};
use crate::journal::{Cause, Found};
use crate::trail::{Batch, NewRecord, Waiting};

const INTENT_KIND: u8 = 2;
const OUTCOME_KIND: u8 = 3;

/// Applies what was found to one batch.
pub(crate) struct Apply<'a, 'b> {
    pub(crate) batch: &'a mut Batch<'b>,
    pub(crate) source: &'a Source,
    pub(crate) quarantine: &'a Path,
    pub(crate) now: Timestamp,
    pub(crate) counts: Counts,
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
            Ok(Frame::Intent { intent, .. }) => self.intent(place, intent, payload),
            Ok(Frame::Outcome { intent, .. }) => self.outcome(place, intent, &payload),
            Ok(Frame::Loss { count, first_at, last_at }) => self.loss(place, count, first_at, last_at),
            Ok(Frame::Close) => Ok(()),
            Err(error) => self.corrupt(place, &payload, &error.to_string()),
        }
    }

    fn record(&mut self, place: Place<'_>, item_index: u32, item: &Item<'_>, verdict: Verdict) -> Result<(), IngestError> {
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

    /// Takes the payload, which may have 64 MiB, and copies it no more often than SQLite does.
    fn intent(&mut self, place: Place<'_>, intent: IntentId, payload: Vec<u8>) -> Result<(), IngestError> {
        let (stream, sequence, ingested_at) = (place.stream, place.sequence, self.now);
        let row = Waiting { intent, stream, sequence, ingested_at, in_doubt: false, payload };
        if !self.batch.insert_pending(&row)? {
            return self.corrupt(place, &row.payload, "an intent of this id is waiting already");
        }
        drop(row);
        let Some(orphan) = self.batch.orphan(intent)? else { return Ok(()) };
        self.batch.remove_orphan(intent)?;
        let service = self.batch.service(orphan.stream).unwrap_or_default();
        let outcome_place = Place { stream: orphan.stream, service: &service, sequence: orphan.sequence };
        self.outcome(outcome_place, intent, &orphan.payload)
    }

    fn outcome(&mut self, place: Place<'_>, intent: IntentId, payload: &[u8]) -> Result<(), IngestError> {
        let Some(pending) = self.batch.pending(intent)? else {
            let row = Waiting {
                intent,
                stream: place.stream,
                sequence: place.sequence,
                ingested_at: self.now,
                in_doubt: false,
                payload: payload.to_vec(),
            };
            return Ok(self.batch.insert_orphan(&row)?);
        };
        let (Ok(Frame::Intent { items: promised, .. }), Ok(Frame::Outcome { resolution, by, items: learnt, .. })) =
            (Frame::parse(INTENT_KIND, &pending.payload), Frame::parse(OUTCOME_KIND, payload))
        else {
            return self.corrupt(place, payload, "intent or outcome cannot be read");
        };
        let same_events =
            promised.len() == learnt.len() && promised.iter().zip(&learnt).all(|(promised, learnt)| promised.event == learnt.event);
        if !learnt.is_empty() && !same_events {
            return self.corrupt(place, payload, "the outcome names other events than its intent");
        }
        let items = if learnt.is_empty() { &promised } else { &learnt };
        match (pending.in_doubt, resolution) {
            (false, Resolution::Committed) => self.commit(&pending, by, items)?,
            (false, Resolution::RolledBack) => {}
            (true, _) => self.resolve(&pending, resolution, items, !learnt.is_empty())?,
        }
        Ok(self.batch.remove_pending(intent)?)
    }

    /// Makes the leaves of a committed intent; an empty body means that nothing happened.
    fn commit(&mut self, pending: &Waiting, by: Evidence, items: &[Item<'_>]) -> Result<(), IngestError> {
        let verdict = match by {
            Evidence::Ack => Verdict::Committed,
            Evidence::Marker => Verdict::CommittedByMarker,
            Evidence::Outbox => Verdict::CommittedByOutbox,
        };
        self.record_items(pending, items, verdict)
    }

    /// Makes the leaves of an intent that nobody has resolved in time, and keeps what a late outcome will need.
    ///
    /// # Errors
    /// [`IngestError`]: the batch must be dropped.
    pub(crate) fn doubt(&mut self, pending: &Waiting) -> Result<(), IngestError> {
        let Ok(Frame::Intent { intent, evidence, alias, items }) = Frame::parse(INTENT_KIND, &pending.payload) else {
            return Err(IngestError::Pending(pending.intent));
        };
        self.record_items(pending, &items, Verdict::InDoubt)?;
        let emptied = items.iter().map(|item| Item { body: &[], ..*item }).collect();
        let mut frame = Vec::new();
        encode_frame(pending.stream, pending.sequence, &Frame::Intent { intent, evidence, alias, items: emptied }, &mut frame);
        let payload = frame.split_off(FRAME_HEADER_BYTES);
        self.counts.in_doubt += 1;
        Ok(self.batch.set_in_doubt(intent, &payload)?)
    }

    fn record_items(&mut self, pending: &Waiting, items: &[Item<'_>], verdict: Verdict) -> Result<(), IngestError> {
        let service = self.batch.service(pending.stream).unwrap_or_default();
        let place = Place { stream: pending.stream, service: &service, sequence: pending.sequence };
        for (index, item) in (0..).zip(items).filter(|(_, item)| !item.body.is_empty()) {
            self.record(place, index, item, verdict)?;
        }
        Ok(())
    }

    /// Records what became of events whose leaves say *in doubt*.
    fn resolve(
        &mut self,
        pending: &Waiting,
        resolution: Resolution,
        items: &[Item<'_>],
        bodies_are_final: bool,
    ) -> Result<(), IngestError> {
        for item in items {
            let result = match resolution {
                Resolution::RolledBack => "rolled_back",
                Resolution::Committed if bodies_are_final && item.body.is_empty() => "nothing_happened",
                Resolution::Committed => "committed",
            };
            let body = final_body(item.body);
            let event = OwnEvent::new("audit.resolve", Outcome::Success).about("event", item.event).quoting(item.body.len());
            let event = event.meta(|meta| {
                meta.string("result", result);
                meta.string("intent", &pending.intent.to_string());
                meta.string("stream", &pending.stream.to_string());
                meta.integer("sequence", pending.sequence);
                if let Some(body) = &body {
                    meta.json("body", body);
                }
            });
            self.own(&event)?;
        }
        Ok(())
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
        let event = OwnEvent::new("audit.gap", Outcome::Failure).about("stream", stream).meta(|meta| {
            meta.string("service", service);
            meta.string("cause", cause);
            meta.integer("first_sequence", first);
            meta.integer("last_sequence", last);
        });
        self.own(&event)
    }

    /// Keeps a frame that no crash explains, and says so.
    fn corrupt(&mut self, place: Place<'_>, payload: &[u8], what: &str) -> Result<(), IngestError> {
        let Place { stream, service, sequence } = place;
        let file = quarantine::keep(self.quarantine, &format!("{stream}-frame-{sequence}"), payload)?;
        tracing::error!(%stream, service, sequence, what, file = %file.display(), "corrupt journal record was put into quarantine");
        self.counts.corrupt += 1;
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

/// A body as a JSON value; as JSON text when it is not itself JSON. `None` for an empty one.
fn final_body(body: &[u8]) -> Option<Json> {
    if body.is_empty() {
        return None;
    }
    let value = serde_json::from_slice::<&RawValue>(body).map(|value| value.get().to_owned());
    let text = value.unwrap_or_else(|_| {
        let mut quoted = String::new();
        push_string(&mut quoted, &String::from_utf8_lossy(body));
        quoted
    });
    Some(Json::from_text(text))
}
