//! The pages: what people see of the trail, rendered here and complete without JavaScript.
//!
//! | page | shows |
//! | --- | --- |
//! | `/events?q=` | what a query finds, with a histogram and the most frequent values |
//! | `/events/ID` | one record: sentence, diff, who, where, why, and its proof |
//! | `/events/ID/receipt` | the receipt with which a stranger checks the record without the trail |
//! | `/objects/TYPE/ID` | all that happened to one resource, by request |
//! | `/requests/ID` | one request with all that it caused |
//! | `/actors/TYPE/ID` | what one actor did |
//! | `/health` | the agent, its files and streams, and the last check of the trail |
//! | `/open/TOKEN` | opens a session with a one-time link |
//!
//! Each page has a twin with the same rows behind `.json`, lists also behind `.ndjson` and `.csv`; a name that itself ends so is
//! written with `.html` behind it.
//!
//! Who looks at them came through a one-time link: `indelible link` prints one (`POST /v1/links` with the token of the agent).
//! Every page was recorded as `audit.read` before it leaves. Cookies do not tell the ports of one host apart, so the name of ours
//! holds the port; another server on this host that the browser visits still sees it.

mod actor;
mod assets;
mod checks;
mod diff;
mod event;
mod events;
mod facets;
mod finding;
mod formats;
mod health;
mod histogram;
mod object;
mod open;
mod proof;
mod query_bar;
mod request;
mod row;
mod sentence;
mod sessions;
mod templates;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Redirect, Response};
use axum::routing::{get, post};

use super::Api;
pub(super) use checks::Checks;
pub(crate) use open::{LinkRequest, NewLink};
pub(super) use open::{issue, nothing_here};
pub(crate) use sessions::{Sessions, random_token};

/// Pages load nothing from elsewhere, run no script but our files, and are framed by nobody.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
     form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY)),
    // A query can hold personal data, and stands in the address.
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// The routes of the pages.
pub(super) fn router(api: &Arc<Api>) -> Router<Arc<Api>> {
    Router::new()
        .route("/events", get(events::page))
        .route("/events.json", get(events::other))
        .route("/events.ndjson", get(events::other))
        .route("/events.csv", get(events::other))
        .route("/events/{id}", get(event::page))
        .route("/events/{id}/receipt", get(event::receipt_of))
        .route("/objects/{type}/{*id}", get(object::page))
        .route("/requests/{*id}", get(request::page))
        .route("/actors/{type}/{*id}", get(actor::page))
        .route("/health", get(health::page))
        .route("/health.json", get(health::json))
        .route("/checks", post(checks::start))
        .route("/close", post(open::close))
        .route_layer(middleware::from_fn_with_state(Arc::clone(api), open::guard))
        .route("/", get(|| async { Redirect::to("/events") }))
        // Who only asks whether there is such a page must not use the link up.
        .route("/open/{token}", get(open::open).head(|| async { StatusCode::METHOD_NOT_ALLOWED }))
        .route("/assets/{hash}/{name}", get(assets::get))
        .layer(middleware::from_fn(with_headers))
}

async fn with_headers(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    headed(response)
}

fn headed(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, value);
    }
    response
}
