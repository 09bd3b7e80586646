//! The members of an event that shapes need. What limits cut away stands there as another JSON value, so payloads are kept raw.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

/// An event. Members that are absent are empty.
#[derive(Debug, Deserialize)]
pub(super) struct Body<'a> {
    /// The whole text.
    #[serde(skip)]
    pub(super) text: &'a str,
    #[serde(borrow)]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) action: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) outcome: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) occurred_at: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) error: Option<ErrorInfo<'a>>,
    #[serde(borrow, default)]
    pub(super) actor: Party<'a>,
    #[serde(borrow, default)]
    pub(super) resource: Option<Party<'a>>,
    #[serde(borrow, default)]
    pub(super) changes: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) request: Option<Request<'a>>,
    #[serde(borrow, default)]
    pub(super) trace_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) reason: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) tenant: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) meta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) source: Source<'a>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ErrorInfo<'a> {
    #[serde(borrow, default)]
    pub(super) r#type: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) message: Option<&'a RawValue>,
}

/// An actor or a resource; `auth` and `session` are an actor's.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Party<'a> {
    #[serde(borrow, default)]
    pub(super) r#type: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) label: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) auth: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) session: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Request<'a> {
    #[serde(borrow, default)]
    pub(super) id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) route: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) path: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) query: Option<&'a RawValue>,
    #[serde(default)]
    pub(super) status: Option<u16>,
    #[serde(default)]
    pub(super) duration_us: Option<u64>,
    #[serde(borrow, default)]
    pub(super) client_ip: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) user_agent: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) headers: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) body: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) response: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) response_headers: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Source<'a> {
    #[serde(borrow, default)]
    pub(super) service: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) process_kind: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) code: Option<Code<'a>>,
}

/// Where in the application the event was recorded.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Code<'a> {
    #[serde(borrow, default)]
    pub(super) file: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) function: Cow<'a, str>,
}

/// One of `changes`.
#[derive(Debug, Deserialize)]
pub(super) struct Change<'a> {
    #[serde(borrow, default)]
    pub(super) field: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) old: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) new: Option<&'a RawValue>,
    #[serde(default)]
    pub(super) masked: bool,
    #[serde(borrow, default)]
    pub(super) added: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    pub(super) removed: Option<Vec<&'a RawValue>>,
    #[serde(default)]
    pub(super) count: Option<u64>,
    #[serde(borrow, default)]
    pub(super) ids: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    pub(super) fields: Option<&'a RawValue>,
}

impl<'a> Body<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
        let body: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        Ok(Self { text, ..body })
    }

    /// Members of `meta`; none where there is none or where limits cut it away.
    pub(super) fn meta(&self) -> BTreeMap<Cow<'a, str>, &'a RawValue> {
        members(self.meta)
    }

    /// The id of an actor that is a user; nothing of everybody else.
    pub(super) fn user_id(&self) -> Option<&str> {
        self.actor.id.as_deref().filter(|_| self.actor.r#type == "user")
    }

    /// The changes; none where there are none or where limits cut them away.
    pub(super) fn changes(&self) -> Vec<Change<'a>> {
        self.changes.and_then(|changes| serde_json::from_str(changes.get()).ok()).unwrap_or_default()
    }
}

/// The members of a raw value that is an object; none of anything else.
pub(super) fn members<'a>(raw: Option<&'a RawValue>) -> BTreeMap<Cow<'a, str>, &'a RawValue> {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

/// The text that a raw value is; nothing where it is something else.
pub(super) fn text_of(raw: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(raw?.get()).ok()
}
