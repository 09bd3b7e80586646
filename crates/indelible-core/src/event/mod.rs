//! The event: who did what, to what, when, from where, why and with which result, before it becomes bytes.
//!
//! Every text in an event has been redacted by whoever put it there; encoding copies and never looks inside.

mod action;
mod actor;
mod changes;
mod encode;
mod merge;
mod request;
mod resource;

pub use action::Action;
pub use actor::{Actor, ActorType};
pub use changes::{Changes, FieldName};
pub use encode::{EVENT_BYTES_MIN, EncodedActor, EncodedSource, Stamp};
pub(crate) use encode::{write_hex, write_marker};
pub use request::Request;
pub use resource::Resource;

use crate::json::{Json, encoded_len, push_string};
use crate::time::Timestamp;

macro_rules! names {
    ($(#[$doc:meta])* $type:ident { $($(#[$variant_doc:meta])* $variant:ident = $name:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $type {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $type {
            /// Every value, in the order of docs/format.md.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name in JSON, search and docs.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// Finds the value with exactly this name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == name)
            }
        }
    };
}
pub(crate) use names;

names! {
    /// What kind of thing happened.
    Kind {
        /// An HTTP request was answered.
        Request = "request",
        /// Stored data was created, changed or deleted.
        Change = "change",
        /// Stored data was read.
        Read = "read",
        /// Somebody logged in, failed to, or logged out.
        Auth = "auth",
        /// The application did something it has a name for.
        Action = "action",
        /// The application called another system.
        Outbound = "outbound",
        /// A background task ran.
        Task = "task",
        /// A log line was kept as an event.
        Log = "log",
        /// The audit trail itself was read, verified, exported or disturbed.
        Audit = "audit",
    }
}

names! {
    /// The result of an event.
    Outcome {
        /// It happened.
        Success = "success",
        /// It was tried and failed.
        Failure = "failure",
        /// It was refused.
        Denied = "denied",
        /// It was given up: rolled back, disconnected, cancelled.
        Aborted = "aborted",
    }
}

/// What went wrong, beside an outcome that is not a success.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErrorInfo {
    /// Name of the exception or error type.
    pub r#type: String,
    /// Its message, redacted.
    pub message: String,
    /// Where in the application it was raised: `file:line:function`.
    pub place: Option<String>,
}

/// Who observed the event: the service and process that recorded it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// Service name, `[a-z0-9][a-z0-9._-]{0,63}`.
    pub service: String,
    /// Deployment environment, for example `production`; may be empty.
    pub environment: String,
    /// Version of the service; may be empty.
    pub version: String,
    /// Host name.
    pub host: String,
    /// Process id.
    pub process: u32,
    /// `web`, `worker`, `beat` or `command`.
    pub process_kind: String,
}

/// Where in the application's code an event was caused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// File name.
    pub file: String,
    /// Line, counted from 1.
    pub line: u32,
    /// Function.
    pub function: String,
}

/// One event before it is stamped and encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Kind of event.
    pub kind: Kind,
    /// What was done.
    pub action: Action,
    /// With which result.
    pub outcome: Outcome,
    /// What went wrong; encoded only when the outcome is not a success.
    pub error: Option<ErrorInfo>,
    /// When it happened; the time of recording when absent.
    pub occurred_at: Option<Timestamp>,
    /// Who did it.
    pub actor: EncodedActor,
    /// What it was done to.
    pub resource: Option<Resource>,
    /// What changed.
    pub changes: Changes,
    /// The request that caused it.
    pub request: Option<Request>,
    /// W3C trace id, 32 hexadecimal digits.
    pub trace_id: Option<String>,
    /// W3C span id, 16 hexadecimal digits.
    pub span_id: Option<String>,
    /// Why it was done, in the actor's words.
    pub reason: Option<String>,
    /// Tenant id.
    pub tenant: Option<String>,
    /// A JSON object of the application's own making.
    pub meta: Option<Json>,
    /// Which line of the application caused it; encoded within `source`.
    pub code: Option<Code>,
    /// What recording could not do for this event.
    pub notes: Vec<String>,
    /// Whether it concerns data declared sensitive. Not encoded: it decides what is kept of a transaction that was rolled back.
    pub sensitive: bool,
}

impl Event {
    /// Makes a successful event by nobody in particular; the fields are public and set after that.
    #[must_use]
    pub fn new(kind: Kind, action: &str) -> Self {
        Self::of(kind, Action::new(action))
    }

    /// Makes the same with a name that has been normalised before.
    #[must_use]
    pub fn of(kind: Kind, action: Action) -> Self {
        Self {
            kind,
            action,
            outcome: Outcome::Success,
            error: None,
            occurred_at: None,
            actor: EncodedActor::unresolved(),
            resource: None,
            changes: Changes::default(),
            request: None,
            trace_id: None,
            span_id: None,
            reason: None,
            tenant: None,
            meta: None,
            code: None,
            notes: Vec::new(),
            sensitive: false,
        }
    }

    /// Puts in the key that the database made for a new row: as the resource's identifier and, as `value`, where the changes await it.
    pub fn set_key(&mut self, id: String, value: &Json) {
        if let Some(resource) = &mut self.resource {
            resource.id = Some(id);
        }
        self.changes.set_key(value.as_str());
    }

    /// Adds one member to `meta`. A member of that name that is there already stays first.
    pub fn push_meta(&mut self, name: &str, value: &Json) {
        let mut text = match self.meta.take().map(Json::into_text) {
            Some(object) if object.len() > 2 && object.ends_with('}') => {
                let mut open = object;
                open.pop();
                open.push(',');
                open
            }
            _ => "{".to_owned(),
        };
        push_string(&mut text, name);
        text.push(':');
        text.push_str(value.as_str());
        text.push('}');
        self.meta = Some(Json::from_text(text));
    }

    /// How many bytes this event needs encoded, without the source: never too little by more than the names of its members.
    ///
    /// What bounds on held events count.
    #[must_use]
    pub fn size_hint(&self) -> usize {
        const FIXED: usize = 512;
        FIXED
            + self.actor.size_hint()
            + self.changes.len()
            + self.meta.as_ref().map_or(0, Json::len)
            + self.request.as_ref().map_or(0, Request::size_hint)
            + self.resource.as_ref().map_or(0, Resource::size_hint)
            + self.code.as_ref().map_or(0, |code| encoded_len(&code.file) + encoded_len(&code.function))
            + self.error.as_ref().map_or(0, |error| encoded_len(&error.r#type) + encoded_len(&error.message) + texts([&error.place]))
            + texts([&self.trace_id, &self.span_id, &self.reason, &self.tenant])
            + self.notes.iter().map(|note| encoded_len(note)).sum::<usize>()
    }
}

/// Encoded length of the texts that are there.
fn texts<const N: usize>(texts: [&Option<String>; N]) -> usize {
    texts.into_iter().flatten().map(|text| encoded_len(text)).sum()
}
