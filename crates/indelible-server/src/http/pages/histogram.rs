//! When matches happened, as bars that people can click, stacked by outcome; drawn here.

use indelible_core::query::Query;
use indelible_core::{Outcome, Timestamp};
use jiff::tz::TimeZone;
use serde::Serialize;

use super::query_bar::{Parts, href, term};
use crate::search::{self, shown_in};

/// Width of the drawing, in its own units.
const WIDTH: f64 = 1200.0;
/// Height of the drawing, in its own units.
const HEIGHT: f64 = 96.0;
/// A bar that is there is at least so high, or nobody sees it.
const HEIGHT_MIN: f64 = 3.0;
const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// The outcomes from bottom to top of a bar, as their classes name them. The last of search are those that report none.
const OUTCOMES: [&str; 5] = ["success", "aborted", "unknown", "failure", "denied"];

/// The drawing and its table.
#[derive(Debug, Serialize)]
pub(super) struct Histogram {
    width: f64,
    height: f64,
    bars: Vec<Bar>,
    from: String,
    before: String,
    from_iso: String,
    before_iso: String,
    step: String,
    most: u64,
    /// Whether the time was up before all was counted.
    partial: bool,
    total: u64,
    /// Outcomes that occur, for the legend.
    outcomes: Vec<(&'static str, u64)>,
}

#[derive(Debug, Serialize)]
struct Bar {
    x: f64,
    width: f64,
    label: String,
    from: String,
    href: String,
    total: u64,
    counts: [u64; OUTCOMES.len()],
    pieces: Vec<Piece>,
}

#[derive(Debug, Serialize)]
struct Piece {
    class: &'static str,
    y: f64,
    height: f64,
}

/// Draws what search counted. `None` when there is nothing to draw.
pub(super) fn draw(counted: &search::Histogram, query: &Query) -> Option<Histogram> {
    let (first, last) = (counted.bars.first()?, counted.bars.last()?);
    let all: Vec<[u64; OUTCOMES.len()]> = counted.bars.iter().map(|bar| by_class(&bar.outcomes)).collect();
    let most = all.iter().map(|counts| counts.iter().sum::<u64>()).max().filter(|most| *most > 0)?;
    let parts = Parts::of(query);
    let width = WIDTH / counted.bars.len() as f64;
    let seconds = counted.bar_seconds;
    let bars: Vec<Bar> = (counted.bars.iter().zip(all).enumerate())
        .filter(|(_, (_, counts))| counts.iter().any(|count| *count > 0))
        .map(|(index, (bar, counts))| drawn(&parts, bar, seconds, index as f64 * width, width, counts, most))
        .collect();
    let outcomes = OUTCOMES.iter().enumerate().map(|(place, name)| (*name, bars.iter().map(|bar| bar.counts[place]).sum()));
    Some(Histogram {
        width: WIDTH,
        height: HEIGHT,
        outcomes: outcomes.filter(|(_, count)| *count > 0).collect(),
        total: bars.iter().map(|bar| bar.total).sum(),
        partial: counted.counted.partial,
        from: shown(first.from, seconds),
        before: shown(last.before, seconds),
        from_iso: first.from.to_string(),
        before_iso: last.before.to_string(),
        step: stretch(seconds),
        most,
        bars,
    })
}

/// The counts of search, which come in the order of [`Outcome::ALL`], in the order of [`OUTCOMES`].
fn by_class(outcomes: &[u64]) -> [u64; OUTCOMES.len()] {
    OUTCOMES.map(|class| {
        let place = Outcome::ALL.iter().position(|outcome| outcome.as_str() == class).unwrap_or(Outcome::ALL.len());
        outcomes.get(place).copied().unwrap_or(0)
    })
}

fn drawn(parts: &Parts, bar: &search::Bar, seconds: i64, x: f64, width: f64, counts: [u64; OUTCOMES.len()], most: u64) -> Bar {
    let total: u64 = counts.iter().sum();
    let last = Timestamp::from_micros(bar.before.micros() - 1);
    let within = term(&format!("created:{}..{last}", bar.from));
    let href = within.map_or_else(String::new, |within| href(&parts.clone().with_only(within).query()));
    let (from, before) = (shown(bar.from, seconds), shown(bar.before, seconds));
    let mut label = format!("{from} to {before}, {total} {}", if total == 1 { "event" } else { "events" });
    for (name, count) in OUTCOMES.iter().zip(counts).skip(1).filter(|(_, count)| *count > 0) {
        label.push_str(&format!(", {count} {}", if *name == "unknown" { "without outcome" } else { name }));
    }
    let gap = (width * 0.16).min(2.0);
    Bar { x: round(x + gap / 2.0), width: round(width - gap), label, from, href, total, counts, pieces: pieces(counts, most) }
}

/// The parts of a bar, from the bottom up.
fn pieces(counts: [u64; OUTCOMES.len()], most: u64) -> Vec<Piece> {
    let mut top = HEIGHT;
    let mut pieces = Vec::new();
    for (class, count) in OUTCOMES.into_iter().zip(counts).filter(|(_, count)| *count > 0) {
        let height = (count as f64 / most as f64 * HEIGHT).max(HEIGHT_MIN).min(top);
        top -= height;
        pieces.push(Piece { class, y: round(top), height: round(height) });
    }
    pieces
}

fn round(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

/// A time as exactly as the width of bars asks.
fn shown(time: Timestamp, seconds: i64) -> String {
    let text = shown_in(&TimeZone::UTC, time);
    let length = if seconds >= DAY {
        10
    } else if seconds >= MINUTE {
        16
    } else {
        19
    };
    text.get(..length).unwrap_or(&text).to_owned()
}

/// What a bar stands for, in words.
fn stretch(seconds: i64) -> String {
    let units = [(DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"), (1, "second")];
    let (unit, name) = units.into_iter().find(|(unit, _)| seconds % unit == 0).unwrap_or((1, "second"));
    if seconds == unit { name.to_owned() } else { format!("{} {name}s", seconds / unit) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::{Bar as Counts, Counted, TimeRange};

    fn counted(bar_seconds: i64, bars: Vec<Counts>) -> search::Histogram {
        let counted = Counted { canonical: String::new(), range: TimeRange::default(), matches: 0, approx: false, partial: false };
        search::Histogram { counted, bar_seconds, bars }
    }

    fn counts(from: i64, before: i64, outcomes: [u64; 5]) -> Counts {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        Counts { from: at(from), before: at(before), outcomes: outcomes.to_vec() }
    }

    #[test]
    fn a_bar_leads_to_its_events_and_says_in_words_what_it_shows() {
        let bars = vec![counts(36_000, 36_900, [1, 1, 0, 0, 0]), counts(36_900, 37_800, [0; 5]), counts(37_800, 38_700, [3, 0, 1, 0, 0])];
        let query: Query = "kind:change created:1970-01-01".parse().unwrap();
        let drawn = draw(&counted(900, bars), &query).unwrap();
        assert_eq!((drawn.step.as_str(), drawn.total, drawn.bars.len()), ("15 minutes", 6, 2));
        assert_eq!(drawn.bars[0].label, "1970-01-01 10:00 to 1970-01-01 10:15, 2 events, 1 failure");
        let expected: Query = "kind:change created:1970-01-01T10:00:00Z..1970-01-01T10:14:59.999999Z".parse().unwrap();
        assert_eq!(drawn.bars[0].href, href(&expected));
        assert!(drawn.bars.iter().all(|bar| bar.x >= 0.0 && bar.x + bar.width <= WIDTH));
    }

    #[test]
    fn every_outcome_has_its_place_and_none_is_counted_twice() {
        let outcomes: Vec<u64> = (1..=5).collect();
        let mut placed = by_class(&outcomes).to_vec();
        assert_eq!(placed[2], 5, "those without any come last from search");
        placed.sort_unstable();
        assert_eq!(placed, outcomes);
    }

    #[test]
    fn nothing_is_not_drawn() {
        assert!(draw(&counted(60, Vec::new()), &Query::default()).is_none());
        assert!(draw(&counted(60, vec![counts(0, 60, [0; 5])]), &Query::default()).is_none());
    }
}
