//! `/objects/TYPE/ID`: all that happened to one resource, as a line of time, by request.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, Query as Parameters, State};
use axum::response::Response;
use indelible_core::query::{Condition, Key, Order, Pattern, Query, Value};
use minijinja::context;
use serde::{Deserialize, Serialize};

use super::super::Api;
use super::super::error::Problem;
use super::diff::{Change, changes};
use super::events::answer;
use super::finding::looked_up;
use super::formats::{Format, nameable};
use super::query_bar::{asking, href};
use super::row::{Row, part};
use super::sessions::Visitor;
use super::templates::{data, frame, render};
use crate::cli::Body;
use crate::search::Hit;

/// What can stand behind the `?`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    pub(super) cursor: Option<String>,
}

/// Answers the timeline of one resource.
pub(super) async fn page(
    State(api): State<Arc<Api>>,
    Extension(visitor): Extension<Visitor>,
    Path((r#type, name)): Path<(String, String)>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Response, Problem> {
    let (id, format) = Format::of_name(&name);
    let query = about(&r#type, id);
    let found = looked_up(&api, &visitor, "object", &format!("{type}/{id}"), &query, asked.cursor).await?;
    if format != Format::Html {
        return answer(&found, format);
    }
    let groups = grouped(&found.result.rows);
    let here = format!("/objects/{}/{}", part(&r#type), nameable(id));
    let link = |cursor: &Option<String>| cursor.as_ref().map(|cursor| format!("{here}?cursor={cursor}"));
    let label = found.result.rows.iter().find_map(|hit| Body::parse(&hit.body).resource?.label);
    let mut actors: Vec<_> = groups.iter().flat_map(|group| &group.moments).map(|moment| moment.row.actor.clone()).collect();
    actors.dedup();
    actors.sort_by(|one, other| one.name.cmp(&other.name));
    actors.dedup();
    let page = context! {
        frame => frame(&api, &format!("{type}/{id}"), "events"),
        type => r#type,
        id,
        label,
        actors => data(actors),
        count => found.result.rows.len(),
        groups => data(groups),
        partial => found.result.partial,
        before => link(&found.before),
        after => link(&found.after),
        events => href(&query),
        json => format!("{}.json", here.strip_suffix(".html").unwrap_or(&here)),
    };
    Ok(render("object.html", page))
}

fn about(r#type: &str, id: &str) -> Query {
    let value = Value::Resource { resource_type: r#type.to_owned(), id: Pattern::Exact(id.to_owned()) };
    Query { condition: Some(Condition::Term(asking(Key::Resource, value))), order: Order::NewestFirst }
}

/// Records beside each other that one request caused, or one record that none did.
#[derive(Debug, Serialize)]
struct Group {
    request: Option<super::row::Named>,
    moments: Vec<Moment>,
}

#[derive(Debug, Serialize)]
struct Moment {
    row: Row,
    changes: Vec<Change>,
}

fn grouped(hits: &[Hit]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for hit in hits {
        let body = Body::parse(&hit.body);
        let moment = Moment { row: Row::of(hit, &body), changes: changes(body.changes.as_ref()) };
        let request = moment.row.request.clone();
        let same = |group: &Group| group.request.as_ref().map(|request| &request.name) == request.as_ref().map(|request| &request.name);
        match groups.last_mut() {
            Some(group) if request.is_some() && same(group) => group.moments.push(moment),
            _ => groups.push(Group { request, moments: vec![moment] }),
        }
    }
    groups
}
