//! What every request must pass: it is meant for this host, it ends, and who sees records may read the data directory.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use sha2::{Digest as _, Sha256};

use super::Api;
use super::error::Problem;
use crate::search::DEADLINE as SEARCH_DEADLINE;

/// Time for everything beside the search itself: reading the request, recording that it was made.
const ALLOWANCE: Duration = Duration::from_secs(5);
/// Time for a request, once its head has arrived.
pub(super) const REQUEST_DEADLINE: Duration = SEARCH_DEADLINE.saturating_add(ALLOWANCE);

/// Refuses requests for another host.
///
/// A page on the web can make a name of its own resolve to 127.0.0.1 and would then read answers as its own (DNS
/// rebinding); its requests still carry that name. They carry one name: of two, or of one in the target and another in the
/// header, a proxy in between may have looked at the other.
pub(super) async fn host(request: Request, next: Next) -> Response {
    let mut hosts = request.headers().get_all(header::HOST).iter().map(|host| host.to_str().is_ok_and(is_loopback));
    let target_is_here = request.uri().authority().is_none_or(|authority| is_loopback(authority.as_str()));
    match (hosts.next(), hosts.next()) {
        (Some(true), None) if target_is_here => next.run(request).await,
        _ => Problem::new(StatusCode::FORBIDDEN, "this agent answers only to 127.0.0.1, [::1] and localhost").into_response(),
    }
}

/// Refuses requests without the token of this agent, which stands in `agent.json`: any user of this host can reach the port, and
/// only who may read the data directory may read the trail.
pub(super) async fn token(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let sent = request.headers().get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    // Digests are compared: how long that takes says nothing about the token.
    if sent.is_some_and(|token| Sha256::digest(token) == Sha256::digest(api.status.token())) {
        return next.run(request).await;
    }
    let problem = Problem::new(StatusCode::UNAUTHORIZED, "this needs the token of the agent")
        .help("send `Authorization: Bearer TOKEN` with the token in DATA_DIR/agent.json");
    ([(header::WWW_AUTHENTICATE, "Bearer")], problem).into_response()
}

/// Ends a request that takes too long.
pub(super) async fn deadline(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_DEADLINE, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(StatusCode::GATEWAY_TIMEOUT, "the request took too long").into_response(),
    }
}

/// Whether the value of a `Host` header, with or without a port, names this host.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_host_pass() {
        for good in ["127.0.0.1", "127.0.0.1:8420", "localhost:1", "LOCALHOST", "[::1]:8420", "[::1]"] {
            assert!(is_loopback(good), "{good}");
        }
        for bad in
            ["", "evil.example", "evil.example:8420", "127.0.0.1.evil.example", "localhost.evil.example:80", "10.0.0.1:8420", "127.0.0.1:x"]
        {
            assert!(!is_loopback(bad), "{bad}");
        }
    }
}
