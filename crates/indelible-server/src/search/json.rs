//! Results in JSON, the same in the command and in the API.

use std::borrow::Cow;

use indelible_core::{LeafEntry, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Check, Hit, SearchResult, StoredRecord, Work};

/// One record; the body goes out as it is stored.
#[derive(Debug, Serialize)]
pub(crate) struct Line<'a> {
    leaf: u64,
    verdict: &'a str,
    received_at: String,
    event: Option<Box<RawValue>>,
    /// Whether the body was erased: then there is no event to show.
    #[serde(skip_serializing_if = "is_false")]
    erased: bool,
}

/// One page.
#[derive(Debug, Serialize)]
pub(crate) struct Page<'a, R = Line<'a>> {
    canonical: &'a str,
    range: TimeRange,
    next: Option<String>,
    /// Rows were read and tested, every one.
    approx: bool,
    partial: bool,
    rows: Vec<R>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explain: Option<&'a Work>,
}

#[derive(Debug, Serialize)]
pub(super) struct TimeRange {
    from: Option<String>,
    before: Option<String>,
}

/// One record with its leaf.
#[derive(Debug, Serialize)]
pub(crate) struct Document<'a> {
    #[serde(flatten)]
    line: Line<'a>,
    entry: Option<Entry>,
    salt: String,
    leaf_hash: String,
    /// Nothing where the body was erased.
    body_matches: Option<bool>,
    leaf_hash_matches: bool,
    /// The purge that erased the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    erased_by: Option<ErasedBy<'a>>,
}

#[derive(Debug, Serialize)]
struct ErasedBy<'a> {
    purge: String,
    leaf: u64,
    at: String,
    rules: &'a [String],
}

#[derive(Debug, Serialize)]
struct Entry {
    event: String,
    stream: String,
    stream_index: u64,
    sequence: u64,
    item: u32,
    recorded_at: String,
    received_at: String,
    verdict: &'static str,
    commitment: String,
}

impl<'a> Line<'a> {
    pub(crate) fn new(hit: &'a Hit) -> Self {
        Self {
            leaf: hit.leaf_index,
            verdict: &hit.verdict,
            received_at: hit.received_at.to_string(),
            event: event(&hit.body),
            erased: hit.erased,
        }
    }
}

impl<'a> Page<'a> {
    pub(crate) fn new(result: &'a SearchResult) -> Self {
        Self::with_rows(result, result.rows.iter().map(Line::new).collect())
    }
}

impl<'a, R> Page<'a, R> {
    /// A page that shows its records in a form of its own.
    pub(crate) fn with_rows(result: &'a SearchResult, rows: Vec<R>) -> Self {
        Self {
            canonical: &result.canonical,
            range: TimeRange::new(&result.range),
            next: result.next.map(|next| next.to_string()),
            approx: false,
            partial: result.partial,
            rows,
            explain: None,
        }
    }

    /// Adds what the page has cost.
    pub(crate) fn explained(mut self, work: &'a Work) -> Self {
        self.explain = Some(work);
        self
    }
}

impl TimeRange {
    pub(super) fn new(range: &super::TimeRange) -> Self {
        let text = |time: Option<Timestamp>| time.map(|time| time.to_string());
        Self { from: text(range.from), before: text(range.before) }
    }
}

impl<'a> Document<'a> {
    pub(crate) fn new(record: &'a StoredRecord, check: &Check) -> Self {
        Self {
            line: Line::new(&record.hit),
            entry: check.entry.as_ref().map(Entry::new),
            salt: hexadecimal(&record.salt),
            leaf_hash: hexadecimal(&record.leaf_hash),
            body_matches: (!check.erased).then_some(check.body_matches),
            leaf_hash_matches: check.leaf_hash_matches,
            erased_by: record.purge.as_ref().map(|purge| ErasedBy {
                purge: purge.event.to_string(),
                leaf: purge.leaf_index,
                at: purge.at.to_string(),
                rules: &purge.rules,
            }),
        }
    }
}

impl Entry {
    fn new(entry: &LeafEntry) -> Self {
        Self {
            event: entry.event.to_string(),
            stream: entry.stream.to_string(),
            stream_index: entry.stream_index,
            sequence: entry.sequence,
            item: entry.item,
            recorded_at: entry.recorded_at.to_string(),
            received_at: entry.received_at.to_string(),
            verdict: entry.verdict.as_str(),
            commitment: entry.commitment.to_string(),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// The body as JSON text on one line; nothing when it is not JSON.
fn event(body: &[u8]) -> Option<Box<RawValue>> {
    let text = std::str::from_utf8(body).ok()?;
    // A line break in valid JSON stands between tokens, where a space means the same.
    let text = if text.contains(['\n', '\r']) { Cow::Owned(text.replace(['\n', '\r'], " ")) } else { Cow::Borrowed(text) };
    RawValue::from_string(text.into_owned()).ok()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_goes_out_as_it_is_stored() {
        let body = br#"{"n":12345678901234567890.10,"z":1,"a":"\u00e9"}"#;
        assert_eq!(event(body).unwrap().get().as_bytes(), body);
    }

    #[test]
    fn a_body_with_line_breaks_stays_on_one_line() {
        let line = event(b"{\n\"a\": 1.50}\n").unwrap();
        assert_eq!(line.get(), r#"{ "a": 1.50}"#);
        assert!(event(b"{").is_none());
    }
}
