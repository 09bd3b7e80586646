//! Counting: which leaves of each run match, from the index where it is sure, else from the records.

use std::ops::{ControlFlow, Range};
use std::time::Duration;

use indelible_core::query::{Order, Query};

use super::clock::Clock;
use super::hint::Certainty;
use super::matches::Matcher;
use super::memory::MemoryRun;
use super::plan::{Index, Planner};
use super::walk::{Deadline, Progress, StoredRun, Trail, TrailResolutions, record};
use super::{SearchError, TimeRange, time_range};
use crate::index::{Bits, RunBuilder, second_of};
use crate::trail::{self, Reader, Span};

/// Longest time that a count may take.
pub const COUNT_DEADLINE: Duration = Duration::from_secs(5);
/// Leaves that no stored run covers are indexed in memory so many at a time.
const TAIL_LEAVES: u64 = 4096;

/// What to count.
#[derive(Debug, Clone)]
pub struct CountRequest {
    /// Which records.
    pub query: Query,
    /// What relative times and dates refer to.
    pub clock: Clock,
    /// Longest time that the count may take; what was counted until then is the newest part.
    pub deadline: Duration,
}

/// What a count stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// The query in its canonical form.
    pub canonical: String,
    /// The times that the query reaches, resolved.
    pub range: TimeRange,
    /// Records that match.
    pub matches: u64,
    /// Whether some were counted from the index alone, where two values can share a number (docs/format.md, "Index"): a count
    /// can be too high, about once in a hundred thousand files.
    pub approx: bool,
    /// Whether the time was up before all was counted; then this is the newest part.
    pub partial: bool,
}

/// One run with the leaves that match.
pub(super) struct Matching<'a> {
    pub(super) index: &'a dyn Counting,
    pub(super) bits: &'a Bits,
}

/// What counting asks of a run.
pub(super) trait Counting: Index {}
impl<I: Index> Counting for I {}

/// Counts the matches.
///
/// # Errors
/// As [`super::search`].
pub fn total(reader: &Reader, request: &CountRequest) -> Result<Counted, SearchError> {
    count(reader, request, &(i64::MIN..i64::MAX), &mut |_, _| Ok(()))
}

/// Tells of each run that reaches into `seconds`, the newest first, which of its leaves match.
///
/// # Errors
/// The trail cannot be read, or the request makes no sense.
pub(super) fn count(
    reader: &Reader,
    request: &CountRequest,
    seconds: &Range<i64>,
    each: &mut dyn FnMut(&Matching<'_>, &mut Deadline<'_>) -> Result<(), SearchError>,
) -> Result<Counted, SearchError> {
    let matcher = Matcher::new(&request.query, &request.clock)?;
    let trail = Trail::new(reader);
    let mut count = Count {
        trail: &trail,
        reader,
        matcher: &matcher,
        deadline: Deadline::after(request.deadline),
        resolutions: TrailResolutions::new(&trail),
        counted: Counted {
            canonical: request.query.to_string(),
            range: time_range(&request.query, &request.clock)?,
            matches: 0,
            approx: false,
            partial: false,
        },
        seconds,
        each,
    };
    count.files()?;
    Ok(count.counted)
}

type Each<'e> = &'e mut dyn FnMut(&Matching<'_>, &mut Deadline<'_>) -> Result<(), SearchError>;

struct Count<'a, 't, 'e> {
    trail: &'t Trail<'a>,
    reader: &'a Reader,
    matcher: &'t Matcher,
    deadline: Deadline<'t>,
    resolutions: TrailResolutions<'a, 't>,
    counted: Counted,
    seconds: &'t Range<i64>,
    each: Each<'e>,
}

impl Count<'_, '_, '_> {
    fn files(&mut self) -> Result<(), SearchError> {
        for file in self.trail.files(Order::NewestFirst) {
            for span in self.trail.spans(file)?.iter().rev() {
                if span.indexed {
                    self.run(&StoredRun::new(self.trail.file(file), span))?;
                } else {
                    self.tail(span)?;
                }
                if self.counted.partial {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Counts what no stored run covers.
    fn tail(&mut self, span: &Span) -> Result<(), SearchError> {
        let mut end = span.end_index;
        while end > span.first_index && !self.counted.partial {
            let start = end.saturating_sub(TAIL_LEAVES).max(span.first_index);
            let mut builder = RunBuilder::new(start);
            self.reader.records(start..end, trail::Order::OldestFirst, |leaf| {
                builder.push(&leaf.entry, &leaf.body);
                ControlFlow::Continue(())
            })?;
            self.run(&MemoryRun(builder.finish()))?;
            end = start;
        }
        Ok(())
    }

    fn run<I: Index>(&mut self, index: &I) -> Result<(), SearchError> {
        if self.deadline.is_over() {
            self.counted.partial = true;
            return Ok(());
        }
        let (first, last) = index.occurred();
        if second_of(first) >= self.seconds.end || second_of(last) < self.seconds.start {
            return Ok(());
        }
        let hint = Planner::new(index, &self.matcher.zone, true).root(self.matcher)?;
        let range = index.range();
        let bits = match (hint.certainty, hint.bits) {
            (Certainty::Superset, bits) => self.tested(&range, bits.as_ref())?,
            (certainty, bits) => {
                let bits = bits.unwrap_or_else(|| Bits::all(usize::try_from(range.end - range.start).unwrap_or(0)));
                self.counted.approx |= certainty == Certainty::Hashed && !bits.is_empty();
                bits
            }
        };
        self.counted.matches += bits.len();
        if bits.is_empty() { Ok(()) } else { (self.each)(&Matching { index, bits: &bits }, &mut self.deadline) }
    }

    /// The leaves that match, of those that may; as far as the time reaches.
    fn tested(&mut self, range: &Range<u64>, hint: Option<&Bits>) -> Result<Bits, SearchError> {
        let mut found = Bits::none(usize::try_from(range.end - range.start).unwrap_or(0));
        let Self { trail, matcher, deadline, resolutions, .. } = self;
        let progress = trail.look(range, range.start, hint, Order::NewestFirst, deadline, |leaf| {
            if matcher.holds(&record(&leaf), resolutions)? {
                found.insert(usize::try_from(leaf.leaf_index - range.start).unwrap_or(usize::MAX));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        self.counted.partial |= matches!(progress, Progress::Late { .. });
        Ok(found)
    }
}
