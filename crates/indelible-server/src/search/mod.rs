//! Search: a query becomes pages of records, newest first unless it asks otherwise.
//!
//! A page walks the trail in windows of leaves, from one end. So it costs no count and no sort, pages join without a gap or
//! an overlap while records arrive, and when the time is up, what was found so far is a partial page that the next one
//! continues.

mod check;
mod clock;
mod compile;
mod json;
mod lookup;
#[cfg(test)]
mod model;
mod page;

use std::time::Duration;

use indelible_core::Timestamp;
use indelible_core::query::{Key, Query, Value};

pub(crate) use check::Check;
pub use clock::Clock;
pub(crate) use clock::{shown_in, zone_name};
pub(crate) use json::{Document, Line, Page};
pub(crate) use lookup::{StoredRecord, Wanted, find};
pub use page::Cursor;

use crate::trail::{Reader, TrailError};
use clock::Limits;

/// Records of a page when nobody says how many.
pub const PAGE_RECORDS: usize = 50;
/// Most records of a page.
pub const PAGE_RECORDS_MAX: usize = 1000;
/// Longest time that a page may take.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// What to search for, and how much of it to return.
#[derive(Debug, Clone)]
pub struct SearchRequest {
    /// What to look for.
    pub query: Query,
    /// Most records to return, 1 to [`PAGE_RECORDS_MAX`]; more is cut to that.
    pub limit: usize,
    /// Where the page before ended; the beginning when absent.
    pub cursor: Option<Cursor>,
    /// What relative times and dates refer to.
    pub clock: Clock,
    /// Longest time that the page may take.
    pub deadline: Duration,
}

/// One page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchResult {
    /// The query in its canonical form.
    pub canonical: String,
    /// The times that the query reaches, resolved.
    pub range: TimeRange,
    /// The records, in the order of the query.
    pub rows: Vec<Hit>,
    /// Records in the trail when it was searched.
    pub tree_size: u64,
    /// Where the next page begins; absent when there is none.
    pub next: Option<Cursor>,
    /// Whether the deadline ended the page early. The next page continues where it stopped.
    pub partial: bool,
}

/// The times that a query reaches; an open end is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TimeRange {
    /// The first microsecond.
    pub from: Option<Timestamp>,
    /// The first microsecond that is not within.
    pub before: Option<Timestamp>,
}

/// One record that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Its place in the tree.
    pub leaf_index: u64,
    /// What became of it, as its leaf says.
    pub verdict: String,
    /// When the agent took it in.
    pub received_at: Timestamp,
    /// The body, byte for byte.
    pub body: Vec<u8>,
}

/// Why a search gives no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    /// The trail cannot be read.
    #[error(transparent)]
    Trail(#[from] TrailError),
    /// SQLite refused.
    #[error("search: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The calendar has no such time.
    #[error("a time of the query lies outside the calendar: {0}")]
    Time(#[from] jiff::Error),
    /// A range of times that ends before it begins.
    #[error("`created:{range}` ends before it begins")]
    EmptyRange {
        /// The range as written.
        range: String,
    },
    /// The time was up before anything could be found.
    #[error("the search found nothing within {} s; narrow it, for example with `created:>-24h`", .after.as_secs_f64())]
    Deadline {
        /// The deadline.
        after: Duration,
    },
    /// A text that is not a cursor, or one of a query with the other order.
    #[error("`{cursor}` is not a cursor of this query")]
    Cursor {
        /// The text.
        cursor: String,
    },
    /// A text that names no record.
    #[error("`{text}` is neither an event id nor the number of a leaf")]
    NotAnId {
        /// The text.
        text: String,
    },
    /// The trail has no such record.
    #[error("the trail has no record `{text}`")]
    NotFound {
        /// What was asked for.
        text: String,
    },
    /// The beginning of an id that several records have.
    #[error("several ids begin with `{text}`: {}", .candidates.join(", "))]
    Ambiguous {
        /// What was asked for.
        text: String,
        /// Some of the records.
        candidates: Vec<String>,
    },
    /// A value that the grammar has and search has not.
    #[error("`{value}` cannot be searched")]
    Unsupported {
        /// The value.
        value: String,
    },
}

impl SearchError {
    /// Whether the query is at fault, and not the trail.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Time(_)
                | Self::EmptyRange { .. }
                | Self::Cursor { .. }
                | Self::NotAnId { .. }
                | Self::Ambiguous { .. }
                | Self::Unsupported { .. }
        )
    }
}

/// Finds one page.
///
/// The page is a consistent view: records that arrive meanwhile belong to later pages, or to an earlier one when the newest
/// come first.
///
/// # Errors
/// - [`SearchError::Deadline`]: not even a part was searched in time.
/// - [`SearchError::Cursor`], [`SearchError::EmptyRange`], [`SearchError::Time`]: the request makes no sense.
/// - [`SearchError::Trail`], [`SearchError::Sqlite`]: the trail cannot be read.
pub fn search(reader: &mut Reader, request: &SearchRequest) -> Result<SearchResult, SearchError> {
    let compiled = compile::compile(&request.query, &request.clock)?;
    let range = time_range(&request.query, &request.clock)?;
    let page = page::find(reader.connection_mut(), &compiled, request)?;
    Ok(SearchResult {
        canonical: request.query.to_string(),
        range,
        rows: page.rows,
        tree_size: page.tree_size,
        next: page.next,
        partial: page.partial,
    })
}

/// The times that every match lies within, as far as the query's own `created:` tells.
fn time_range(query: &Query, clock: &Clock) -> Result<TimeRange, SearchError> {
    let mut hull: Option<Limits> = None;
    for value in query.required(Key::Created).unwrap_or_default() {
        if let Value::Created(range) = value {
            let limits = clock.limits(range)?;
            hull = Some(hull.map_or(limits, |hull| hull.hull(limits)));
        }
    }
    Ok(hull.map_or_else(TimeRange::default, |hull| TimeRange {
        from: hull.from.map(Timestamp::from_micros),
        before: hull.before.map(Timestamp::from_micros),
    }))
}
