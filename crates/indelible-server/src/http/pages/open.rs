//! Signing in: a one-time link opens a session, and without a session there is only the page that says how to get a link.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use minijinja::context;
use serde::{Deserialize, Serialize};

use super::super::Api;
use super::super::error::Problem;
use super::super::reads::Read;
use super::formats::Format;
use super::headed;
use super::sessions::LINK_LIFETIME;
use super::templates::{frame, render};

/// What `POST /v1/links` takes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkRequest {
    /// Numeric id of the user who will look, as the asking process states it.
    pub(crate) uid: Option<u32>,
}

/// What `POST /v1/links` answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct NewLink {
    /// Where the link leads, without scheme and address.
    pub(crate) path: String,
    /// How long it waits to be opened, in seconds.
    pub(crate) lifetime_seconds: u64,
}

/// Issues a one-time link.
pub(in super::super) async fn issue(
    State(api): State<Arc<Api>>,
    asked: Result<Json<LinkRequest>, JsonRejection>,
) -> Result<Json<NewLink>, Problem> {
    let Json(asked) = asked.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    let token = api.status.sessions().issue(asked.uid, Instant::now()).map_err(no_random)?;
    Ok(Json(NewLink { path: format!("/open/{token}"), lifetime_seconds: LINK_LIFETIME.as_secs() }))
}

/// Opens a session and goes on to the events.
///
/// The page leads on by itself instead of by a redirect: after a link in a mail, a redirect would still be the mail's navigation,
/// to which a browser gives no `SameSite=Strict` cookie.
pub(super) async fn open(State(api): State<Arc<Api>>, Path(token): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let opened = api.status.sessions().open(&token, Instant::now()).map_err(no_random)?;
    let Some((session, visitor)) = opened else {
        return Ok((
            StatusCode::FORBIDDEN,
            render("signin.html", context! { used => true, headline => "This link does not work any more" }),
        )
            .into_response());
    };
    api.record(visitor.actor(), &Read::by_nobody("open", "", "")).await?;
    api.checks.start_if_due(&api, visitor.actor());
    let mut response = render("opened.html", context! {}).into_response();
    response.headers_mut().insert(header::SET_COOKIE, cookie(&headers, &session, None));
    Ok(response)
}

/// Ends the session.
pub(super) async fn close(State(api): State<Arc<Api>>, headers: HeaderMap) -> Response {
    if let Some(token) = session_token(&headers) {
        api.status.sessions().close(token);
    }
    let mut response = Redirect::to("/events").into_response();
    response.headers_mut().insert(header::SET_COOKIE, cookie(&headers, "", Some(0)));
    response
}

/// Lets through who has a session, and says to the others how to get one. Requests that change something must come from our pages.
pub(super) async fn guard(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    let headers = request.headers();
    let Some(visitor) = session_token(headers).and_then(|token| api.status.sessions().visitor(token, Instant::now())) else {
        return no_session(request.uri().path());
    };
    if !request.method().is_safe() && !comes_from_here(headers) {
        return Problem::new(StatusCode::FORBIDDEN, "this can only be asked for by a page of this agent").into_response();
    }
    let is_for_people = Format::of_name(request.uri().path()).1 == Format::Html;
    request.extensions_mut().insert(visitor);
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>().filter(|_| is_for_people) {
        response = problem_page(&api, &problem);
    }
    // What was shown once must be asked for, and so recorded, again.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Answers for a path that leads nowhere: with a page where a browser with a session asks.
pub(in super::super) async fn nothing_here(State(api): State<Arc<Api>>, headers: HeaderMap) -> Response {
    let problem = Problem::new(StatusCode::NOT_FOUND, "there is nothing at this path");
    let wants_a_page =
        headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|accept| accept.contains("text/html"));
    let visitor = session_token(&headers).and_then(|token| api.status.sessions().visitor(token, Instant::now()));
    if wants_a_page && visitor.is_some() { headed(problem_page(&api, &problem)) } else { problem.into_response() }
}

/// What went wrong, for people.
fn problem_page(api: &Api, problem: &Problem) -> Response {
    let title = if problem.status() == StatusCode::NOT_FOUND { "Not found" } else { "This did not work" };
    let page = context! { frame => frame(api, title, "events"), message => problem.sentence(), help => problem.cure() };
    (problem.status(), render("problem.html", page)).into_response()
}

fn no_session(path: &str) -> Response {
    if Format::of_name(path).1 != Format::Html {
        let problem =
            Problem::new(StatusCode::UNAUTHORIZED, "there is no session").help("run `indelible link` and open the link that it prints");
        return problem.into_response();
    }
    let page = render("signin.html", context! { used => false, headline => "Open the trail with a one-time link" });
    (StatusCode::UNAUTHORIZED, page).into_response()
}

/// `SameSite=Strict` keeps other sites out; another port of this host is no other site, but it is another origin.
///
/// Browsers say so in `Sec-Fetch-Site`; `Origin` is `null` on pages without referrer, as ours are.
fn comes_from_here(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin";
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes() == format!("http://{host}").as_bytes())
}

fn cookie_name(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let port = host.rsplit_once(':').map(|(_, port)| port).filter(|port| port.bytes().all(|digit| digit.is_ascii_digit()));
    format!("indelible-{}", port.unwrap_or("80"))
}

fn cookie(headers: &HeaderMap, value: &str, lifetime_seconds: Option<u32>) -> HeaderValue {
    let lifetime = lifetime_seconds.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
    let text = format!("{}={value}; Path=/; HttpOnly; SameSite=Strict{lifetime}", cookie_name(headers));
    HeaderValue::from_str(&text).expect("a name with digits and a token of digits are visible ASCII")
}

fn session_token(headers: &HeaderMap) -> Option<&str> {
    let name = cookie_name(headers);
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies.flat_map(|line| line.split(';')).find_map(|pair| pair.trim().strip_prefix(name.as_str())?.strip_prefix('='))
}

fn no_random(error: getrandom::Error) -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, format!("no random bytes: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn the_cookie_of_another_port_is_not_ours() {
        let headers =
            headers(&[(header::HOST, "127.0.0.1:8420"), (header::COOKIE, "indelible-1=a; x=y; indelible-84200=b; indelible-8420=c")]);
        assert_eq!(session_token(&headers), Some("c"));
    }

    #[test]
    fn only_a_page_of_this_port_may_post() {
        let from = |origin| comes_from_here(&headers(&[(header::HOST, "127.0.0.1:8420"), (header::ORIGIN, origin)]));
        assert!(from("http://127.0.0.1:8420"));
        let fetched = |site: &'static str| {
            let mut headers = headers(&[(header::HOST, "127.0.0.1:8420"), (header::ORIGIN, "null")]);
            headers.insert("sec-fetch-site", HeaderValue::from_static(site));
            comes_from_here(&headers)
        };
        assert!(fetched("same-origin") && !fetched("same-site") && !fetched("cross-site") && !fetched("none"));
        assert!(!from("http://127.0.0.1:8421") && !from("null") && !comes_from_here(&headers(&[(header::HOST, "127.0.0.1:8420")])));
    }
}
