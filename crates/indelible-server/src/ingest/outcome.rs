//! INTENT and OUTCOME: what becomes of events that were announced before COMMIT (docs/format.md, "Intent and outcome").
//!
//! The first OUTCOME of an intent decides. One that comes again and says the same changes nothing; one that says the contrary changes
//! nothing either, and is told.

use indelible_core::{
    Evidence, FRAME_HEADER_BYTES, Frame, INTENT_KIND, IntentId, Item, Json, OUTCOME_KIND, Outcome, Resolution, Verdict, encode_frame,
    push_string,
};
use serde_json::value::RawValue;

use super::IngestError;
use super::apply::{Apply, Place};
use super::own::OwnEvent;
use crate::answers::{Change, Decision, Marked};
use crate::trail::Waiting;

/// What an OUTCOME says, but for its bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Said {
    resolution: Resolution,
    by: Evidence,
}

impl Apply<'_, '_> {
    /// Keeps an INTENT until its OUTCOME comes. Takes the payload, which may have 64 MiB, and copies it no more often than SQLite does.
    ///
    /// # Errors
    /// [`IngestError`]: the batch must be dropped.
    pub(super) fn intent(&mut self, place: Place<'_>, intent: IntentId, evidence: Evidence, payload: Vec<u8>) -> Result<(), IngestError> {
        let (stream, sequence, ingested_at) = (place.stream, place.sequence, self.now);
        let row = Waiting { intent, stream, sequence, ingested_at, in_doubt: false, payload };
        if evidence == Evidence::Marker && self.decision(intent).is_some() {
            return self.corrupt(place, &row.payload, "an intent of this id was answered already");
        }
        if !self.batch.insert_pending(&row)? {
            return self.corrupt(place, &row.payload, "an intent of this id is waiting already");
        }
        self.announce(place, evidence, &row);
        drop(row);
        let Some(orphan) = self.batch.orphan(intent)? else { return Ok(()) };
        self.batch.remove_orphan(intent)?;
        let service = self.batch.service(orphan.stream).unwrap_or_default();
        let outcome_place = Place { stream: orphan.stream, service: &service, sequence: orphan.sequence };
        self.outcome(outcome_place, intent, &orphan.payload)
    }

    fn announce(&mut self, place: Place<'_>, evidence: Evidence, row: &Waiting) {
        let service = || place.service.to_owned();
        match evidence {
            Evidence::Ack => {}
            Evidence::Marker => self.changes.extend(Marked::of(row).map(|marked| Change::Announced(marked, service()))),
            Evidence::Outbox => self.changes.push(Change::Drained(service())),
        }
    }

    /// What an earlier OUTCOME has decided, as far as it is remembered.
    fn decision(&self, intent: IntentId) -> Option<Resolution> {
        self.decided_now.get(&intent).copied().or_else(|| self.decided.get(intent))
    }

    /// Applies an OUTCOME to its INTENT, or keeps it until that comes.
    ///
    /// # Errors
    /// [`IngestError`]: the batch must be dropped.
    pub(super) fn outcome(&mut self, place: Place<'_>, intent: IntentId, payload: &[u8]) -> Result<(), IngestError> {
        let Ok(Frame::Outcome { resolution, by, items: learnt, .. }) = Frame::parse(OUTCOME_KIND, payload) else {
            return self.corrupt(place, payload, "the outcome cannot be read");
        };
        let said = Said { resolution, by };
        let Some(pending) = self.batch.pending(intent)? else { return self.outcome_alone(place, intent, said, payload) };
        let Ok(Frame::Intent { evidence, items: promised, .. }) = Frame::parse(INTENT_KIND, &pending.payload) else {
            return Err(IngestError::Pending(intent));
        };
        if by != Evidence::Ack && by != evidence {
            return self.corrupt(place, payload, "the outcome has a proof that its intent never announced");
        }
        let same_events =
            promised.len() == learnt.len() && promised.iter().zip(&learnt).all(|(promised, learnt)| promised.event == learnt.event);
        if !learnt.is_empty() && !same_events {
            return self.corrupt(place, payload, "the outcome names other events than its intent");
        }
        let items = if learnt.is_empty() { &promised } else { &learnt };
        match (pending.in_doubt, resolution) {
            (false, Resolution::Committed) => self.commit(&pending, by, items)?,
            (false, Resolution::RolledBack) => {}
            (true, _) => self.resolve(&pending, said, items, !learnt.is_empty())?,
        }
        if evidence == Evidence::Marker {
            self.remember(&pending, resolution);
        }
        Ok(self.batch.remove_pending(intent)?)
    }

    fn remember(&mut self, pending: &Waiting, resolution: Resolution) {
        self.decided_now.insert(pending.intent, resolution);
        let Some(marked) = Marked::of(pending) else { return };
        let service = self.batch.service(pending.stream).unwrap_or_default();
        self.changes.push(Change::Decided(Decision { marked, service, resolution, at: self.now }));
    }

    /// An OUTCOME for which no INTENT waits: it comes before its INTENT, or another one was faster.
    fn outcome_alone(&mut self, place: Place<'_>, intent: IntentId, said: Said, payload: &[u8]) -> Result<(), IngestError> {
        // An INTENT from an outbox stands before its OUTCOME, or in a stream that was read before: it has its leaves.
        if said.by == Evidence::Outbox {
            return Ok(());
        }
        let earlier = match self.decision(intent) {
            Some(decided) => Some(decided),
            None => self.batch.orphan(intent)?.and_then(|orphan| resolution_of(&orphan)),
        };
        match earlier {
            Some(decided) if decided == said.resolution => Ok(()),
            Some(decided) => self.contradict(place, intent, decided, said),
            None => {
                let (stream, sequence, ingested_at) = (place.stream, place.sequence, self.now);
                let row = Waiting { intent, stream, sequence, ingested_at, in_doubt: false, payload: payload.to_vec() };
                Ok(self.batch.insert_orphan(&row)?)
            }
        }
    }

    /// Tells that an OUTCOME says the contrary of an earlier one. The earlier one stands.
    fn contradict(&mut self, place: Place<'_>, intent: IntentId, decided: Resolution, said: Said) -> Result<(), IngestError> {
        let Place { stream, service, sequence } = place;
        tracing::error!(%intent, %stream, service, sequence, "an outcome contradicts an earlier one, which stands");
        let event = OwnEvent::new("audit.resolve", Outcome::Failure).about("intent", intent).meta(|meta| {
            meta.string("result", "contradicted");
            meta.string("decided", resolution_name(decided));
            meta.string("said", resolution_name(said.resolution));
            meta.string("evidence", said.by.as_str());
            meta.string("service", service);
            meta.string("stream", &stream.to_string());
            meta.integer("sequence", sequence);
        });
        self.own(&event)
    }

    /// What becomes of an intent that has waited long enough: one that was in an outbox was committed, any other is in doubt.
    ///
    /// # Errors
    /// [`IngestError`]: the batch must be dropped.
    pub(crate) fn overdue(&mut self, pending: &Waiting) -> Result<(), IngestError> {
        match Frame::parse(INTENT_KIND, &pending.payload) {
            Ok(Frame::Intent { evidence: Evidence::Outbox, items, .. }) => {
                self.commit(pending, Evidence::Outbox, &items)?;
                Ok(self.batch.remove_pending(pending.intent)?)
            }
            Ok(Frame::Intent { .. }) => self.doubt(pending),
            _ => Err(IngestError::Pending(pending.intent)),
        }
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
    fn doubt(&mut self, pending: &Waiting) -> Result<(), IngestError> {
        let Ok(Frame::Intent { intent, evidence, alias, items }) = Frame::parse(INTENT_KIND, &pending.payload) else {
            return Err(IngestError::Pending(pending.intent));
        };
        self.record_items(pending, &items, Verdict::InDoubt)?;
        let emptied = items.iter().map(|item| Item { body: &[], ..*item }).collect();
        let mut frame = Vec::new();
        encode_frame(pending.stream, pending.sequence, &Frame::Intent { intent, evidence, alias, items: emptied }, &mut frame);
        let payload = frame.split_off(FRAME_HEADER_BYTES);
        self.counts.in_doubt += 1;
        if evidence == Evidence::Marker {
            self.changes.push(Change::Doubted(intent));
        }
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
    fn resolve(&mut self, pending: &Waiting, said: Said, items: &[Item<'_>], bodies_are_final: bool) -> Result<(), IngestError> {
        for item in items {
            let result = match said.resolution {
                Resolution::Committed if bodies_are_final && item.body.is_empty() => "nothing_happened",
                resolution => resolution_name(resolution),
            };
            let body = final_body(item.body);
            let event = OwnEvent::new("audit.resolve", Outcome::Success).about("event", item.event).quoting(item.body.len());
            let event = event.meta(|meta| {
                meta.string("result", result);
                meta.string("evidence", said.by.as_str());
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
}

fn resolution_name(resolution: Resolution) -> &'static str {
    match resolution {
        Resolution::Committed => "committed",
        Resolution::RolledBack => "rolled_back",
    }
}

fn resolution_of(orphan: &Waiting) -> Option<Resolution> {
    match Frame::parse(OUTCOME_KIND, &orphan.payload) {
        Ok(Frame::Outcome { resolution, .. }) => Some(resolution),
        _ => None,
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
