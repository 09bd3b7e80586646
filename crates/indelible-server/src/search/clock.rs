//! Turns times as they are written in a query into instants: the one place of search that knows a clock and a zone.

use std::ops::Range as Span;

use indelible_core::Timestamp;
use indelible_core::query::{Date, Moment, Period, Range};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, ToSpan, civil};

use super::TimeRange;

/// The clock and the time zone of whoever searches.
#[derive(Debug, Clone)]
pub struct Clock {
    /// What counts as now.
    pub now: jiff::Timestamp,
    /// Where days, weeks and months begin.
    pub zone: TimeZone,
}

/// Microseconds from a start up to, and without, an end.
pub(crate) type Micros = Span<i64>;

impl Clock {
    /// The clock and the zone of this machine.
    #[must_use]
    pub fn system() -> Self {
        Self { now: jiff::Timestamp::now(), zone: TimeZone::system() }
    }

    /// The stretch of time that a moment names: a whole day, week or month, or one microsecond.
    ///
    /// # Errors
    /// When the calendar of the zone has no such time, as at the ends of the range of years.
    pub(crate) fn resolve(&self, moment: Moment) -> Result<Micros, jiff::Error> {
        match moment {
            Moment::Instant(instant) => Ok(point(instant.micros())),
            Moment::Day(day) => self.days(day_of(day)?, 1),
            Moment::Ago(amount, unit) => {
                let reach = SignedDuration::from_secs(i64::from(amount) * i64::from(unit.seconds()));
                Ok(point(self.now.checked_sub(reach)?.as_microsecond()))
            }
            Moment::Period(period) => self.period(period),
        }
    }

    fn period(&self, period: Period) -> Result<Micros, jiff::Error> {
        let today = self.now.to_zoned(self.zone.clone()).date();
        let monday = today.checked_sub(i64::from(today.weekday().to_monday_zero_offset()).days())?;
        let first = today.first_of_month();
        match period {
            Period::Now => Ok(point(self.now.as_microsecond())),
            Period::Today => self.days(today, 1),
            Period::Yesterday => self.days(today.yesterday()?, 1),
            Period::ThisWeek => self.days(monday, 7),
            Period::LastWeek => self.days(monday.checked_sub(7.days())?, 7),
            Period::ThisMonth => self.days(first, first.days_in_month()),
            Period::LastMonth => {
                let first = first.checked_sub(1.month())?;
                self.days(first, first.days_in_month())
            }
        }
    }

    fn days(&self, first: civil::Date, count: i8) -> Result<Micros, jiff::Error> {
        let start = |date: civil::Date| Ok::<_, jiff::Error>(date.to_zoned(self.zone.clone())?.timestamp().as_microsecond());
        Ok(start(first)?..start(first.checked_add(i64::from(count).days())?)?)
    }

    /// Whether a range reaches over at most so many days. One without an end ends now.
    pub(super) fn is_within_days(&self, range: &TimeRange, days: u32) -> bool {
        let before = range.before.map_or(self.now.as_microsecond(), Timestamp::micros);
        // A day in which clocks are put back has an hour more.
        let longest = (i64::from(days) * 24 + 1) * 3_600_000_000;
        range.from.is_some_and(|from| before.saturating_sub(from.micros()) <= longest)
    }

    /// The limits of a range; an open end is `None`.
    pub(super) fn limits(&self, range: &Range<Moment>) -> Result<Limits, jiff::Error> {
        let at = |moment: &Moment| self.resolve(*moment);
        Ok(match range {
            Range::At(moment) => {
                let span = at(moment)?;
                Limits { from: Some(span.start), before: Some(span.end) }
            }
            Range::Above(moment) => Limits { from: Some(at(moment)?.end), before: None },
            Range::From(moment) => Limits { from: Some(at(moment)?.start), before: None },
            Range::Below(moment) => Limits { from: None, before: Some(at(moment)?.start) },
            Range::UpTo(moment) => Limits { from: None, before: Some(at(moment)?.end) },
            Range::Between(from, to) => Limits { from: Some(at(from)?.start), before: Some(at(to)?.end) },
        })
    }
}

/// The limits of a resolved range, in microseconds: from the first, before the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) from: Option<i64>,
    pub(super) before: Option<i64>,
}

impl Limits {
    /// Whether no time lies within.
    pub(super) fn is_empty(self) -> bool {
        matches!((self.from, self.before), (Some(from), Some(before)) if from >= before)
    }

    /// Whether a time lies within.
    pub(super) fn contains(self, micros: i64) -> bool {
        self.from.is_none_or(|from| micros >= from) && self.before.is_none_or(|before| micros < before)
    }

    /// The smallest limits that hold both.
    pub(super) fn hull(self, other: Self) -> Self {
        Self {
            from: self.from.zip(other.from).map(|(one, other)| one.min(other)),
            before: self.before.zip(other.before).map(|(one, other)| one.max(other)),
        }
    }
}

fn point(micros: i64) -> Micros {
    micros..micros.saturating_add(1)
}

fn day_of(day: Date) -> Result<civil::Date, jiff::Error> {
    // A `Date` exists in the calendar, so its parts fit.
    let part = |value: u8| i8::try_from(value).unwrap_or(i8::MAX);
    civil::Date::new(i16::try_from(day.year()).unwrap_or(i16::MAX), part(day.month()), part(day.day()))
}

/// The name of a zone, for people: `Europe/Berlin`, or what its clocks are called at `now`.
pub(crate) fn zone_name(zone: &TimeZone, now: jiff::Timestamp) -> String {
    zone.iana_name().map_or_else(|| zone.to_offset_info(now).abbreviation().to_owned(), str::to_owned)
}

/// Shows an instant in a zone, to the second, for people.
pub(crate) fn shown_in(zone: &TimeZone, instant: Timestamp) -> String {
    match jiff::Timestamp::from_microsecond(instant.micros()) {
        Ok(time) => time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => instant.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Thursday in a week that contains a change to summer time, in a zone that has one.
    fn clock() -> Clock {
        Clock { now: "2026-03-26T10:00:00Z".parse().unwrap(), zone: TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap() }
    }

    fn resolved(text: &str) -> String {
        let span = clock().resolve(Moment::parse(text).unwrap()).unwrap();
        format!("{}..{}", Timestamp::from_micros(span.start), Timestamp::from_micros(span.end)).replace(":00.000000", "")
    }

    #[test]
    fn days_weeks_and_months_begin_in_the_zone() {
        for (text, expected) in [
            ("today", "2026-03-25T23:00Z..2026-03-26T23:00Z"),
            ("yesterday", "2026-03-24T23:00Z..2026-03-25T23:00Z"),
            ("2026-03-29", "2026-03-28T23:00Z..2026-03-29T22:00Z"),
            ("this week", "2026-03-22T23:00Z..2026-03-29T22:00Z"),
            ("last week", "2026-03-15T23:00Z..2026-03-22T23:00Z"),
            ("this month", "2026-02-28T23:00Z..2026-03-31T22:00Z"),
            ("last month", "2026-01-31T23:00Z..2026-02-28T23:00Z"),
        ] {
            assert_eq!(resolved(text), expected, "{text}");
        }
    }

    #[test]
    fn relative_times_are_one_microsecond_before_now() {
        assert_eq!(resolved("-24h"), "2026-03-25T10:00Z..2026-03-25T10:00:00.000001Z");
        assert_eq!(resolved("-2w"), "2026-03-12T10:00Z..2026-03-12T10:00:00.000001Z");
    }

    #[test]
    fn days_at_the_ends_of_the_calendar_are_errors_and_not_crashes() {
        for text in ["9999-12-31", "0000-01-01"] {
            let moment = Moment::parse(text).unwrap();
            let _ = clock().resolve(moment);
        }
        assert!(clock().resolve(Moment::parse("9999-12-31").unwrap()).is_err());
    }
}
