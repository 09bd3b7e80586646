//! From an event to its body (docs/format.md, "Body" and "Truncation").

use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use sha2::{Digest as _, Sha256};

use super::{Actor, ActorType, Code, Event, Outcome, Request, Resource, Source};
use crate::id::EventId;
use crate::json::{ArrayWriter, Json, ObjectWriter, push_string, push_timestamp, push_u64};
use crate::time::Timestamp;

/// The smallest allowed limit of an encoded event, in bytes: what identity alone may need after everything else is gone.
pub const EVENT_BYTES_MIN: usize = 16_384;

const IDENTITY_BYTES_MAX: usize = 256;
const IDENTITY_LIST_MAX: usize = 8;
const PAYLOADS: u8 = 11;

/// Room made at once for an actor's text, so that few actors pay for growing.
const ACTOR_BYTES: usize = 192;

/// What the recorder adds to an event at the moment it is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Identifier of the event.
    pub id: EventId,
    /// When it was recorded.
    pub recorded_at: Timestamp,
}

/// A source and its JSON, made once for all events of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedSource {
    source: Source,
    text: String,
}

impl EncodedSource {
    /// Encodes a source.
    #[must_use]
    pub fn new(source: Source) -> Self {
        let mut text = String::new();
        Encoder { cut: 0 }.source(&source, &mut text);
        Self { source, text }
    }
}

/// An actor and its JSON, made once for all events that have it: `Actor::user("7", "ana").into()`. Cloning copies no text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedActor(Arc<(Actor, String)>);

impl EncodedActor {
    /// The actor of an event by nobody in particular.
    pub(super) fn unresolved() -> Self {
        static UNRESOLVED: LazyLock<EncodedActor> = LazyLock::new(|| Actor::new(ActorType::Unresolved).into());
        UNRESOLVED.clone()
    }

    /// The JSON of the actor, as every event of it has it.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0.1
    }

    pub(super) fn size_hint(&self) -> usize {
        self.0.1.len()
    }
}

impl From<Actor> for EncodedActor {
    fn from(actor: Actor) -> Self {
        let mut text = String::with_capacity(ACTOR_BYTES);
        Encoder { cut: 0 }.actor(&actor, &mut text);
        Self(Arc::new((actor, text)))
    }
}

impl Deref for EncodedActor {
    type Target = Actor;

    fn deref(&self) -> &Actor {
        &self.0.0
    }
}

impl Event {
    /// Appends the body to `out`, for a source of which this is the only event: see [`Event::encode_from`].
    pub fn encode(&self, stamp: &Stamp, source: &Source, limit: usize, out: &mut String) {
        self.encode_from(stamp, &EncodedSource::new(source.clone()), limit, out);
    }

    /// Appends the body to `out`: JSON of at most `limit` bytes (at least [`EVENT_BYTES_MIN`]).
    ///
    /// An event that is larger loses payload, class by class, and says so in `truncated`; it never loses its identity and is
    /// never refused.
    pub fn encode_from(&self, stamp: &Stamp, source: &EncodedSource, limit: usize, out: &mut String) {
        let start = out.len();
        let limit = limit.max(EVENT_BYTES_MIN);
        for cut in 0..=PAYLOADS + 1 {
            out.truncate(start);
            Encoder { cut }.event(self, stamp, source, out);
            if out.len() - start <= limit {
                return;
            }
        }
    }
}

/// Encodes with the first `cut` payload classes replaced by their digest; one more than there are cuts identity texts too.
struct Encoder {
    cut: u8,
}

impl Encoder {
    fn event(&self, event: &Event, stamp: &Stamp, source: &EncodedSource, out: &mut String) {
        let mut body = ObjectWriter::begin(out);
        push_u64(body.member("v"), 1);
        let id = body.member("id");
        id.push('"');
        stamp.id.push_to(id);
        id.push('"');
        push_string(body.member("kind"), event.kind.as_str());
        push_string(body.member("action"), event.action.as_str());
        push_string(body.member("outcome"), event.outcome.as_str());
        if let (Some(error), true) = (&event.error, event.outcome != Outcome::Success) {
            let mut object = ObjectWriter::begin(body.member("error"));
            self.identity(&mut object, "type", &error.r#type);
            self.text(10, &mut object, "message", &error.message);
            self.optional_identity(&mut object, "place", error.place.as_deref());
            object.end();
        }
        push_timestamp(body.member("occurred_at"), event.occurred_at.unwrap_or(stamp.recorded_at));
        push_timestamp(body.member("recorded_at"), stamp.recorded_at);
        if self.cut == 0 {
            body.member("actor").push_str(&event.actor.0.1);
        } else {
            self.actor(&event.actor, body.member("actor"));
        }
        if let Some(resource) = &event.resource {
            self.resource(resource, body.member("resource"));
        }
        if !event.changes.is_empty() {
            self.payload(5, body.member("changes"), |out| event.changes.push_to(out));
        }
        if let Some(request) = &event.request {
            self.request(request, body.member("request"));
        }
        self.optional_identity(&mut body, "trace_id", event.trace_id.as_deref());
        self.optional_identity(&mut body, "span_id", event.span_id.as_deref());
        if let Some(reason) = &event.reason {
            self.text(11, &mut body, "reason", reason);
        }
        self.optional_identity(&mut body, "tenant", event.tenant.as_deref());
        if let Some(meta) = &event.meta {
            self.json(4, &mut body, "meta", meta);
        }
        let out = body.member("source");
        if self.cut == 0 {
            out.push_str(&source.text);
        } else {
            self.source(&source.source, out);
        }
        if let Some(code) = &event.code {
            self.code(code, out);
        }
        if !event.notes.is_empty() {
            self.identities(body.member("notes"), &event.notes);
        }
        if self.cut > 0 {
            body.boolean("truncated", true);
        }
        body.end();
    }

    fn actor(&self, actor: &Actor, out: &mut String) {
        let mut object = ObjectWriter::begin(out);
        push_string(object.member("type"), actor.r#type.as_str());
        self.optional_identity(&mut object, "id", actor.id.as_deref());
        self.optional_identity(&mut object, "label", actor.label.as_deref());
        self.optional_identity(&mut object, "auth", actor.auth.as_deref());
        self.optional_identity(&mut object, "session", actor.session.as_deref());
        if let Some(principal) = &actor.on_behalf_of {
            // One step is kept: whoever impersonates while being impersonated is described by the application's own meta.
            let principal = Actor { on_behalf_of: None, roles: Vec::new(), extra: Vec::new(), ..(**principal).clone() };
            self.actor(&principal, object.member("on_behalf_of"));
        }
        if !actor.roles.is_empty() {
            self.identities(object.member("roles"), &actor.roles);
        }
        for (name, value) in &actor.extra {
            self.json(4, &mut object, name, value);
        }
        object.end();
    }

    fn resource(&self, resource: &Resource, out: &mut String) {
        let mut object = ObjectWriter::begin(out);
        self.resource_identity(&mut object, resource);
        if !resource.related.is_empty() {
            self.payload(6, object.member("related"), |out| {
                let mut array = ArrayWriter::begin(out);
                for related in &resource.related {
                    let mut object = ObjectWriter::begin(array.element());
                    self.resource_identity(&mut object, related);
                    object.end();
                }
                array.end();
            });
        }
        object.end();
    }

    fn resource_identity(&self, object: &mut ObjectWriter<'_>, resource: &Resource) {
        self.identity(object, "type", &resource.r#type);
        self.optional_identity(object, "id", resource.id.as_deref());
        self.optional_identity(object, "label", resource.label.as_deref());
    }

    fn request(&self, request: &Request, out: &mut String) {
        let mut object = ObjectWriter::begin(out);
        self.optional_identity(&mut object, "id", request.id.as_deref());
        self.optional_identity(&mut object, "method", request.method.as_deref());
        self.optional_identity(&mut object, "route", request.route.as_deref());
        if let Some(path) = &request.path {
            self.text(8, &mut object, "path", path);
        }
        if let Some(query) = &request.query {
            self.text(7, &mut object, "query", query);
        }
        if let Some(status) = request.status {
            push_u64(object.member("status"), u64::from(status));
        }
        if let Some(duration) = request.duration_us {
            push_u64(object.member("duration_us"), duration);
        }
        self.optional_identity(&mut object, "client_ip", request.client_ip.as_deref());
        if let Some(user_agent) = &request.user_agent {
            self.text(9, &mut object, "user_agent", user_agent);
        }
        for (class, name, value) in [
            (3, "headers", &request.headers),
            (2, "body", &request.body),
            (3, "response_headers", &request.response_headers),
            (1, "response", &request.response),
        ] {
            if let Some(value) = value {
                self.json(class, &mut object, name, value);
            }
        }
        if let Some(bytes) = request.response_bytes {
            push_u64(object.member("response_bytes"), bytes);
        }
        object.end();
    }

    fn source(&self, source: &Source, out: &mut String) {
        let mut object = ObjectWriter::begin(out);
        self.identity(&mut object, "service", &source.service);
        for (name, text) in [("environment", &source.environment), ("version", &source.version)] {
            if !text.is_empty() {
                self.identity(&mut object, name, text);
            }
        }
        self.identity(&mut object, "host", &source.host);
        push_u64(object.member("process"), u64::from(source.process));
        self.identity(&mut object, "process_kind", &source.process_kind);
        object.end();
    }

    /// Adds the place in the code to the source that stands at the end of `out`.
    fn code(&self, code: &Code, out: &mut String) {
        out.pop();
        out.push_str(",\"code\":");
        let mut object = ObjectWriter::begin(out);
        self.identity(&mut object, "file", &code.file);
        push_u64(object.member("line"), u64::from(code.line));
        self.identity(&mut object, "function", &code.function);
        object.end();
        out.push('}');
    }

    /// Writes a payload of this class (1 is given up first), or what stands in its place.
    fn payload(&self, class: u8, out: &mut String, write: impl FnOnce(&mut String)) {
        let start = out.len();
        write(out);
        if class > self.cut {
            return;
        }
        let length = out.len() - start;
        let digest = Sha256::digest(&out.as_bytes()[start..]);
        let mut marker = String::with_capacity(128);
        write_marker(&mut marker, length, &digest);
        // A payload smaller than its marker stays: replacing it would not save anything.
        if marker.len() < length {
            out.truncate(start);
            out.push_str(&marker);
        }
    }

    fn text(&self, class: u8, object: &mut ObjectWriter<'_>, name: &'static str, text: &str) {
        self.payload(class, object.member(name), |out| push_string(out, text));
    }

    fn json(&self, class: u8, object: &mut ObjectWriter<'_>, name: &str, value: &Json) {
        self.payload(class, object.key(name), |out| out.push_str(value.as_str()));
    }

    // Inlined for the same reason as `ObjectWriter::member`.
    #[inline(always)]
    fn identity(&self, object: &mut ObjectWriter<'_>, name: &'static str, text: &str) {
        self.identity_value(object.member(name), text);
    }

    #[inline(always)]
    fn optional_identity(&self, object: &mut ObjectWriter<'_>, name: &'static str, text: Option<&str>) {
        if let Some(text) = text {
            self.identity(object, name, text);
        }
    }

    fn identities(&self, out: &mut String, texts: &[String]) {
        let kept = if self.cut > PAYLOADS { texts.len().min(IDENTITY_LIST_MAX) } else { texts.len() };
        let mut array = ArrayWriter::begin(out);
        for text in &texts[..kept] {
            self.identity_value(array.element(), text);
        }
        array.end();
    }

    fn identity_value(&self, out: &mut String, text: &str) {
        let start = out.len();
        push_string(out, text);
        if self.cut > PAYLOADS && out.len() - start > IDENTITY_BYTES_MAX {
            out.truncate(start);
            push_string(out, &shortened(text));
        }
    }
}

pub(crate) fn write_marker(out: &mut String, length: usize, digest: &[u8]) {
    let mut marker = ObjectWriter::begin(out);
    marker.boolean("truncated", true);
    marker.integer("bytes", length as u64);
    write_hex(marker.member("sha256"), digest);
    marker.end();
}

/// Appends a JSON string of hexadecimal digits.
pub(crate) fn write_hex(out: &mut String, bytes: &[u8]) {
    out.push('"');
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            out.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    out.push('"');
}

/// The longest beginning of `text` whose JSON string, with an ellipsis, has at most [`IDENTITY_BYTES_MAX`] bytes.
fn shortened(text: &str) -> String {
    const QUOTES_AND_ELLIPSIS: usize = 5;
    let mut encoded = QUOTES_AND_ELLIPSIS;
    let mut kept = String::new();
    for character in text.chars() {
        encoded += match character {
            '"' | '\\' | '\n' | '\r' | '\t' => 2,
            '\0'..='\x1f' => 6,
            _ => character.len_utf8(),
        };
        if encoded > IDENTITY_BYTES_MAX {
            break;
        }
        kept.push(character);
    }
    kept.push('…');
    kept
}
