//! `GET /v1/events`, `/v1/events/{id}`, `/v1/histogram` and `/v1/top`: searching and counting over HTTP.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use indelible_core::Timestamp;
use indelible_core::query::Moment;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::Api;
use super::error::Problem;
use super::reads::{Read, reader};
use crate::search::{
    COUNT_DEADLINE, Check, Clock, CountRequest, DEADLINE, Document, HistogramDocument, PAGE_RECORDS, Page, SearchError, SearchRequest,
    TopDocument, Wanted, find, histogram, search, time_range, top,
};
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
    /// Whether to tell what the search has cost.
    #[serde(default)]
    explain: bool,
}

/// What can stand behind the `?` of a histogram.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HistogramParameters {
    #[serde(default)]
    q: String,
    from: Option<String>,
    to: Option<String>,
    bars: Option<usize>,
}

/// What can stand behind the `?` of the most frequent values.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TopParameters {
    #[serde(default)]
    q: String,
    facet: String,
    n: Option<usize>,
}

/// Bars of a histogram when nobody says how many.
const BARS: usize = 60;
/// Most frequent values when nobody says how many.
const TOP: usize = 10;

/// Answers one page. Dates in the query are those of UTC.
pub(super) async fn page(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    parameters: Result<Query<Parameters>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(parameters) = parameters.map_err(|rejection| {
        Problem::new(StatusCode::BAD_REQUEST, rejection.body_text()).help("the parameters are q, cursor, limit and explain")
    })?;
    let request = SearchRequest {
        query: parameters.q.parse()?,
        limit: parameters.limit.unwrap_or(PAGE_RECORDS),
        cursor: parameters.cursor.as_deref().map(str::parse).transpose()?,
        clock: Clock { now: jiff::Timestamp::now(), zone: TimeZone::UTC },
        deadline: DEADLINE,
    };
    let result = read(&api, move |reader| search(reader, &request)).await?;
    let read = Read::by_nobody("search", &parameters.q, &result.canonical).within(&result.range).count(result.rows.len());
    api.record(reader(&headers), &read).await?;
    let page = Page::new(&result);
    json(&if parameters.explain { page.explained(&result.work) } else { page })
}

/// Answers how many matches happened when. `from` and `to` are times as in `created:`; without them, those of the query.
pub(super) async fn bars(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    parameters: Result<Query<HistogramParameters>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(parameters) = parameters.map_err(|rejection| {
        Problem::new(StatusCode::BAD_REQUEST, rejection.body_text()).help("the parameters are q, from, to and bars")
    })?;
    let request = counting(&parameters.q)?;
    let mut within = time_range(&request.query, &request.clock)?;
    if let Some(from) = &parameters.from {
        within.from = Some(moment(&request.clock, from)?.0);
    }
    if let Some(to) = &parameters.to {
        within.before = Some(moment(&request.clock, to)?.1);
    }
    let bars = parameters.bars.unwrap_or(BARS);
    let result = read(&api, move |reader| histogram(reader, &request, within, bars)).await?;
    let read = Read::by_nobody("histogram", &parameters.q, &result.counted.canonical).within(&result.counted.range);
    api.record(reader(&headers), &read).await?;
    json(&HistogramDocument::new(&result))
}

/// Answers the most frequent values of a key among the matches.
pub(super) async fn values(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    parameters: Result<Query<TopParameters>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(parameters) = parameters
        .map_err(|rejection| Problem::new(StatusCode::BAD_REQUEST, rejection.body_text()).help("the parameters are q, facet and n"))?;
    let request = counting(&parameters.q)?;
    let (facet, most) = (parameters.facet.clone(), parameters.n.unwrap_or(TOP));
    let result = read(&api, move |reader| top(reader, &request, &facet, most)).await?;
    let read = Read::by_nobody("top", &parameters.q, &result.counted.canonical).within(&result.counted.range).count(result.values.len());
    api.record(reader(&headers), &read).await?;
    json(&TopDocument::new(&result, &parameters.facet))
}

fn counting(query: &str) -> Result<CountRequest, Problem> {
    let clock = Clock { now: jiff::Timestamp::now(), zone: TimeZone::UTC };
    Ok(CountRequest { query: query.parse()?, clock, deadline: COUNT_DEADLINE })
}

/// The first microsecond of a time, and the first one behind it.
fn moment(clock: &Clock, text: &str) -> Result<(Timestamp, Timestamp), Problem> {
    let unknown = || Problem::new(StatusCode::BAD_REQUEST, format!("`{text}` is not a time")).help("write it as in `created:`");
    let span = clock.resolve(Moment::parse(text).ok_or_else(unknown)?).map_err(SearchError::from)?;
    Ok((Timestamp::from_micros(span.start), Timestamp::from_micros(span.end)))
}

/// Answers one record.
pub(super) async fn one(State(api): State<Arc<Api>>, headers: HeaderMap, Path(id): Path<String>) -> Result<Response, Problem> {
    let wanted = Wanted::parse(&id)?;
    let text = id.clone();
    let record = read(&api, move |reader| find(reader, &wanted, &text)).await?;
    let read = Read::by_nobody("show", &id, &record.query()).count(1);
    api.record(reader(&headers), &read).await?;
    json(&Document::new(&record, &Check::of(&record)))
}

/// Runs a search on a thread that may wait for the disk.
pub(super) async fn read<T, F>(api: &Api, search: F) -> Result<T, Problem>
where
    T: Send + 'static,
    F: FnOnce(&mut Reader) -> Result<T, SearchError> + Send + 'static,
{
    let _turn = api.searches.acquire().await.map_err(|closed| Problem::new(StatusCode::SERVICE_UNAVAILABLE, closed))?;
    let dir = api.status.dir().clone();
    let kept = Arc::clone(&api.kept);
    let searching = tokio::task::spawn_blocking(move || search(&mut Reader::open_with(&dir, &kept)?));
    let found = searching.await.map_err(|panic| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, panic))?;
    Ok(found?)
}

fn json(value: &impl Serialize) -> Result<Response, Problem> {
    let body = serde_json::to_vec(value).map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error))?;
    // What was shown once must be asked for, and so recorded, again.
    Ok(([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], body).into_response())
}
