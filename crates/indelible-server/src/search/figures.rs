//! Counts in JSON.

use std::collections::BTreeMap;

use indelible_core::Outcome;
use serde::Serialize;

use super::json::TimeRange;
use super::{Bar, Counted, Histogram, Top};

/// Matches over time.
#[derive(Debug, Serialize)]
pub(crate) struct HistogramDocument<'a> {
    #[serde(flatten)]
    counted: CountedDocument<'a>,
    bar_seconds: i64,
    bars: Vec<BarDocument>,
}

#[derive(Debug, Serialize)]
struct BarDocument {
    from: String,
    before: String,
    /// Outcomes that occur; `none` are records whose body names none.
    outcomes: BTreeMap<&'static str, u64>,
}

/// The most frequent values of a key.
#[derive(Debug, Serialize)]
pub(crate) struct TopDocument<'a> {
    #[serde(flatten)]
    counted: CountedDocument<'a>,
    facet: &'a str,
    values: Vec<ValueDocument<'a>>,
}

#[derive(Debug, Serialize)]
struct ValueDocument<'a> {
    value: &'a str,
    count: u64,
}

/// What was counted.
#[derive(Debug, Serialize)]
pub(crate) struct CountedDocument<'a> {
    canonical: &'a str,
    range: TimeRange,
    matches: u64,
    approx: bool,
    partial: bool,
}

impl<'a> CountedDocument<'a> {
    pub(crate) fn new(counted: &'a Counted) -> Self {
        let Counted { canonical, range, matches, approx, partial } = counted;
        Self { canonical, range: TimeRange::new(range), matches: *matches, approx: *approx, partial: *partial }
    }
}

impl<'a> HistogramDocument<'a> {
    pub(crate) fn new(histogram: &'a Histogram) -> Self {
        let names = || Outcome::ALL.iter().map(|outcome| outcome.as_str()).chain(["none"]);
        let bar = |bar: &Bar| BarDocument {
            from: bar.from.to_string(),
            before: bar.before.to_string(),
            outcomes: names().zip(bar.outcomes.iter().copied()).filter(|(_, count)| *count > 0).collect(),
        };
        let bars = histogram.bars.iter().map(bar).collect();
        Self { counted: CountedDocument::new(&histogram.counted), bar_seconds: histogram.bar_seconds, bars }
    }
}

impl<'a> TopDocument<'a> {
    pub(crate) fn new(top: &'a Top, facet: &'a str) -> Self {
        let values = top.values.iter().map(|(value, count)| ValueDocument { value, count: *count }).collect();
        Self { counted: CountedDocument::new(&top.counted), facet, values }
    }
}
