//! One page: run by run from one end of the trail, until the page is full, the trail ends or the time is up.

use std::fmt;
use std::ops::{ControlFlow, Range};
use std::str::FromStr;

use indelible_core::query::Order;

use super::check::check_shown;
use super::hint::Hint;
use super::matches::Matcher;
use super::plan::candidates;
use super::walk::{Deadline, Progress, StoredRun, Trail, TrailResolutions, Work, record};
use super::{Hit, PAGE_RECORDS_MAX, SearchError, SearchRequest};
use crate::trail::{Reader, Span, StoredLeaf};

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

    /// The order of the query that it continues.
    pub(crate) const fn order(self) -> Order {
        self.order
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
    pub(super) next: Option<Cursor>,
    pub(super) partial: bool,
    pub(super) work: Work,
}

/// Finds one page.
pub(super) fn find(reader: &Reader, matcher: &Matcher, request: &SearchRequest) -> Result<Page, SearchError> {
    find_until(reader, matcher, request, &mut Deadline::after(request.deadline))
}

pub(super) fn find_until(
    reader: &Reader,
    matcher: &Matcher,
    request: &SearchRequest,
    deadline: &mut Deadline<'_>,
) -> Result<Page, SearchError> {
    let order = request.query.order;
    let trail = Trail::new(reader);
    let mut search = Search {
        trail: &trail,
        matcher,
        order,
        limit: request.limit.clamp(1, PAGE_RECORDS_MAX),
        rest: unread_leaves(reader.tree_size(), request)?,
        resolutions: TrailResolutions::new(&trail),
        page: Page { work: Work { files_total: reader.files().len() as u64, ..Work::default() }, ..Page::default() },
    };
    let begun = search.rest.clone();
    search.files(deadline)?;
    let Search { mut page, rest, limit, .. } = search;
    if page.rows.len() > limit {
        page.rows.truncate(limit);
        page.next = page.rows.last().map(|last| after_leaf(order, last.leaf_index));
        page.partial = false;
    } else if page.partial {
        if rest == begun && page.rows.is_empty() {
            return Err(SearchError::Deadline { after: request.deadline });
        }
        page.next = Some(Cursor { order, leaf_index: if order == Order::NewestFirst { rest.end } else { rest.start } });
    }
    Ok(page)
}

/// A page on its way.
struct Search<'a, 't> {
    trail: &'t Trail<'a>,
    matcher: &'t Matcher,
    order: Order,
    limit: usize,
    /// What was not looked at yet.
    rest: Range<u64>,
    resolutions: TrailResolutions<'a, 't>,
    page: Page,
}

impl Search<'_, '_> {
    fn files(&mut self, deadline: &mut Deadline<'_>) -> Result<(), SearchError> {
        for file in self.trail.files(self.order) {
            if intersection(&self.trail.file(file).range(), &self.rest).is_empty() {
                continue;
            }
            self.page.work.files += 1;
            let mut spans: Vec<_> = self.trail.spans(file)?.iter().collect();
            if self.order == Order::NewestFirst {
                spans.reverse();
            }
            for span in spans {
                if self.span(file, span, deadline)?.is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Looks at one run; breaks when the page is full or the time is up.
    fn span(&mut self, file: usize, span: &Span, deadline: &mut Deadline<'_>) -> Result<ControlFlow<()>, SearchError> {
        let part = intersection(&span.range(), &self.rest);
        if part.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        if deadline.is_over() {
            self.page.partial = true;
            return Ok(ControlFlow::Break(()));
        }
        let hint = if span.indexed {
            let run = StoredRun::new(self.trail.file(file), span);
            let hint = candidates(self.matcher, &run)?;
            self.page.work.lookups += run.lookups();
            hint
        } else {
            Hint::anything()
        };
        self.page.work.add_span(&hint, &part, span.first_index);
        let Self { trail, matcher, order, limit, resolutions, page, .. } = self;
        let progress = trail.look(&part, span.first_index, hint.bits.as_ref(), *order, deadline, |leaf| {
            page.work.tested += 1;
            if matcher.holds(&record(&leaf), resolutions)? {
                // The one too many is not shown.
                if page.rows.len() < *limit {
                    check_shown(&leaf)?;
                }
                page.rows.push(Hit::from(leaf));
            }
            // One more than fits tells whether there is a next page.
            Ok(if page.rows.len() > *limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        let rest = match progress {
            Progress::Ended => return Ok(ControlFlow::Break(())),
            Progress::Late { rest } => {
                self.page.partial = true;
                rest
            }
            Progress::Through if self.order == Order::NewestFirst => part.start..part.start,
            Progress::Through => part.end..part.end,
        };
        match self.order {
            Order::NewestFirst => self.rest.end = rest.end,
            Order::OldestFirst => self.rest.start = rest.start,
        }
        Ok(if self.page.partial { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }
}

impl From<StoredLeaf> for Hit {
    fn from(leaf: StoredLeaf) -> Self {
        Self {
            leaf_index: leaf.leaf_index,
            verdict: leaf.entry.verdict.as_str().to_owned(),
            received_at: leaf.entry.received_at,
            erased: leaf.is_erased(),
            body: leaf.body,
        }
    }
}

fn intersection(one: &Range<u64>, other: &Range<u64>) -> Range<u64> {
    one.start.max(other.start)..one.end.min(other.end)
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

fn after_leaf(order: Order, leaf_index: u64) -> Cursor {
    match order {
        Order::NewestFirst => Cursor { order, leaf_index },
        Order::OldestFirst => Cursor { order, leaf_index: leaf_index + 1 },
    }
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
}
