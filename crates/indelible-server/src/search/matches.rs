//! Whether a record satisfies a query. This is the truth; the index only says where it is worth looking.

use indelible_core::query::{Condition, Hours, Key, OPEN_START_DAYS_MAX, Pattern, Query, Range, Term, Value};
use indelible_core::{EventId, Verdict};
use jiff::tz::TimeZone;

use super::clock::{Clock, Limits};
use super::{SearchError, time_range};
use crate::index::{Facts, Field, Raw, last_part};

/// Who knows what became of events in doubt: records further on in the trail.
pub(super) trait Resolutions {
    /// Whether an `audit.resolve` of the agent says what became of an event.
    ///
    /// # Errors
    /// The trail cannot be read.
    fn is_resolved(&mut self, event: EventId) -> Result<bool, SearchError>;
}

/// A query that knows the clock and the zone of whoever asks.
#[derive(Debug)]
pub(super) struct Matcher {
    pub(super) root: Option<Test>,
    pub(super) zone: TimeZone,
}

/// A condition with its times resolved.
#[derive(Debug)]
pub(super) enum Test {
    All(Vec<Test>),
    Any(Vec<Test>),
    Not(Box<Test>),
    Term(TermTest),
}

/// A term with its times resolved.
#[derive(Debug)]
pub(super) struct TermTest {
    pub(super) term: Term,
    /// The limits of each value that is a time, beside it.
    pub(super) limits: Vec<Option<Limits>>,
}

/// One record as conditions see it.
#[derive(Debug)]
pub(super) struct Record<'a> {
    pub(super) leaf_index: u64,
    pub(super) facts: Facts<'a>,
}

impl Matcher {
    /// Resolves the times of a query.
    ///
    /// # Errors
    /// - [`SearchError::Time`], [`SearchError::EmptyRange`]: a time does not exist, or a range of times ends before it begins.
    /// - [`SearchError::WideRange`]: words are sought by their end, over too long a time.
    pub(super) fn new(query: &Query, clock: &Clock) -> Result<Self, SearchError> {
        if query.needs_range() && !clock.is_within_days(&time_range(query, clock)?, OPEN_START_DAYS_MAX) {
            return Err(SearchError::WideRange);
        }
        let root = query.condition.as_ref().map(|condition| Test::new(condition, clock)).transpose()?;
        Ok(Self { root, zone: clock.zone.clone() })
    }

    /// Whether a record satisfies the query.
    ///
    /// # Errors
    /// The trail cannot be read, where the answer lies in another record.
    pub(super) fn holds(&self, record: &Record<'_>, resolutions: &mut dyn Resolutions) -> Result<bool, SearchError> {
        self.root.as_ref().map_or(Ok(true), |test| self.test(test, record, resolutions))
    }

    fn test(&self, test: &Test, record: &Record<'_>, resolutions: &mut dyn Resolutions) -> Result<bool, SearchError> {
        match test {
            Test::All(parts) => {
                for part in parts {
                    if !self.test(part, record, resolutions)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Test::Any(parts) => {
                for part in parts {
                    if self.test(part, record, resolutions)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Test::Not(inner) => Ok(!self.test(inner, record, resolutions)?),
            Test::Term(term) => self.term(term, record, resolutions),
        }
    }

    fn term(&self, test: &TermTest, record: &Record<'_>, resolutions: &mut dyn Resolutions) -> Result<bool, SearchError> {
        let term = &test.term;
        if term.negated && term.values.contains(&Value::Present) {
            return Ok(!is_present(term, record));
        }
        if term.negated && !is_present(term, record) {
            return Ok(false);
        }
        for (value, limits) in term.values.iter().zip(&test.limits) {
            if self.value(term, value, *limits, record, resolutions)? {
                return Ok(!term.negated);
            }
        }
        Ok(term.negated)
    }

    fn value(
        &self,
        term: &Term,
        value: &Value,
        limits: Option<Limits>,
        record: &Record<'_>,
        resolutions: &mut dyn Resolutions,
    ) -> Result<bool, SearchError> {
        let facts = &record.facts;
        Ok(match value {
            Value::Missing => !is_present(term, record),
            Value::Present => is_present(term, record),
            Value::Text(pattern) if term.key == Key::Type => facts.resource_type().is_some_and(|found| is_type(pattern, found)),
            Value::Text(pattern) => any_text(term, record, |text| pattern.fits(text)),
            Value::Words(words) => any_text(term, record, |text| words.occur_in(text)),
            Value::Choice("unknown") if term.key == Key::Outcome => {
                facts.entry.verdict == Verdict::InDoubt && !resolutions.is_resolved(facts.entry.event)?
            }
            Value::Choice(word) => any_text(term, record, |text| text == *word),
            Value::Resource { resource_type, id } => facts
                .resource()
                .is_some_and(|(found, found_id)| is_type(&Pattern::Exact(resource_type.clone()), found) && id.fits(found_id)),
            Value::Network(network) => facts.client_ip().is_some_and(|address| network.contains(address)),
            Value::Status(range) => facts.status().is_some_and(|status| statuses(range).contains(status)),
            Value::Duration(range) => {
                facts.duration_us().is_some_and(|micros| range.contains(&indelible_core::query::Elapsed::from_micros(micros)))
            }
            Value::Number(range) => range.contains(&if term.key == Key::Leaf { record.leaf_index } else { facts.entry.sequence }),
            Value::Time(_) => {
                let micros = if term.key == Key::Received { facts.entry.received_at.micros() } else { facts.occurred_at() };
                limits.is_some_and(|limits| limits.contains(micros))
            }
            Value::Hours(hours) => is_during(*hours, facts.occurred_at(), &self.zone),
            Value::Id(prefix) => {
                let (low, high) = prefix.bounds();
                let id = if term.key == Key::Stream { facts.entry.stream.as_bytes() } else { facts.entry.event.as_bytes() };
                (&low..=&high).contains(&id)
            }
            other => return Err(SearchError::Unsupported { value: other.to_string() }),
        })
    }
}

impl Test {
    fn new(condition: &Condition, clock: &Clock) -> Result<Self, SearchError> {
        let all = |parts: &[Condition]| parts.iter().map(|part| Self::new(part, clock)).collect::<Result<Vec<_>, _>>();
        Ok(match condition {
            Condition::All(parts) => Self::All(all(parts)?),
            Condition::Any(parts) => Self::Any(all(parts)?),
            Condition::Not(inner) => Self::Not(Box::new(Self::new(inner, clock)?)),
            Condition::Term(term) => Self::Term(TermTest { limits: limits(term, clock)?, term: term.clone() }),
        })
    }
}

fn limits(term: &Term, clock: &Clock) -> Result<Vec<Option<Limits>>, SearchError> {
    let of_value = |value: &Value| {
        let Value::Time(range) = value else { return Ok(None) };
        let limits = clock.limits(range)?;
        if limits.is_empty() {
            return Err(SearchError::EmptyRange { range: format!("{}:{range}", term.key) });
        }
        Ok(Some(limits))
    };
    term.values.iter().map(of_value).collect()
}

/// Where the texts of a key stand, for the keys that have texts.
pub(super) const fn fields(key: Key) -> &'static [Field] {
    match key {
        Key::Actor => &[Field::ActorId, Field::ActorLabel],
        Key::ActorType => &[Field::ActorType],
        Key::OnBehalf => &[Field::OnBehalf],
        Key::Session => &[Field::Session],
        Key::Auth => &[Field::Auth],
        Key::Role => &[Field::Role],
        Key::Ip => &[Field::Ip],
        Key::Agent => &[Field::Agent],
        Key::Action => &[Field::Action],
        Key::Kind => &[Field::Kind],
        Key::Outcome => &[Field::Outcome],
        Key::Verdict => &[Field::Verdict],
        Key::Method => &[Field::Method],
        Key::Route => &[Field::Route],
        Key::Path => &[Field::Path],
        Key::Status => &[Field::Status],
        Key::Resource | Key::Type => &[Field::Type],
        Key::Field => &[Field::Touched],
        Key::Tenant => &[Field::Tenant],
        Key::Request => &[Field::Request],
        Key::Trace => &[Field::Trace],
        Key::Service => &[Field::Service],
        Key::Environment => &[Field::Environment],
        Key::Release => &[Field::Release],
        Key::Host => &[Field::Host],
        Key::Reason => &[Field::Reason],
        Key::Is => &[Field::Is],
        Key::Has => &[Field::Has],
        _ => &[],
    }
}

/// Whether every record has the field.
pub(super) const fn is_always_present(key: Key) -> bool {
    matches!(
        key,
        Key::Verdict
            | Key::Created
            | Key::Received
            | Key::Hours
            | Key::Id
            | Key::Leaf
            | Key::Stream
            | Key::Seq
            | Key::Is
            | Key::Has
            | Key::Text
    )
}

fn is_present(term: &Term, record: &Record<'_>) -> bool {
    match term.key {
        key if is_always_present(key) => true,
        Key::Duration => record.facts.duration_us().is_some(),
        _ => any_text(term, record, |_| true),
    }
}

/// Whether one of the texts that a record has for a key is as wanted.
fn any_text(term: &Term, record: &Record<'_>, mut is_wanted: impl FnMut(&str) -> bool) -> bool {
    let facts = &record.facts;
    let mut found = false;
    let mut look = |text: &str| found = found || is_wanted(text);
    match term.key {
        Key::Text => facts.prose(look),
        Key::Meta => facts.meta(|name, value| {
            if term.member.as_deref() == Some(name) {
                look(value);
            }
        }),
        Key::Was => facts.changes().iter().for_each(|change| {
            values(change.old, change.removed).for_each(|value| look(value.as_str()));
        }),
        Key::Now => facts.changes().iter().for_each(|change| {
            values(change.new, change.added).for_each(|value| look(value.as_str()));
        }),
        key => fields(key).iter().for_each(|&field| facts.texts(field, &mut look)),
    }
    found
}

/// The value of a field on one side of a change, and the elements on that side of a many-to-many one.
fn values<'a>(one: Option<Raw<'a>>, elements: Option<Raw<'a>>) -> impl Iterator<Item = crate::index::Text<'a>> {
    let elements: Vec<Raw<'a>> = elements.map(|elements| elements.elements()).unwrap_or_default();
    one.into_iter().chain(elements).filter_map(Raw::scalar)
}

/// A type is meant whole, `clinic.Patient`, or by its last part alone in any case, `patient`.
fn is_type(pattern: &Pattern, found: &str) -> bool {
    match pattern {
        Pattern::Exact(name) if !name.contains('.') => name.to_ascii_lowercase() == last_part(found),
        pattern => pattern.fits(found),
    }
}

/// Limits of statuses, as numbers of any size: a body may hold one that no protocol knows.
pub(super) fn statuses(range: &Range<u16>) -> Limits {
    let from = |status: &u16| Some(i64::from(*status));
    let after = |status: &u16| Some(i64::from(*status) + 1);
    let (from, before) = match range {
        Range::At(status) => (from(status), after(status)),
        Range::Above(status) => (after(status), None),
        Range::From(status) => (from(status), None),
        Range::Below(status) => (None, from(status)),
        Range::UpTo(status) => (None, after(status)),
        Range::Between(low, high) => (from(low), after(high)),
    };
    Limits { from, before }
}

/// Whether a time falls into hours of the day in a zone. A time outside the calendar falls into none.
pub(super) fn is_during(hours: Hours, micros: i64, zone: &TimeZone) -> bool {
    let Ok(instant) = jiff::Timestamp::from_microsecond(micros) else { return false };
    let local = zone.to_datetime(instant);
    let weekday = local.date().weekday().to_monday_zero_offset();
    hours.contains(weekday.unsigned_abs(), local.hour().unsigned_abs())
}
