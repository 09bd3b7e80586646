//! Calls to other services: HTTP (J5), whose two halves are text as Python shows a dict, and SFTP (J6).

use std::fmt::Write as _;

use indelible_core::ObjectWriter;
use serde_json::Value;

use super::super::body::{Body, Request, text_of};
use super::{error_text, execution_time, extra, head, request_id, user};
use crate::sink::Record;

/// A call over HTTP.
pub(in super::super) fn http(record: &Record, body: &Body<'_>, out: &mut String) {
    let none = Request::default();
    let request = body.request.as_ref().unwrap_or(&none);
    let server = body.resource.as_ref().and_then(|resource| resource.id.as_deref()).unwrap_or_default();
    let endpoint = format!("{server}{}", text_of(request.path).unwrap_or_default());
    let raw =
        |value: Option<&serde_json::value::RawValue>| value.and_then(|value| serde_json::from_str(value.get()).ok()).unwrap_or(Value::Null);
    let asked = [
        ("endpoint", Value::from(endpoint)),
        ("method", request.method.as_deref().map_or(Value::Null, Value::from)),
        ("headers", raw(request.headers)),
        ("body", raw(request.body)),
    ];
    let answered = [("status_code", request.status.map_or(Value::Null, Value::from)), ("body", raw(request.response))];
    let protocol = if server.starts_with("https:") { "https" } else { "http" };
    let mut line = begin(body, protocol, out);
    line.string("request_repr", &shown(&asked));
    line.string("response_repr", &shown(&answered));
    end(line, record, body);
}

/// A call over SFTP.
pub(in super::super) fn sftp(record: &Record, body: &Body<'_>, out: &mut String) {
    let meta = body.meta();
    let text = |name: &str| text_of(meta.get(name).copied()).unwrap_or_default();
    let host = body.resource.as_ref().and_then(|resource| text_of(resource.label)).unwrap_or_default();
    let mut line = begin(body, "sftp", out);
    let mut request = ObjectWriter::begin(line.member("request_repr"));
    request.string("host", &host);
    request.string("operation", super::last_part(&body.action));
    request.string("remote_path", &text("remote_path"));
    request.string("filename", &text("filename"));
    request.end();
    let mut response = ObjectWriter::begin(line.member("response_repr"));
    response.string("message", &body.outcome);
    response.end();
    end(line, record, body);
}

fn begin<'a>(body: &Body<'_>, protocol: &str, out: &'a mut String) -> ObjectWriter<'a> {
    let mut line = ObjectWriter::begin(out);
    head(&mut line, body, "API", "audit.request", "Audit External Service", "api");
    line.string("service_name", &body.source.service);
    line.string("request_type", "external");
    line.string("protocol", protocol);
    request_id(&mut line, body);
    user(&mut line, body);
    line
}

fn end(mut line: ObjectWriter<'_>, record: &Record, body: &Body<'_>) {
    line.string("error_message", &error_text(body).unwrap_or_default());
    execution_time(&mut line, body);
    extra(line.member("extra"), record, body, &[]);
    line.end();
}

/// A dict as Python shows it.
fn shown(members: &[(&str, Value)]) -> String {
    let mut out = String::from("{");
    for (place, (name, value)) in members.iter().enumerate() {
        out.push_str(if place == 0 { "" } else { ", " });
        push_text(name, &mut out);
        out.push_str(": ");
        push(value, &mut out);
    }
    out.push('}');
    out
}

fn push(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        // Writing to a String cannot fail.
        Value::Number(number) => drop(write!(out, "{number}")),
        Value::String(text) => push_text(text, out),
        Value::Array(values) => {
            out.push('[');
            for (place, value) in values.iter().enumerate() {
                out.push_str(if place == 0 { "" } else { ", " });
                push(value, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            let members: Vec<_> = members.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
            out.push_str(&shown(&members));
        }
    }
}

/// Python prefers single quotes and takes double ones where the text has only single ones.
fn push_text(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            other if other == quote => out.extend(['\\', quote]),
            other if other.is_control() => drop(write!(out, "\\x{:02x}", u32::from(other))),
            other => out.push(other),
        }
    }
    out.push(quote);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_look_as_python_shows_them() {
        let members = [("a", json!([null, true, false, 1.5, "it's", "\"", "both ' and \"", "line\n\u{1}"])), ("b", json!({"c": {}}))];
        assert_eq!(shown(&members), r#"{'a': [None, True, False, 1.5, "it's", '"', 'both \' and "', 'line\n\x01'], 'b': {'c': {}}}"#);
    }
}
