//! The agent's own events: what it noticed about the trail, recorded in the trail.

use indelible_core::{Actor, Event, EventId, Json, Kind, ObjectWriter, Outcome, Resource, Source, Stamp, StreamId, Timestamp, Verdict};

use crate::trail::{Batch, NewRecord, TrailError};

/// Service of the stream [`StreamId::AGENT`].
pub(crate) const AGENT_SERVICE: &str = "indelible";
/// Bound of an own event without the body that an `audit.resolve` carries, in bytes.
const OWN_EVENT_BYTES: usize = 262_144;

/// Who the agent is, in the source of its events.
pub(crate) fn agent_source() -> Source {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Source {
        service: AGENT_SERVICE.to_owned(),
        environment: String::new(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host,
        process: std::process::id(),
        process_kind: "agent".to_owned(),
    }
}

/// One of the agent's events, before it is stamped.
#[derive(Debug)]
pub(crate) struct OwnEvent {
    event: Event,
    /// How much longer than usual its body may be.
    allowance: usize,
}

impl OwnEvent {
    /// An event `audit.VERB` by the agent itself.
    pub(crate) fn new(action: &str, outcome: Outcome) -> Self {
        let mut event = Event::new(Kind::Audit, action);
        event.actor = Actor::system(AGENT_SERVICE).into();
        event.outcome = outcome;
        Self { event, allowance: 0 }
    }

    /// Who caused it, when that is not the agent.
    pub(crate) fn by(mut self, actor: Actor) -> Self {
        self.event.actor = actor.into();
        self
    }

    /// Why, as somebody said; nothing for an empty text.
    pub(crate) fn because(mut self, reason: &str) -> Self {
        self.event.reason = Some(reason.to_owned()).filter(|reason| !reason.is_empty());
        self
    }

    /// What it is about.
    pub(crate) fn about(mut self, r#type: &str, id: impl ToString) -> Self {
        self.event.resource = Some(Resource::new(r#type, id.to_string()));
        self
    }

    /// Its `meta`.
    pub(crate) fn meta(mut self, write: impl FnOnce(&mut ObjectWriter<'_>)) -> Self {
        let mut text = String::new();
        let mut object = ObjectWriter::begin(&mut text);
        write(&mut object);
        object.end();
        self.event.meta = Some(Json::from_text(text));
        self
    }

    /// Lets the body be longer by the length of a body that it quotes.
    pub(crate) fn quoting(mut self, bytes: usize) -> Self {
        self.allowance = bytes;
        self
    }

    /// Appends it to the batch as the next event of the agent's stream.
    ///
    /// # Errors
    /// Those of [`Batch::append`].
    pub(crate) fn append(&self, batch: &mut Batch<'_>, source: &Source, now: Timestamp) -> Result<(), TrailError> {
        let mut random = [0; 10];
        getrandom::fill(&mut random).map_err(TrailError::Random)?;
        let unix_ms = u64::try_from(now.micros() / 1000).unwrap_or(0);
        let stamp = Stamp { id: EventId::from_parts(unix_ms, random), recorded_at: now };
        let mut body = String::new();
        self.event.encode(&stamp, source, OWN_EVENT_BYTES + self.allowance, &mut body);
        let sequence = batch.next_sequence(StreamId::AGENT);
        let record = NewRecord {
            event: stamp.id,
            stream: StreamId::AGENT,
            sequence,
            item: 0,
            recorded_at: now,
            received_at: now,
            verdict: Verdict::Recorded,
            body: body.as_bytes(),
        };
        batch.append(AGENT_SERVICE, &record)?;
        batch.set_next_sequence(StreamId::AGENT, AGENT_SERVICE, sequence + 1);
        Ok(())
    }
}
