//! Payment card numbers (ISO/IEC 7812): 13 to 19 digits, single separators between them, of a known issuer and with a valid
//! Luhn digit. Most long numbers are none.

use std::ops::Range;

pub(super) const CARD_DIGITS_MIN: usize = 13;
const CARD_DIGITS_MAX: usize = 19;

/// What stands at a digit.
pub(super) struct DigitRun {
    /// The first card number in the run, with everything that could be part of it.
    pub(super) card: Option<Range<usize>>,
    /// Where the run of digits and separators ends.
    pub(super) end: usize,
}

/// Looks at the run of digits that begins at `from`; what stands before `masked` is not there any more.
///
/// A card starts and ends where a group of digits does, so that `12 4111 1111 1111 1111` is found and a long number is not
/// searched for parts that look like a card. The decimals of a fraction are not a number.
pub(super) fn digit_run(text: &[u8], from: usize, masked: usize) -> DigitRun {
    let (end, digits) = run_end(text, from);
    let is_fraction = from >= masked + 2 && text[from - 1] == b'.' && text[from - 2].is_ascii_digit();
    let start = if is_fraction { from + text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count() } else { from };
    let card = if digits < CARD_DIGITS_MIN { None } else { first_card(text, start..end) };
    DigitRun { card: card.filter(|card| !in_phone(text, from, digits, card)), end }
}

fn run_end(text: &[u8], from: usize) -> (usize, usize) {
    let mut digits = 0;
    let mut at = from;
    loop {
        let group = text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        digits += group;
        at += group;
        match separator_length(&text[at..], group) {
            0 => return (at, digits),
            length => at += length,
        }
    }
}

/// Groups of digits in a card number that has uncommon separators; others are versions, amounts and addresses.
const UNCOMMON_GROUP_DIGITS: std::ops::RangeInclusive<usize> = 4..=6;

/// Length of the separator that `text` begins with, after a group of so many digits; 0 if digits do not go on.
fn separator_length(text: &[u8], group: usize) -> usize {
    let (length, is_common) = match text {
        [b' ' | b'-', ..] => (1, true),
        // No-break spaces.
        [0xC2, 0xA0, ..] => (2, true),
        [0xE2, 0x80, 0xAF, ..] => (3, true),
        [b'.' | b'_', ..] => (1, false),
        _ => return 0,
    };
    let next = text[length..].iter().take(CARD_DIGITS_MAX).take_while(|byte| byte.is_ascii_digit()).count();
    let continues = if is_common { next > 0 } else { UNCOMMON_GROUP_DIGITS.contains(&group) && UNCOMMON_GROUP_DIGITS.contains(&next) };
    if continues { length } else { 0 }
}

fn first_card(text: &[u8], run: Range<usize>) -> Option<Range<usize>> {
    let mut found: Option<Range<usize>> = None;
    for start in run.clone().filter(|&at| starts_group(text, at)) {
        if found.as_ref().is_some_and(|card| start >= card.end) {
            break;
        }
        let candidate = longest_card(&text[start..run.end]).map(|length| start..start + length);
        if let Some(candidate) = candidate.filter(|candidate| !in_hex_number(text, candidate) && !in_uuid(text, candidate)) {
            let card = found.get_or_insert(start..start);
            card.end = card.end.max(candidate.end);
        }
    }
    found
}

fn starts_group(text: &[u8], at: usize) -> bool {
    text[at].is_ascii_digit() && !(at > 0 && text[at - 1].is_ascii_digit())
}

/// Length of the longest card number at the start of a run, separators included.
fn longest_card(run: &[u8]) -> Option<usize> {
    let mut luhn = Luhn::default();
    let mut prefix = 0;
    let mut longest = None;
    for (at, byte) in run.iter().enumerate().filter(|(_, byte)| byte.is_ascii_digit()).take(CARD_DIGITS_MAX) {
        luhn.push(byte - b'0');
        if luhn.digits <= PREFIX_DIGITS {
            prefix = prefix * 10 + u32::from(byte - b'0');
        }
        if luhn.digits == PREFIX_DIGITS && issued_lengths(prefix).is_empty() {
            break;
        }
        let group_ends = !run.get(at + 1).is_some_and(u8::is_ascii_digit);
        if group_ends && luhn.is_valid() && issued_lengths(prefix).contains(&luhn.digits) {
            longest = Some(at + 1);
        }
    }
    longest
}

const PREFIX_DIGITS: usize = 4;

/// How many digits the cards have whose numbers begin with these four; empty where nobody issues any.
fn issued_lengths(prefix: u32) -> Range<usize> {
    match prefix {
        // American Express
        3400..=3499 | 3700..=3799 => 15..16,
        // Diners Club
        3000..=3059 | 3095 | 3600..=3699 | 3800..=3999 => 14..20,
        // JCB
        3528..=3589 => 16..20,
        // Visa
        4000..=4999 => CARD_DIGITS_MIN..20,
        // Mastercard
        5100..=5599 | 2221..=2720 => 16..17,
        // Mir, Troy, RuPay
        2200..=2204 | 9792 | 8100..=8299 => 16..20,
        // Maestro, Discover, UnionPay and what shares their ranges
        5000..=5099 | 5600..=5899 | 6000..=6999 => CARD_DIGITS_MIN..20,
        _ => 0..0,
    }
}

/// The check digit of ISO/IEC 7812-1 annex B for a number of which the end is not known yet.
#[derive(Default)]
struct Luhn {
    digits: usize,
    /// Sums in which the digits at even and at odd places count double.
    even_doubled: u32,
    odd_doubled: u32,
}

impl Luhn {
    fn push(&mut self, digit: u8) {
        let once = u32::from(digit);
        let twice = if once > 4 { once * 2 - 9 } else { once * 2 };
        let (even, odd) = if self.digits.is_multiple_of(2) { (twice, once) } else { (once, twice) };
        self.even_doubled += even;
        self.odd_doubled += odd;
        self.digits += 1;
    }

    /// The last digit counts once, the one before it twice, and so on.
    fn is_valid(&self) -> bool {
        let sum = if self.digits.is_multiple_of(2) { self.even_doubled } else { self.odd_doubled };
        sum % 10 == 0
    }
}

/// Shortest hash that is written in hexadecimal, in digits (a shortened SHA-1 is too short to hold a card).
const HEX_DIGEST_BYTES_MIN: usize = 32;

/// Longest hash that is recognised, in digits (SHA-512).
const HEX_DIGEST_BYTES_MAX: usize = 128;

/// Shortest identifier in hexadecimal that can be told from a label before a card, in digits (a span of W3C Trace Context).
const HEX_ID_BYTES_MIN: usize = 16;

/// Whether the first or the last group of digits is part of a hexadecimal number, which has many digits in a row now and then.
///
/// Such a number can go on behind a separator (`9b2c…3059723719285-0`), so that both groups are looked at, each with its own word.
fn in_hex_number(text: &[u8], card: &Range<usize>) -> bool {
    let is_word = |byte: &&u8| byte.is_ascii_alphanumeric();
    let is_digit = |byte: &&u8| byte.is_ascii_digit();
    let before = text[..card.start].iter().rev().take(HEX_DIGEST_BYTES_MAX).take_while(is_word).count();
    let after = text[card.end..].iter().take(HEX_DIGEST_BYTES_MAX).take_while(is_word).count();
    let first = text[card.clone()].iter().take_while(is_digit).count();
    let last = text[card.clone()].iter().rev().take_while(is_digit).count();
    if first == card.len() {
        return is_hex_number(&text[card.start - before..card.start], first, &text[card.end..card.end + after]);
    }
    is_hex_number(&text[card.start - before..card.start], first, &[]) || is_hex_number(&[], last, &text[card.end..card.end + after])
}

/// Whether a word is a number in hexadecimal: `digits` decimal ones with `before` and `after` around them.
///
/// A hash is told by its length. In a shorter word letters and digits must be mixed outside of the group too: `b4111111111111111` may
/// be a label and a card.
fn is_hex_number(before: &[u8], digits: usize, after: &[u8]) -> bool {
    let length = before.len() + digits + after.len();
    let mut around = before.iter().chain(after);
    let is_mixed = || before.iter().chain(after).any(u8::is_ascii_digit) && before.iter().chain(after).any(u8::is_ascii_alphabetic);
    around.all(u8::is_ascii_hexdigit)
        && ((HEX_DIGEST_BYTES_MIN..=HEX_DIGEST_BYTES_MAX).contains(&length)
            || (HEX_ID_BYTES_MIN..HEX_DIGEST_BYTES_MIN).contains(&length) && is_mixed())
}

/// Where the dashes of a UUID stand (RFC 9562 §4).
const UUID_DASHES: [usize; 4] = [8, 13, 18, 23];
const UUID_BYTES: usize = 36;

/// Whether the digits begin or end inside a UUID, which may stand between other words and dashes.
fn in_uuid(text: &[u8], card: &Range<usize>) -> bool {
    let reach = text.len().min(card.end + UUID_BYTES - 1);
    text[card.start.saturating_sub(UUID_BYTES - 1)..reach].windows(UUID_BYTES).any(is_uuid)
}

fn is_uuid(text: &[u8]) -> bool {
    text.iter().enumerate().all(|(at, byte)| if UUID_DASHES.contains(&at) { *byte == b'-' } else { byte.is_ascii_hexdigit() })
}

/// Most digits of an international phone number (ITU-T E.164).
const PHONE_DIGITS_MAX: usize = 15;
const COUNTRY_CODE_DIGITS_MAX: usize = 3;

/// Whether the run from `from` is a phone number: it has a `+` before it, and is short enough or begins with a country code.
fn in_phone(text: &[u8], from: usize, digits: usize, card: &Range<usize>) -> bool {
    let has_plus = from > 0 && text[from - 1] == b'+' && !(from > 1 && text[from - 2].is_ascii_alphanumeric());
    let first_group = text[from..].iter().take(CARD_DIGITS_MAX).take_while(|byte| byte.is_ascii_digit()).count();
    has_plus && (digits <= PHONE_DIGITS_MAX || (card.start > from && first_group <= COUNTRY_CODE_DIGITS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(text: &str) -> Option<&str> {
        digit_run(text.as_bytes(), text.find(|c: char| c.is_ascii_digit()).unwrap(), 0).card.map(|card| &text[card])
    }

    #[test]
    fn cards_are_found_with_and_without_separators() {
        for number in [
            "4111111111111111",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "5555555555554444",
            "2223003122003222",
            "378282246310005",
            "6011111111111117",
            "3530111333300000",
            "30569309025904",
            "4222222222222",
            "6200000000000005",
            "6304000000000000",
        ] {
            assert_eq!(card(number), Some(number));
            assert_eq!(card(&format!("PAN:{number}.")), Some(number));
        }
    }

    #[test]
    fn a_card_between_other_numbers_is_found() {
        assert_eq!(card("12 4111 1111 1111 1111 12/27"), Some("4111 1111 1111 1111"));
        assert_eq!(card("7-4111111111111111"), Some("4111111111111111"));
    }

    #[test]
    fn numbers_that_are_no_cards_stay() {
        for number in [
            "4111111111111112", // Luhn
            "1234567812345670", // nobody issues 1234
            "1763766000123456", // microseconds
            "41111111111111111111111111111111",
            "20261121230011",
            "0.4111111111111111",
            "4111  1111 1111 1111",
            "00004111111111111111aaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "b4111111111111111aaaaaaaaaaaaaaaaa",
        ] {
            assert_eq!(card(number), None, "{number}");
        }
    }

    #[test]
    fn a_run_is_left_behind_at_once() {
        let digits = "1 ".repeat(1000);
        assert_eq!(digit_run(digits.as_bytes(), 0, 0).end, digits.len() - 1);
    }
}
