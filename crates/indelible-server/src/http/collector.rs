//! `/v1/outbox/{service}`: what drainers of other hosts ask (docs/format.md, "Outbox over HTTP"). The token is that of their service, in
//! `config.toml`; the one in `agent.json` is none, and theirs opens nothing else.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use indelible::Position;
use indelible_core::StreamId;
use serde::Serialize;
use serde_json::value::RawValue;

use super::Api;
use super::error::Problem;
use crate::collector::{Access, Collector, Health, ROWS_BYTES_MAX, Reason, Refusal, SILENCE_MAX, Told};

/// Time for the rows of one request to arrive, from its turn to the last byte.
const ROWS_DEADLINE: Duration = Duration::from_secs(10);
/// When those who find no place may come again, in seconds. What is not in order for some other reason takes longer.
const RETRY_AFTER: u64 = 2;
const RETRY_AFTER_TROUBLE: u64 = 10;
/// When the agent has answered a service that was never here before, in seconds.
const ANSWERED_AFTER: u64 = 1;

/// The service in the path of a request that shows a token of it.
#[derive(Debug)]
pub(super) struct Sender {
    service: String,
    /// All services that the token is for.
    services: Arc<[String]>,
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
        let refusal = match token.map_or(Access::Unknown, |token| api.collector.access(&service, token)) {
            Access::Granted(services) => {
                return Ok(Self { service, services, stream: path.remove("stream").and_then(|text| text.parse().ok()) });
            }
            Access::Elsewhere => Refusal::Elsewhere,
            Access::Unknown => Refusal::Stranger,
        };
        let is_stranger = matches!(refusal, Refusal::Stranger);
        let problem = refused(&api.collector, &service, &refusal);
        Err(if is_stranger { ([(header::WWW_AUTHENTICATE, "Bearer")], problem).into_response() } else { problem.into_response() })
    }
}

/// A stream for one drainer.
#[derive(Debug, Serialize)]
struct NewStream<'a> {
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

/// How the collector is.
pub(super) async fn health(State(api): State<Arc<Api>>) -> Json<Health> {
    Json(api.collector.health(Instant::now()))
}

/// Lends a stream, and takes it back when nobody speaks for it any more.
pub(super) async fn lend(sender: Sender, State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    let lender = Arc::clone(&api.collector);
    let first = work(&api, sender, move |_, sender| lend_and_watch(lender, &sender.service)).await?;
    let lent = NewStream { stream: first.stream.to_string(), sequence: first.sequence, journal: &api.journal };
    Ok((StatusCode::CREATED, Json(lent)).into_response())
}

/// Lends a stream, which is watched from then on: also where whoever asked has gone, and nobody waits for this any more. Waits for the disk.
fn lend_and_watch(collector: Arc<Collector>, service: &str) -> Result<Position, Refusal> {
    let first = collector.lend(service, Instant::now())?;
    tokio::spawn(async move {
        // A stream that ends may wait for the disk.
        let goes_on = || {
            let collector = Arc::clone(&collector);
            tokio::task::spawn_blocking(move || collector.goes_on(first.stream, Instant::now()))
        };
        while let Ok(true) = goes_on().await {
            tokio::time::sleep(SILENCE_MAX).await;
        }
    });
    Ok(first)
}

/// Writes rows into a stream; 204 when all of them are in the journal.
pub(super) async fn receive(sender: Sender, State(api): State<Arc<Api>>, request: Request) -> Result<Response, Problem> {
    let stream = sender.stream()?;
    let refuse = |refusal| refused(&api.collector, &sender.service, &refusal);
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: u64| length > ROWS_BYTES_MAX as u64) {
        return Err(refuse(Refusal::TooLarge));
    }
    let turn = api.turns.turn(&sender.service, length).await.ok_or_else(|| refuse(Refusal::Busy))?;
    let body = rows(request, length).await.map_err(refuse)?;
    let received = work(&api, sender, move |collector, sender| {
        // Until it is done, also where nobody waits for it any more.
        let _turn = turn;
        collector.receive((&sender.service, &sender.services), stream, &body, Instant::now())
    });
    received.await.map(|()| StatusCode::NO_CONTENT.into_response())
}

/// The whole body of a request, within a time that is not one for each of its pieces.
async fn rows(request: Request, length: Option<u64>) -> Result<Bytes, Refusal> {
    let body = axum::body::to_bytes(request.into_body(), ROWS_BYTES_MAX);
    let body = tokio::time::timeout(ROWS_DEADLINE, body).await.map_err(|_| Refusal::Slow(ROWS_DEADLINE.as_secs()))?;
    // One that says its length has been refused already where that is too much.
    body.map_err(|_| if length.is_some() { Refusal::Cut } else { Refusal::TooLarge })
}

/// Takes a stream back.
pub(super) async fn end(sender: Sender, State(api): State<Arc<Api>>) -> Result<StatusCode, Problem> {
    let stream = sender.stream()?;
    work(&api, sender, move |collector, sender| {
        collector.take_back(&sender.service, stream);
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// 204 while the stream has a folder among the journals, 404 when it has none.
pub(super) async fn has_folder(sender: Sender, State(api): State<Arc<Api>>) -> Result<StatusCode, Problem> {
    let stream = sender.stream()?;
    match work(&api, sender, move |collector, sender| Ok(collector.has_folder(&sender.service, stream))).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::new(StatusCode::NOT_FOUND, "this stream has no folder here")),
    }
}

/// What the agent says of the streams of a service. With a stream in the path its drainer is heard, or told that it has ended.
pub(super) async fn answers(sender: Sender, State(api): State<Arc<Api>>, headers: HeaderMap) -> Result<Response, Problem> {
    let seen = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let told = work(&api, sender, move |collector, sender| {
        if let Some(stream) = sender.stream {
            collector.hear(&sender.service, stream, Instant::now())?;
        }
        collector.told(&sender.service, seen.as_deref())
    });
    let (answers, version) = match told.await? {
        Told::Same => return Ok(StatusCode::NOT_MODIFIED.into_response()),
        Told::Answers(answers, version) => (Some(answers), version),
        Told::Nothing => (None, String::new()),
    };
    let answers = answers.map(|answers| RawValue::from_string(answers).expect("it was made of JSON a moment ago"));
    let body = Json(Answers { journal: &api.journal, answers: answers.as_deref() });
    let mut response = ([(header::CACHE_CONTROL, "no-store")], body).into_response();
    if let (Ok(version), Some(_)) = (version.parse(), &answers) {
        response.headers_mut().insert(header::ETAG, version);
    } else {
        response.headers_mut().insert(header::RETRY_AFTER, ANSWERED_AFTER.into());
    }
    Ok(response)
}

/// Does what may wait for the disk on a thread of its own.
async fn work<T: Send + 'static>(
    api: &Api,
    sender: Sender,
    work: impl FnOnce(&Collector, &Sender) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Problem> {
    let (collector, service) = (Arc::clone(&api.collector), sender.service.clone());
    let done = tokio::task::spawn_blocking(move || work(&collector, &sender)).await;
    let done = done.unwrap_or_else(|panic| Err(Refusal::Fault(panic.to_string())));
    done.map_err(|refusal| refused(&api.collector, &service, &refusal))
}

/// The answer to a request that is not carried out, which is counted and logged.
fn refused(collector: &Collector, service: &str, refusal: &Refusal) -> Problem {
    collector.tell(service, refusal, Instant::now());
    let status = match refusal {
        Refusal::Stranger => StatusCode::UNAUTHORIZED,
        Refusal::Elsewhere | Refusal::Foreign { .. } => StatusCode::FORBIDDEN,
        Refusal::Slow(_) => StatusCode::REQUEST_TIMEOUT,
        Refusal::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::Malformed | Refusal::Cut => StatusCode::BAD_REQUEST,
        Refusal::Damaged(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Refusal::Ended => StatusCode::GONE,
        Refusal::Moved => StatusCode::CONFLICT,
        Refusal::Busy | Refusal::CrowdedService | Refusal::Crowded | Refusal::Journal(_) | Refusal::File { .. } => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Refusal::Answers { .. } | Refusal::Fault(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let problem = Problem::new(status, refusal.said());
    match (refusal, refusal.reason()) {
        (Refusal::Damaged(row), _) => problem.row(*row),
        (_, Reason::Token | Reason::Service) => problem
            .help("name its SHA-256 in a [[collector]] of that service in DATA_DIR/config.toml of the collector and start its agent again"),
        (_, Reason::Busy | Reason::Crowded) => {
            problem.help("they make room as they end, or after a minute without a word").retry_after(RETRY_AFTER)
        }
        (_, Reason::Disk) => problem.help("run `indelible doctor` on the host of the collector").retry_after(RETRY_AFTER_TROUBLE),
        _ => problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_dir::DataDir;

    /// It was left to the request that asked: a stream that was lent to nobody stayed until another one was asked for.
    #[test]
    fn a_stream_is_watched_where_nobody_waits_for_it_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let collector = Arc::new(Collector::new(DataDir::new(folder.path()), Vec::new()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let lender = Arc::clone(&collector);
        let asked = runtime.spawn_blocking(move || lend_and_watch(lender, "clinic").unwrap());
        runtime.block_on(asked).unwrap();
        assert_eq!(collector.health(Instant::now()).streams, 1);
        assert_eq!(runtime.metrics().num_alive_tasks(), 1);
    }
}
