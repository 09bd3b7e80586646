//! Times as they are written in a query: some are fixed, some depend on the clock and the zone of whoever searches.

use std::fmt;

use crate::Timestamp;

/// A time as written. Resolving it is the searcher's part, since it takes a clock and a time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// An RFC 3339 date and time.
    Instant(Timestamp),
    /// A whole day in the zone of whoever searches.
    Day(Date),
    /// `-24h`: so long before now.
    Ago(u32, Unit),
    /// A word for a point or a stretch of time.
    Period(Period),
}

/// A day of the Gregorian calendar that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

/// A unit of time before now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// `s`
    Second,
    /// `m`
    Minute,
    /// `h`
    Hour,
    /// `d`: 24 hours.
    Day,
    /// `w`: seven times 24 hours.
    Week,
}

/// A word for a time; days, weeks (from Monday) and months are those of the calendar of whoever searches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// `now`, a point
    Now,
    /// `today`
    Today,
    /// `yesterday`
    Yesterday,
    /// `"this week"`
    ThisWeek,
    /// `"last week"`
    LastWeek,
    /// `"this month"`
    ThisMonth,
    /// `"last month"`
    LastMonth,
}

/// Longest reach of a relative time: an amount of 99,999 of the unit.
const AMOUNT_DIGITS_MAX: usize = 5;

impl Moment {
    /// Reads a time.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix('-') {
            return ago(rest);
        }
        if let Some(period) = Period::from_text(&text.to_ascii_lowercase()) {
            return Some(Self::Period(period));
        }
        Date::parse(text).map(Self::Day).or_else(|| text.parse().ok().map(Self::Instant))
    }

    /// Whether this is a point in time that an event can only hit by chance.
    pub(super) const fn is_relative_point(self) -> bool {
        matches!(self, Self::Ago(..) | Self::Period(Period::Now))
    }
}

fn ago(text: &str) -> Option<Moment> {
    let digits = text.len() - text.trim_start_matches(|character: char| character.is_ascii_digit()).len();
    if digits > AMOUNT_DIGITS_MAX {
        return None;
    }
    let unit = Unit::ALL.into_iter().find(|unit| unit.as_str() == &text[digits..])?;
    Some(Moment::Ago(text[..digits].parse().ok()?, unit))
}

impl Date {
    /// Reads `YYYY-MM-DD`; a day that its month does not have is refused.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 10 || !text.is_ascii() {
            return None;
        }
        format!("{text}T00:00:00Z").parse::<Timestamp>().ok()?;
        Some(Self { year: text[..4].parse().ok()?, month: text[5..7].parse().ok()?, day: text[8..].parse().ok()? })
    }

    /// The year, 0 to 9999.
    #[must_use]
    pub const fn year(self) -> u16 {
        self.year
    }

    /// The month, 1 to 12.
    #[must_use]
    pub const fn month(self) -> u8 {
        self.month
    }

    /// The day of the month, from 1.
    #[must_use]
    pub const fn day(self) -> u8 {
        self.day
    }
}

impl Unit {
    const ALL: [Self; 5] = [Self::Second, Self::Minute, Self::Hour, Self::Day, Self::Week];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Minute => "m",
            Self::Hour => "h",
            Self::Day => "d",
            Self::Week => "w",
        }
    }

    /// Length of the unit.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3600,
            Self::Day => 86_400,
            Self::Week => 604_800,
        }
    }
}

impl Period {
    const ALL: [Self; 7] = [Self::Now, Self::Today, Self::Yesterday, Self::ThisWeek, Self::LastWeek, Self::ThisMonth, Self::LastMonth];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::Today => "today",
            Self::Yesterday => "yesterday",
            Self::ThisWeek => "this week",
            Self::LastWeek => "last week",
            Self::ThisMonth => "this month",
            Self::LastMonth => "last month",
        }
    }

    fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|period| period.as_str() == text)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instant(instant) => instant.fmt(f),
            Self::Day(Date { year, month, day }) => write!(f, "{year:04}-{month:02}-{day:02}"),
            Self::Ago(amount, unit) => write!(f, "-{amount}{}", unit.as_str()),
            Self::Period(period) if period.as_str().contains(' ') => write!(f, "\"{}\"", period.as_str()),
            Self::Period(period) => f.write_str(period.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_as_they_are_read() {
        for text in ["2026-01-31", "-24h", "-90s", "today", "2026-01-31T09:30:00.000000Z"] {
            assert_eq!(Moment::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Moment::parse("Last Week").unwrap().to_string(), "\"last week\"");
    }

    #[test]
    fn times_that_do_not_exist_are_refused() {
        for bad in ["", "-", "-h", "-24", "-24x", "-100000h", "2026-02-30", "2026-13-01", "26-01-01", "tomorrow", "24h", "2026-01-3é"] {
            assert_eq!(Moment::parse(bad), None, "{bad}");
        }
    }
}
