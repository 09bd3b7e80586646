//! Writing JSON (RFC 8259): text is appended to a `String`, nothing is built as a tree and nothing is read back.

use std::fmt;

use crate::time::Timestamp;

/// One complete JSON value as text, already redacted.
///
/// Free-form parts of an event (values of fields, metadata, bodies) travel as `Json`, so that they are encoded once and copied after that.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Json(String);

impl Json {
    /// The value `null`.
    #[must_use]
    pub fn null() -> Self {
        Self("null".to_owned())
    }

    /// A JSON string.
    #[must_use]
    pub fn string(text: &str) -> Self {
        let mut out = String::with_capacity(text.len() + 2);
        push_string(&mut out, text);
        Self(out)
    }

    /// A JSON number without decimals.
    #[must_use]
    pub fn integer(value: i64) -> Self {
        let mut out = String::new();
        push_i64(&mut out, value);
        Self(out)
    }

    /// Takes text that the caller knows to be exactly one JSON value.
    ///
    /// It is copied into events as it is: text that is not JSON makes a body that nobody can read.
    #[must_use]
    pub fn from_text(text: String) -> Self {
        Self(text)
    }

    /// The JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes the JSON text out.
    #[must_use]
    pub fn into_text(self) -> String {
        self.0
    }

    /// Length of the text in bytes; never 0.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a JSON value is never empty text")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Appends a JSON string: quotes, backslashes and control characters escaped, everything else as UTF-8.
pub fn push_string(out: &mut String, text: &str) {
    out.reserve(text.len() + 2);
    out.push('"');
    match next_special(text.as_bytes(), 0) {
        None => out.push_str(text),
        Some(at) => push_escaped(out, text, at),
    }
    out.push('"');
}

/// Appends text whose first special byte is at `at`.
#[cold]
fn push_escaped(out: &mut String, text: &str, at: usize) {
    let (mut clean_from, mut special) = (0, Some(at));
    while let Some(at) = special {
        out.push_str(&text[clean_from..at]);
        push_escape(out, text.as_bytes()[at]);
        clean_from = at + 1;
        special = next_special(text.as_bytes(), clean_from);
    }
    out.push_str(&text[clean_from..]);
}

static SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        special[byte] = byte < 0x20 || byte == b'"' as usize || byte == b'\\' as usize;
        byte += 1;
    }
    special
};

fn is_special(byte: u8) -> bool {
    SPECIAL[usize::from(byte)]
}

/// Where the next byte that needs an escape is. Eight bytes are looked at in one step.
fn next_special(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(chunk) = bytes.get(at..at + 8) {
        let special = specials(u64::from_le_bytes(chunk.try_into().ok()?));
        if special != 0 {
            return Some(at + special.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    if is_surely_clean(&bytes[at..]) {
        return None;
    }
    bytes[at..].iter().position(|&byte| is_special(byte)).map(|offset| at + offset)
}

/// Whether four to seven bytes hold nothing special. `false` for any other number: the caller looks itself.
fn is_surely_clean(bytes: &[u8]) -> bool {
    let (Some(first), Some(last), ..8) = (bytes.first_chunk(), bytes.last_chunk(), bytes.len()) else { return false };
    // The halves overlap where there are fewer than eight.
    specials(u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last))) == 0
}

/// The high bit of the first special one of eight bytes is the lowest that is set; 0: none is special.
///
/// What is subtracted borrows from the next byte only where a byte is special, so those behind it may be reported wrongly.
fn specials(eight: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
    let has_zero = |value: u64| value.wrapping_sub(ONES) & !value & HIGH_BITS;
    let has_control = eight.wrapping_sub(ONES * 0x20) & !eight & HIGH_BITS;
    has_control | has_zero(eight ^ (ONES * 0x22)) | has_zero(eight ^ (ONES * 0x5c))
}

/// Length of what [`push_string`] appends, in bytes.
pub(crate) fn encoded_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut length = bytes.len() + 2;
    let mut from = 0;
    while let Some(at) = next_special(bytes, from) {
        length += if matches!(bytes[at], b'"' | b'\\' | b'\n' | b'\r' | b'\t') { 1 } else { 5 };
        from = at + 1;
    }
    length
}

fn push_escape(out: &mut String, byte: u8) {
    match byte {
        b'"' => out.push_str("\\\""),
        b'\\' => out.push_str("\\\\"),
        b'\n' => out.push_str("\\n"),
        b'\r' => out.push_str("\\r"),
        b'\t' => out.push_str("\\t"),
        _ => {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            out.push_str("\\u00");
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

/// Appends an integer in decimal.
pub fn push_i64(out: &mut String, value: i64) {
    if value < 0 {
        out.push('-');
    }
    push_u64(out, value.unsigned_abs());
}

/// Appends an unsigned integer in decimal.
pub fn push_u64(out: &mut String, mut value: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
        if value == 0 {
            break;
        }
    }
    push_ascii(out, &digits[at..]);
}

/// Appends bytes that the caller knows to be ASCII.
pub(crate) fn push_ascii(out: &mut String, bytes: &[u8]) {
    out.push_str(std::str::from_utf8(bytes).unwrap_or_default());
}

/// Appends a number in the shortest form that reads back as the same value; NaN and the infinities become strings.
pub fn push_f64(out: &mut String, value: f64) {
    use fmt::Write as _;
    if value.is_nan() {
        out.push_str("\"NaN\"");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" });
    } else {
        // Writing to a String cannot fail. Debug keeps ".0" and uses an exponent where Display would write 300 digits.
        let _ = write!(out, "{value:?}");
    }
}

/// Appends a time as a JSON string.
pub fn push_timestamp(out: &mut String, at: Timestamp) {
    out.push('"');
    at.push_to(out);
    out.push('"');
}

/// Writes the members of one JSON object; the caller's `String` is borrowed until [`ObjectWriter::end`].
#[derive(Debug)]
pub struct ObjectWriter<'a> {
    out: &'a mut String,
    empty: bool,
}

impl<'a> ObjectWriter<'a> {
    /// Opens an object at the end of `out`.
    pub fn begin(out: &'a mut String) -> Self {
        out.push('{');
        Self { out, empty: true }
    }

    /// Writes a member's name; exactly one value must be appended to what is returned.
    pub fn key(&mut self, name: &str) -> &mut String {
        if !self.empty {
            self.out.push(',');
        }
        self.empty = false;
        push_string(self.out, name);
        self.out.push(':');
        self.out
    }

    /// Writes a member's name that is known to need no escapes; exactly one value must be appended to what is returned.
    // Inlined: where the length of the name is known, copying it is a few stores instead of a call.
    #[inline(always)]
    pub fn member(&mut self, name: &'static str) -> &mut String {
        debug_assert!(next_special(name.as_bytes(), 0).is_none(), "{name:?} needs escapes");
        self.out.reserve(name.len() + 4);
        if !self.empty {
            self.out.push(',');
        }
        self.empty = false;
        self.out.push('"');
        self.out.push_str(name);
        self.out.push_str("\":");
        self.out
    }

    /// Writes a text member.
    pub fn string(&mut self, name: &str, text: &str) {
        push_string(self.key(name), text);
    }

    /// Writes a text member where there is one.
    pub fn optional(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.string(name, text);
        }
    }

    /// Writes a member whose value is encoded already.
    pub fn json(&mut self, name: &str, value: &Json) {
        self.key(name).push_str(value.as_str());
    }

    /// Writes an integer member.
    pub fn integer(&mut self, name: &str, value: u64) {
        push_u64(self.key(name), value);
    }

    /// Writes a `true` or `false` member.
    pub fn boolean(&mut self, name: &str, value: bool) {
        self.key(name).push_str(if value { "true" } else { "false" });
    }

    /// Closes the object.
    pub fn end(self) {
        self.out.push('}');
    }
}

/// Writes the elements of one JSON array.
#[derive(Debug)]
pub struct ArrayWriter<'a> {
    out: &'a mut String,
    empty: bool,
}

impl<'a> ArrayWriter<'a> {
    /// Opens an array at the end of `out`.
    pub fn begin(out: &'a mut String) -> Self {
        out.push('[');
        Self { out, empty: true }
    }

    /// Starts an element; exactly one value must be appended to what is returned.
    pub fn element(&mut self) -> &mut String {
        if !self.empty {
            self.out.push(',');
        }
        self.empty = false;
        self.out
    }

    /// Closes the array.
    pub fn end(self) {
        self.out.push(']');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_of_members_are_escaped_too() {
        let mut out = String::new();
        let mut object = ObjectWriter::begin(&mut out);
        object.integer("a\"b", 1);
        object.boolean("c", true);
        object.string("\n", "");
        object.end();
        assert_eq!(out, r#"{"a\"b":1,"c":true,"\n":""}"#);
    }

    // covers: G-19
    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(Json::string("a\"\\\n\u{0}\u{1f}é").as_str(), "\"a\\\"\\\\\\n\\u0000\\u001fé\"");
    }

    #[test]
    fn numbers_that_json_cannot_say_become_text() {
        for (value, text) in [(f64::NAN, "\"NaN\""), (f64::NEG_INFINITY, "\"-Infinity\""), (1.0, "1.0"), (1e300, "1e300")] {
            let mut out = String::new();
            push_f64(&mut out, value);
            assert_eq!(out, text);
        }
    }

    proptest! {
        #[test]
        fn every_text_reads_back_and_has_the_length_that_was_foretold(text in any::<String>()) {
            prop_assert_eq!(Json::string(&text).len(), encoded_len(&text));
            prop_assert_eq!(serde_json::from_str::<String>(Json::string(&text).as_str()).unwrap(), text);
        }

        #[test]
        fn special_characters_are_found_among_their_neighbours(text in "[!-#\\[-\\]\u{1e}- éa]{0,40}") {
            prop_assert_eq!(Json::string(&text).len(), encoded_len(&text));
            prop_assert_eq!(serde_json::from_str::<String>(Json::string(&text).as_str()).unwrap(), text);
        }

        #[test]
        fn every_integer_reads_back(value in any::<i64>()) {
            prop_assert_eq!(Json::integer(value).into_text(), value.to_string());
        }

        #[test]
        fn every_finite_float_is_json_and_reads_back(value in any::<f64>()) {
            prop_assume!(value.is_finite());
            let mut out = String::new();
            push_f64(&mut out, value);
            prop_assert!(serde_json::from_str::<f64>(&out).is_ok());
            prop_assert_eq!(out.parse::<f64>().unwrap(), value);
        }
    }
}
