//! `/actors/TYPE/ID`: what one actor did, newest first.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, Query as Parameters, State};
use axum::response::Response;
use indelible_core::query::{Key, Pattern, Query, Value};
use minijinja::context;

use super::super::Api;
use super::super::error::Problem;
use super::events::answer;
use super::finding::looked_up;
use super::formats::{Format, nameable};
use super::object::Asked;
use super::query_bar::{Parts, href, term};
use super::row::{Row, part};
use super::sessions::Visitor;
use super::templates::{data, frame, render};

/// Answers what an actor did.
pub(super) async fn page(
    State(api): State<Arc<Api>>,
    Extension(visitor): Extension<Visitor>,
    Path((r#type, name)): Path<(String, String)>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Response, Problem> {
    let (id, format) = Format::of_name(&name);
    let query = by(&r#type, id);
    let found = looked_up(&api, &visitor, "actor", &format!("{type}/{id}"), &query, asked.cursor).await?;
    if format != Format::Html {
        return answer(&found, format);
    }
    let rows: Vec<Row> = found.result.rows.iter().map(Row::new).collect();
    let here = format!("/actors/{}/{}", part(&r#type), nameable(id));
    let link = |cursor: &Option<String>| cursor.as_ref().map(|cursor| format!("{here}?cursor={cursor}"));
    let name = rows.first().map_or_else(|| id.to_owned(), |row| row.actor.name.clone());
    let page = context! {
        frame => frame(&api, &name, "events"),
        type => r#type,
        id,
        name,
        rows => data(rows),
        partial => found.result.partial,
        before => link(&found.before),
        after => link(&found.after),
        events => href(&query),
        json => format!("{}.json", here.strip_suffix(".html").unwrap_or(&here)),
    };
    Ok(render("actor.html", page))
}

/// What an actor of this type and id did. A type that the grammar does not know is left out: then the id alone must do.
fn by(r#type: &str, id: &str) -> Query {
    let parts = Parts::of(&Query::default()).toggled(Key::Actor, Value::Text(Pattern::Exact(id.to_owned())));
    match term(&format!("actor.type:{type}")) {
        Some(term) => parts.with_only(term).query(),
        None => parts.query(),
    }
}
