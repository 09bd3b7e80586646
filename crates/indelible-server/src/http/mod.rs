//! What the agent answers on loopback: its health, its metrics, searches, and that the trail was read.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /healthz` | 200 while the agent ingests, 503 with the reason while it cannot; JSON |
//! | `GET /metrics` | OpenMetrics 1.0 |
//! | `GET /v1/events?q=&cursor=&limit=` | one page of records; JSON |
//! | `GET /v1/events/{id}` | one record with its leaf; JSON |
//! | `POST /v1/reads` | 204 when the reading is recorded |
//!
//! What is under `/v1` is for those who know the token in `agent.json` (`Authorization: Bearer TOKEN`), the others get 401.
//! Every answer that shows records was recorded as `audit.read` before it leaves. Errors are `{"error":…,"help":…}`.

mod connections;
mod error;
mod events;
mod guard;
mod reads;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use serde::Serialize;

use crate::agent::Status;
pub(crate) use connections::answer;
use error::Problem;
pub(crate) use reads::Read;
use reads::Sittings;

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
}

/// The routes of the agent.
pub(crate) fn router(status: Arc<Status>) -> Router {
    let api = Api { status, sittings: Sittings::default(), searches: tokio::sync::Semaphore::new(events::SEARCHES_AT_ONCE) };
    let api = Arc::new(api);
    Router::new()
        .route("/v1/events", get(events::page))
        .route("/v1/events/{id}", get(events::one))
        .route("/v1/reads", post(reads::post))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&api), guard::token))
        .route("/healthz", get(health))
        .route("/metrics", get(metrics))
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "there is nothing at this path") })
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
}

async fn health(State(api): State<Arc<Api>>) -> impl IntoResponse {
    let problem = api.status.trouble();
    let (status, state) = match problem {
        None => (StatusCode::OK, "ok"),
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "failing"),
    };
    let metrics = api.status.metrics();
    let health =
        Health { state, version: env!("CARGO_PKG_VERSION"), tree_size: metrics.tree_size(), lag_seconds: metrics.lag_seconds(), problem };
    (status, Json(health))
}

async fn metrics(State(api): State<Arc<Api>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, OPEN_METRICS)], api.status.metrics().render())
}
