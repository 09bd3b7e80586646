//! `GET /v1/events` and `GET /v1/events/{id}`: searching over HTTP.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use indelible_core::{Actor, ActorType};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::Api;
use super::error::Problem;
use super::reads::Read;
use crate::search::{Check, Clock, DEADLINE, Document, PAGE_RECORDS, Page, SearchError, SearchRequest, Wanted, find, search};
use crate::trail::Reader;

/// Searches that run at the same time; the others wait.
pub(super) const SEARCHES_AT_ONCE: usize = 4;

/// What can stand behind the `?`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    #[serde(default)]
    q: String,
    cursor: Option<String>,
    limit: Option<usize>,
}

/// Answers one page. Dates in the query are those of UTC.
pub(super) async fn page(State(api): State<Arc<Api>>, parameters: Result<Query<Parameters>, QueryRejection>) -> Result<Response, Problem> {
    let Query(parameters) = parameters
        .map_err(|rejection| Problem::new(StatusCode::BAD_REQUEST, rejection.body_text()).help("the parameters are q, cursor and limit"))?;
    let request = SearchRequest {
        query: parameters.q.parse()?,
        limit: parameters.limit.unwrap_or(PAGE_RECORDS),
        cursor: parameters.cursor.as_deref().map(str::parse).transpose()?,
        clock: Clock { now: jiff::Timestamp::now(), zone: TimeZone::UTC },
        deadline: DEADLINE,
    };
    let result = read(&api, move |reader| search(reader, &request)).await?;
    let read = Read::by_nobody("search", &parameters.q, &result.canonical).within(&result.range).count(result.rows.len());
    api.record(Actor::new(ActorType::Unresolved), &read).await?;
    json(&Page::new(&result))
}

/// Answers one record.
pub(super) async fn one(State(api): State<Arc<Api>>, Path(id): Path<String>) -> Result<Response, Problem> {
    let wanted = Wanted::parse(&id)?;
    let text = id.clone();
    let record = read(&api, move |reader| find(reader, &wanted, &text)).await?;
    let read = Read::by_nobody("show", &id, &record.query()).count(1);
    api.record(Actor::new(ActorType::Unresolved), &read).await?;
    json(&Document::new(&record, &Check::of(&record)))
}

/// Runs a search on a thread that may wait for the disk.
async fn read<T, F>(api: &Api, search: F) -> Result<T, Problem>
where
    T: Send + 'static,
    F: FnOnce(&mut Reader) -> Result<T, SearchError> + Send + 'static,
{
    let _turn = api.searches.acquire().await.map_err(|closed| Problem::new(StatusCode::SERVICE_UNAVAILABLE, closed))?;
    let dir = api.status.dir().clone();
    let searching = tokio::task::spawn_blocking(move || search(&mut Reader::open(&dir)?));
    let found = searching.await.map_err(|panic| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, panic))?;
    Ok(found?)
}

fn json(value: &impl Serialize) -> Result<Response, Problem> {
    let body = serde_json::to_vec(value).map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error))?;
    // What was shown once must be asked for, and so recorded, again.
    Ok(([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], body).into_response())
}
