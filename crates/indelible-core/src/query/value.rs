//! The values of terms.

use super::Moment;

/// One value of a term.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// `none`: the event lacks the field.
    Missing,
    /// `any`: the event has the field.
    Present,
    /// A text, or the beginning of one.
    Text(Pattern),
    /// One word of a fixed list, in lower case.
    Choice(&'static str),
    /// Something that was acted on.
    Resource {
        /// The whole type.
        resource_type: String,
        /// The id, or its beginning.
        id: Pattern,
    },
    /// HTTP statuses.
    Status(Range<u16>),
    /// Times.
    Created(Range<Moment>),
    /// Event ids.
    Id(IdPrefix),
}

/// A text, or the beginning of one; upper and lower case differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// The whole text.
    Exact(String),
    /// `text*`: every text that begins so.
    Prefix(String),
}

/// One value or an interval of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range<T> {
    /// `a`: equal, or for a day, within it.
    At(T),
    /// `>a`: after.
    Above(T),
    /// `>=a`: from the beginning of `a` on.
    From(T),
    /// `<a`: before.
    Below(T),
    /// `<=a`: up to the end of `a`.
    UpTo(T),
    /// `a..b`: from the beginning of `a` up to the end of `b`.
    Between(T, T),
}

/// The first hexadecimal digits of an event id, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdPrefix(String);

/// Number of hexadecimal digits of a whole event id.
const ID_DIGITS: usize = 32;

impl IdPrefix {
    /// Reads 1 to 32 hexadecimal digits in either case; hyphens between them are ignored.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: String = text.chars().filter(|character| *character != '-').map(|digit| digit.to_ascii_lowercase()).collect();
        let valid = (1..=ID_DIGITS).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        valid.then_some(Self(digits))
    }

    /// Whether these are all the digits of an id.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.0.len() == ID_DIGITS
    }

    /// The digits, in lower case and without hyphens.
    #[must_use]
    pub fn digits(&self) -> &str {
        &self.0
    }

    /// The first and the last id that begin with these digits.
    #[must_use]
    pub fn bounds(&self) -> ([u8; 16], [u8; 16]) {
        (self.filled('0'), self.filled('f'))
    }

    fn filled(&self, rest: char) -> [u8; 16] {
        let digits = self.0.chars().chain(std::iter::repeat(rest)).take(ID_DIGITS);
        let mut bytes = [0; 16];
        for (index, digit) in digits.enumerate() {
            // Every digit is hexadecimal, so it fits into half a byte.
            let half = digit.to_digit(16).unwrap_or(0) as u8;
            bytes[index / 2] |= if index % 2 == 0 { half << 4 } else { half };
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_number_of_digits_bounds_within_half_a_byte() {
        let (low, high) = IdPrefix::parse("018-F").unwrap().bounds();
        assert_eq!(low[..3], [0x01, 0x8f, 0x00]);
        assert_eq!(high[..3], [0x01, 0x8f, 0xff]);
    }

    #[test]
    fn text_that_begins_no_id_is_refused() {
        for bad in ["", "-", "xyz", "0123456789abcdef0123456789abcdef0"] {
            assert_eq!(IdPrefix::parse(bad), None, "{bad}");
        }
    }
}
