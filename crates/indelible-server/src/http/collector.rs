//! `/v1/outbox/{service}`: what drainers of other hosts ask (docs/format.md, "Outbox over HTTP"). The token is that of their service, in
//! `config.toml`; the one in `agent.json` is none, and theirs opens nothing else.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use indelible_core::StreamId;
use serde::Serialize;
use serde_json::value::RawValue;

use super::Api;
use super::error::Problem;
use crate::collector::{Collector, Refusal, SILENCE_MAX, Told};

/// Longest body of one request: a row has at most one frame.
const ROWS_BYTES_MAX: usize = (64 << 20) + 1024;
/// Requests with rows at the same time.
pub(super) const RECEIVED_AT_ONCE: usize = 2;

/// The service in the path of a request that shows a token of it.
#[derive(Debug)]
pub(super) struct Sender {
    service: String,
    stream: Option<StreamId>,
}

impl Sender {
    fn stream(&self) -> Result<StreamId, Problem> {
        self.stream.ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, "the last part of the path is no stream"))
    }
}

impl FromRequestParts<Arc<Api>> for Sender {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Response> {
        let path = Path::<HashMap<String, String>>::from_request_parts(parts, api).await;
        let Path(mut path) = path.map_err(IntoResponse::into_response)?;
        let service = path.remove("service").unwrap_or_default();
        let token = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        if !token.is_some_and(|token| api.collector.permits(&service, token)) {
            let problem = Problem::new(StatusCode::UNAUTHORIZED, "this needs a token for the outbox of this service")
                .help("name its SHA-256 in a [[collector]] of DATA_DIR/config.toml and start the agent again");
            return Err(([(header::WWW_AUTHENTICATE, "Bearer")], problem).into_response());
        }
        Ok(Self { service, stream: path.remove("stream").and_then(|text| text.parse().ok()) })
    }
}

/// A stream for one drainer.
#[derive(Debug, Serialize)]
struct Lent<'a> {
    stream: String,
    sequence: u64,
    /// As in [`Answers`]: of which collector this stream is.
    journal: &'a str,
}

/// What the agent says of the streams of a service.
#[derive(Debug, Serialize)]
struct Answers<'a> {
    /// Names this collector in databases.
    journal: &'a str,
    answers: Option<&'a RawValue>,
}

/// Lends a stream, and takes it back when nobody speaks for it any more.
pub(super) async fn lend(sender: Sender, State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    let first = work(&api, move |collector| collector.lend(&sender.service, Instant::now())).await?;
    let watching = Arc::clone(&api.collector);
    tokio::spawn(async move {
        while watching.goes_on(first.stream, Instant::now()) {
            tokio::time::sleep(SILENCE_MAX).await;
        }
    });
    let lent = Lent { stream: first.stream.to_string(), sequence: first.sequence, journal: &api.journal };
    Ok((StatusCode::CREATED, Json(lent)).into_response())
}

/// Writes rows into a stream; 204 when all of them are in the journal.
pub(super) async fn receive(sender: Sender, State(api): State<Arc<Api>>, request: Request) -> Result<Response, Problem> {
    let stream = sender.stream()?;
    let turn = Arc::clone(&api.receiving).acquire_owned().await.map_err(|closed| Problem::new(StatusCode::SERVICE_UNAVAILABLE, closed))?;
    let body = axum::body::to_bytes(request.into_body(), ROWS_BYTES_MAX).await;
    let body = body.map_err(|error| {
        let problem = Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the rows did not come whole: {error}"));
        problem.help("a request has at most 64 MiB")
    })?;
    let received = work(&api, move |collector| {
        // Until it is done, also where nobody waits for it any more.
        let _turn = turn;
        collector.receive(&sender.service, stream, &body, Instant::now())
    });
    received.await.map(|()| StatusCode::NO_CONTENT.into_response())
}

/// Takes a stream back.
pub(super) async fn end(sender: Sender, State(api): State<Arc<Api>>) -> Result<StatusCode, Problem> {
    api.collector.take_back(&sender.service, sender.stream()?);
    Ok(StatusCode::NO_CONTENT)
}

/// 204 while the stream has a folder among the journals, 404 when it has none.
pub(super) async fn look(sender: Sender, State(api): State<Arc<Api>>) -> Result<StatusCode, Problem> {
    let stream = sender.stream()?;
    match work(&api, move |collector| Ok(collector.has_folder(&sender.service, stream))).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::new(StatusCode::NOT_FOUND, "this stream has no folder here")),
    }
}

/// What the agent says of the streams of a service. With a stream in the path its drainer is heard, or told that it has ended.
pub(super) async fn answers(sender: Sender, State(api): State<Arc<Api>>, headers: HeaderMap) -> Result<Response, Problem> {
    let seen = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let told = work(&api, move |collector| {
        if let Some(stream) = sender.stream {
            collector.hear(&sender.service, stream, Instant::now())?;
        }
        collector.told(&sender.service, seen.as_deref())
    });
    let (text, version) = match told.await? {
        Told::Same => return Ok(StatusCode::NOT_MODIFIED.into_response()),
        Told::File(text, version) => (text, version),
        Told::Nothing => (b"null".to_vec(), String::new()),
    };
    let damaged = |error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the answers of this agent: {error}"));
    let answers: Option<&RawValue> = serde_json::from_slice(&text).map_err(damaged)?;
    let body = serde_json::to_vec(&Answers { journal: &api.journal, answers }).map_err(damaged)?;
    let mut response = ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], body).into_response();
    if let Ok(version) = version.parse() {
        response.headers_mut().insert(header::ETAG, version);
    }
    Ok(response)
}

/// Does what may wait for the disk on a thread of its own.
async fn work<T: Send + 'static>(api: &Api, work: impl FnOnce(&Collector) -> Result<T, Refusal> + Send + 'static) -> Result<T, Problem> {
    let collector = Arc::clone(&api.collector);
    let done = tokio::task::spawn_blocking(move || work(&collector)).await;
    Ok(done.map_err(|panic| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, panic))??)
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = match &refusal {
            Refusal::Malformed => StatusCode::BAD_REQUEST,
            Refusal::Damaged(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Refusal::Ended => StatusCode::GONE,
            Refusal::Elsewhere => StatusCode::CONFLICT,
            Refusal::Crowded | Refusal::Journal(_) | Refusal::File { .. } => StatusCode::SERVICE_UNAVAILABLE,
        };
        let problem = Self::new(status, &refusal);
        match refusal {
            Refusal::Damaged(row) => problem.row(row),
            Refusal::Journal(_) | Refusal::File { .. } => problem.help("run `indelible doctor` on the host of the collector"),
            _ => problem,
        }
    }
}
