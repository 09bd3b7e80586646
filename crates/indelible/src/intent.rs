//! Between INTENT and OUTCOME: events of a write that is about to be committed.

use indelible_core::{
    Event, Evidence, FRAME_HEADER_BYTES, Frame, IntentId, Item, Json, Outcome, Resolution, Stamp, StreamId, encode_frame,
};

use crate::capture::Fate;
use crate::clock;
use crate::config::OnFailure;
use crate::error::Error;
use crate::journal::Position;
use crate::recorder::{Recorded, Recorder};

/// Room made at once for what a body holds besides its changes, so that few of them pay for growing.
const BODY_BYTES: usize = 640;
/// Room made once more, for a single body that holds more than most.
const MORE_BYTES: usize = 384;

/// The intent could not be journaled and an event of it is [`OnFailure::Required`]: the write must not be committed.
#[derive(Debug, thiserror::Error)]
#[error("the audit journal refused the write: {0}")]
pub struct Refused(#[source] pub Error);

/// Events whose INTENT is in the journal and whose OUTCOME is not.
///
/// Dropping it without a word leaves the outcome unknown: the agent flags the events as in doubt.
#[must_use = "an intent whose outcome is never told is recorded as in doubt"]
pub struct Intent {
    recorder: Recorder,
    process: u32,
    id: IntentId,
    stamps: Vec<Stamp>,
    /// As announced: a commit may complete them, a rollback keeps those that the policy wants.
    events: Vec<Event>,
    /// The strictest mode among the events.
    mode: OnFailure,
    evidence: Evidence,
    /// Where the INTENT is, once it is in the journal.
    position: Option<Position>,
    /// Numbers of the events in the capture, where there is one.
    captured: Vec<u64>,
}

impl Intent {
    pub(crate) fn journal(
        recorder: &Recorder,
        alias: &str,
        events: Vec<Event>,
        captured: Vec<u64>,
        evidence: Evidence,
    ) -> Result<Self, Refused> {
        let mut intent = Self::announce(recorder, events, captured, evidence);
        if recorder.capture().is_some() {
            return Ok(intent);
        }
        let failure = match intent.append(alias) {
            Ok((position, synced)) => {
                intent.position = Some(position);
                synced.err()
            }
            Err(error) => Some(error),
        };
        match failure {
            Some(error) if intent.mode == OnFailure::Required => {
                // The refusal itself becomes an event as soon as writing works. Where only the sync failed the intent is in the
                // journal, and nobody will commit it.
                recorder.count_losses(1);
                intent.tell(Resolution::RolledBack, std::iter::empty());
                Err(Refused(error))
            }
            Some(_) => {
                if intent.position.is_none() {
                    recorder.count_losses(intent.stamps.len() as u64);
                }
                Ok(intent)
            }
            None => Ok(intent),
        }
    }

    /// The payload of an INTENT frame with the events, for a row of the outbox; nothing is journaled. `None` where the events cannot be
    /// encoded; they are counted as lost then.
    pub(crate) fn seal(
        recorder: &Recorder,
        alias: &str,
        events: Vec<Event>,
        captured: Vec<u64>,
    ) -> Result<Option<(Self, Vec<u8>)>, Refused> {
        let intent = Self::announce(recorder, events, captured, Evidence::Outbox);
        if recorder.capture().is_some() {
            return Ok(Some((intent, Vec::new())));
        }
        let sealed = intent.bodies(intent.events.iter().map(Some)).map(|bodies| {
            let mut frame = Vec::new();
            encode_frame(StreamId::from_bytes([0; 16]), 1, &intent.frame(alias, &bodies), &mut frame);
            frame.split_off(FRAME_HEADER_BYTES)
        });
        match sealed {
            Ok(payload) => Ok(Some((intent, payload))),
            Err(error) if intent.mode == OnFailure::Required => {
                recorder.count_losses(1);
                Err(Refused(error))
            }
            Err(_) => {
                recorder.count_losses(intent.stamps.len() as u64);
                Ok(None)
            }
        }
    }

    fn announce(recorder: &Recorder, events: Vec<Event>, captured: Vec<u64>, evidence: Evidence) -> Self {
        let at = clock::now();
        Self {
            recorder: recorder.clone(),
            process: std::process::id(),
            id: clock::intent_id(at),
            stamps: events.iter().map(|_| Stamp { id: clock::event_id(at), recorded_at: at }).collect(),
            mode: recorder.modes().strictest(&events),
            events,
            evidence,
            position: None,
            captured,
        }
    }

    fn append(&self, alias: &str) -> Result<(Position, Result<(), Error>), Error> {
        let bodies = self.bodies(self.events.iter().map(Some))?;
        self.recorder.append_at_least(&self.frame(alias, &bodies), true, self.mode)
    }

    fn frame<'a>(&self, alias: &'a str, bodies: &'a Bodies) -> Frame<'a> {
        Frame::Intent { intent: self.id, evidence: self.evidence, alias: short(alias), items: bodies.items(&self.stamps) }
    }

    /// An intent without events, of which nothing is journaled.
    pub(crate) fn nothing(recorder: &Recorder) -> Self {
        Self::announce(recorder, Vec::new(), Vec::new(), Evidence::Ack)
    }

    /// Its identifier: what a marker in the database is called by.
    #[must_use]
    pub fn id(&self) -> IntentId {
        self.id
    }

    /// Where its INTENT is. `None` where there is none: it was lost, it is sealed for an outbox, or it announces nothing.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// How its commit can be proved, as its INTENT says. With [`Evidence::Marker`] and a [`Intent::position`] the transaction must not be
    /// committed without the marker: a resolver would find that it was rolled back.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        self.evidence
    }

    /// The strictest mode among its events: what may be done where they, or the proof of their commit, cannot be written.
    #[must_use]
    pub fn on_failure(&self) -> OnFailure {
        self.mode
    }

    /// The same events under another intent whose evidence is `ack`, for when the marker could not be written and the transaction is
    /// committed all the same. This intent is answered as rolled back, and nothing of it is kept as `aborted`.
    ///
    /// The events get other identifiers: where the database took longer to refuse the marker than the agent waits, the trail has the old
    /// ones, in doubt, and what it learns about them afterwards must not be said of the new ones.
    ///
    /// # Errors
    /// [`Refused`] where an event is [`OnFailure::Required`] and the new intent could not be journaled in time: roll back.
    pub fn without_marker(mut self, alias: &str) -> Result<Self, Refused> {
        let events = std::mem::take(&mut self.events);
        let captured = std::mem::take(&mut self.captured);
        let recorder = self.recorder.clone();
        self.tell(Resolution::RolledBack, std::iter::empty());
        Self::journal(&recorder, alias, events, captured, Evidence::Ack)
    }

    /// How many events it announces.
    #[must_use]
    pub fn len(&self) -> usize {
        self.stamps.len()
    }

    /// Whether it announces nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stamps.is_empty()
    }

    /// What its events will be called while nothing else is known of them.
    #[must_use]
    pub fn recorded(&self) -> Recorded {
        let is_held = self.position.is_some() || self.evidence == Evidence::Outbox || !self.captured.is_empty();
        if is_held { Recorded::Held } else { Recorded::Lost }
    }

    /// Says that the write was committed and the events are as announced.
    pub fn committed(self) {
        self.tell(Resolution::Committed, std::iter::empty());
    }

    /// Says that the write was committed, and what the events have become: `None` where nothing happened, one entry for each
    /// announced event in the same order. With another number of entries the events stay as announced.
    pub fn committed_with(self, events: &[Option<Event>]) {
        let same = events.len() == self.stamps.len();
        let events = if same { events } else { &[] };
        self.tell(Resolution::Committed, events.iter().map(Option::as_ref));
    }

    /// Says that the write was committed and which keys the database made, one for each announced event in the same order: as
    /// identifier, and as value of the key's field. With another number of keys the events stay as announced.
    pub fn committed_keyed(mut self, keys: Vec<(String, Json)>) {
        if keys.len() != self.events.len() {
            return self.committed();
        }
        let mut events = std::mem::take(&mut self.events);
        for (event, (id, value)) in events.iter_mut().zip(keys) {
            event.set_key(id, &value);
        }
        self.tell(Resolution::Committed, events.iter().map(Some));
    }

    /// Says that the write was rolled back, and records what the policy keeps of it with outcome `aborted`.
    pub fn rolled_back(mut self) {
        let events = std::mem::take(&mut self.events);
        let (recorder, id) = (self.recorder.clone(), self.id);
        self.tell(Resolution::RolledBack, std::iter::empty());
        for mut event in events.into_iter().filter(|event| recorder.keeps(event)) {
            event.push_meta("intent", &Json::string(&id.to_string()));
            record_aborted(&recorder, event);
        }
    }

    /// Says nothing, because nobody can: the same as dropping it.
    pub fn unknown(self) {
        if let Some(capture) = self.recorder.capture() {
            capture.settle(&self.captured, Fate::InDoubt);
        }
    }

    /// A failure is not reported: the journal keeps what it cannot write now.
    fn tell<'a>(self, resolution: Resolution, events: impl Iterator<Item = Option<&'a Event>> + Clone) {
        if self.recorder.capture().is_some() {
            return self.tell_capture(resolution, events);
        }
        // A forked child inherits intents that are its parent's to resolve.
        if self.position.is_none() || self.process != std::process::id() {
            return;
        }
        if let Ok(bodies) = self.bodies(events) {
            let items = bodies.items(&self.stamps);
            self.recorder.answer(&Frame::Outcome { intent: self.id, resolution, by: Evidence::Ack, items });
        }
    }

    fn tell_capture<'a>(self, resolution: Resolution, events: impl IntoIterator<Item = Option<&'a Event>>) {
        let Some(capture) = self.recorder.capture() else { return };
        let fate = if resolution == Resolution::Committed { Fate::Committed } else { Fate::RolledBack };
        capture.settle(&self.captured, fate);
        for ((event, stamp), &number) in events.into_iter().zip(&self.stamps).zip(&self.captured) {
            match event {
                Some(event) => capture.replace(number, self.recorder.captured_body(event, stamp)),
                None => capture.settle(&[number], Fate::RolledBack),
            }
        }
    }

    fn bodies<'a>(&self, events: impl Iterator<Item = Option<&'a Event>> + Clone) -> Result<Bodies, Error> {
        let room: usize = events.clone().flatten().map(|event| BODY_BYTES + event.changes.len()).sum();
        let text = if room == 0 { String::new() } else { String::with_capacity(room + MORE_BYTES) };
        let mut bodies = Bodies { text, ends: Vec::with_capacity(events.size_hint().0) };
        for (event, stamp) in events.zip(&self.stamps) {
            if let Some(event) = event {
                self.recorder.encode(event, stamp, &mut bodies.text)?;
            }
            bodies.ends.push(bodies.text.len());
        }
        Ok(bodies)
    }
}

/// Encoded events, one behind the other in one text: many of them do not pay for memory of their own.
struct Bodies {
    text: String,
    ends: Vec<usize>,
}

impl Bodies {
    fn items(&self, stamps: &[Stamp]) -> Vec<Item<'_>> {
        let mut from = 0;
        let item = |(stamp, &end): (&Stamp, &usize)| {
            let body = &self.text.as_bytes()[from..end];
            from = end;
            Item { event: stamp.id, recorded_at: stamp.recorded_at, body }
        };
        stamps.iter().zip(&self.ends).map(item).collect()
    }
}

/// Records an event of a write that did not happen.
pub(crate) fn record_aborted(recorder: &Recorder, mut event: Event) {
    event.outcome = Outcome::Aborted;
    recorder.record(event);
}

fn short(alias: &str) -> &str {
    let mut end = alias.len().min(255);
    while !alias.is_char_boundary(end) {
        end -= 1;
    }
    &alias[..end]
}
