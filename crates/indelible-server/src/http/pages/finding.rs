//! What pages ask of search: one page in either direction, and counts over all matches.

use std::sync::Arc;
use std::time::Duration;

use indelible_core::query::{Order, Query};
use jiff::tz::TimeZone;

use super::super::Api;
use super::super::error::Problem;
use super::super::events::read;
use super::super::reads::Read;
use super::sessions::Visitor;
use crate::search::{Clock, CountRequest, Cursor, Hit, SearchError, SearchRequest, SearchResult, search};
use crate::trail::Reader;

/// Records of a page.
pub(super) const PAGE_ROWS: usize = 50;
/// Longest time that the rows of a page may take.
const PAGE_DEADLINE: Duration = Duration::from_secs(5);
/// Longest time that one of the counts of a page may take. What was counted by then is shown as that.
const COUNT_DEADLINE: Duration = Duration::from_millis(400);

/// The clock of pages: days begin in UTC, since the address of a page must mean the same to everybody.
pub(super) fn clock() -> Clock {
    Clock { now: jiff::Timestamp::now(), zone: TimeZone::UTC }
}

/// One page, and the addresses of its neighbours.
pub(super) struct Found {
    pub(super) result: SearchResult,
    /// Where the page with what comes before these rows ends; absent where nothing comes before.
    pub(super) before: Option<String>,
    /// Where the next page begins.
    pub(super) after: Option<String>,
}

/// Finds the page that a cursor begins. A cursor of the other order leads backwards: its rows come before those it was made from.
pub(super) fn page(reader: &mut Reader, query: &Query, cursor: Option<&str>, clock: &Clock) -> Result<Found, SearchError> {
    let cursor: Option<Cursor> = cursor.map(str::parse).transpose()?;
    let backwards = cursor.is_some_and(|cursor| cursor.order() != query.order);
    let mut asked = query.clone();
    if backwards {
        asked.order = other(query.order);
    }
    let request = SearchRequest { query: asked, limit: PAGE_ROWS, cursor, clock: clock.clone(), deadline: PAGE_DEADLINE };
    let mut result = search(reader, &request)?;
    let next = result.next.map(|next| next.to_string());
    if backwards {
        result.rows.reverse();
        result.canonical = query.to_string();
    }
    let edge = |hit: Option<&Hit>, order: Order| hit.map(|hit| beyond(order, hit.leaf_index).to_string());
    Ok(if backwards {
        Found { before: next, after: edge(result.rows.last(), query.order), result }
    } else {
        // Without a cursor this is the first page.
        let before = cursor.and_then(|_| edge(result.rows.first(), other(query.order)));
        Found { before, after: next, result }
    })
}

/// Finds the page of everything about one thing and records that a visitor looked at it.
pub(super) async fn looked_up(
    api: &Arc<Api>,
    visitor: &Visitor,
    what: &str,
    name: &str,
    query: &Query,
    cursor: Option<String>,
) -> Result<Found, Problem> {
    let sought = query.clone();
    let found = read(api, move |reader| page(reader, &sought, cursor.as_deref(), &clock())).await?;
    api.record(visitor.actor(), &Read::by_nobody(what, name, &found.result.canonical).count(found.result.rows.len())).await?;
    Ok(found)
}

/// What is asked of a count over all matches of a query.
pub(super) fn counting(query: &Query, clock: &Clock) -> CountRequest {
    CountRequest { query: query.clone(), clock: clock.clone(), deadline: COUNT_DEADLINE }
}

fn other(order: Order) -> Order {
    match order {
        Order::NewestFirst => Order::OldestFirst,
        Order::OldestFirst => Order::NewestFirst,
    }
}

/// Where a page begins that does not hold this leaf.
fn beyond(order: Order, leaf: u64) -> Cursor {
    Cursor::from_leaf(order, if order == Order::NewestFirst { leaf } else { leaf + 1 })
}
