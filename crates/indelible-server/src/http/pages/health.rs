//! `/health`: whether the agent keeps up, what lies on disk, and when the trail was checked last.

use std::fs;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use indelible_core::Timestamp;
use minijinja::context;
use serde::Serialize;

use super::super::Api;
use super::super::condition::Condition;
use super::super::error::Problem;
use super::super::reads::Read;
use super::checks::{Badge, grouped};
use super::row::When;
use super::sessions::Visitor;
use super::templates::{data, frame, render};
use super::{formats, row};
use crate::data_dir::DataDir;
use crate::sink::Health as SinkHealth;

/// Everything that the page says.
#[derive(Debug, Serialize)]
struct Health {
    state: &'static str,
    version: &'static str,
    problem: Option<String>,
    tree_size: u64,
    lag_seconds: f64,
    live_streams: i64,
    journal_segments: i64,
    unresolved_intents: i64,
    unresolved_age_seconds: f64,
    unanswered_intents: i64,
    unanswered_age_seconds: f64,
    files: Vec<File>,
    sinks: Vec<SinkHealth>,
    check: Badge,
}

/// One file of the trail.
#[derive(Debug, Serialize, PartialEq)]
struct File {
    name: String,
    state: &'static str,
    first_index: Option<u64>,
    bytes: u64,
    changed_at: String,
    #[serde(skip)]
    changed: Option<i64>,
}

pub(super) async fn page(State(api): State<Arc<Api>>, Extension(visitor): Extension<Visitor>) -> Result<Response, Problem> {
    let health = health(&api, &visitor).await?;
    let files: Vec<_> = health
        .files
        .iter()
        .map(|file| {
            context! {
                name => &file.name,
                state => file.state,
                first => file.first_index.map(grouped),
                bytes => bytes(file.bytes),
                changed => data(When::at(Timestamp::from_micros(file.changed.unwrap_or_default()))),
            }
        })
        .collect();
    let page = context! {
        frame => frame(&api, "Health", "health"),
        lag => row::duration((health.lag_seconds.max(0.0) * 1e6) as u64),
        records => grouped(health.tree_size),
        unresolved_age => row::duration((health.unresolved_age_seconds.max(0.0) * 1e6) as u64),
        unanswered_age => row::duration((health.unanswered_age_seconds.max(0.0) * 1e6) as u64),
        data_dir => api.status.dir().root().display().to_string(),
        files,
        health => data(health),
    };
    Ok(render("health.html", page))
}

pub(super) async fn json(State(api): State<Arc<Api>>, Extension(visitor): Extension<Visitor>) -> Result<Response, Problem> {
    formats::json(&health(&api, &visitor).await?)
}

async fn health(api: &Arc<Api>, visitor: &Visitor) -> Result<Health, Problem> {
    api.record(visitor.actor(), &Read::by_nobody("health", "", "")).await?;
    let dir = api.status.dir().clone();
    let files = tokio::task::spawn_blocking(move || files(&dir)).await;
    let files = files.map_err(|panic| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, panic))?;
    let metrics = api.status.metrics();
    let condition = Condition::of(api);
    Ok(Health {
        state: condition.state,
        version: env!("CARGO_PKG_VERSION"),
        problem: condition.problem,
        tree_size: u64::try_from(metrics.tree_size()).unwrap_or(0),
        lag_seconds: metrics.lag_seconds(),
        live_streams: metrics.live_streams(),
        journal_segments: metrics.journal_segments(),
        unresolved_intents: metrics.unresolved_intents(),
        unresolved_age_seconds: metrics.unresolved_age_seconds(),
        unanswered_intents: metrics.unanswered_intents(),
        unanswered_age_seconds: metrics.unanswered_age_seconds(),
        files,
        sinks: condition.sinks,
        check: api.checks.badge(),
    })
}

/// The files of the trail, newest first, as they lie there; what cannot be looked at is left out.
fn files(dir: &DataDir) -> Vec<File> {
    let entries = fs::read_dir(dir.trail()).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries.filter_map(|entry| file(dir, &entry)).collect();
    files.sort_by(|one, other| other.name.cmp(&one.name));
    // The one with the highest number is written; of the others those with a seal are sealed.
    if let Some(newest) = files.first_mut() {
        newest.state = "open";
    }
    files
}

fn file(dir: &DataDir, entry: &fs::DirEntry) -> Option<File> {
    let name = entry.file_name().into_string().ok()?;
    let stem = name.strip_suffix(".trail")?;
    let metadata = entry.metadata().ok()?;
    let is_sealed = dir.trail().join(format!("{stem}.seal")).exists();
    let changed = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .and_then(|since| i64::try_from(since.as_micros()).ok());
    Some(File {
        state: if is_sealed { "sealed" } else { "closed" },
        first_index: stem.parse().ok(),
        bytes: metadata.len(),
        changed_at: changed.map_or_else(String::new, |micros| Timestamp::from_micros(micros).to_string()),
        changed,
        name,
    })
}

/// A size for people.
fn bytes(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        10_000_000..10_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_open_sealed_or_closed_by_what_lies_there() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::new(folder.path());
        fs::create_dir(dir.trail()).unwrap();
        for name in
            ["000000000000.trail", "000000000000.seal", "000000000300.trail", "000000000600.trail", "000000000600.trail-wal", "checkpoint"]
        {
            fs::write(dir.trail().join(name), name).unwrap();
        }
        let found: Vec<_> = files(&dir).into_iter().map(|file| (file.first_index, file.state)).collect();
        assert_eq!(found, [(Some(600), "open"), (Some(300), "closed"), (Some(0), "sealed")]);
    }
}
