//! Every record that some of several queries may match, each read once: for whoever judges records by more than one query.

use std::ops::{ControlFlow, Range};
use std::time::Duration;

use indelible_core::query::{Order, Query};

use super::SearchError;
use super::clock::Clock;
use super::hint::Hint;
use super::matches::Matcher;
use super::plan::candidates;
use super::walk::{Deadline, Progress, StoredRun, Trail, TrailResolutions, record};
use crate::trail::{Reader, StoredLeaf};

/// A query that knows its clock.
#[derive(Debug)]
pub(crate) struct Selector {
    matcher: Matcher,
}

impl Selector {
    /// Resolves the times of a query.
    ///
    /// # Errors
    /// - [`SearchError::Time`], [`SearchError::EmptyRange`], [`SearchError::WideRange`]: the query makes no sense at this time.
    pub(crate) fn new(query: &Query, clock: &Clock) -> Result<Self, SearchError> {
        Ok(Self { matcher: Matcher::new(query, clock)? })
    }
}

/// Answers whether records satisfy queries.
pub(crate) struct Judge<'a, 't> {
    resolutions: TrailResolutions<'a, 't>,
}

impl Judge<'_, '_> {
    /// Whether a record satisfies a query.
    ///
    /// # Errors
    /// - [`SearchError::Trail`]: the trail cannot be read, where the answer lies in another record.
    pub(crate) fn holds(&mut self, selector: &Selector, leaf: &StoredLeaf) -> Result<bool, SearchError> {
        selector.matcher.holds(&record(leaf), &mut self.resolutions)
    }
}

/// Calls back, oldest first, with each record of a range that one of the selectors may match; `false` when the time was up before the end.
///
/// # Errors
/// - [`SearchError::Trail`]: the trail cannot be read.
/// - whatever `each` answers.
pub(crate) fn sweep<'s>(
    reader: &Reader,
    within: &Range<u64>,
    selectors: impl Iterator<Item = &'s Selector> + Clone,
    deadline: Option<Duration>,
    mut each: impl FnMut(&mut Judge<'_, '_>, StoredLeaf) -> Result<ControlFlow<()>, SearchError>,
) -> Result<bool, SearchError> {
    let trail = Trail::new(reader);
    let mut judge = Judge { resolutions: TrailResolutions::new(&trail) };
    let mut deadline = deadline.map_or_else(|| Deadline::when(|| false), Deadline::after);
    for file in trail.files(Order::OldestFirst) {
        let range = trail.file(file).range();
        if range.end <= within.start || within.end <= range.start {
            continue;
        }
        for span in trail.spans(file)? {
            let part = span.first_index.max(within.start)..span.end_index.min(within.end);
            if part.is_empty() {
                continue;
            }
            let hint = if span.indexed {
                let run = StoredRun::new(trail.file(file), span);
                let count = usize::try_from(span.end_index - span.first_index).unwrap_or(0);
                selectors.clone().try_fold(Hint::nothing(count), |any, selector| Ok(any.or(candidates(&selector.matcher, &run)?)))
            } else {
                Ok::<_, SearchError>(Hint::anything())
            }?;
            let looked = trail
                .look(&part, span.first_index, hint.bits.as_ref(), Order::OldestFirst, &mut deadline, |leaf| each(&mut judge, leaf))?;
            match looked {
                Progress::Through => {}
                Progress::Ended => return Ok(true),
                Progress::Late { .. } => return Ok(false),
            }
        }
    }
    Ok(true)
}
