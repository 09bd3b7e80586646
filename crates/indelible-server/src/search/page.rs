//! One page: windows of leaves from one end of the trail, until the page is full, the trail ends or the time is up.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::time::Instant;

use indelible_core::query::Order;
use rusqlite::types::Value as Parameter;
use rusqlite::{Connection, Transaction, params_from_iter};

use super::compile::Compiled;
use super::lookup::hit;
use super::{Hit, PAGE_RECORDS_MAX, SearchError, SearchRequest};
use crate::trail::rows::stored;

/// Leaves that one statement looks through. Between two, a page can end and be continued.
const WINDOW_LEAVES: u64 = 65_536;
/// Steps of SQLite's machine between two looks at the clock, well below a millisecond of work.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;

/// Where a page ended, as text for whoever asks for the next one.
///
/// It names a leaf and not a number of records, so pages do not shift while records arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    order: Order,
    /// Newest first: the page holds leaves below it. Oldest first: from it on.
    leaf_index: u64,
}

impl Cursor {
    /// Continues at a leaf: below it when the newest come first, else from it on.
    pub(crate) const fn from_leaf(order: Order, leaf_index: u64) -> Self {
        Self { order, leaf_index }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = match self.order {
            Order::NewestFirst => 'n',
            Order::OldestFirst => 'o',
        };
        write!(f, "{order}{:x}", self.leaf_index)
    }
}

impl FromStr for Cursor {
    type Err = SearchError;

    fn from_str(text: &str) -> Result<Self, SearchError> {
        let parse = || {
            let (order, digits) = text.split_at_checked(1)?;
            let order = match order {
                "n" => Order::NewestFirst,
                "o" => Order::OldestFirst,
                _ => return None,
            };
            let leaf_index = u64::from_str_radix(digits, 16).ok().filter(|leaf| i64::try_from(*leaf).is_ok())?;
            Some(Self { order, leaf_index })
        };
        parse().ok_or_else(|| SearchError::Cursor { cursor: text.to_owned() })
    }
}

/// What was found, and where the next page begins.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) rows: Vec<Hit>,
    pub(super) tree_size: u64,
    pub(super) next: Option<Cursor>,
    pub(super) partial: bool,
}

/// Finds one page in one read transaction.
pub(super) fn find(connection: &mut Connection, compiled: &Compiled, request: &SearchRequest) -> Result<Page, SearchError> {
    let ends_at = Instant::now() + request.deadline;
    let is_over = move || Instant::now() >= ends_at;
    connection.progress_handler(STEPS_BETWEEN_LOOKS, Some(is_over))?;
    let found = find_until(connection, compiled, request, is_over);
    connection.progress_handler(0, None::<fn() -> bool>)?;
    found
}

fn find_until(
    connection: &mut Connection,
    compiled: &Compiled,
    request: &SearchRequest,
    mut is_over: impl FnMut() -> bool,
) -> Result<Page, SearchError> {
    let transaction = connection.transaction()?;
    let tree_size = tree_size(&transaction)?;
    let mut rest = unread_leaves(tree_size, request)?;
    let mut page = Page { tree_size, ..Page::default() };
    let limit = request.limit.clamp(1, PAGE_RECORDS_MAX);
    let begun = rest.clone();
    while !rest.is_empty() && !page.partial {
        let (window, after) = split(&rest, request.query.order);
        // One more than fits tells whether there is a next page.
        let wanted = limit + 1 - page.rows.len();
        page.partial = !read_window(&transaction, compiled, request.query.order, &window, wanted, &mut page.rows)?;
        if page.rows.len() > limit {
            page.rows.truncate(limit);
            page.next = page.rows.last().map(|last| after_leaf(request.query.order, last.leaf_index));
            page.partial = false;
            return Ok(page);
        }
        if !page.partial {
            rest = after;
            page.partial = !rest.is_empty() && is_over();
        }
    }
    if page.partial {
        if rest == begun && page.rows.is_empty() {
            return Err(SearchError::Deadline { after: request.deadline });
        }
        page.next = Some(resume_at(request.query.order, &rest, page.rows.last()));
    }
    Ok(page)
}

fn tree_size(transaction: &Transaction<'_>) -> Result<u64, SearchError> {
    let newest: Option<i64> = transaction.query_row("SELECT max(leaf_index) FROM event", [], |row| row.get(0))?;
    Ok(newest.and_then(|leaf| u64::try_from(leaf).ok()).map_or(0, |leaf| leaf + 1))
}

/// The leaves that the pages before have not covered.
fn unread_leaves(tree_size: u64, request: &SearchRequest) -> Result<Range<u64>, SearchError> {
    match request.cursor {
        None => Ok(0..tree_size),
        Some(cursor) if cursor.order != request.query.order => Err(SearchError::Cursor { cursor: cursor.to_string() }),
        Some(cursor) if cursor.order == Order::NewestFirst => Ok(0..tree_size.min(cursor.leaf_index)),
        Some(cursor) => Ok(cursor.leaf_index..tree_size),
    }
}

/// Takes a window off the end that comes first.
fn split(rest: &Range<u64>, order: Order) -> (Range<u64>, Range<u64>) {
    match order {
        Order::NewestFirst => {
            let cut = rest.end.saturating_sub(WINDOW_LEAVES).max(rest.start);
            (cut..rest.end, rest.start..cut)
        }
        Order::OldestFirst => {
            let cut = rest.start.saturating_add(WINDOW_LEAVES).min(rest.end);
            (rest.start..cut, cut..rest.end)
        }
    }
}

/// Reads at most `wanted` matches of a window; answers whether it came to the end before the deadline.
fn read_window(
    transaction: &Transaction<'_>,
    compiled: &Compiled,
    order: Order,
    window: &Range<u64>,
    wanted: usize,
    found: &mut Vec<Hit>,
) -> Result<bool, SearchError> {
    let direction = match order {
        Order::NewestFirst => "DESC",
        Order::OldestFirst => "ASC",
    };
    let first = compiled.parameters.len() + 1;
    let (second, third) = (first + 1, first + 2);
    let sql = format!(
        "SELECT event.leaf_index, event.verdict, event.received_at, record.body \
         FROM event JOIN record ON record.leaf_index = event.leaf_index \
         WHERE event.leaf_index >= ?{first} AND event.leaf_index < ?{second} AND {} \
         ORDER BY event.leaf_index {direction} LIMIT ?{third}",
        compiled.sql
    );
    let mut statement = transaction.prepare_cached(&sql)?;
    let bounds = [stored(window.start), stored(window.end), i64::try_from(wanted).unwrap_or(i64::MAX)];
    let parameters = compiled.parameters.iter().cloned().chain(bounds.map(Parameter::Integer));
    let mut rows = statement.query(params_from_iter(parameters))?;
    loop {
        match rows.next() {
            Ok(Some(row)) => found.push(hit(row)?),
            Ok(None) => return Ok(true),
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
}

fn after_leaf(order: Order, leaf_index: u64) -> Cursor {
    match order {
        Order::NewestFirst => Cursor { order, leaf_index },
        Order::OldestFirst => Cursor { order, leaf_index: leaf_index + 1 },
    }
}

/// Behind the last match, or behind the windows that held none.
fn resume_at(order: Order, rest: &Range<u64>, last: Option<&Hit>) -> Cursor {
    let behind_windows = match order {
        Order::NewestFirst => rest.end,
        Order::OldestFirst => rest.start,
    };
    let behind_match = last.map(|hit| after_leaf(order, hit.leaf_index).leaf_index);
    let leaf_index = match order {
        Order::NewestFirst => behind_match.map_or(behind_windows, |leaf| leaf.min(behind_windows)),
        Order::OldestFirst => behind_match.map_or(behind_windows, |leaf| leaf.max(behind_windows)),
    };
    Cursor { order, leaf_index }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text_and_other_texts_are_none() {
        for text in ["n0", "o1f", "n7fffffffffffffff"] {
            assert_eq!(text.parse::<Cursor>().unwrap().to_string(), text);
        }
        for bad in ["", "n", "x1", "né", "n8000000000000000", "n-1"] {
            assert!(bad.parse::<Cursor>().is_err(), "{bad}");
        }
    }

    /// A trail of bare rows, in which one record of a thousand is a match.
    fn rows(count: u64) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE event (leaf_index INTEGER PRIMARY KEY, verdict, received_at, kind); CREATE TABLE record (leaf_index INTEGER PRIMARY KEY, body)").unwrap();
        let numbers = "WITH RECURSIVE number(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n + 1 < ?1)";
        for insert in ["event SELECT n, 'recorded', n, iif(n % 1000 = 0, 'read', 'change')", "record SELECT n, x'7b7d'"] {
            connection
                .execute(&format!("INSERT INTO {insert} FROM number").replacen("INSERT", &format!("{numbers} INSERT"), 1), [stored(count)])
                .unwrap();
        }
        connection
    }

    #[test]
    fn a_page_that_ran_out_of_time_is_continued_without_loss() {
        let mut connection = rows(WINDOW_LEAVES * 2 + 7);
        for order in ["", " sort:created-asc"] {
            let query: indelible_core::query::Query = format!("kind:read{order}").parse().unwrap();
            let clock = crate::search::Clock::system();
            let compiled = crate::search::compile::compile(&query, &clock).unwrap();
            let mut request = SearchRequest { query, limit: PAGE_RECORDS_MAX, cursor: None, clock, deadline: std::time::Duration::MAX };
            let (mut found, mut partial) = (Vec::new(), 0);
            loop {
                // The time is up after every window.
                let page = find_until(&mut connection, &compiled, &request, || true).unwrap();
                found.extend(page.rows.into_iter().map(|hit| hit.leaf_index));
                partial += u64::from(page.partial);
                request.cursor = page.next;
                if page.next.is_none() {
                    break;
                }
            }
            found.sort_unstable();
            let expected: Vec<u64> = (0..WINDOW_LEAVES * 2 + 7).step_by(1000).collect();
            assert_eq!((found, partial), (expected, 2), "{order}");
        }
    }

    #[test]
    fn windows_cover_the_rest_from_the_end_that_comes_first() {
        let rest = 10..WINDOW_LEAVES + 20;
        assert_eq!(split(&rest, Order::NewestFirst), (20..WINDOW_LEAVES + 20, 10..20));
        assert_eq!(split(&rest, Order::OldestFirst), (10..WINDOW_LEAVES + 10, WINDOW_LEAVES + 10..WINDOW_LEAVES + 20));
    }
}
