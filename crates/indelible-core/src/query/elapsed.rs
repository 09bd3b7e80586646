//! Lengths of time and hours of the day, as they are written in a query.

use std::fmt;

/// A length of time, in whole microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Elapsed(u64);

/// The units of a length of time with their microseconds, the longest first.
const UNITS: [(&str, u64); 5] = [("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];

/// Most digits before and behind the point.
const DIGITS_MAX: usize = 9;

impl Elapsed {
    /// Reads a number, which may have a fraction, and a unit: `2s`, `1.5ms`. A fraction of a microsecond is refused.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let unit_at = text.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let (number, unit) = text.split_at(unit_at);
        let (_, micros) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        if whole.len() > DIGITS_MAX || fraction.len() > DIGITS_MAX || fraction.is_empty() {
            return None;
        }
        let scale = 10_u64.pow(u32::try_from(fraction.len()).ok()?);
        let parts = fraction.parse::<u64>().ok()?.checked_mul(micros)?;
        let whole = whole.parse::<u64>().ok()?.checked_mul(micros)?;
        parts.is_multiple_of(scale).then_some(Self(whole.checked_add(parts / scale)?))
    }

    /// The length in microseconds.
    #[must_use]
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// A length of so many microseconds.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }
}

impl fmt::Display for Elapsed {
    /// Writes the length in the longest unit that it is a whole number of.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS.into_iter().find(|(_, micros)| self.0 > 0 && self.0.is_multiple_of(*micros));
        let (name, micros) = unit.unwrap_or(("s", 1_000_000));
        write!(f, "{}{name}", self.0 / micros)
    }
}

/// Hours of the day or days of the week, in the zone of whoever searches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hours {
    /// `off`: outside Monday to Friday, 8:00 until 18:00.
    Off,
    /// `weekend`: Saturday and Sunday.
    Weekend,
    /// `22..6`: from the first hour until the second, over midnight when the second is not the greater; the first is below 24,
    /// the second 1 to 24.
    Between(u8, u8),
}

impl Hours {
    /// Whether an hour (0 to 23) of a day of the week (0 is Monday) is one of them.
    #[must_use]
    pub const fn contains(self, weekday: u8, hour: u8) -> bool {
        match self {
            Self::Off => weekday > 4 || hour < 8 || hour >= 18,
            Self::Weekend => weekday > 4,
            Self::Between(from, until) if from < until => hour >= from && hour < until,
            Self::Between(from, until) => hour >= from || hour < until,
        }
    }

    /// Reads `off`, `weekend`, one hour, or two with `..` between them.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "off" => return Some(Self::Off),
            "weekend" => return Some(Self::Weekend),
            _ => (),
        }
        let (from, until) = match text.split_once("..") {
            Some((from, until)) => (hour(from)?, hour(until)?),
            None => (hour(text)?, hour(text)? + 1),
        };
        // Midnight is 24 as an end and 0 as a beginning, so that the same hours have the same text.
        let until = if until == 0 { 24 } else { until };
        (from < 24 && from != until && !(from == 0 && until == 24)).then_some(Self::Between(from, until))
    }
}

fn hour(text: &str) -> Option<u8> {
    let short = (1..=2).contains(&text.len()) && text.bytes().all(|digit| digit.is_ascii_digit());
    text.parse().ok().filter(|hour| short && *hour <= 24)
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Weekend => f.write_str("weekend"),
            Self::Between(from, until) => write!(f, "{from}..{until}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_shown_in_the_longest_whole_unit() {
        for (text, shown) in [
            ("2000ms", "2s"),
            ("1.5s", "1500ms"),
            ("90s", "90s"),
            ("120s", "2m"),
            ("0h", "0s"),
            ("0.001ms", "1us"),
            ("999999999h", "999999999h"),
        ] {
            let length = Elapsed::parse(text).unwrap();
            assert_eq!(length.to_string(), shown);
            assert_eq!(Elapsed::parse(shown), Some(length));
        }
        for bad in ["", "2", "s", "2x", ".5s", "1.s", "1..2s", "0.1us", "1.0000000001s", "9999999999h", "-2s", "2 s"] {
            assert_eq!(Elapsed::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn hours_can_run_over_midnight() {
        let during = |text: &str| -> Vec<u8> { (0..24).filter(|hour| Hours::parse(text).unwrap().contains(0, *hour)).collect() };
        assert_eq!(during("22..6"), [0, 1, 2, 3, 4, 5, 22, 23]);
        assert_eq!(during("9..12"), [9, 10, 11]);
        assert_eq!(during("14"), [14]);
        assert_eq!(during("22..0"), [22, 23]);
        assert_eq!(during("off"), [0, 1, 2, 3, 4, 5, 6, 7, 18, 19, 20, 21, 22, 23]);
        assert_eq!(during("weekend"), Vec::<u8>::new());
        assert!(Hours::Off.contains(5, 12) && Hours::Weekend.contains(6, 0));
    }

    #[test]
    fn hours_that_no_clock_shows_are_refused() {
        for bad in ["", "24", "25", "9..9", "0..24", "24..6", "9..", "..9", "9:00", "-1", "+9", "nine", "009"] {
            assert_eq!(Hours::parse(bad), None, "{bad}");
        }
    }
}
