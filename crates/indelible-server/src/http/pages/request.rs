//! `/requests/ID`: one request with all that it caused, in the order in which it happened.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, Query as Parameters, State};
use axum::response::Response;
use indelible_core::query::{Condition, Key, Order, Pattern, Query, Value};
use minijinja::context;
use serde::Serialize;

use super::super::Api;
use super::super::error::Problem;
use super::super::events::read;
use super::super::reads::Read;
use super::diff::{Change, changes};
use super::events::answer;
use super::finding::{clock, page as find_page};
use super::formats::{Format, nameable};
use super::object::Asked;
use super::query_bar::{asking, href};
use super::row::{Row, duration};
use super::sessions::Visitor;
use super::templates::{data, frame, render};
use crate::cli::Body;
use crate::search::Hit;

/// Answers one request.
pub(super) async fn page(
    State(api): State<Arc<Api>>,
    Extension(visitor): Extension<Visitor>,
    Path(name): Path<String>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Response, Problem> {
    let (id, format) = Format::of_name(&name);
    let query = of(id);
    let (sought, cursor) = (query.clone(), asked.cursor);
    let found = read(&api, move |reader| find_page(reader, &sought, cursor.as_deref(), &clock())).await?;
    api.record(visitor.actor(), &Read::by_nobody("request", id, &found.result.canonical).count(found.result.rows.len())).await?;
    if format != Format::Html {
        return answer(&found, format);
    }
    let here = format!("/requests/{}", nameable(id));
    let link = |cursor: &Option<String>| cursor.as_ref().map(|cursor| format!("{here}?cursor={cursor}"));
    let (request, caused) = told(&found.result.rows);
    let page = context! {
        frame => frame(&api, &format!("Request {id}"), "events"),
        id,
        request => data(request),
        services => services(&caused),
        count => caused.len(),
        caused => data(caused),
        partial => found.result.partial,
        before => link(&found.before),
        after => link(&found.after),
        events => href(&query),
        json => format!("{}.json", here.strip_suffix(".html").unwrap_or(&here)),
    };
    Ok(render("request.html", page))
}

fn of(id: &str) -> Query {
    let term = asking(Key::Request, Value::Text(Pattern::Exact(id.to_owned())));
    Query { condition: Some(Condition::Term(term)), order: Order::OldestFirst }
}

/// The request itself.
#[derive(Debug, Serialize)]
struct Head {
    row: Row,
    method: Option<String>,
    path: Option<String>,
    address: Option<String>,
}

/// One thing that it caused.
#[derive(Debug, Serialize)]
struct Caused {
    row: Row,
    /// How long after the first of them.
    after: String,
    changes: Vec<Change>,
}

/// Tells the request from what it caused, all by the time when it happened.
fn told(hits: &[Hit]) -> (Option<Head>, Vec<Caused>) {
    let mut parsed: Vec<(Row, Body)> =
        hits.iter().map(|hit| (hit, Body::parse(&hit.body))).map(|(hit, body)| (Row::of(hit, &body), body)).collect();
    parsed.sort_by_key(|(row, _)| row.when.micros);
    let first = parsed.first().map_or(0, |(row, _)| row.when.micros);
    let mut head = None;
    let mut caused = Vec::new();
    for (row, body) in parsed {
        if head.is_none() && body.kind.as_deref() == Some("request") {
            let text = |name| super::row::text(body.request.as_ref(), name);
            head = Some(Head { method: text("method"), path: text("path").or_else(|| text("route")), address: text("client_ip"), row });
        } else {
            let after = format!("+{}", duration(row.when.micros.abs_diff(first)));
            caused.push(Caused { after, changes: changes(body.changes.as_ref()), row });
        }
    }
    (head, caused)
}

/// The services that took part.
fn services(caused: &[Caused]) -> Vec<String> {
    let mut services: Vec<_> = caused.iter().filter_map(|one| one.row.service.clone()).collect();
    services.sort();
    services.dedup();
    services
}
