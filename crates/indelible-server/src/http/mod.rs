//! What the agent answers on loopback: its health, its metrics, searches, and that the trail was read.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /healthz` | 200 while the agent ingests, 503 with the reason while it cannot; JSON |
//! | `GET /metrics` | OpenMetrics 1.0 |
//! | `GET /v1/events?q=&cursor=&limit=&explain=` | one page of records; JSON |
//! | `GET /v1/events/{id}` | one record with its leaf; JSON |
//! | `GET /v1/histogram?q=&from=&to=&bars=` | how many matches happened when, by outcome; JSON |
//! | `GET /v1/top?q=&facet=&n=` | the most frequent values of a key among the matches; JSON |
//! | `POST /v1/reads` | 204 when the reading is recorded |
//! | `GET /v1/sinks` | how every sink is; JSON |
//! | `GET /v1/sinks/{name}/dead` | its dead letters; JSON |
//! | `POST /v1/sinks/{name}/{command}` | what was done: `test`, `pause`, `resume`, `replay`, `replay-dead`, `discard-dead`; JSON |
//! | `POST /v1/retention/run` | 202 when a run has begun; JSON |
//! | `GET /v1/retention/run` | how far it has come; JSON |
//! | `POST /v1/retention/holds` | 204 when a hold was added or released |
//! | `POST /v1/links` | a one-time link for a browser; JSON |
//! | `GET /v1/collector` | what the collector lends, and what it refused; JSON |
//! | `… /v1/outbox/{service}…` | outboxes of other hosts, with a token of their own, see [`collector`] |
//!
//! Beside that it answers pages for people, see [`pages`].
//!
//! What is under `/v1` is for those who know the token in `agent.json` (`Authorization: Bearer TOKEN`), the others get 401.
//! Every answer that shows records was recorded as `audit.read` before it leaves. Errors are `{"error":…,"help":…}`.

mod collector;
mod condition;
mod connections;
mod error;
mod events;
mod guard;
mod pages;
mod reads;
mod retention;
mod sinks;
mod turns;

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use serde::Serialize;

use crate::agent::Status;
use crate::collector::Collector;
use crate::sink::Health as SinkHealth;
use crate::trail::SealedFiles;
use condition::Condition;
pub(crate) use connections::answer;
pub(crate) use pages::{LinkRequest, NewLink, Sessions, random_token};
use reads::Sittings;
pub(crate) use reads::{Read, stated_by};
pub(crate) use sinks::Order as SinkOrder;

/// Content type of OpenMetrics 1.0, which Prometheus asks for and understands.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Longest body of a request.
const BODY_BYTES_MAX: usize = 32 * 1024;

/// What every route can reach.
#[derive(Debug)]
struct Api {
    status: Arc<Status>,
    sittings: Sittings,
    searches: tokio::sync::Semaphore,
    checks: Arc<pages::Checks>,
    kept: Arc<SealedFiles>,
    collector: Arc<Collector>,
    turns: turns::Turns,
    /// What names this collector in databases.
    journal: String,
}

/// The routes of the agent. `journal` names its collector in the databases of other hosts.
pub(crate) fn router(status: Arc<Status>, collector: Collector, journal: String) -> Router {
    let api = Api {
        status,
        sittings: Sittings::default(),
        searches: tokio::sync::Semaphore::new(events::SEARCHES_AT_ONCE),
        checks: Arc::default(),
        kept: Arc::default(),
        turns: turns::Turns::new(&collector.services()),
        collector: Arc::new(collector),
        journal,
    };
    let api = Arc::new(api);
    Router::new()
        .route("/v1/events", get(events::page))
        .route("/v1/events/{id}", get(events::one))
        .route("/v1/histogram", get(events::bars))
        .route("/v1/top", get(events::values))
        .route("/v1/reads", post(reads::post))
        .route("/v1/sinks", get(sinks::list))
        .route("/v1/sinks/{name}/dead", get(sinks::dead))
        .route("/v1/sinks/{name}/{command}", post(sinks::command))
        .route("/v1/retention/run", get(retention::progress).post(retention::run))
        .route("/v1/retention/holds", post(retention::hold))
        .route("/v1/links", post(pages::issue))
        .route("/v1/collector", get(collector::health))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&api), guard::token))
        .merge(pages::router(&api))
        .route("/v1/outbox/{service}/answers", get(collector::answers))
        .route("/v1/outbox/{service}/answers/{stream}", get(collector::answers))
        .route("/v1/outbox/{service}/streams", post(collector::lend))
        .route("/v1/outbox/{service}/streams/{stream}", get(collector::has_folder).post(collector::receive).delete(collector::end))
        .route("/healthz", get(health))
        .route("/metrics", get(metrics))
        .fallback(pages::nothing_here)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(guard::deadline))
        .layer(middleware::from_fn(guard::host))
        .with_state(api)
}

#[derive(Serialize)]
struct Health {
    state: &'static str,
    version: &'static str,
    tree_size: i64,
    lag_seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    sinks: Vec<SinkHealth>,
}

async fn health(State(api): State<Arc<Api>>) -> impl IntoResponse {
    let condition = Condition::of(&api);
    let status = if condition.is_failing() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let metrics = api.status.metrics();
    let health = Health {
        state: condition.state,
        version: env!("CARGO_PKG_VERSION"),
        tree_size: metrics.tree_size(),
        lag_seconds: metrics.lag_seconds(),
        problem: condition.problem,
        sinks: condition.sinks,
    };
    (status, Json(health))
}

async fn metrics(State(api): State<Arc<Api>>) -> impl IntoResponse {
    api.status.metrics().sinks().observe(&sinks::health(&api));
    api.status.metrics().collector().observe(&api.collector.health(Instant::now()));
    ([(header::CONTENT_TYPE, OPEN_METRICS)], api.status.metrics().render())
}
