//! What search needs of a body, in columns. Derived here and nowhere else, so that `verify` can derive it again.

use indelible_core::Timestamp;
use serde::Deserialize;

/// The searchable columns of one event, as its body states them.
///
/// A body that is not an event of ours has none; its record is in the trail all the same.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Derived {
    pub(crate) occurred_at: Option<i64>,
    pub(crate) kind: Option<String>,
    pub(crate) action: Option<String>,
    pub(crate) outcome: Option<String>,
    pub(crate) actor_type: Option<String>,
    pub(crate) actor_id: Option<String>,
    pub(crate) actor_label: Option<String>,
    pub(crate) resource_type: Option<String>,
    pub(crate) resource_id: Option<String>,
    pub(crate) request_id: Option<String>,
    pub(crate) service: Option<String>,
    pub(crate) status: Option<i64>,
}

#[derive(Deserialize)]
struct Body {
    kind: Option<String>,
    action: Option<String>,
    outcome: Option<String>,
    occurred_at: Option<String>,
    #[serde(default)]
    actor: Named,
    #[serde(default)]
    resource: Named,
    #[serde(default)]
    request: Request,
    #[serde(default)]
    source: Source,
}

#[derive(Default, Deserialize)]
struct Named {
    r#type: Option<String>,
    id: Option<String>,
    label: Option<String>,
}

#[derive(Default, Deserialize)]
struct Request {
    id: Option<String>,
    status: Option<i64>,
}

#[derive(Default, Deserialize)]
struct Source {
    service: Option<String>,
}

impl Derived {
    /// Reads the columns out of a body.
    pub(crate) fn from_body(body: &[u8]) -> Self {
        let Ok(body) = serde_json::from_slice::<Body>(body) else { return Self::default() };
        let occurred_at = body.occurred_at.and_then(|text| text.parse::<Timestamp>().ok());
        Self {
            occurred_at: occurred_at.map(Timestamp::micros),
            kind: body.kind,
            action: body.action,
            outcome: body.outcome,
            actor_type: body.actor.r#type,
            actor_id: body.actor.id,
            actor_label: body.actor.label,
            resource_type: body.resource.r#type,
            resource_id: body.resource.id,
            request_id: body.request.id,
            service: body.source.service,
            status: body.request.status,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_what_the_body_says_and_nothing_is_made_up() {
        let derived = Derived::from_body(
            br#"{"v":1,"kind":"change","action":"patient.update","occurred_at":"1970-01-01T00:00:01.000000Z","actor":{"type":"user","id":"7"},
                "request":{"id":"r1","status":201,"path":"/x"},"source":{"service":"clinic"},"meta":{"kind":"other"}}"#,
        );
        assert_eq!(
            derived,
            Derived {
                occurred_at: Some(1_000_000),
                kind: Some("change".into()),
                action: Some("patient.update".into()),
                actor_type: Some("user".into()),
                actor_id: Some("7".into()),
                request_id: Some("r1".into()),
                status: Some(201),
                service: Some("clinic".into()),
                ..Derived::default()
            }
        );
    }

    #[test]
    fn a_body_that_is_no_event_has_no_columns() {
        for body in [&b""[..], b"{", b"[1]", b"\xff", br#"{"kind":5}"#] {
            assert_eq!(Derived::from_body(body), Derived::default());
        }
    }
}
