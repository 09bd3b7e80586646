//! The beginning of an id.

/// The first hexadecimal digits of an event's or a stream's id, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdPrefix(String);

/// Number of hexadecimal digits of a whole id.
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
