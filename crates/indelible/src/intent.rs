//! Between INTENT and OUTCOME: events of a write that is about to be committed.

use indelible_core::{Event, Evidence, Frame, IntentId, Item, Json, Outcome, Resolution, Stamp};

use crate::capture::Fate;
use crate::clock;
use crate::config::OnFailure;
use crate::error::Error;
use crate::recorder::{Recorded, Recorder};

/// Room made at once for what a body holds besides its changes, so that few bodies pay for growing.
const BODY_BYTES: usize = 1024;

/// The intent could not be journaled and the policy is [`OnFailure::Required`]: the write must not be committed.
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
    journaled: bool,
    /// Numbers of the events in the capture, where there is one.
    captured: Vec<u64>,
}

impl Intent {
    pub(crate) fn journal(recorder: &Recorder, alias: &str, events: Vec<Event>, captured: Vec<u64>) -> Result<Self, Refused> {
        let at = clock::now();
        let mut intent = Self {
            recorder: recorder.clone(),
            process: std::process::id(),
            id: clock::intent_id(at),
            stamps: events.iter().map(|_| Stamp { id: clock::event_id(at), recorded_at: at }).collect(),
            events: Vec::new(),
            journaled: false,
            captured,
        };
        if recorder.capture().is_some() {
            intent.events = events;
            return Ok(intent);
        }
        let appended = intent.bodies(events.iter().map(Some)).and_then(|bodies| {
            let items = items(&intent.stamps, &bodies);
            let frame = Frame::Intent { intent: intent.id, evidence: Evidence::Ack, alias: short(alias), items };
            recorder.append_frame(&frame, true)
        });
        intent.journaled = appended.as_ref().err().is_none_or(Error::is_only_unsynced);
        match appended {
            Err(error) if recorder.config().on_failure == OnFailure::Required => {
                // Where only the sync failed the intent is in the journal, and nobody will commit it.
                intent.tell(Resolution::RolledBack, []);
                return Err(Refused(error));
            }
            Err(_) if !intent.journaled => intent.stamps.iter().for_each(|_| recorder.count_loss()),
            _ => {}
        }
        intent.events = events;
        Ok(intent)
    }

    /// An intent without events, of which nothing is journaled.
    pub(crate) fn nothing(recorder: &Recorder) -> Self {
        let id = clock::intent_id(clock::now());
        Self {
            recorder: recorder.clone(),
            process: std::process::id(),
            id,
            stamps: Vec::new(),
            events: Vec::new(),
            journaled: false,
            captured: Vec::new(),
        }
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
        if self.journaled || !self.captured.is_empty() { Recorded::Held } else { Recorded::Lost }
    }

    /// Says that the write was committed and the events are as announced.
    pub fn committed(self) {
        self.tell(Resolution::Committed, []);
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
        self.tell(Resolution::RolledBack, []);
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

    /// A failure is not reported: without an OUTCOME the agent asks for evidence or flags the events as in doubt.
    fn tell<'a>(self, resolution: Resolution, events: impl IntoIterator<Item = Option<&'a Event>>) {
        if self.recorder.capture().is_some() {
            return self.tell_capture(resolution, events);
        }
        // A forked child inherits intents that are its parent's to resolve.
        if !self.journaled || self.process != std::process::id() {
            return;
        }
        let told = self.bodies(events.into_iter()).and_then(|bodies| {
            let items = items(&self.stamps[..bodies.len()], &bodies);
            self.recorder.append_frame(&Frame::Outcome { intent: self.id, resolution, by: Evidence::Ack, items }, false)
        });
        drop(told);
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

    fn bodies<'a>(&self, events: impl Iterator<Item = Option<&'a Event>>) -> Result<Vec<String>, Error> {
        let encode = |(event, stamp): (Option<&Event>, &Stamp)| {
            let mut body = String::with_capacity(event.map_or(0, |event| BODY_BYTES + event.changes.len()));
            event.map_or(Ok(()), |event| self.recorder.encode(event, stamp, &mut body)).map(|()| body)
        };
        events.zip(&self.stamps).map(encode).collect()
    }
}

/// Records an event of a write that did not happen.
pub(crate) fn record_aborted(recorder: &Recorder, mut event: Event) {
    event.outcome = Outcome::Aborted;
    recorder.record(event);
}

fn items<'a>(stamps: &[Stamp], bodies: &'a [String]) -> Vec<Item<'a>> {
    let item = |(stamp, body): (&Stamp, &'a String)| Item { event: stamp.id, recorded_at: stamp.recorded_at, body: body.as_bytes() };
    stamps.iter().zip(bodies).map(item).collect()
}

fn short(alias: &str) -> &str {
    let mut end = alias.len().min(255);
    while !alias.is_char_boundary(end) {
        end -= 1;
    }
    &alias[..end]
}
