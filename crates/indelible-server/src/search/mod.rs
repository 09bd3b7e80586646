//! Search: a query becomes pages of records, newest first unless it asks otherwise.
//!
//! A page walks the trail from one end, file by file and run by run. In each run the index says which leaves may satisfy the
//! query (`plan`), and those records are read and tested (`matches`): the index is a hint, the body is the truth. So a page
//! costs no count and no sort, pages join without a gap or an overlap while records arrive, and when the time is up, what was
//! found so far is a partial page that the next one continues.

mod check;
mod clock;
mod count;
mod doubt;
mod figures;
mod hint;
mod histogram;
mod json;
mod lookup;
mod matches;
mod memory;
mod own;
mod page;
mod plan;
mod sweep;
#[cfg(test)]
mod tests;
mod top;
mod walk;

use std::time::Duration;

use indelible_core::Timestamp;
use indelible_core::query::{Key, OPEN_START_DAYS_MAX, Query, Value};

pub(crate) use check::Check;
pub use clock::Clock;
pub(crate) use clock::{shown_in, zone_name};
pub use count::{COUNT_DEADLINE, CountRequest, Counted, total};
pub(crate) use doubt::{Doubt, doubt};
pub(crate) use figures::{CountedDocument, HistogramDocument, TopDocument};
pub use histogram::{BARS_MAX, Bar, Histogram, histogram};
pub(crate) use json::{Document, Line, Page};
pub(crate) use lookup::{StoredRecord, Wanted, find};
pub(crate) use own::{newest_own_records, own_records};
pub use page::Cursor;
pub(crate) use sweep::{Judge, Selector, sweep};
pub use top::{TOP_MAX, Top, top};
pub use walk::Work;

use crate::trail::{Reader, TrailError};
use clock::Limits;
use matches::Matcher;

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
    /// What the page has cost.
    pub work: Work,
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
    /// The body, byte for byte; empty where it was erased.
    pub body: Vec<u8>,
    /// Whether its body was erased.
    pub erased: bool,
}

/// Why a search gives no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    /// The trail cannot be read.
    #[error(transparent)]
    Trail(#[from] TrailError),
    /// A record that was found is not the one that its leaf commits to, so it is not shown.
    #[error("TAMPERED: record {leaf_index} is not shown: {what}; run `indelible verify`")]
    Tampered {
        /// Its leaf index.
        leaf_index: u64,
        /// What differs.
        what: &'static str,
    },
    /// The calendar has no such time.
    #[error("a time of the query lies outside the calendar: {0}")]
    Time(#[from] jiff::Error),
    /// A range of times that ends before it begins.
    #[error("`{range}` ends before it begins")]
    EmptyRange {
        /// Key and range as written.
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
    /// A key whose values are not listed.
    #[error("`{facet}` has no list of values; one of: {}", top::facets().join(", "))]
    Facet {
        /// The key as written.
        facet: String,
    },
    /// Words that are sought by their end, in more texts than can be read.
    #[error(
        "words that begin with `*` are found by reading every text, so the query must have a `created:` of at most {OPEN_START_DAYS_MAX} days"
    )]
    WideRange,
    /// A value that the grammar has and search has not.
    #[error("`{value}` cannot be searched")]
    Unsupported {
        /// The value.
        value: String,
    },
}

impl SearchError {
    /// What to do about it, beyond what the error itself says.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Tampered { leaf_index, .. } => Some(format!(
                "`indelible search -leaf:{leaf_index}` finds the others, `indelible show {leaf_index}` shows what is stored there now"
            )),
            _ => None,
        }
    }

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
                | Self::Facet { .. }
                | Self::WideRange
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
/// - [`SearchError::Tampered`]: a record of the page is not the one that its leaf commits to.
/// - [`SearchError::Trail`]: the trail cannot be read.
pub fn search(reader: &Reader, request: &SearchRequest) -> Result<SearchResult, SearchError> {
    let matcher = Matcher::new(&request.query, &request.clock)?;
    let range = time_range(&request.query, &request.clock)?;
    let page = page::find(reader, &matcher, request)?;
    Ok(SearchResult {
        canonical: request.query.to_string(),
        range,
        rows: page.rows,
        tree_size: reader.tree_size(),
        next: page.next,
        partial: page.partial,
        work: page.work,
    })
}

/// The times that every match lies within, as far as the query's own `created:` tells.
pub(crate) fn time_range(query: &Query, clock: &Clock) -> Result<TimeRange, SearchError> {
    let mut hull: Option<Limits> = None;
    for value in query.required(Key::Created).unwrap_or_default() {
        if let Value::Time(range) = value {
            let limits = clock.limits(range)?;
            hull = Some(hull.map_or(limits, |hull| hull.hull(limits)));
        }
    }
    Ok(hull.map_or_else(TimeRange::default, |hull| TimeRange {
        from: hull.from.map(Timestamp::from_micros),
        before: hull.before.map(Timestamp::from_micros),
    }))
}
