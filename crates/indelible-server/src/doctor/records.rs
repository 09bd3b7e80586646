//! What the trail itself says went wrong of late: gaps, damage and losses.

use std::time::Duration;

use indelible_core::query::Query;
use serde::Deserialize;

use super::journals::quarantined;
use super::{Check, command};
use crate::data_dir::DataDir;
use crate::search::{Clock, PAGE_RECORDS_MAX, SearchRequest, search};
use crate::trail::Reader;

pub(super) const IDS: &[&str] = &["record.missing", "record.torn", "record.corrupt", "record.lost"];

/// How far back, in the words of the grammar.
const REACH: &str = "-7d";
const DEADLINE: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
struct Counts {
    missing: usize,
    torn: usize,
    corrupt: usize,
    lost: u64,
}

#[derive(Debug, Deserialize)]
struct Body {
    action: String,
    #[serde(default)]
    meta: Meta,
}

#[derive(Debug, Default, Deserialize)]
struct Meta {
    #[serde(default)]
    cause: String,
    #[serde(default)]
    count: u64,
}

pub(super) fn checks(dir: &DataDir, reader: Option<&mut Reader>) -> Vec<Check> {
    let quarantined = quarantined(dir);
    let counts = match reader.map(count) {
        Some(Ok(counts)) => counts,
        failed => {
            let why = failed.and_then(Result::err).unwrap_or_else(|| "the trail cannot be read".to_owned());
            return IDS.iter().map(|id| Check::skipped(id, why.clone())).collect();
        }
    };
    let look = |query: &str| command(dir, &format!("search '{query} created:>{REACH}'"));
    let gap = |id, count, what: &str| match count {
        0 => Check::ok(id, "none in seven days"),
        _ => Check::warn(id, format!("{count} in seven days: {what}"), look("action:audit.gap")),
    };
    let corrupt = match counts.corrupt.max(quarantined) {
        0 => Check::ok("record.corrupt", "none in seven days, and the quarantine is empty"),
        _ => {
            let finding = format!("{} in seven days, {quarantined} in {}: check the disk", counts.corrupt, dir.quarantine().display());
            Check::warn("record.corrupt", finding, look("action:audit.gap"))
        }
    };
    let lost = match counts.lost {
        0 => Check::ok("record.lost", "none in seven days"),
        lost => Check::warn("record.lost", format!("applications could not record {lost} events in seven days"), look("action:audit.loss")),
    };
    vec![
        gap("record.missing", counts.missing, "journal segments were deleted before they were taken in"),
        gap("record.torn", counts.torn, "a process or the machine ended in the middle of a write"),
        corrupt,
        lost,
    ]
}

fn count(reader: &mut Reader) -> Result<Counts, String> {
    let query: Query = format!("action:audit.gap,audit.loss created:>{REACH}").parse().expect("the grammar has these words");
    let request = SearchRequest { query, limit: PAGE_RECORDS_MAX, cursor: None, clock: Clock::system(), deadline: DEADLINE };
    let result = search(reader, &request).map_err(|error| error.to_string())?;
    let mut counts = Counts::default();
    for body in result.rows.iter().filter_map(|row| serde_json::from_slice::<Body>(&row.body).ok()) {
        match (body.action.as_str(), body.meta.cause.as_str()) {
            ("audit.loss", _) => counts.lost = counts.lost.saturating_add(body.meta.count),
            (_, "torn_tail") => counts.torn += 1,
            (_, "corrupt_record") => counts.corrupt += 1,
            _ => counts.missing += 1,
        }
    }
    Ok(counts)
}
