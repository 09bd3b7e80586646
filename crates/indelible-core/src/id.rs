//! Identifiers: version 7 UUIDs (RFC 9562 §5.7) with a type of their own for each thing they name.

use std::fmt;
use std::str::FromStr;

use crate::json::push_ascii;

/// Text that is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an identifier: expected 32 hexadecimal digits in the form 8-4-4-4-12")]
pub struct IdError(String);

fn uuid7(unix_ms: u64, random: [u8; 10]) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&unix_ms.to_be_bytes()[2..]);
    bytes[6..].copy_from_slice(&random);
    bytes[6] = 0x70 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    bytes
}

fn write_hyphenated(bytes: &[u8; 16], out: &mut [u8; 36]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut at = 0;
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out[at] = b'-';
            at += 1;
        }
        out[at] = DIGITS[usize::from(byte >> 4)];
        out[at + 1] = DIGITS[usize::from(byte & 15)];
        at += 2;
    }
}

fn parse_hyphenated(text: &str) -> Option<[u8; 16]> {
    let text = text.as_bytes();
    if text.len() != 36 {
        return None;
    }
    let mut bytes = [0; 16];
    let mut digits = 0;
    for (index, &character) in text.iter().enumerate() {
        if matches!(index, 8 | 13 | 18 | 23) {
            if character != b'-' {
                return None;
            }
            continue;
        }
        let digit = char::from(character).to_digit(16)?;
        bytes[digits / 2] = bytes[digits / 2] << 4 | u8::try_from(digit).ok()?;
        digits += 1;
    }
    Some(bytes)
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// Makes a version 7 UUID from a Unix time in milliseconds (48 bits are kept) and 80 random bits, of which 74 are kept.
            #[must_use]
            pub fn from_parts(unix_ms: u64, random: [u8; 10]) -> Self {
                Self(uuid7(unix_ms, random))
            }

            /// Takes 16 bytes as they are, in network order.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The 16 bytes, in network order.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// Appends the hyphenated text without going through [`fmt::Display`].
            pub fn push_to(&self, out: &mut String) {
                let mut text = [0; 36];
                write_hyphenated(&self.0, &mut text);
                push_ascii(out, &text);
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                parse_hyphenated(text).map(Self).ok_or_else(|| IdError(text.to_owned()))
            }
        }
    };
}

macro_rules! display_hyphenated {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = String::with_capacity(36);
                self.push_to(&mut text);
                f.pad(&text)
            }
        }
    };
}

identifier!(
    /// One event, from the recorder to every sink: the idempotency key everywhere.
    EventId
);
identifier!(
    /// The sequence of frames of one process, from its start to its end.
    StreamId
);
identifier!(
    /// The events of one database transaction, between INTENT and OUTCOME.
    IntentId
);
display_hyphenated!(EventId);
display_hyphenated!(IntentId);

impl StreamId {
    /// The stream of the agent's own events. It has no journal.
    pub const AGENT: Self = Self([0; 16]);
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::AGENT {
            return f.pad("agent");
        }
        let mut text = String::with_capacity(36);
        self.push_to(&mut text);
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_round_trip_and_version_and_variant_are_set() {
        let id = EventId::from_parts(0x0123_4567_89ab, [0xff; 10]);
        assert_eq!(id.to_string(), "01234567-89ab-7fff-bfff-ffffffffffff");
        assert_eq!(id.to_string().parse::<EventId>().unwrap(), id);
        assert_eq!(EventId::from_bytes(*id.as_bytes()), id);
    }

    #[test]
    fn ids_of_a_later_millisecond_sort_later() {
        assert!(EventId::from_parts(1, [0xff; 10]) < EventId::from_parts(2, [0; 10]));
    }

    #[test]
    fn text_that_is_no_id_is_refused() {
        for bad in
            ["", "01234567-89ab-7fff-bfff-fffffffffff", "01234567089ab-7fff-bfff-ffffffffffff", "é1234567-89ab-7fff-bfff-fffffffffff"]
        {
            assert!(bad.parse::<EventId>().is_err(), "{bad}");
        }
    }
}
