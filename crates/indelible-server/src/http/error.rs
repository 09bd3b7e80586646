//! Errors of the API: a status, a sentence, and what to do.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use indelible_core::query::QueryError;
use serde::Serialize;

use crate::agent::NotRecorded;
use crate::search::SearchError;

/// Why a request has no other answer.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Problem {
    #[serde(skip)]
    status: StatusCode,
    error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
    /// Where in `q`, in characters from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    /// Which row of an outbox is the first that is not what it has written, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    damaged: Option<usize>,
    /// In how many seconds it may be otherwise.
    #[serde(skip)]
    retry_after: Option<u64>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, error: impl ToString) -> Self {
        Self { status, error: error.to_string(), help: None, column: None, damaged: None, retry_after: None }
    }

    pub(super) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    pub(super) fn row(mut self, damaged: usize) -> Self {
        self.damaged = Some(damaged);
        self
    }

    pub(super) fn help(mut self, help: &str) -> Self {
        self.help = Some(help.to_owned());
        self
    }
}

impl Problem {
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn sentence(&self) -> &str {
        &self.error
    }

    pub(super) fn cure(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(&self)).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        // A page says the same for people.
        response.extensions_mut().insert(self);
        response
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        Self { help: Some(error.help()), column: Some(error.column()), ..Self::new(StatusCode::BAD_REQUEST, error) }
    }
}

impl From<SearchError> for Problem {
    fn from(error: SearchError) -> Self {
        let status = match &error {
            SearchError::NotFound { .. } => StatusCode::NOT_FOUND,
            SearchError::Deadline { .. } => StatusCode::GATEWAY_TIMEOUT,
            error if error.is_usage() => StatusCode::BAD_REQUEST,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { help: error.help(), ..Self::new(status, error) }
    }
}

impl From<NotRecorded> for Problem {
    /// What cannot be recorded is not shown.
    fn from(error: NotRecorded) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error)
    }
}
