//! Reading the trail is an event in the trail.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderMap, StatusCode};
use indelible_core::query::{Key, QUERY_BYTES_MAX, Query, Value};
use indelible_core::{Actor, ActorType, Kind, Outcome};
use serde::{Deserialize, Serialize};

use super::Api;
use super::error::Problem;
use crate::agent::NotRecorded;
use crate::ingest::OwnEvent;
use crate::search::TimeRange;

/// A reader who has not looked at audit events for so long sits down anew.
const SITTING: Duration = Duration::from_secs(15 * 60);
/// Longest text of a reading beside its query, in bytes.
const WORD_BYTES_MAX: usize = 32;
/// Most readers that are remembered.
const READERS_MAX: usize = 1024;

/// One reading of the trail, as `POST /v1/reads` takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Read {
    /// The subcommand or route.
    command: String,
    /// The query as written.
    query: String,
    /// Its canonical form.
    canonical: String,
    /// The times that the query reached, resolved, in RFC 3339; an open end is absent.
    from: Option<String>,
    /// The end of those times, which is not within.
    before: Option<String>,
    /// Records shown; absent where that is not known beforehand.
    count: Option<u64>,
    /// What verification found, where that was the command.
    result: Option<String>,
    /// Numeric id of the user who reads, as the reading process states it.
    uid: Option<u32>,
}

impl Read {
    /// A reading by the user of this process.
    pub(crate) fn of_this_user(command: &str, query: &str, canonical: &str) -> Self {
        Self { uid: Some(rustix::process::getuid().as_raw()), ..Self::by_nobody(command, query, canonical) }
    }

    /// A reading by whoever sent a request.
    pub(super) fn by_nobody(command: &str, query: &str, canonical: &str) -> Self {
        let [command, query, canonical] = [command, query, canonical].map(str::to_owned);
        Self { command, query, canonical, from: None, before: None, count: None, result: None, uid: None }
    }

    /// Adds the times that the query reached.
    pub(crate) fn within(mut self, range: &TimeRange) -> Self {
        self.from = range.from.map(|time| time.to_string());
        self.before = range.before.map(|time| time.to_string());
        self
    }

    /// Adds how many records are shown.
    pub(crate) fn count(mut self, count: usize) -> Self {
        self.count = u64::try_from(count).ok();
        self
    }

    /// A verification by the user of this process, and what it found.
    pub(crate) fn of_a_verification(result: &str) -> Self {
        Self { result: Some(result.to_owned()), ..Self::of_this_user("verify", "", "") }
    }

    /// A verification by whoever sent a request, and what it found.
    pub(super) fn of_a_check(result: &str) -> Self {
        Self { result: Some(result.to_owned()), ..Self::by_nobody("verify", "", "") }
    }

    fn is_too_long(&self) -> bool {
        // A canonical form can be longer than what was written: times are written out, and values quoted.
        let longer = |text: &Option<String>, bytes| text.as_ref().is_some_and(|text| text.len() > bytes);
        let words = self.command.len() > WORD_BYTES_MAX
            || longer(&self.from, WORD_BYTES_MAX)
            || longer(&self.before, WORD_BYTES_MAX)
            || longer(&self.result, WORD_BYTES_MAX);
        words || self.query.len() > QUERY_BYTES_MAX || self.canonical.len() > 2 * QUERY_BYTES_MAX
    }

    /// Whether nothing but audit events were looked for.
    fn is_about_audit(&self) -> bool {
        let only_audit = |query: Query| query.required(Key::Kind) == Some(&[Value::Choice(Kind::Audit.as_str())]);
        self.canonical.parse().is_ok_and(only_audit)
    }

    fn event(&self, actor: Actor) -> OwnEvent {
        let action = if self.result.is_some() { "audit.verify" } else { "audit.read" };
        OwnEvent::new(action, Outcome::Success).by(actor).meta(|meta| {
            meta.string("command", &self.command);
            meta.string("query", &self.query);
            meta.string("canonical", &self.canonical);
            meta.optional("from", self.from.as_deref());
            meta.optional("before", self.before.as_deref());
            if let Some(count) = self.count {
                meta.integer("count", count);
            }
            meta.optional("result", self.result.as_deref());
        })
    }
}

/// Who has looked at audit events lately.
///
/// Each look at them would otherwise add one more, without end, to what the next look shows.
#[derive(Debug, Default)]
pub(super) struct Sittings {
    last: Mutex<HashMap<String, Instant>>,
}

impl Sittings {
    /// Whether this look begins a sitting; the sitting goes on with every look.
    fn begins(&self, reader: String, now: Instant) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.retain(|_, at| now.duration_since(*at) < SITTING);
        if last.len() >= READERS_MAX && !last.contains_key(&reader) {
            // Recording once too often is the safe side.
            return true;
        }
        last.insert(reader, now).is_none()
    }

    fn forget(&self, reader: &str) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).remove(reader);
    }
}

impl Api {
    /// Records a reading; on return it is under a signed checkpoint. Looking at audit events alone is recorded once in a sitting.
    ///
    /// # Errors
    /// [`NotRecorded`]: what was read must not be shown.
    pub(super) async fn record(&self, actor: Actor, read: &Read) -> Result<(), NotRecorded> {
        if !read.is_about_audit() {
            return self.status.record(read.event(actor)).await;
        }
        let reader = actor.id.clone().unwrap_or_default();
        if !self.sittings.begins(reader.clone(), Instant::now()) {
            return Ok(());
        }
        let recorded = self.status.record(read.event(actor)).await;
        if recorded.is_err() {
            self.sittings.forget(&reader);
        }
        recorded
    }
}

/// Records a reading that a process on this host did by itself, from the files.
pub(super) async fn post(State(api): State<Arc<Api>>, read: Result<Json<Read>, JsonRejection>) -> Result<StatusCode, Problem> {
    let Json(read) = read.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    if read.is_too_long() {
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the query is too long"));
    }
    api.record(stated_by(read.uid), &read).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The user whom the reading process names. Nothing proves it, and `auth` says so.
pub(crate) fn stated_by(uid: Option<u32>) -> Actor {
    match uid {
        None => Actor::new(ActorType::Unresolved),
        Some(uid) => {
            let mut actor = Actor::new(ActorType::User);
            actor.id = Some(format!("uid:{uid}"));
            actor.auth = Some("stated".to_owned());
            actor
        }
    }
}

/// Names the person for whom an application asks.
const READER: &str = "indelible-reader";
/// Longest name of a reader, in bytes.
const READER_BYTES_MAX: usize = 200;

/// The reader whom the asking application names, in printable ASCII. Nothing proves it, and `auth` says so.
pub(super) fn reader(headers: &HeaderMap) -> Actor {
    let named = headers.get(READER).and_then(|name| name.to_str().ok()).filter(|name| !name.is_empty() && name.len() <= READER_BYTES_MAX);
    let Some(name) = named else { return Actor::new(ActorType::Unresolved) };
    let mut actor = Actor::new(ActorType::User);
    actor.id = Some(name.to_owned());
    actor.auth = Some("stated".to_owned());
    actor
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_is_who_the_header_names_and_else_nobody() {
        let of = |value: &str| reader(&[(axum::http::HeaderName::from_static(READER), value.parse().unwrap())].into_iter().collect());
        let named = of("7");
        assert_eq!((named.r#type, named.id.as_deref(), named.auth.as_deref()), (ActorType::User, Some("7"), Some("stated")));
        for nobody in [reader(&HeaderMap::new()), of(""), of(&"x".repeat(201))] {
            assert_eq!((nobody.r#type, nobody.id), (ActorType::Unresolved, None));
        }
    }

    #[test]
    fn only_a_search_for_nothing_but_audit_events_is_about_audit() {
        let about = |query: &str| Read::by_nobody("search", query, query).is_about_audit();
        assert!(about("kind:audit") && about("action:audit.read kind:audit"));
        assert!(!about("") && !about("kind:audit,read") && !about("kind:audit OR actor:ana") && !about("id:01*"));
    }

    #[test]
    fn a_sitting_lasts_while_its_reader_keeps_looking() {
        let sittings = Sittings::default();
        let start = Instant::now();
        let after = |minutes: u64| start + Duration::from_secs(60 * minutes);
        let begins: Vec<_> = [0, 10, 20, 36].map(|minute| sittings.begins("uid:1".into(), after(minute))).into();
        assert_eq!(begins, [true, false, false, true]);
        assert!(sittings.begins("uid:2".into(), after(36)), "another reader sits alone");
    }
}
