//! `/events`: what a query finds, with when and what it was for the most part.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query as Parameters, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use indelible_core::query::{Order, Query};
use minijinja::context;
use serde::Deserialize;

use super::super::Api;
use super::super::error::Problem;
use super::super::events::read;
use super::super::reads::Read;
use super::facets::{Facet, facets};
use super::finding::{Found, clock, counting, page as find_page};
use super::formats::{Format, csv, json, ndjson, parameter};
use super::histogram::{Histogram, draw};
use super::query_bar::{DEFAULT, Fault, Parts, section};
use super::row::Row;
use super::sessions::Visitor;
use super::templates::{data, frame, render};
use crate::search::{BARS_MAX, Clock, Page, SearchError, histogram, time_range};
use crate::trail::Reader;

/// What can stand behind the `?`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    q: Option<String>,
    cursor: Option<String>,
}

type AskedOr = Result<Parameters<Asked>, QueryRejection>;

/// Answers the page for people.
pub(super) async fn page(State(api): State<Arc<Api>>, Extension(visitor): Extension<Visitor>, asked: AskedOr) -> Result<Response, Problem> {
    let asked = understood(asked)?;
    let text = asked.q.unwrap_or_else(|| DEFAULT.to_owned());
    let query: Query = match text.parse() {
        Ok(query) => query,
        Err(error) => return Ok(fault_page(&api, &text, &Fault::new(&text, &error))),
    };
    let (cursor, sought) = (asked.cursor, query.clone());
    let seen = match read(&api, move |reader| see(reader, &sought, cursor.as_deref(), &clock())).await? {
        Ok(seen) => seen,
        Err(unanswerable) => return Ok(fault_page(&api, &text, &fault(&text, &query, &unanswerable))),
    };
    record(&api, &visitor, &text, &seen.found).await?;
    Ok(render("events.html", rendered(&api, &text, &query, &seen)))
}

/// Answers the same rows for programs.
pub(super) async fn other(
    State(api): State<Arc<Api>>,
    Extension(visitor): Extension<Visitor>,
    uri: Uri,
    asked: AskedOr,
) -> Result<Response, Problem> {
    let format = Format::of_name(uri.path()).1;
    let asked = understood(asked)?;
    let text = asked.q.unwrap_or_else(|| DEFAULT.to_owned());
    let query: Query = text.parse()?;
    let found = read(&api, move |reader| find_page(reader, &query, asked.cursor.as_deref(), &clock())).await?;
    record(&api, &visitor, &text, &found).await?;
    answer(&found, format)
}

/// The rows of a page in a form for programs.
pub(super) fn answer(found: &Found, format: Format) -> Result<Response, Problem> {
    match format {
        Format::Html | Format::Json => json(&Page::new(&found.result)),
        Format::Ndjson => ndjson(&found.result.rows),
        Format::Csv => Ok(csv(&found.result.rows)),
    }
}

fn understood(asked: AskedOr) -> Result<Asked, Problem> {
    let refused =
        |rejection: QueryRejection| Problem::new(StatusCode::BAD_REQUEST, rejection.body_text()).help("the parameters are q and cursor");
    asked.map(|Parameters(asked)| asked).map_err(refused)
}

async fn record(api: &Arc<Api>, visitor: &Visitor, text: &str, found: &Found) -> Result<(), Problem> {
    let read = Read::by_nobody("events", text, &found.result.canonical).within(&found.result.range).count(found.result.rows.len());
    Ok(api.record(visitor.actor(), &read).await?)
}

/// Everything that the page shows.
struct Seen {
    found: Found,
    histogram: Option<Histogram>,
    facets: Vec<Facet>,
    /// With no match: how many there are without one of the conditions, the most promising first.
    relaxed: Vec<(usize, usize, bool)>,
}

/// `Err` within: the query is at fault, or a record that it finds, which is shown where the query was written.
type Answer = Result<Result<Seen, SearchError>, SearchError>;

fn see(reader: &mut Reader, query: &Query, cursor: Option<&str>, clock: &Clock) -> Answer {
    let found = match find_page(reader, query, cursor, clock) {
        Ok(found) => found,
        Err(error) if error.is_usage() && !matches!(error, SearchError::Cursor { .. }) => return Ok(Err(error)),
        Err(error @ SearchError::Tampered { .. }) => return Ok(Err(error)),
        Err(error) => return Err(error),
    };
    let counting = counting(query, clock);
    let histogram = histogram(reader, &counting, time_range(query, clock)?, BARS_MAX)?;
    let relaxed = if found.result.rows.is_empty() && cursor.is_none() { relaxed(reader, query, clock)? } else { Vec::new() };
    Ok(Ok(Seen { histogram: draw(&histogram, query), facets: facets(reader, &counting, &found.result.rows)?, found, relaxed }))
}

/// For each condition, how many events there are without it.
fn relaxed(reader: &mut Reader, query: &Query, clock: &Clock) -> Result<Vec<(usize, usize, bool)>, SearchError> {
    let parts = Parts::of(query);
    let mut counts = Vec::new();
    for index in 0..parts.count() {
        let found = find_page(reader, &parts.clone().without_part(index).query(), None, clock)?;
        if !found.result.rows.is_empty() {
            counts.push((index, found.result.rows.len(), found.after.is_some()));
        }
    }
    counts.sort_by_key(|(_, count, more)| std::cmp::Reverse((*more, *count)));
    Ok(counts)
}

fn rendered(api: &Arc<Api>, text: &str, query: &Query, seen: &Seen) -> minijinja::Value {
    let parts = Parts::of(query);
    let chips = parts.chips();
    let rows: Vec<Row> = seen.found.result.rows.iter().map(|hit| Row::new(hit).within(&parts)).collect();
    let relaxed: Vec<_> =
        seen.relaxed.iter().map(|(index, count, more)| context! { chip => data(&chips[*index]), count => *count, more => *more }).collect();
    let link = |cursor: &Option<String>| cursor.as_ref().map(|cursor| format!("/events?q={}&cursor={cursor}", parameter(text)));
    let oldest_first = query.order == Order::OldestFirst;
    let turned = Query { order: if oldest_first { Order::NewestFirst } else { Order::OldestFirst }, ..query.clone() };
    context! {
        frame => frame(api, "Events", section(text)),
        query => text,
        fault => (),
        chips => data(chips),
        presets => data(parts.presets()),
        histogram => data(&seen.histogram),
        facets => data(&seen.facets),
        rows => data(rows),
        relaxed,
        partial => seen.found.result.partial,
        tree_size => seen.found.result.tree_size,
        before => link(&seen.found.before),
        after => link(&seen.found.after),
        oldest_first,
        turned => super::query_bar::href(&turned),
        forms => parameter(text),
    }
}

fn fault(text: &str, query: &Query, error: &SearchError) -> Fault {
    match error {
        SearchError::Tampered { leaf_index, .. } => Fault::of_tampered(query, *leaf_index, &error.to_string()),
        _ => Fault::of_search(text, &error.to_string()),
    }
}

fn fault_page(api: &Arc<Api>, text: &str, fault: &Fault) -> Response {
    let parts = Parts::of(&Query::default());
    let page = context! {
        frame => frame(api, "Events", "events"),
        query => text,
        fault => data(fault),
        chips => (),
        presets => data(parts.presets()),
        histogram => (),
        facets => (),
        rows => (),
        relaxed => (),
        partial => false,
        tree_size => 0,
        before => (),
        after => (),
        oldest_first => false,
        turned => "",
        forms => parameter(text),
    };
    let status = if fault.tampered.is_some() { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::BAD_REQUEST };
    (status, render("events.html", page)).into_response()
}
