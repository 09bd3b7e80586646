//! Legal holds: what must not be erased, whatever the rules say. A hold is an event of the trail, and so is its end.

use std::ops::ControlFlow;
use std::time::Duration;

use indelible_core::query::{Query, QueryError};
use indelible_core::{Actor, Outcome, Timestamp};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::RetentionError;
use super::ledger::Ledger;
use super::plan::matches;
use super::record::HOLD;
use crate::ingest::OwnEvent;
use crate::ranges::LeafRanges;
use crate::search::{Clock, SearchError, Selector, sweep};
use crate::trail::Reader;

/// How long listing what a hold keeps may take. It keeps what it has no time to list, too.
const LIST_DEADLINE: Duration = Duration::from_secs(8);
/// The most ranges that a hold lists.
const LISTED_RANGES_MAX: usize = 16_384;

/// A hold that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hold {
    /// Its name.
    pub(crate) name: String,
    /// What it keeps, as a query.
    pub(crate) query: String,
    /// Why.
    pub(crate) reason: String,
    /// What it kept when it was added, as far as that was listed.
    pub(crate) leaves: LeafRanges,
    /// The leaf of its record.
    pub(crate) leaf_index: u64,
    /// When it was added.
    pub(crate) added_at: Timestamp,
}

impl Hold {
    /// What it keeps. Relative times in it mean those of the moment when it was added.
    ///
    /// # Errors
    /// A query that cannot be read any more keeps everything: better that nothing is erased than too much.
    pub(super) fn selector(&self) -> Result<Selector, SearchError> {
        let query: Query = self.query.parse().unwrap_or_default();
        Selector::new(&query, &clock_at(self.added_at))
    }
}

/// Add a hold, or end one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum HoldWord {
    /// From now on, what it matches is kept.
    Add,
    /// From now on, the rules hold again.
    Release,
}

/// What somebody orders about a hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HoldOrder {
    /// What to do.
    pub(crate) command: HoldWord,
    /// Its name.
    pub(crate) name: String,
    /// What it keeps; nothing where it is released.
    #[serde(default)]
    pub(crate) query: String,
    /// Why.
    pub(crate) reason: String,
    /// Numeric id of the user who orders, as the ordering process states it.
    #[serde(default)]
    pub(crate) uid: Option<u32>,
}

/// A clock that stands, for queries that are resolved more than once.
pub(super) fn clock_at(at: Timestamp) -> Clock {
    let now = jiff::Timestamp::from_microsecond(at.micros()).unwrap_or_default();
    Clock { now, zone: TimeZone::UTC }
}

/// The event that carries an order out, once it is recorded. A hold lists what it keeps of the trail as it is, so that `verify` can tell
/// when one of these was erased all the same.
///
/// # Errors
/// - [`RetentionError::HoldExists`], [`RetentionError::NoHold`]: it is in force already, or is not.
/// - [`RetentionError::Search`]: the trail cannot be read, or the query makes no sense now.
pub(crate) fn hold_event(reader: &Reader, order: &HoldOrder, actor: Actor, now: Timestamp) -> Result<OwnEvent, RetentionError> {
    let ledger = Ledger::read(reader)?;
    let exists = ledger.hold(&order.name).is_some();
    let event = OwnEvent::new(HOLD, Outcome::Success).by(actor).about("hold", &order.name).because(&order.reason);
    match order.command {
        HoldWord::Add if exists => Err(RetentionError::HoldExists(order.name.clone())),
        HoldWord::Release if !exists => Err(RetentionError::NoHold(order.name.clone())),
        HoldWord::Release => Ok(event.meta(|meta| {
            meta.string("command", "release");
            meta.string("name", &order.name);
        })),
        HoldWord::Add => {
            let query: Query = order.query.parse().map_err(|error: QueryError| SearchError::Unsupported { value: error.to_string() })?;
            let (leaves, complete) = listed(reader, &Selector::new(&query, &clock_at(now))?)?;
            let text = leaves.to_string();
            Ok(event.quoting(text.len()).meta(|meta| {
                meta.string("command", "add");
                meta.string("name", &order.name);
                meta.string("query", &query.to_string());
                meta.integer("count", leaves.len());
                meta.string("listed", if complete { "all" } else { "some" });
                meta.string("leaves", &text);
            }))
        }
    }
}

/// What matches and has a body, and whether that is all of it.
fn listed(reader: &Reader, selector: &Selector) -> Result<(LeafRanges, bool), SearchError> {
    let mut leaves = LeafRanges::default();
    let mut is_full = false;
    let in_time = sweep(reader, &(0..reader.tree_size()), std::iter::once(selector), Some(LIST_DEADLINE), |judge, leaf| {
        if leaf.is_erased() || !matches(judge, selector, &leaf)? {
            return Ok(ControlFlow::Continue(()));
        }
        is_full = leaves.ranges().len() >= LISTED_RANGES_MAX;
        if is_full {
            return Ok(ControlFlow::Break(()));
        }
        leaves.push(leaf.leaf_index);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok((leaves, in_time && !is_full))
}
