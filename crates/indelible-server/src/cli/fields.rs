//! Fields of records that somebody chooses to see, by the names of docs/search.md.

use std::borrow::Cow;

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::Value;

use super::body::Body;
use crate::search::Hit;

/// Most fields in one choice.
const FIELDS_MAX: usize = 64;

/// Where a field is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Leaf,
    Verdict,
    ReceivedAt,
    /// When it happened; when it was recorded, where the body does not say.
    Created,
    /// Who did it, in a few words.
    Actor,
    /// `TYPE/ID`.
    Resource,
    /// One line for each change.
    Changes,
    /// A JSON pointer into the body.
    Body(&'static str),
}

/// Every field but the members of `meta`, in the order of the documentation.
const FIELDS: &[(&str, Place)] = &[
    ("leaf", Place::Leaf),
    ("created", Place::Created),
    ("occurred_at", Place::Body("/occurred_at")),
    ("recorded_at", Place::Body("/recorded_at")),
    ("received_at", Place::ReceivedAt),
    ("verdict", Place::Verdict),
    ("id", Place::Body("/id")),
    ("kind", Place::Body("/kind")),
    ("action", Place::Body("/action")),
    ("outcome", Place::Body("/outcome")),
    ("error", Place::Body("/error/type")),
    ("actor", Place::Actor),
    ("actor_type", Place::Body("/actor/type")),
    ("actor_id", Place::Body("/actor/id")),
    ("actor_label", Place::Body("/actor/label")),
    ("auth", Place::Body("/actor/auth")),
    ("session", Place::Body("/actor/session")),
    ("onbehalf", Place::Body("/actor/on_behalf_of/id")),
    ("role", Place::Body("/actor/roles")),
    ("resource", Place::Resource),
    ("resource_type", Place::Body("/resource/type")),
    ("resource_id", Place::Body("/resource/id")),
    ("resource_label", Place::Body("/resource/label")),
    ("changes", Place::Changes),
    ("request", Place::Body("/request/id")),
    ("method", Place::Body("/request/method")),
    ("route", Place::Body("/request/route")),
    ("path", Place::Body("/request/path")),
    ("status", Place::Body("/request/status")),
    ("duration_us", Place::Body("/request/duration_us")),
    ("ip", Place::Body("/request/client_ip")),
    ("agent", Place::Body("/request/user_agent")),
    ("trace", Place::Body("/trace_id")),
    ("reason", Place::Body("/reason")),
    ("tenant", Place::Body("/tenant")),
    ("service", Place::Body("/source/service")),
    ("environment", Place::Body("/source/environment")),
    ("release", Place::Body("/source/version")),
    ("host", Place::Body("/source/host")),
    ("meta", Place::Body("/meta")),
];

/// The fields that somebody chose, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Columns(Vec<Column>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Column {
    name: String,
    place: Place,
    /// The member, for `meta.NAME`.
    member: Option<String>,
}

/// One record as the chosen fields show it; what a record lacks is null.
pub(crate) struct Chosen<'a> {
    columns: &'a Columns,
    values: Vec<Value>,
}

impl Columns {
    /// Reads names with commas between them.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let columns: Vec<_> = text.split(',').map(|name| Column::parse(name.trim())).collect::<Result<_, _>>()?;
        if columns.len() > FIELDS_MAX { Err(format!("more than {FIELDS_MAX} fields")) } else { Ok(Self(columns)) }
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|column| column.name.as_str())
    }

    /// What a record has in these fields.
    pub(crate) fn of<'a>(&'a self, hit: &Hit) -> Chosen<'a> {
        let json: Value = serde_json::from_slice(&hit.body).unwrap_or_default();
        let body = Body::of(hit);
        Chosen { columns: self, values: self.0.iter().map(|column| column.value(hit, &body, &json)).collect() }
    }
}

impl Column {
    fn parse(name: &str) -> Result<Self, String> {
        let column = |place, member| Self { name: name.to_owned(), place, member };
        if let Some(member) = name.strip_prefix("meta.").filter(|member| !member.is_empty()) {
            return Ok(column(Place::Body("/meta"), Some(member.to_owned())));
        }
        let found = FIELDS.iter().find(|(known, _)| *known == name);
        found.map(|(_, place)| column(*place, None)).ok_or_else(|| {
            let names: Vec<_> = FIELDS.iter().map(|(known, _)| *known).collect();
            format!("no field is called `{name}`; the fields are {}, meta.NAME", names.join(", "))
        })
    }

    fn value(&self, hit: &Hit, body: &Body, json: &Value) -> Value {
        let text = |text: String| if text == "-" { Value::Null } else { Value::String(text) };
        match self.place {
            Place::Leaf => hit.leaf_index.into(),
            Place::Verdict => hit.verdict.clone().into(),
            Place::ReceivedAt => hit.received_at.to_string().into(),
            Place::Created => body.occurred_at.clone().or_else(|| body.recorded_at.clone()).into(),
            Place::Actor => text(body.actor()),
            Place::Resource => text(body.resource()),
            Place::Changes if body.changes.is_none() => Value::Null,
            Place::Changes => body.diff().into(),
            Place::Body(pointer) => {
                let value = json.pointer(pointer);
                let value = match &self.member {
                    Some(member) => value.and_then(|meta| meta_member(meta, member)),
                    None => value,
                };
                value.cloned().unwrap_or_default()
            }
        }
    }
}

/// A member by its own name, or by names with dots that lead into objects inside.
fn meta_member<'a>(meta: &'a Value, name: &str) -> Option<&'a Value> {
    if let Some(found) = meta.get(name) {
        return Some(found);
    }
    name.match_indices('.').find_map(|(dot, _)| meta_member(meta.get(&name[..dot])?, &name[dot + 1..]))
}

impl Chosen<'_> {
    /// The values as text, for tables and CSV: texts as they are, everything else as JSON, and `missing` for nothing.
    pub(crate) fn texts<'a>(&'a self, missing: &'a str) -> impl Iterator<Item = Cow<'a, str>> {
        self.values.iter().map(move |value| match value {
            Value::Null => Cow::Borrowed(missing),
            Value::String(text) => Cow::Borrowed(text.as_str()),
            other => Cow::Owned(other.to_string()),
        })
    }
}

impl Serialize for Chosen<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.values.len()))?;
        for (name, value) in self.columns.names().zip(&self.values) {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(body: &str) -> Hit {
        Hit {
            leaf_index: 7,
            verdict: "recorded".to_owned(),
            received_at: indelible_core::Timestamp::from_micros(0),
            body: body.as_bytes().to_vec(),
            erased: false,
        }
    }

    #[test]
    fn chosen_fields_keep_their_order_and_say_null_for_what_is_missing() {
        let columns = Columns::parse("leaf, actor,meta.a.b,meta.c.d,status,resource,role").unwrap();
        let hit = hit(r#"{"actor":{"type":"user","id":"7","roles":["x"]},"meta":{"a":{"b":1},"c.d":true},"request":{"status":200}}"#);
        let shown = serde_json::to_string(&columns.of(&hit)).unwrap();
        assert_eq!(shown, r#"{"leaf":7,"actor":"7 (user)","meta.a.b":1,"meta.c.d":true,"status":200,"resource":null,"role":["x"]}"#);
        let chosen = columns.of(&hit);
        assert_eq!(chosen.texts("-").collect::<Vec<_>>(), ["7", "7 (user)", "1", "true", "200", "-", "[\"x\"]"]);
    }

    #[test]
    fn an_unknown_field_is_answered_with_the_list() {
        let error = Columns::parse("leaf,acter").unwrap_err();
        assert!(error.starts_with("no field is called `acter`; the fields are leaf, created"), "{error}");
        assert!(Columns::parse("").is_err() && Columns::parse("leaf,").is_err() && Columns::parse(&"leaf,".repeat(65)).is_err());
    }
}
