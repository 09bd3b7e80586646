//! The request records of django-gunicorn-audit-logs: a row of its table (J12), and a document of its MongoDB collection (J13).

use indelible_core::ObjectWriter;
use serde_json::value::RawValue;

use super::activity::query;
use super::body::{Body, Request, members, text_of};
use super::members::{nullable, number};
use crate::sink::Record;

/// A row: headers, query and bodies are JSON as text, as its columns hold them.
pub(super) fn row(record: &Record, body: &Body<'_>, out: &mut String) {
    let none = Request::default();
    let request = body.request.as_ref().unwrap_or(&none);
    let mut line = ObjectWriter::begin(out);
    line.string("timestamp", &body.occurred_at);
    line.string("method", request.method.as_deref().unwrap_or_default());
    line.string("path", &text_of(request.path).unwrap_or_default());
    line.string("query_params", &parameters(request));
    line.string("headers", request.headers.map_or("{}", RawValue::get));
    nullable(&mut line, "body", request.body.map(RawValue::get));
    line.string("content_type", &content_type(request));
    number(&mut line, "status_code", request.status.map(u64::from));
    line.string("response_headers", request.response_headers.map_or("{}", RawValue::get));
    nullable(&mut line, "response_body", request.response.map(RawValue::get));
    number(&mut line, "response_time_ms", request.duration_us.map(|micros| micros / 1000));
    nullable(&mut line, "ip_address", text_of(request.client_ip).as_deref());
    nullable(&mut line, "user_id", body.user_id());
    line.string("user_agent", &text_of(request.user_agent).unwrap_or_default());
    nullable(&mut line, "session_id", text_of(body.actor.session).as_deref());
    let mut extra = ObjectWriter::begin(line.member("extra_data"));
    extra.string("event_id", &record.entry.event.to_string());
    extra.optional("request_id", request.id.as_deref());
    if let Some(meta) = body.meta {
        extra.member("meta").push_str(meta.get());
    }
    extra.end();
    line.end();
}

/// A document: the same values as JSON, and a time without zone, which is UTC here.
pub(super) fn document(_: &Record, body: &Body<'_>, out: &mut String) {
    let none = Request::default();
    let request = body.request.as_ref().unwrap_or(&none);
    let mut line = ObjectWriter::begin(out);
    line.string("timestamp", body.occurred_at.trim_end_matches('Z'));
    line.string("method", request.method.as_deref().unwrap_or_default());
    line.string("path", &text_of(request.path).unwrap_or_default());
    line.member("query_params").push_str(&parameters(request));
    line.member("headers").push_str(request.headers.map_or("{}", RawValue::get));
    line.member("body").push_str(request.body.map_or("null", RawValue::get));
    nullable(&mut line, "ip_address", text_of(request.client_ip).as_deref());
    nullable(&mut line, "user_id", body.user_id());
    number(&mut line, "status_code", request.status.map(u64::from));
    line.member("response_headers").push_str(request.response_headers.map_or("{}", RawValue::get));
    line.member("response_body").push_str(request.response.map_or("null", RawValue::get));
    number(&mut line, "response_time_ms", request.duration_us.map(|micros| micros / 1000));
    line.end();
}

fn parameters(request: &Request<'_>) -> String {
    let mut out = String::new();
    query::push(&text_of(request.query).unwrap_or_default(), &mut out);
    out
}

fn content_type(request: &Request<'_>) -> String {
    let headers = members(request.headers);
    let found = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    found.and_then(|(_, value)| text_of(Some(value))).unwrap_or_default()
}
