//! `/events/ID`: one record: what happened in a sentence, what changed, who, where and why, and what can be proved of it.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use indelible_core::query::{Key, Pattern, Query, Value as Sought};
use minijinja::context;
use serde::Serialize;
use serde_json::Value;

use super::super::Api;
use super::super::error::Problem;
use super::super::events::read;
use super::super::reads::Read;
use super::diff::{FIELDS_MAX, changes, shown};
use super::formats::{Format, json};
use super::proof::{Evidence, evidence};
use super::query_bar::{Parts, href, term};
use super::row::{Row, When, duration, number, part, text};
use super::sessions::Visitor;
use super::templates::{data, frame, render};
use crate::cli::Body;
use crate::retention::Purge;
use crate::search::{Check, Document, Doubt, StoredRecord, Wanted, doubt, find};
use crate::verify::receipt;

/// Answers one record, for people or for programs.
pub(super) async fn page(
    State(api): State<Arc<Api>>,
    Extension(visitor): Extension<Visitor>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let (id, format) = Format::of_name(&name);
    let (wanted, sought, dir) = (Wanted::parse(id)?, id.to_owned(), api.status.dir().clone());
    let (record, check, evidence, doubt) = read(&api, move |reader| {
        let record = find(reader, &wanted, &sought)?;
        let check = Check::of(&record);
        let evidence = evidence(&dir, reader, record.hit.leaf_index, &check);
        let doubt = doubt(reader, &record)?;
        Ok((record, check, evidence, doubt))
    })
    .await?;
    api.record(visitor.actor(), &Read::by_nobody("event", id, &record.query()).count(1)).await?;
    match format {
        Format::Json => json(&Document::new(&record, &check)),
        _ => Ok(render("event.html", rendered(&api, &record, &check, &evidence, doubt.map(Told::of)))),
    }
}

/// Answers the receipt of one record, which `indelible verify --proof` checks without the trail.
pub(super) async fn receipt_of(
    State(api): State<Arc<Api>>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let (wanted, sought, dir) = (Wanted::parse(&id)?, id.clone(), api.status.dir().clone());
    let (query, receipt) = read(&api, move |reader| {
        let record = find(reader, &wanted, &sought)?;
        Ok((record.query(), receipt(&dir, reader, record.hit.leaf_index)))
    })
    .await?;
    let receipt = receipt.map_err(|error| Problem::new(axum::http::StatusCode::CONFLICT, error))?;
    api.record(visitor.actor(), &Read::by_nobody("receipt", &id, &query).count(1)).await?;
    let disposition = format!("attachment; filename=\"event-{}.tlog-proof\"", receipt.entry.event);
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()), (header::CONTENT_DISPOSITION, disposition)], receipt.to_string())
        .into_response())
}

/// One line of a list of facts.
#[derive(Debug, Serialize)]
struct Fact {
    name: &'static str,
    value: String,
    href: Option<String>,
    mono: bool,
    /// Queries with and without events like this one.
    include: Option<String>,
    exclude: Option<String>,
}

impl Fact {
    fn new(name: &'static str, value: Option<String>) -> Option<Self> {
        Some(Self { name, value: value?, href: None, mono: false, include: None, exclude: None })
    }

    fn mono(self) -> Self {
        Self { mono: true, ..self }
    }

    fn at(self, href: Option<String>) -> Self {
        Self { href, ..self }
    }

    /// Adds queries for events that share this value.
    fn searchable(self, key: Key, value: Option<Sought>) -> Self {
        let Some(value) = value else { return self };
        let parts = Parts::of(&Query::default());
        Self {
            include: Some(href(&parts.clone().toggled(key, value.clone()).query())),
            exclude: Some(href(&parts.excluding(key, value).query())),
            ..self
        }
    }
}

/// What is told of a doubt: a sentence, and a link with which it ends.
#[derive(Debug, Serialize)]
struct Told {
    sentence: &'static str,
    link: &'static str,
    href: Option<String>,
}

impl Told {
    fn of(doubt: Doubt) -> Self {
        match doubt {
            Doubt::Open => Self {
                sentence: "How the transaction of this event ended was not known when it was taken in, and nothing has told it since",
                link: "",
                href: None,
            },
            Doubt::Resolved { by, result } => Self {
                sentence: "How the transaction of this event ended was not known when it was taken in. It was told later:",
                link: match result.as_str() {
                    "committed" => "it was committed",
                    "rolled_back" => "it was rolled back",
                    "nothing_happened" => "it was committed, and this event did not happen",
                    _ => "how it ended",
                },
                href: Some(format!("/events/{by}")),
            },
            Doubt::Resolves { event } => Self {
                sentence: "This record says what became of",
                link: "an event in doubt",
                href: Some(format!("/events/{}", part(&event))),
            },
        }
    }
}

fn rendered(api: &Api, record: &StoredRecord, check: &Check, evidence: &Evidence, told: Option<Told>) -> minijinja::Value {
    let hit = &record.hit;
    let body = Body::of(hit);
    let whole: Value = serde_json::from_slice(&hit.body).unwrap_or_default();
    let row = Row::of(hit, &body);
    let all = changes(body.changes.as_ref());
    let title = format!("{} {}", row.actor.name, row.deed);
    context! {
        frame => frame(api, &title, "events"),
        who => data(who(&row, &whole)),
        where_from => data(where_from(&row, &whole)),
        why => data(why(&whole)),
        times => data(times(hit.received_at.to_string(), &whole)),
        on_behalf => on_behalf(&whole),
        error => whole.get("error").map(pretty),
        notes => whole.get("notes").map(pretty),
        meta => whole.get("meta").map(pretty),
        erased => hit.erased.then(|| record.purge.as_ref().map_or_else(|| "by nothing that the trail names".to_owned(), Purge::sentence)),
        erased_by => record.purge.as_ref().map(|purge| format!("/events/{}", purge.event)),
        told => data(told),
        truncated => whole.get("truncated") == Some(&Value::Bool(true)),
        evidence => data(evidence),
        entry => check.entry.as_ref().map(|entry| context! {
            stream => entry.stream.to_string(),
            stream_index => entry.stream_index,
            sequence => entry.sequence,
            item => entry.item,
            commitment => entry.commitment.to_string(),
        }),
        leaf_hash => hexadecimal(&record.leaf_hash),
        raw => serde_json::from_slice::<Value>(&hit.body).map_or_else(|_| String::from_utf8_lossy(&hit.body).into_owned(), |value| pretty(&value)),
        folded => all.len().saturating_sub(FIELDS_MAX),
        changes => data(all.into_iter().take(FIELDS_MAX).collect::<Vec<_>>()),
        has_changes => body.changes.is_some(),
        neighbours => context! {
            object => row.object.as_ref().and_then(|object| object.href.clone()),
            older => hit.leaf_index.checked_sub(1).map(|leaf| format!("/events/{leaf}")),
            newer => (hit.leaf_index + 1 < u64::try_from(api.status.metrics().tree_size()).unwrap_or(0)).then(|| format!("/events/{}", hit.leaf_index + 1)),
        },
        row => data(row),
    }
}

fn exactly(text: &str) -> Option<Sought> {
    Some(Sought::Text(Pattern::Exact(text.to_owned())))
}

fn facts(facts: impl IntoIterator<Item = Option<Fact>>) -> Vec<Fact> {
    facts.into_iter().flatten().collect()
}

fn who(row: &Row, whole: &Value) -> Vec<Fact> {
    let actor = whole.get("actor");
    let roles = actor.and_then(|actor| actor.get("roles")).and_then(Value::as_array);
    let roles = roles.filter(|roles| !roles.is_empty()).map(|roles| roles.iter().map(shown).collect::<Vec<_>>().join(", "));
    facts([
        Fact::new("Name", Some(row.actor.name.clone()))
            .map(|fact| fact.at(row.actor.href.clone()).searchable(Key::Actor, exactly(&row.actor.name))),
        Fact::new("Account", text(actor, "id")).map(Fact::mono),
        Fact::new("Type", text(actor, "type")).map(|fact| {
            let value = term(&format!("actor.type:{}", fact.value)).and_then(|term| term.values.into_iter().next());
            fact.searchable(Key::ActorType, value)
        }),
        Fact::new("Signed in by", text(actor, "auth")),
        Fact::new("Session", text(actor, "session")).map(Fact::mono),
        Fact::new("Roles", roles),
        Fact::new("Tenant", text(Some(whole), "tenant")),
    ])
}

fn on_behalf(whole: &Value) -> Option<String> {
    let party = whole.get("actor")?.get("on_behalf_of")?;
    text(Some(party), "label").or_else(|| text(Some(party), "id"))
}

fn where_from(row: &Row, whole: &Value) -> Vec<Fact> {
    let (request, source) = (whole.get("request"), whole.get("source"));
    let release = [text(source, "environment"), text(source, "version")].into_iter().flatten().collect::<Vec<_>>().join(" · ");
    let method = text(request, "method").unwrap_or_default();
    let route = text(request, "route").or_else(|| text(request, "path"));
    facts([
        Fact::new("Address", text(request, "client_ip")).map(Fact::mono),
        Fact::new("Browser", text(request, "user_agent")),
        Fact::new("Route", route.map(|route| format!("{method} {route}").trim().to_owned())).map(Fact::mono),
        Fact::new("Status", number(request, "status").map(|status| status.to_string())),
        Fact::new("Duration", number(request, "duration_us").map(duration)),
        Fact::new("Request", row.request.as_ref().map(|request| request.name.clone()))
            .map(|fact| fact.mono().at(row.request.as_ref().map(|request| request.href.clone()))),
        Fact::new("Service", row.service.clone()).map(|fact| {
            let value = exactly(&fact.value);
            fact.searchable(Key::Service, value)
        }),
        Fact::new("Release", Some(release).filter(|release| !release.is_empty())),
        Fact::new("Host", text(source, "host")),
        Fact::new("Process", text(source, "process_kind")),
    ])
}

fn why(whole: &Value) -> Vec<Fact> {
    facts([Fact::new("Reason", text(Some(whole), "reason")), Fact::new("Trace", text(Some(whole), "trace_id")).map(Fact::mono)])
}

/// The three times of a record, each as exactly as it is stored.
fn times(received_at: String, whole: &Value) -> Vec<(&'static str, When, String)> {
    let stated =
        [("Occurred", text(Some(whole), "occurred_at")), ("Recorded", text(Some(whole), "recorded_at")), ("Received", Some(received_at))];
    stated.into_iter().filter_map(|(name, text)| Some((name, When::at(text.as_ref()?.parse().ok()?), text?))).collect()
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
