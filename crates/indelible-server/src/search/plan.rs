//! From a condition to the leaves of one run that may satisfy it, by its terms, times and lists of values.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::ops::Range as Span;

use indelible_core::Verdict;
use indelible_core::query::{IdPrefix, Key, Network, Pattern, Range, Value, Words};
use jiff::tz::TimeZone;

use super::SearchError;
use super::clock::Limits;
use super::hint::{Certainty, Hint};
use super::matches::{Matcher, TermTest, Test, fields, is_always_present, is_during, statuses};
use super::walk::Deadline;
use crate::index::{
    Bits, Field, Term, duration_bucket, duration_term, hour_of, last_part, meta_value, network_around, piece_counts, second_of,
};
use crate::trail::{Ids, TrailError};

/// Most values of a field that are looked up one by one; more are as good as any.
const LOOKUPS_MAX: usize = 512;
/// Most values that are asked for to choose from them.
const VALUES_MAX: u32 = 10_000;
/// Microseconds of a second, and of an hour.
const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;
/// Seconds during which no clock changes the hour: zones differ by quarters of an hour.
const QUARTER: i64 = 900;

/// The index of one run.
pub(super) trait Index {
    /// The leaves of the run.
    fn range(&self) -> Span<u64>;
    /// The first and the last microsecond at which a leaf happened.
    fn occurred(&self) -> (i64, i64);
    /// The smallest and the largest event id.
    fn ids(&self) -> ([u8; 16], [u8; 16]);
    /// The leaves with event ids from the first to the last one; none where that would take reading the records.
    fn with_ids(&self, ids: &Ids) -> Result<Option<Bits>, SearchError>;
    /// The leaves of a term, counted from the first of the run.
    fn lookup(&self, term: Term) -> Result<Bits, SearchError>;
    /// The piece of the run that would hold a term.
    fn piece(&self, term: Term) -> Result<Option<Cow<'_, [u8]>>, SearchError>;
    /// Values of a field that begin so, at most `limit`.
    fn values(&self, field: Field, prefix: &str, limit: u32) -> Result<Vec<String>, SearchError>;
    /// The second at which each leaf happened.
    fn seconds(&self) -> Result<Vec<i64>, SearchError>;

    /// How many leaves of a set have each of some terms, which are sorted. It is told of fewer terms when the time is up.
    ///
    /// Each piece of the run is read once at the most, and none that holds no such term.
    fn counts(&self, terms: &[Term], within: &Bits, deadline: &mut Deadline<'_>) -> Result<Vec<u64>, SearchError> {
        let mut counts = Vec::with_capacity(terms.len());
        while let Some(term) = terms.get(counts.len()) {
            if deadline.is_over() {
                break;
            }
            let Some(piece) = self.piece(*term)? else {
                counts.push(0);
                continue;
            };
            let found = piece_counts(&piece, &terms[counts.len()..], within);
            counts.extend(found.map_err(|_| TrailError::Damaged { place: "run_piece.bytes" })?);
        }
        Ok(counts)
    }
}

/// Finds out what the index of one run says.
pub(super) struct Planner<'a, I> {
    index: &'a I,
    zone: &'a TimeZone,
    count: usize,
    /// Whether leaves that share a term with others may be missing where a condition is turned around.
    may_miss: bool,
    /// Leaves with more terms than were kept.
    more: OnceCell<Bits>,
    seconds: OnceCell<Vec<i64>>,
}

/// Every leaf that may satisfy a query, without exception.
///
/// # Errors
/// The index cannot be read.
pub(super) fn candidates<I: Index>(matcher: &Matcher, index: &I) -> Result<Hint, SearchError> {
    Planner::new(index, &matcher.zone, false).root(matcher)
}

impl<'a, I: Index> Planner<'a, I> {
    /// `may_miss`: for counts; see [`Hint::not`].
    pub(super) fn new(index: &'a I, zone: &'a TimeZone, may_miss: bool) -> Self {
        let range = index.range();
        // A run holds fewer leaves than fit into memory.
        let count = usize::try_from(range.end - range.start).unwrap_or(0);
        Self { index, zone, count, may_miss, more: OnceCell::new(), seconds: OnceCell::new() }
    }

    /// What the index says about a query.
    pub(super) fn root(&self, matcher: &Matcher) -> Result<Hint, SearchError> {
        matcher.root.as_ref().map_or_else(|| Ok(Hint::everything()), |test| self.test(test))
    }

    /// The seconds at which the leaves happened.
    pub(super) fn seconds(&self) -> Result<&[i64], SearchError> {
        if let Some(seconds) = self.seconds.get() {
            return Ok(seconds);
        }
        let seconds = self.index.seconds()?;
        Ok(self.seconds.get_or_init(|| seconds))
    }

    /// The leaves of a value, and those that may have it without being listed.
    pub(super) fn lookup(&self, term: Term) -> Result<Hint, SearchError> {
        let mut bits = self.index.lookup(term)?;
        let more = match self.more.get() {
            Some(more) => more,
            None => {
                let more = self.index.lookup(Term::MORE)?;
                self.more.get_or_init(|| more)
            }
        };
        let certainty = if more.is_empty() { Certainty::Hashed } else { Certainty::Superset };
        bits.or(more);
        Ok(Hint::of(bits, certainty))
    }

    /// The values of a field that begin with a text; none when the run does not list them.
    pub(super) fn values(&self, field: Field, prefix: &str, limit: u32) -> Result<Option<Vec<String>>, SearchError> {
        if !field.is_listed() || !self.index.lookup(Term::unlisted(field))?.is_empty() {
            return Ok(None);
        }
        self.index.values(field, prefix, limit).map(Some)
    }

    fn test(&self, test: &Test) -> Result<Hint, SearchError> {
        match test {
            Test::All(parts) => {
                let mut all = Hint::everything();
                for part in parts {
                    all = all.and(self.test(part)?);
                    if all.is_nothing() {
                        break;
                    }
                }
                Ok(all)
            }
            Test::Any(parts) => self.any(parts, |part| self.test(part)),
            Test::Not(inner) => Ok(self.test(inner)?.not(self.count, self.may_miss)),
            Test::Term(term) => self.term(term),
        }
    }

    fn any<T>(&self, parts: impl IntoIterator<Item = T>, hint: impl Fn(T) -> Result<Hint, SearchError>) -> Result<Hint, SearchError> {
        let mut any = Hint::nothing(self.count);
        for part in parts {
            any = any.or(hint(part)?);
            if any.bits.is_none() {
                break;
            }
        }
        Ok(any)
    }

    fn term(&self, test: &TermTest) -> Result<Hint, SearchError> {
        let term = &test.term;
        if term.negated && term.values.contains(&Value::Present) {
            return Ok(self.present(test)?.not(self.count, self.may_miss));
        }
        let any = self.any(term.values.iter().zip(&test.limits), |(value, limits)| self.value(test, value, *limits))?;
        if !term.negated {
            return Ok(any);
        }
        Ok(self.present(test)?.and(any.not(self.count, self.may_miss)))
    }

    /// The leaves that have the field of a key.
    fn present(&self, test: &TermTest) -> Result<Hint, SearchError> {
        match test.term.key {
            key if is_always_present(key) => Ok(Hint::everything()),
            Key::Duration => self.has(Field::Duration),
            Key::Was | Key::Now => Ok(self.lookup(Term::of(Field::Has, b"diff"))?.at_most(Certainty::Superset)),
            Key::Meta => {
                let member = test.term.member.as_deref().unwrap_or_default();
                self.lookup(Term::of(Field::MetaName, member.as_bytes()))
            }
            key => match fields(key) {
                [] => Ok(Hint::anything()),
                fields => self.any(fields, |field| self.has(*field)),
            },
        }
    }

    fn has(&self, field: Field) -> Result<Hint, SearchError> {
        Ok(Hint::of(self.index.lookup(Term::has(field))?, Certainty::Certain))
    }

    fn value(&self, test: &TermTest, value: &Value, limits: Option<Limits>) -> Result<Hint, SearchError> {
        match value {
            Value::Missing => Ok(self.present(test)?.not(self.count, self.may_miss)),
            Value::Present => self.present(test),
            Value::Text(pattern) => self.text(test, pattern),
            Value::Words(words) => self.words(test, words),
            Value::Choice("unknown") if test.term.key == Key::Outcome => {
                let in_doubt = Term::of(Field::Verdict, Verdict::InDoubt.as_str().as_bytes());
                Ok(self.lookup(in_doubt)?.at_most(Certainty::Superset))
            }
            Value::Choice(word) => self.any(fields(test.term.key), |field| self.lookup(Term::of(*field, word.as_bytes()))),
            Value::Resource { resource_type, id } => self.resource(resource_type, id),
            Value::Network(network) => self.network(*network),
            Value::Status(range) => {
                let limits = statuses(range);
                self.listed(Field::Status, "", |status| status.parse().is_ok_and(|status| limits.contains(status)))
            }
            Value::Duration(range) => self.duration(range),
            Value::Number(range) if test.term.key == Key::Leaf => Ok(self.leaves(range)),
            Value::Time(_) if test.term.key == Key::Received => self.received(limits),
            Value::Time(_) => self.created(limits),
            Value::Hours(hours) => self.quarters(|second| is_during(*hours, second.saturating_mul(SECOND), self.zone)),
            Value::Id(prefix) if test.term.key == Key::Stream => self.stream(prefix),
            Value::Id(prefix) => self.id(prefix),
            _ => Ok(Hint::anything()),
        }
    }

    fn text(&self, test: &TermTest, pattern: &Pattern) -> Result<Hint, SearchError> {
        match (test.term.key, pattern) {
            (Key::Was | Key::Now, _) => self.present(test),
            (Key::Meta, Pattern::Prefix(_)) => Ok(self.present(test)?.at_most(Certainty::Superset)),
            (Key::Meta, Pattern::Exact(text)) => {
                let member = test.term.member.as_deref().unwrap_or_default();
                self.lookup(Term::of(Field::Meta, meta_value(member, text).as_bytes()))
            }
            (Key::Type, Pattern::Exact(name)) if !name.contains('.') => {
                self.lookup(Term::of(Field::TypeLast, name.to_ascii_lowercase().as_bytes()))
            }
            (key, pattern) => match fields(key) {
                [] => Ok(Hint::anything()),
                fields => self.any(fields, |field| self.pattern(*field, pattern)),
            },
        }
    }

    fn pattern(&self, field: Field, pattern: &Pattern) -> Result<Hint, SearchError> {
        match pattern {
            Pattern::Exact(text) => self.lookup(Term::of(field, text.as_bytes())),
            Pattern::Prefix(start) => self.listed(field, start, |_| true),
        }
    }

    /// The leaves that have one of those values of a field that begin so and are wanted.
    fn listed(&self, field: Field, prefix: &str, is_wanted: impl Fn(&str) -> bool) -> Result<Hint, SearchError> {
        let Some(mut values) = self.values(field, prefix, VALUES_MAX)? else {
            return Ok(self.has(field)?.at_most(Certainty::Superset));
        };
        values.retain(|value| is_wanted(value));
        if values.len() > LOOKUPS_MAX {
            return Ok(self.has(field)?.at_most(Certainty::Superset));
        }
        if values.is_empty() {
            // A leaf with more terms than were kept may have a value that is not listed.
            return Ok(self.lookup(Term::MORE)?.and(Hint::everything()));
        }
        self.any(values, |value| self.lookup(Term::of(field, value.as_bytes())))
    }

    fn words(&self, test: &TermTest, words: &Words) -> Result<Hint, SearchError> {
        if test.term.key == Key::Agent {
            return self.listed(Field::Agent, "", |agent| words.occur_in(agent));
        }
        let mut all = Hint::everything();
        for word in words.whole() {
            all = all.and(self.lookup(Term::of(Field::Word, word.as_bytes()))?);
        }
        let is_one_word = words.as_slice().len() == 1 && words.whole().len() == 1;
        match test.term.key {
            Key::Text if is_one_word => Ok(all),
            Key::Text => Ok(all.and(self.has(Field::Word)?).at_most(Certainty::Superset)),
            _ => Ok(all.and(self.present(test)?).at_most(Certainty::Superset)),
        }
    }

    fn resource(&self, resource_type: &str, id: &Pattern) -> Result<Hint, SearchError> {
        let is_whole = resource_type.contains('.');
        let (field, name) =
            if is_whole { (Field::Resource, resource_type.to_owned()) } else { (Field::ResourceLast, last_part(resource_type)) };
        let hint = match id {
            Pattern::Exact(id) => self.lookup(Term::of(field, format!("{name}/{id}").as_bytes()))?,
            Pattern::Prefix(start) if is_whole => self.listed(field, &format!("{name}/{start}"), |_| true)?,
            Pattern::Prefix(_) => self.lookup(Term::of(Field::TypeLast, name.as_bytes()))?.at_most(Certainty::Superset),
        };
        // The slash between type and id may also be one in a type or an id.
        Ok(if matches!(id, Pattern::Exact(id) if !id.contains('/')) { hint } else { hint.at_most(Certainty::Superset) })
    }

    fn network(&self, network: Network) -> Result<Hint, SearchError> {
        match network_around(network.first(), network.bits()) {
            None => Ok(self.has(Field::Network)?.at_most(Certainty::Superset)),
            Some((term, is_it)) => Ok(self.lookup(term)?.at_most(if is_it { Certainty::Hashed } else { Certainty::Superset })),
        }
    }

    fn duration(&self, range: &Range<indelible_core::query::Elapsed>) -> Result<Hint, SearchError> {
        let Some((low, high)) = ends(range, |elapsed| elapsed.micros()) else { return Ok(Hint::nothing(self.count)) };
        let buckets = duration_bucket(low)..=duration_bucket(high);
        Ok(self.any(buckets, |bucket| self.lookup(duration_term(bucket)))?.at_most(Certainty::Superset))
    }

    fn leaves(&self, range: &Range<u64>) -> Hint {
        let Some((low, high)) = ends(range, |leaf| *leaf) else { return Hint::nothing(self.count) };
        let first = self.index.range().start;
        // Beyond what memory addresses there are no leaves either.
        let place = |leaf: u64| usize::try_from(leaf.saturating_sub(first)).unwrap_or(usize::MAX);
        let mut bits = Bits::none(self.count);
        if high >= first {
            bits.insert_range(place(low)..place(high).saturating_add(1));
        }
        Hint::of(bits, Certainty::Certain)
    }

    fn received(&self, limits: Option<Limits>) -> Result<Hint, SearchError> {
        let Some(limits) = limits else { return Ok(Hint::anything()) };
        let hours = Limits { from: limits.from.map(hour_of), before: limits.before.map(|before| hour_of(before - 1) + 1) };
        let is_even = |end: Option<i64>| end.is_none_or(|end| end.rem_euclid(HOUR) == 0);
        let hint = self.listed(Field::Received, "", |hour| hour.parse().is_ok_and(|hour| hours.contains(hour)))?;
        Ok(if is_even(limits.from) && is_even(limits.before) { hint } else { hint.at_most(Certainty::Superset) })
    }

    fn created(&self, limits: Option<Limits>) -> Result<Hint, SearchError> {
        let Some(limits) = limits else { return Ok(Hint::anything()) };
        let (first, last) = self.index.occurred();
        if limits.contains(first) && limits.contains(last) {
            return Ok(Hint::everything());
        }
        if limits.from.is_some_and(|from| last < from) || limits.before.is_some_and(|before| first >= before) {
            return Ok(Hint::nothing(self.count));
        }
        let seconds = Limits { from: limits.from.map(second_of), before: limits.before.map(|before| second_of(before - 1) + 1) };
        let is_even = |end: Option<i64>| end.is_none_or(|end| end.rem_euclid(SECOND) == 0);
        let certainty = if is_even(limits.from) && is_even(limits.before) { Certainty::Certain } else { Certainty::Superset };
        let mut bits = Bits::none(self.count);
        for (leaf, second) in self.seconds()?.iter().enumerate() {
            if seconds.contains(*second) {
                bits.insert(leaf);
            }
        }
        Ok(Hint::of(bits, certainty))
    }

    /// The leaves that happened at seconds of which `is_wanted` tells the same for a quarter of an hour.
    fn quarters(&self, is_wanted: impl Fn(i64) -> bool) -> Result<Hint, SearchError> {
        let mut bits = Bits::none(self.count);
        let mut certainty = Certainty::Certain;
        let mut known: Option<(i64, bool)> = None;
        for (leaf, second) in self.seconds()?.iter().enumerate() {
            let quarter = second.div_euclid(QUARTER);
            let is_in = match known {
                Some((known, is_in)) if known == quarter => is_in,
                _ => {
                    let (first, last) = (is_wanted(quarter * QUARTER), is_wanted(quarter * QUARTER + QUARTER - 1));
                    if first != last {
                        // Clocks once differed by odd minutes.
                        certainty = Certainty::Superset;
                    }
                    first || last
                }
            };
            known = Some((quarter, is_in));
            if is_in {
                bits.insert(leaf);
            }
        }
        Ok(Hint::of(bits, certainty))
    }

    fn stream(&self, prefix: &IdPrefix) -> Result<Hint, SearchError> {
        if prefix.is_whole() {
            return self.lookup(Term::of(Field::Stream, prefix.digits().as_bytes()));
        }
        self.listed(Field::Stream, prefix.digits(), |_| true)
    }

    fn id(&self, prefix: &IdPrefix) -> Result<Hint, SearchError> {
        let ((low, high), (first, last)) = (prefix.bounds(), self.index.ids());
        if high < first || last < low {
            return Ok(Hint::nothing(self.count));
        }
        // The ids stand in the leaves themselves.
        let found = self.index.with_ids(&(low..=high))?;
        Ok(found.map_or_else(Hint::anything, |bits| Hint::of(bits, Certainty::Certain)))
    }
}

/// The smallest and the largest number of a range; none when there is none.
fn ends<T>(range: &Range<T>, number: impl Fn(&T) -> u64) -> Option<(u64, u64)> {
    Some(match range {
        Range::At(only) => (number(only), number(only)),
        Range::Above(low) => (number(low).checked_add(1)?, u64::MAX),
        Range::From(low) => (number(low), u64::MAX),
        Range::Below(high) => (0, number(high).checked_sub(1)?),
        Range::UpTo(high) => (0, number(high)),
        Range::Between(low, high) => (number(low), number(high)),
    })
}
