//! One record as a row of a list: when, who, what, on which object, with which outcome.

use indelible_core::Timestamp;
use indelible_core::query::{Key, Pattern, Value};
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::Value as Json;

use super::formats::{escaped, nameable};
use super::query_bar::{Parts, asking, href};
use super::sentence::{Category, aborted, deed};
use crate::cli::{Body, Party};
use crate::search::{Hit, shown_in};

/// Occurred and received further apart than this is worth saying, in microseconds.
const SKEW: i64 = 5_000_000;
/// So much of a query is shown, in characters.
const LOOKED_AT_MAX: usize = 120;

/// One record for people.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) leaf: u64,
    pub(super) id: String,
    pub(super) href: String,
    pub(super) when: When,
    pub(super) actor: Who,
    pub(super) category: &'static str,
    pub(super) word: String,
    pub(super) deed: String,
    pub(super) action: String,
    pub(super) object: Option<Object>,
    pub(super) outcome: Outcome,
    pub(super) reason: Option<String>,
    pub(super) service: Option<String>,
    pub(super) request: Option<Named>,
    pub(super) duration: Option<String>,
    pub(super) status: Option<u64>,
    /// What was looked at, where the event is a look at the trail.
    pub(super) looked_at: Option<String>,
    /// Names of the fields that changed, a few.
    pub(super) fields: Vec<String>,
    pub(super) more_fields: usize,
    /// The list that shows this row with, and without, events of its action alone.
    pub(super) include: Option<String>,
    pub(super) exclude: Option<String>,
}

/// An instant: for people in UTC, and exactly.
#[derive(Debug, Serialize, Clone)]
pub(super) struct When {
    pub(super) day: String,
    pub(super) time: String,
    pub(super) iso: String,
    /// How long after the event the agent took it in, where that is worth saying.
    pub(super) skew: Option<String>,
    #[serde(skip)]
    pub(super) micros: i64,
}

#[derive(Debug, Serialize, Clone, PartialEq)]
pub(super) struct Who {
    pub(super) name: String,
    pub(super) detail: String,
    pub(super) href: Option<String>,
    pub(super) r#type: String,
}

#[derive(Debug, Serialize, Clone, PartialEq)]
pub(super) struct Object {
    pub(super) r#type: String,
    pub(super) id: Option<String>,
    pub(super) label: Option<String>,
    pub(super) href: Option<String>,
}

#[derive(Debug, Serialize, Clone)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) href: String,
    /// What a list shows: of a request itself its method and path, elsewhere so much of its id that eyes can compare.
    shown: String,
    is_itself: bool,
}

#[derive(Debug, Serialize, Clone)]
pub(super) struct Outcome {
    /// Name of its colour and glyph.
    pub(super) class: &'static str,
    pub(super) word: String,
    pub(super) verdict: String,
}

impl Row {
    pub(super) fn new(hit: &Hit) -> Self {
        Self::of(hit, &Body::of(hit))
    }

    pub(super) fn of(hit: &Hit, body: &Body) -> Self {
        let category = Category::of(body);
        let id = body.id.clone().unwrap_or_default();
        let names = fields(body.changes.as_ref());
        Self {
            leaf: hit.leaf_index,
            // A record that lost its id is still a leaf.
            href: format!("/events/{}", if id.is_empty() { hit.leaf_index.to_string() } else { escaped(&id) }),
            id,
            when: When::of(hit, body),
            actor: Who::of(body.actor.as_ref()),
            category: category.class(),
            word: category.word(body),
            deed: deed(body, hit.verdict == "in_doubt"),
            action: body.action.clone().unwrap_or_else(|| "unreadable".to_owned()),
            object: body.resource.as_ref().map(Object::of),
            outcome: Outcome::of(body, &hit.verdict),
            reason: body.reason.clone(),
            service: body.source.as_ref().and_then(|source| source.service.clone()),
            request: Named::request(body),
            duration: number(body.request.as_ref(), "duration_us").map(duration),
            status: number(body.request.as_ref(), "status"),
            looked_at: looked_at(body),
            more_fields: names.len().saturating_sub(3),
            fields: names.into_iter().take(3).collect(),
            include: None,
            exclude: None,
        }
    }

    /// Adds where the list leads that shows this row.
    pub(super) fn within(mut self, parts: &Parts) -> Self {
        let value = Value::Text(Pattern::Exact(self.action.clone()));
        let only = asking(Key::Action, value.clone());
        self.include = Some(href(&parts.clone().with_only(only).query()));
        self.exclude = Some(href(&parts.clone().excluding(Key::Action, value).query()));
        self
    }
}

impl Named {
    fn request(body: &Body) -> Option<Self> {
        let name = text(body.request.as_ref(), "id")?;
        let line = (body.kind.as_deref() == Some("request")).then(|| body.request_line()).flatten();
        let is_itself = line.is_some();
        let shown = line.unwrap_or_else(|| format!("request {}", shortened(&name)));
        Some(Self { href: format!("/requests/{}", nameable(&name)), shown, is_itself, name })
    }
}

/// The beginning of an id that is too long to be read.
fn shortened(id: &str) -> String {
    if id.chars().count() > 16 { format!("{}…", id.chars().take(8).collect::<String>()) } else { id.to_owned() }
}

impl When {
    pub(super) fn of(hit: &Hit, body: &Body) -> Self {
        let occurred = occurred(hit, body);
        let late = hit.received_at.micros() - occurred.micros();
        let skew = (late.abs() > SKEW)
            .then(|| if late > 0 { duration(late.unsigned_abs()) + " later" } else { duration(late.unsigned_abs()) + " earlier" });
        Self { skew, ..Self::at(occurred) }
    }

    pub(super) fn at(time: Timestamp) -> Self {
        let shown = shown_in(&TimeZone::UTC, time);
        let (day, clock) = shown.split_once(' ').unwrap_or((&shown, ""));
        Self { day: day.to_owned(), time: clock.to_owned(), iso: time.to_string(), skew: None, micros: time.micros() }
    }
}

/// When it happened; when it arrived where the body does not say.
pub(super) fn occurred(hit: &Hit, body: &Body) -> Timestamp {
    let stated = [&body.occurred_at, &body.recorded_at].into_iter().flatten().find_map(|text| text.parse().ok());
    stated.unwrap_or(hit.received_at)
}

impl Who {
    pub(super) fn of(actor: Option<&Party>) -> Self {
        let kind = actor.and_then(|actor| actor.r#type.clone()).unwrap_or_else(|| "actor".to_owned());
        let (label, id) = actor.map_or((None, None), |actor| (actor.label.clone(), actor.id.clone()));
        let href = id.as_ref().map(|id| format!("/actors/{}/{}", part(&kind), nameable(id)));
        let detail = match (&label, &id) {
            (Some(label), Some(id)) if label != id => format!("{kind} {id}"),
            (None, None) => String::new(),
            _ => kind.clone(),
        };
        Self { name: label.or(id).unwrap_or_else(|| kind.clone()), detail, href, r#type: kind }
    }
}

impl Object {
    fn of(resource: &Party) -> Self {
        let r#type = resource.r#type.clone().unwrap_or_else(|| "object".to_owned());
        let href = resource.id.as_ref().map(|id| format!("/objects/{}/{}", part(&r#type), nameable(id)));
        Self { href, id: resource.id.clone(), label: resource.label.clone(), r#type }
    }
}

impl Outcome {
    pub(super) fn of(body: &Body, verdict: &str) -> Self {
        let (class, word) = match (verdict, body.outcome.as_deref()) {
            ("in_doubt", _) => ("unknown", "in doubt"),
            (_, Some("failure")) => ("failure", "failure"),
            (_, Some("denied")) => ("denied", "denied"),
            (_, Some("aborted")) => ("aborted", aborted(body)),
            (_, Some("success")) => ("success", "success"),
            _ => ("unknown", "unknown"),
        };
        Self { class, word: word.to_owned(), verdict: verdict.to_owned() }
    }
}

/// A text as one part of an address, in which a slash would begin the next one.
pub(super) fn part(text: &str) -> String {
    escaped(text).replace('/', "%2F")
}

/// A duration in microseconds for people.
pub(super) fn duration(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..10_000 => format!("{:.1} ms", micros as f64 / 1e3),
        10_000..1_000_000 => format!("{} ms", micros / 1_000),
        1_000_000..120_000_000 => format!("{:.1} s", micros as f64 / 1e6),
        120_000_000..7_200_000_000 => format!("{} min", micros / 60_000_000),
        7_200_000_000..172_800_000_000 => format!("{} h", micros / 3_600_000_000),
        _ => format!("{} days", micros / 86_400_000_000),
    }
}

pub(super) fn text(value: Option<&Json>, name: &str) -> Option<String> {
    value?.get(name)?.as_str().map(str::to_owned)
}

pub(super) fn number(value: Option<&Json>, name: &str) -> Option<u64> {
    value?.get(name)?.as_u64()
}

/// The page or command that was looked at, and with which query.
fn looked_at(body: &Body) -> Option<String> {
    if body.action.as_deref() != Some("audit.read") {
        return None;
    }
    let meta = body.meta.as_ref();
    let told: Vec<_> = ["command", "query"].into_iter().filter_map(|name| text(meta, name)).filter(|text| !text.is_empty()).collect();
    let line = told.join(": ");
    let cut: String = line.chars().take(LOOKED_AT_MAX).collect();
    if line.is_empty() { None } else { Some(if cut.len() < line.len() { cut + "…" } else { cut }) }
}

fn fields(changes: Option<&Json>) -> Vec<String> {
    let changes = changes.and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    changes.iter().filter_map(|change| text(Some(change), "field")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(body: &str) -> Row {
        let hit = Hit {
            leaf_index: 7,
            verdict: "recorded".into(),
            received_at: Timestamp::from_micros(60_000_000),
            body: body.into(),
            erased: false,
        };
        Row::new(&hit)
    }

    #[test]
    fn a_body_that_is_no_event_still_has_a_row() {
        let row = row("\u{1}");
        assert_eq!((row.href.as_str(), row.actor.name.as_str(), row.outcome.class), ("/events/7", "actor", "unknown"));
        assert!(row.object.is_none());
    }

    #[test]
    fn names_that_need_it_are_escaped_in_addresses() {
        let row = row(r#"{"id":"x","actor":{"type":"user","id":"a/b?.json"},"resource":{"type":"x/y","id":"ä#1"}}"#);
        assert_eq!(row.actor.href.as_deref(), Some("/actors/user/a/b%3F.json.html"));
        assert_eq!(row.object.unwrap().href.as_deref(), Some("/objects/x%2Fy/%C3%A4%231"));
    }

    #[test]
    fn a_request_is_shown_by_what_it_asked_for_and_elsewhere_by_its_id() {
        let request = r#""request":{"id":"38ea5b77-75e0-4e14-a1d8","method":"GET","path":"/patients/7/"}"#;
        for (kind, shown) in [("request", "GET /patients/7/"), ("auth", "request 38ea5b77…")] {
            assert_eq!(row(&format!(r#"{{"kind":"{kind}",{request}}}"#)).request.unwrap().shown, shown);
        }
        assert_eq!(row(r#"{"kind":"request","request":{"id":"r-1"}}"#).request.unwrap().shown, "request r-1");
    }

    #[test]
    fn a_look_at_the_trail_says_at_what() {
        let look = |query: &str| row(&format!(r#"{{"action":"audit.read","meta":{{"command":"events","query":"{query}"}}}}"#)).looked_at;
        assert_eq!(look("kind:auth").as_deref(), Some("events: kind:auth"));
        assert_eq!(look("").as_deref(), Some("events"));
        assert_eq!(look(&"x".repeat(200)).unwrap().chars().count(), LOOKED_AT_MAX + 1);
        assert_eq!(row(r#"{"action":"patient.read","meta":{"command":"x"}}"#).looked_at, None);
    }

    #[test]
    fn late_arrival_is_said_and_ordinary_arrival_is_not() {
        assert_eq!(row(r#"{"occurred_at":"1970-01-01T00:00:00.000000Z"}"#).when.skew.as_deref(), Some("60.0 s later"));
        assert_eq!(row(r#"{"occurred_at":"1970-01-01T00:00:59.000000Z"}"#).when.skew, None);
    }

    #[test]
    fn durations_have_the_unit_that_people_would_choose() {
        let shown = [7, 1_500, 25_000, 2_500_000, 600_000_000, 36_000_000_000].map(duration);
        assert_eq!(shown, ["7 µs", "1.5 ms", "25 ms", "2.5 s", "10 min", "10 h"]);
    }
}
