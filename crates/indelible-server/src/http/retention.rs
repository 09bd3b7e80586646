//! `/v1/retention`: runs and holds of the agent. Both are events of the trail.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;

use super::Api;
use super::error::Problem;
use crate::clock::now;
use crate::retention::{BATCH_RECORDS_MAX, HoldOrder, Order, Retention, RetentionError, Started};

/// Longest reason, in bytes.
const REASON_BYTES_MAX: usize = 1024;

/// Begins a run. It goes on when whoever ordered it has gone.
pub(super) async fn run(
    State(api): State<Arc<Api>>,
    order: Result<Json<Order>, JsonRejection>,
) -> Result<(StatusCode, Json<Started>), Problem> {
    let Json(order) = order.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    if !(1..=BATCH_RECORDS_MAX).contains(&order.batch) {
        return Err(Problem::new(StatusCode::BAD_REQUEST, format!("a batch has 1 to {BATCH_RECORDS_MAX} events")));
    }
    check_reason(&order.reason)?;
    let retention = retention(&api)?;
    retention.start(Arc::clone(&api.status), order)?;
    Ok((StatusCode::ACCEPTED, Json(retention.told())))
}

/// How far the newest run has come.
pub(super) async fn progress(State(api): State<Arc<Api>>) -> Result<Json<Started>, Problem> {
    Ok(Json(retention(&api)?.told()))
}

/// Adds or ends a hold.
pub(super) async fn hold(State(api): State<Arc<Api>>, order: Result<Json<HoldOrder>, JsonRejection>) -> Result<StatusCode, Problem> {
    let Json(order) = order.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    check_reason(&order.reason)?;
    let (retention, status) = (Arc::clone(retention(&api)?), Arc::clone(&api.status));
    let held = tokio::task::spawn_blocking(move || retention.hold(&status, &order, now())).await;
    held.map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error))??;
    Ok(StatusCode::NO_CONTENT)
}

fn check_reason(reason: &str) -> Result<(), Problem> {
    if reason.len() <= REASON_BYTES_MAX {
        return Ok(());
    }
    Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("a reason has at most {REASON_BYTES_MAX} bytes")))
}

fn retention(api: &Api) -> Result<&Arc<Retention>, Problem> {
    api.status.retention().ok_or_else(|| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the agent is starting"))
}

impl From<RetentionError> for Problem {
    fn from(error: RetentionError) -> Self {
        match error {
            RetentionError::Search(error) => error.into(),
            RetentionError::NoHold(_) => Self::new(StatusCode::NOT_FOUND, error),
            RetentionError::HoldExists(_) | RetentionError::Running | RetentionError::ConfigChanged => {
                Self::new(StatusCode::CONFLICT, error)
            }
            error => Self::new(StatusCode::SERVICE_UNAVAILABLE, error),
        }
    }
}
