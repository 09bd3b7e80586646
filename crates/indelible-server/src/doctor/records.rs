//! What the trail itself says went wrong of late: gaps, damage and losses, and where a database and the trail differ.

use std::time::Duration;

use indelible_core::StreamId;
use indelible_core::query::Query;
use serde::Deserialize;

use super::journals::quarantined;
use super::{Check, command};
use crate::data_dir::DataDir;
use crate::search::{Clock, PAGE_RECORDS_MAX, SearchRequest, search};
use crate::trail::Reader;

pub(super) const IDS: &[&str] = &["record.missing", "record.torn", "record.corrupt", "record.lost", "record.database"];

/// How far back, in the words of the grammar.
const REACH: &str = "-7d";
const DEADLINE: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
struct Counts {
    missing: usize,
    torn: usize,
    corrupt: usize,
    lost: u64,
    /// Commits that a database has and the trail has not, as an application has found out.
    unrecorded: usize,
    /// Commits that the trail has and the database has no more.
    vanished: usize,
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
    result: String,
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
    let database = match (counts.unrecorded, counts.vanished) {
        (0, 0) => Check::ok("record.database", "no difference was told in seven days"),
        (unrecorded, vanished) => {
            let finding = format!(
                "{unrecorded} commits of databases in seven days have no record: it was lost with the power of a machine; \
                 {vanished} recorded commits are not in their database any more: it lost them, or a backup was restored"
            );
            Check::warn("record.database", finding, look("action:audit.gap,audit.resolve type:intent"))
        }
    };
    vec![
        gap("record.missing", counts.missing, "journal segments were deleted before they were taken in"),
        gap("record.torn", counts.torn, "a process or the machine ended in the middle of a write"),
        corrupt,
        lost,
        database,
    ]
}

fn count(reader: &mut Reader) -> Result<Counts, String> {
    let query = format!("action:audit.gap,audit.loss,audit.resolve outcome:failure created:>{REACH}");
    let query: Query = query.parse().expect("the grammar has these words");
    let request = SearchRequest { query, limit: PAGE_RECORDS_MAX, cursor: None, clock: Clock::system(), deadline: DEADLINE };
    let result = search(reader, &request).map_err(|error| error.to_string())?;
    let mut counts = Counts::default();
    for row in &result.rows {
        let Ok(body) = serde_json::from_slice::<Body>(&row.body) else { continue };
        let leaf = reader.record(row.leaf_index).map_err(|error| error.to_string())?;
        if leaf.is_some_and(|leaf| leaf.entry.stream == StreamId::AGENT) {
            counts.add_told_by_agent(&body);
        } else {
            counts.add_told_by_application(&body);
        }
    }
    Ok(counts)
}

impl Counts {
    fn add_told_by_agent(&mut self, body: &Body) {
        match (body.action.as_str(), body.meta.cause.as_str()) {
            ("audit.loss", _) => self.lost = self.lost.saturating_add(body.meta.count),
            ("audit.gap", "torn_tail") => self.torn += 1,
            ("audit.gap", "corrupt_record") => self.corrupt += 1,
            ("audit.gap", _) => self.missing += 1,
            _ => {}
        }
    }

    /// Of what applications tell, only what compares a database with the trail: of journals the agent alone can tell.
    fn add_told_by_application(&mut self, body: &Body) {
        match (body.action.as_str(), body.meta.cause.as_str(), body.meta.result.as_str()) {
            ("audit.gap", "marker_without_record", _) => self.unrecorded += 1,
            ("audit.resolve", _, "lost_by_database") => self.vanished += 1,
            _ => {}
        }
    }
}
