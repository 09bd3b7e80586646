//! How many matches happened when, in bars, by outcome.

use std::ops::{ControlFlow, Range};

use indelible_core::query::Order;
use indelible_core::{Outcome, Timestamp};
use jiff::tz::TimeZone;

use super::count::{CountRequest, Counted, Matching, count};
use super::walk::record;
use super::{SearchError, TimeRange};
use crate::index::{Bits, Field, Term, second_of};
use crate::trail::{self, Reader};

/// Most bars of a histogram.
pub const BARS_MAX: usize = 120;
/// Widths of bars, in seconds: those that people count time in. Above the last one, multiples of it.
const WIDTHS: &[i64] = &[
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 1_209_600,
    2_592_000,
];
const SECOND: i64 = 1_000_000;

/// Matches over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    /// What was counted.
    pub counted: Counted,
    /// Width of a bar in seconds.
    pub bar_seconds: i64,
    /// The bars, the oldest first, without a gap; none where the trail or the range is empty.
    pub bars: Vec<Bar>,
}

/// Matches of one stretch of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bar {
    /// Its first microsecond.
    pub from: Timestamp,
    /// The first microsecond behind it.
    pub before: Timestamp,
    /// How many reported each outcome, in the order of [`Outcome::ALL`], and at the end how many reported none of them.
    pub outcomes: Vec<u64>,
}

/// Counts the matches of each stretch of time between `within`, or between the first and the last record of the trail where an
/// end is open. Ends are rounded outwards to whole seconds; about `bars` bars, 1 to [`BARS_MAX`].
///
/// # Errors
/// As [`super::search`].
pub fn histogram(reader: &Reader, request: &CountRequest, within: TimeRange, bars: usize) -> Result<Histogram, SearchError> {
    let Some(range) = seconds_of(reader, within)? else {
        let mut counted = count(reader, request, &(0..0), &mut |_, _| Ok(()))?;
        counted.range = within;
        return Ok(Histogram { counted, bar_seconds: 1, bars: Vec::new() });
    };
    let mut axis = Axis::new(range.clone(), bars.clamp(1, BARS_MAX), &request.clock.zone);
    let mut counted = count(reader, request, &range, &mut |matching, _| axis.add(matching))?;
    counted.range = TimeRange { from: Some(instant(axis.range.start)), before: Some(instant(axis.range.end)) };
    counted.matches = axis.counts.iter().flatten().sum();
    Ok(Histogram { counted, bar_seconds: axis.width, bars: axis.bars() })
}

fn instant(second: i64) -> Timestamp {
    Timestamp::from_micros(second.saturating_mul(SECOND))
}

/// The seconds to count; none where the trail is empty or the range is.
fn seconds_of(reader: &Reader, within: TimeRange) -> Result<Option<Range<i64>>, SearchError> {
    let (mut from, mut before) =
        (within.from.map(|from| second_of(from.micros())), within.before.map(|before| second_of(before.micros().saturating_sub(1)) + 1));
    if from.is_none() || before.is_none() {
        let Some((first, last)) = extent(reader)? else { return Ok(None) };
        from = from.or(Some(second_of(first)));
        before = before.or(Some(second_of(last) + 1));
    }
    Ok(from.zip(before).map(|(from, before)| from..before).filter(|range| !range.is_empty()))
}

/// The first and the last time at which anything in the trail happened.
fn extent(reader: &Reader) -> Result<Option<(i64, i64)>, SearchError> {
    let mut extent: Option<(i64, i64)> = None;
    let mut add = |low: i64, high: i64| extent = Some(extent.map_or((low, high), |(first, last)| (first.min(low), last.max(high))));
    for file in reader.files() {
        for span in file.spans()? {
            if span.indexed {
                add(span.occurred_min, span.occurred_max);
                continue;
            }
            reader.records(span.range(), trail::Order::OldestFirst, |leaf| {
                let occurred_at = record(&leaf).facts.occurred_at();
                add(occurred_at, occurred_at);
                ControlFlow::Continue(())
            })?;
        }
    }
    Ok(extent)
}

/// How many leaves reported each outcome, and at the end how many reported none.
type Counts = [u64; Outcome::ALL.len() + 1];

/// Time, cut into bars.
struct Axis {
    /// The seconds that count.
    range: Range<i64>,
    /// Where the first bar begins: at the range's start, or before it where people would begin one.
    start: i64,
    width: i64,
    counts: Vec<Counts>,
}

impl Axis {
    fn new(range: Range<i64>, most: usize, zone: &TimeZone) -> Self {
        let width = width(range.end - range.start, most);
        let start = aligned(range.start, width, zone);
        // One bar more than was asked for where the first one begins early, and no more than that.
        let count = usize::try_from(divided(range.end - start, width)).unwrap_or(most);
        Self { range, start, width, counts: vec![Counts::default(); count] }
    }

    fn bar_of(&self, second: i64) -> Option<usize> {
        if !self.range.contains(&second) {
            return None;
        }
        usize::try_from((second - self.start) / self.width).ok()
    }

    fn add(&mut self, matching: &Matching<'_>) -> Result<(), SearchError> {
        let (first, last) = matching.index.occurred();
        let one_bar = self.bar_of(second_of(first)).filter(|bar| self.bar_of(second_of(last)) == Some(*bar));
        let seconds = if one_bar.is_some() { Vec::new() } else { matching.index.seconds()? };
        let mut rest = matching.bits.clone();
        for (place, outcome) in Outcome::ALL.iter().enumerate() {
            // The outcome is among the terms that every record keeps.
            let mut bits = matching.index.lookup(Term::of(Field::Outcome, outcome.as_str().as_bytes()))?;
            bits.and(&rest);
            self.add_leaves(&bits, one_bar, &seconds, place);
            bits.not();
            rest.and(&bits);
        }
        self.add_leaves(&rest, one_bar, &seconds, Outcome::ALL.len());
        Ok(())
    }

    fn add_leaves(&mut self, bits: &Bits, one_bar: Option<usize>, seconds: &[i64], outcome: usize) {
        if let Some(counts) = one_bar.and_then(|bar| self.counts.get_mut(bar)) {
            counts[outcome] += bits.len();
            return;
        }
        for leaf in bits.iter(Order::OldestFirst) {
            let bar = seconds.get(leaf).and_then(|second| self.bar_of(*second));
            if let Some(counts) = bar.and_then(|bar| self.counts.get_mut(bar)) {
                counts[outcome] += 1;
            }
        }
    }

    fn bars(&self) -> Vec<Bar> {
        let starts = (0..).map(|index| self.start + self.width * index);
        let bar =
            |(start, counts): (i64, &Counts)| Bar { from: instant(start), before: instant(start + self.width), outcomes: counts.to_vec() };
        starts.zip(&self.counts).map(bar).collect()
    }
}

/// The narrowest width that people count time in, of which `most` bars are enough.
fn width(seconds: i64, most: usize) -> i64 {
    let needed = divided(seconds, most as i64);
    let known = WIDTHS.iter().copied().find(|width| *width >= needed);
    let last = WIDTHS[WIDTHS.len() - 1];
    known.unwrap_or_else(|| divided(needed, last) * last)
}

/// The last multiple of a width that is not above a second, as the clocks of a zone show it.
fn aligned(second: i64, width: i64, zone: &TimeZone) -> i64 {
    let offset = jiff::Timestamp::from_second(second).map_or(0, |instant| i64::from(zone.to_offset(instant).seconds()));
    second - (second + offset).rem_euclid(width)
}

/// Division that rounds up, of numbers above 0.
const fn divided(number: i64, by: i64) -> i64 {
    number / by + (number % by != 0) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_wide_as_people_count_and_never_more_than_asked_for() {
        for (seconds, most, expected) in [
            (1, 120, 1),
            (120, 120, 1),
            (121, 120, 2),
            (86_400, 120, 900),
            (86_400 * 30, 60, 43_200),
            (86_400 * 36_500, 120, 2_592_000 * 11),
        ] {
            assert_eq!(width(seconds, most), expected, "{seconds} s in {most}");
            assert!(seconds <= expected * most as i64);
        }
    }

    #[test]
    fn days_begin_in_the_zone() {
        let zone = TimeZone::posix("CET-1").unwrap();
        let second = "2026-03-26T10:00:00Z".parse::<jiff::Timestamp>().unwrap().as_second();
        let start = jiff::Timestamp::from_second(aligned(second, 86_400, &zone)).unwrap();
        assert_eq!(start.to_string(), "2026-03-25T23:00:00Z");
        assert_eq!(aligned(-1, 60, &TimeZone::UTC), -60);
    }
}
