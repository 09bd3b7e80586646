//! `answers.json`, as text.

use std::collections::BTreeMap;

use indelible_core::{Origin, StreamId, Timestamp};
use serde::Serialize;

use super::Marked;
use super::streams::StreamAnswer;

#[derive(Serialize)]
struct Document<'a> {
    origin: &'a str,
    streams: BTreeMap<String, &'a StreamAnswer>,
    unresolved: Vec<Unresolved<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more: bool,
}

#[derive(Serialize)]
struct Unresolved<'a> {
    intent: String,
    stream: String,
    sequence: u64,
    alias: &'a str,
    evidence: &'static str,
    ingested_at: String,
    recorded_at: String,
    in_doubt: bool,
}

impl<'a> Unresolved<'a> {
    fn of(marked: &'a Marked) -> Self {
        Self {
            intent: marked.intent.to_string(),
            stream: marked.stream.to_string(),
            sequence: marked.sequence,
            alias: &marked.alias,
            evidence: marked.evidence.as_str(),
            ingested_at: marked.ingested_at.to_string(),
            recorded_at: marked.recorded_at.to_string(),
            in_doubt: marked.in_doubt,
        }
    }
}

/// The file without its first two members, so that two can be compared.
pub(super) fn render(origin: &Origin, streams: &BTreeMap<StreamId, StreamAnswer>, unresolved: &[&Marked], more: bool) -> String {
    let streams = streams.iter().map(|(stream, answer)| (stream.to_string(), answer)).collect();
    let unresolved = unresolved.iter().map(|marked| Unresolved::of(marked)).collect();
    serde_json::to_string(&Document { origin: origin.as_str(), streams, unresolved, more }).expect("texts, numbers and truths are JSON")
}

/// The file, as it was written at this moment.
pub(super) fn dated(content: &str, now: Timestamp) -> String {
    format!("{{\"v\":1,\"written_at\":\"{now}\",{}\n", &content[1..])
}
