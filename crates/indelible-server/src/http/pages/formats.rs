//! One page, several forms: for people, for programs, for spreadsheets.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::super::error::Problem;
use crate::cli::csv_text;
use crate::search::{Hit, Line};

/// The form that the end of an address asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Html,
    Json,
    Ndjson,
    Csv,
}

const SUFFIXES: [(&str, Format); 4] =
    [(".html", Format::Html), (".json", Format::Json), (".ndjson", Format::Ndjson), (".csv", Format::Csv)];

impl Format {
    /// Splits the form off the last part of an address. One suffix is taken and no more, so a name that itself ends so stays nameable.
    pub(super) fn of_name(text: &str) -> (&str, Self) {
        let found = SUFFIXES.iter().find_map(|(suffix, format)| Some((text.strip_suffix(suffix)?, *format)));
        found.unwrap_or((text, Self::Html))
    }
}

/// A name as the last part of an address.
pub(super) fn nameable(name: &str) -> String {
    let end = if Format::of_name(name).0 == name { "" } else { ".html" };
    format!("{}{end}", escaped(name))
}

/// A text as part of an address. Slashes stay: they separate parts, which routes put together again.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' | b':' | b'@' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// A text as the value of a parameter.
pub(super) fn parameter(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' | b':' | b',' | b'*' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Answers a value as JSON.
pub(super) fn json(value: &impl Serialize) -> Result<Response, Problem> {
    let body = serde_json::to_vec(value).map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// Answers records, one JSON object a line.
pub(super) fn ndjson(hits: &[Hit]) -> Result<Response, Problem> {
    let mut body = String::new();
    for hit in hits {
        body.push_str(&serde_json::to_string(&Line::new(hit)).map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error))?);
        body.push('\n');
    }
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

/// Answers records for a spreadsheet, in which no cell is a formula.
pub(super) fn csv(hits: &[Hit]) -> Response {
    let disposition = "attachment; filename=\"events.csv\"";
    ([(header::CONTENT_TYPE, "text/csv; charset=utf-8"), (header::CONTENT_DISPOSITION, disposition)], csv_text(hits)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_looks_like_a_form_can_be_named() {
        for name in ["42", "report.json", "report.json.html", "a b/ü?#", ".csv", "x.ndjson"] {
            let address = nameable(name);
            let (left, format) = Format::of_name(&address);
            assert_eq!((left.to_owned(), format), (escaped(name), Format::Html), "{name}");
        }
    }

    #[test]
    fn what_a_parameter_holds_arrives_as_it_was() {
        for text in ["kind:read,change -actor:\"a b\"", "a&b=c+d%#é", "created:>-30d"] {
            let uri: axum::http::Uri = format!("/events?q={}", parameter(text)).parse().unwrap();
            let parsed: axum::extract::Query<std::collections::HashMap<String, String>> = axum::extract::Query::try_from_uri(&uri).unwrap();
            assert_eq!(parsed.0["q"], text);
        }
    }
}
