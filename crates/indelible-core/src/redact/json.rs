//! JSON text to redacted JSON text: one pass, no tree.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use super::members::{Named, Role, Seen};
use super::pairs::Pairs;
use super::{MASK, Redactor, card, credential, escape, text};
use crate::event::write_marker;
use crate::json::{Json, ObjectWriter, push_string};

/// Objects and arrays inside each other; what is deeper is replaced (docs/format.md, "Values that JSON cannot say").
const DEPTH_MAX: usize = 32;

/// JSON inside strings inside JSON; what is deeper is redacted as text.
const STRING_NESTING_MAX: u8 = 3;

const BYTE_ORDER_MARK: char = '\u{feff}';

const MASK_JSON: &str = "\"[masked]\"";
const TOO_DEEP_JSON: &str = "\"<too deep>\"";

impl Redactor {
    /// Masks secrets in JSON text: the whole value of every sensitive name, whatever its type, and what the detectors find in
    /// names, strings and numbers; strings that hold JSON are redacted as JSON. A number that no double holds becomes a string.
    ///
    /// The answer is always one JSON value without white space. Duplicate names and all digits of numbers are kept. Input that is
    /// not JSON in UTF-8 becomes `{"type":"unparsed","text":…}`, redacted as text with a sharp eye on names. An answer longer than
    /// `bytes_max` is replaced by its length and digest (docs/format.md, "Truncation").
    #[must_use]
    pub fn json(&self, input: &[u8], bytes_max: usize) -> Json {
        let mut out = String::with_capacity(input.len() + input.len() / 8);
        match std::str::from_utf8(input) {
            Ok(text) => {
                let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
                if self.write_json(text, &mut out, STRING_NESTING_MAX).is_err() {
                    out.clear();
                    self.write_unparsed(text, &mut out);
                }
            }
            Err(_) => self.write_unparsed(&String::from_utf8_lossy(input), &mut out),
        }
        if out.len() > bytes_max { truncated(&out) } else { Json::from_text(out) }
    }

    /// The beginning of JSON text that was cut somewhere, masked as JSON up to the last value that is whole. `None`: it stops being JSON
    /// more than `bytes_max` before its end.
    pub(crate) fn json_beginning(&self, text: &str, bytes_max: usize) -> Option<String> {
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        let mut out = String::with_capacity(text.len());
        let nesting = STRING_NESTING_MAX;
        let mut pass = Pass::of(self, text, &mut out, nesting);
        let is_whole = pass.value(0).is_ok();
        if is_whole || text.len() - pass.safe > bytes_max {
            return None;
        }
        if pass.copied < pass.safe {
            pass.copy_up_to(pass.safe);
        }
        Some(out)
    }

    /// Masks secrets in text that is data: after a sensitive name and a colon all of the line.
    pub(crate) fn data<'t>(&self, text: &'t str) -> Cow<'t, str> {
        text::redact(self, text, Pairs::InData)
    }

    /// Masks secrets in the value of a field of a form, which may be JSON as a whole.
    pub(crate) fn field<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.value(text, STRING_NESTING_MAX)
    }

    /// Text that may be JSON as a whole, as the value of a form field or a JSON string may.
    pub(super) fn value<'t>(&self, text: &'t str, nesting: u8) -> Cow<'t, str> {
        if !looks_like_json(text) {
            return self.text(text);
        }
        let Some(inner) = nesting.checked_sub(1) else { return text::redact(self, text, Pairs::InData) };
        let mut out = String::new();
        match self.write_json(text, &mut out, inner) {
            Ok(Redacted::Masked) => Cow::Owned(out),
            Ok(Redacted::Clean) => Cow::Borrowed(text),
            Err(Broken) => text::redact(self, text, Pairs::InData),
        }
    }

    fn write_json(&self, text: &str, out: &mut String, nesting: u8) -> Result<Redacted, Broken> {
        let mut pass = Pass::of(self, text, out, nesting);
        pass.value(0)?;
        pass.skip_space();
        if pass.at < text.len() {
            return Err(Broken);
        }
        pass.copy_up_to(text.len());
        Ok(pass.redacted)
    }

    fn write_unparsed(&self, text: &str, out: &mut String) {
        let mut object = ObjectWriter::begin(out);
        object.string("type", "unparsed");
        object.string("text", &self.data(text));
        object.end();
    }
}

fn truncated(json: &str) -> Json {
    let mut out = String::with_capacity(128);
    write_marker(&mut out, json.len(), &Sha256::digest(json));
    Json::from_text(out)
}

pub(super) fn looks_like_json(text: &str) -> bool {
    let text = text.as_bytes().trim_ascii_start();
    matches!(text.first(), Some(b'{' | b'[')) && !text.starts_with(MASK.as_bytes())
}

/// The text is not JSON.
struct Broken;

/// Whether anything had to be replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Redacted {
    Clean,
    Masked,
}

/// What a byte means inside a string, as bits.
mod class {
    /// A quote, a backslash or a control character.
    const STOP: u8 = 1;
    /// The string cannot be copied as it is.
    pub(super) const ESCAPE: u8 = 2;
    /// A secret could begin here.
    pub(super) const TRIGGER: u8 = 4;
    /// A secret could begin here that has at least [`super::text::LONG_SECRET_BYTES_MIN`] bytes.
    pub(super) const LONG_TRIGGER: u8 = 8;
    /// An option could begin here.
    pub(super) const DASH: u8 = 16;
    /// The name of a scheme could begin here, with a credential after it.
    pub(super) const SCHEME: u8 = 32;

    static OF: [u8; 256] = {
        let mut classes = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            classes[byte] = match byte as u8 {
                b'"' => STOP,
                b'\\' | 0..0x20 => STOP | ESCAPE,
                b'b' | b'B' => SCHEME,
                b'-' => LONG_TRIGGER | DASH,
                // A token that begins around one of these holds a digit.
                b'_' | b'A' | b'G' => 0,
                b'0'..=b'9' | b'J' => LONG_TRIGGER,
                other if super::text::is_trigger(other) => TRIGGER,
                _ => 0,
            };
            byte += 1;
        }
        classes
    };

    /// Finds the first [`STOP`] and the classes of all bytes up to it. Eight bytes are looked at in one step as long as none of them is one.
    pub(super) fn first_stop(bytes: &[u8]) -> Option<(usize, u8)> {
        let mut classes = 0;
        let mut from = 0;
        for eight in bytes.as_chunks::<8>().0 {
            let seen = eight.iter().fold(0, |seen, &byte| seen | OF[usize::from(byte)]);
            if seen & STOP != 0 {
                break;
            }
            classes |= seen;
            from += 8;
        }
        for (at, &byte) in bytes.iter().enumerate().skip(from) {
            classes |= OF[usize::from(byte)];
            if classes & STOP != 0 {
                return Some((at, classes));
            }
        }
        None
    }
}

/// A string as it stands between its quotes, and the classes of its bytes.
struct RawString<'t> {
    text: &'t str,
    classes: u8,
}

impl<'t> RawString<'t> {
    /// Whether it can be copied without a closer look.
    fn is_plain(&self) -> bool {
        if self.classes & (class::ESCAPE | class::TRIGGER) != 0 {
            return self.is_moment();
        }
        (self.classes & class::LONG_TRIGGER == 0 || self.is_too_short() || self.is_moment())
            && (self.classes & class::SCHEME == 0 || !credential::may_name_scheme(self.text.as_bytes()))
    }

    /// Whether it cannot hold what begins at a long trigger, nor an option, which may be shorter.
    fn is_too_short(&self) -> bool {
        self.text.len() < text::LONG_SECRET_BYTES_MIN
            && (self.classes & class::DASH == 0 || !self.text.as_bytes().windows(2).any(|pair| matches!(pair, b"--" | b" -")))
    }

    /// Whether it is a date and time, `2026-11-02T08:30:00.123456+01:00`: common, full of triggers, and never a secret.
    fn is_moment(&self) -> bool {
        let text = self.text.as_bytes();
        has_shape(text, b"0000-00-00T00:00") && is_end_of_moment(&text[16..])
    }

    fn decode(&self) -> Result<Cow<'t, str>, Broken> {
        if self.classes & class::ESCAPE == 0 {
            Ok(Cow::Borrowed(self.text))
        } else {
            escape::unescape(self.text).map(Cow::Owned).ok_or(Broken)
        }
    }
}

/// Whether `text` begins like `shape`, in which a zero stands for any digit.
fn has_shape(text: &[u8], shape: &[u8]) -> bool {
    let alike = |(byte, &wanted): (&u8, &u8)| if wanted == b'0' { byte.is_ascii_digit() } else { *byte == wanted };
    text.len() >= shape.len() && text.iter().zip(shape).all(alike)
}

/// Seconds, their fraction, and the offset of a date and time (RFC 3339 §5.6).
fn is_end_of_moment(text: &[u8]) -> bool {
    const FRACTION_DIGITS_MAX: usize = 9;
    let mut rest = if has_shape(text, b":00") { &text[3..] } else { text };
    if let Some(fraction) = rest.strip_prefix(b".") {
        let (digits, after) = digits(fraction);
        if digits.len() > FRACTION_DIGITS_MAX {
            return false;
        }
        rest = after;
    }
    matches!(rest, [] | b"Z") || (rest.len() == 6 && (has_shape(rest, b"+00:00") || has_shape(rest, b"-00:00")))
}

/// Reads `text` up to `at`. What is neither white space nor replaced is copied in pieces as long as possible.
struct Pass<'r, 't, 'o> {
    redactor: &'r Redactor,
    text: &'t str,
    at: usize,
    /// Up to here all values are whole, whatever follows.
    safe: usize,
    /// The text up to `copied`, redacted.
    out: &'o mut String,
    copied: usize,
    nesting: u8,
    redacted: Redacted,
    seen: Seen<'t>,
}

impl<'r, 't, 'o> Pass<'r, 't, 'o> {
    fn of(redactor: &'r Redactor, text: &'t str, out: &'o mut String, nesting: u8) -> Self {
        Self { redactor, text, at: 0, safe: 0, out, copied: 0, nesting, redacted: Redacted::Clean, seen: Seen::new() }
    }

    fn value(&mut self, depth: usize) -> Result<(), Broken> {
        self.skip_space();
        match self.peek() {
            Some(b'{' | b'[') if depth == DEPTH_MAX => self.skip_for(TOO_DEEP_JSON),
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.word(),
        }?;
        self.is_whole();
        Ok(())
    }

    /// A value ends here, unless it is a number or a word that the end of the text has cut.
    fn is_whole(&mut self) {
        if self.at < self.text.len() {
            self.safe = self.at;
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), Broken> {
        let mut named = Named::default();
        self.members(b'}', |pass| {
            let role = pass.name()?;
            pass.skip_space();
            pass.expect(b':')?;
            if role == Role::Sensitive || (role == Role::Value && named.is_secret(pass.redactor)) {
                return pass.skip_for(MASK_JSON);
            }
            pass.skip_space();
            let start = pass.at;
            pass.value(depth)?;
            if role == Role::Name && pass.text.as_bytes()[start] == b'"' {
                named.push(pass.inside_quotes(start), pass.redactor);
            }
            Ok(())
        })
    }

    fn array(&mut self, depth: usize) -> Result<(), Broken> {
        self.members(b']', |pass| {
            pass.skip_space();
            if pass.peek() == Some(b'[') && depth < DEPTH_MAX { pass.pair_or_array(depth + 1) } else { pass.value(depth) }
        })
    }

    /// Reads an array in an array, which may be a name and its value.
    fn pair_or_array(&mut self, depth: usize) -> Result<(), Broken> {
        let mut items = 0;
        let mut holds_secret = false;
        self.members(b']', |pass| {
            items += 1;
            pass.skip_space();
            if items == 2 && holds_secret {
                return pass.skip_for(MASK_JSON);
            }
            let start = pass.at;
            if pass.peek() == Some(b'[') && depth < DEPTH_MAX {
                pass.pair_or_array(depth + 1)?
            } else {
                pass.value(depth)?
            }
            holds_secret = items == 1 && pass.is_sensitive_string(start);
            Ok(())
        })
    }

    /// Whether the value that was read from `start` is a string and a sensitive name.
    fn is_sensitive_string(&self, start: usize) -> bool {
        self.text.as_bytes()[start] == b'"' && self.redactor.masks_field(self.inside_quotes(start))
    }

    /// The string that was read from `start`, without its quotes and with its escapes.
    fn inside_quotes(&self, start: usize) -> &'t str {
        &self.text[start + 1..self.at - 1]
    }

    /// Reads brackets, commas, and the members between them.
    fn members(&mut self, close: u8, mut member: impl FnMut(&mut Self) -> Result<(), Broken>) -> Result<(), Broken> {
        self.at += 1;
        self.skip_space();
        if self.peek() != Some(close) {
            loop {
                member(self)?;
                self.skip_space();
                if self.peek() != Some(b',') {
                    break;
                }
                self.at += 1;
                self.skip_space();
            }
        }
        self.expect(close)
    }

    /// Reads a name; answers what it says about its value.
    fn name(&mut self) -> Result<Role, Broken> {
        if self.peek() != Some(b'"') {
            return Err(Broken);
        }
        let start = self.at;
        let raw = self.raw_string()?;
        if let Some(role) = self.seen.role(raw.text) {
            return Ok(role);
        }
        let name = raw.decode()?;
        // A name that holds a secret is no name: nobody knows what its value is.
        if self.redact_string(start, &raw, &name) {
            return Ok(Role::Sensitive);
        }
        let role = if self.redactor.masks_field(&name) { Role::Sensitive } else { Role::of(raw.text) };
        // A name that has escapes was written anew, as the next one like it must be.
        if raw.classes & class::ESCAPE == 0 {
            self.seen.remember(raw.text, role);
        }
        Ok(role)
    }

    fn string(&mut self) -> Result<(), Broken> {
        let start = self.at;
        let raw = self.raw_string()?;
        let text = raw.decode()?;
        self.redact_string(start, &raw, &text);
        Ok(())
    }

    /// Replaces the string that was read from `start` where it holds a secret, or escapes of which there are several forms.
    /// Answers whether it holds a secret.
    fn redact_string(&mut self, start: usize, raw: &RawString<'t>, text: &str) -> bool {
        if raw.is_plain() {
            return false;
        }
        match self.redactor.value(text, self.nesting) {
            Cow::Owned(redacted) => {
                self.redacted = Redacted::Masked;
                self.replace(start, |out| push_string(out, &redacted));
                true
            }
            Cow::Borrowed(same) => {
                if raw.classes & class::ESCAPE != 0 {
                    self.replace(start, |out| push_string(out, same));
                }
                false
            }
        }
    }

    /// Reads the string whose opening quote is next.
    fn raw_string(&mut self) -> Result<RawString<'t>, Broken> {
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        let mut at = start;
        let mut classes = 0;
        loop {
            let (plain, seen) = class::first_stop(bytes.get(at..).ok_or(Broken)?).ok_or(Broken)?;
            at += plain;
            classes |= seen;
            match bytes[at] {
                b'"' => break,
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
        self.at = at + 1;
        Ok(RawString { text: &self.text[start..at], classes })
    }

    fn number(&mut self) -> Result<(), Broken> {
        let text = self.text;
        let start = self.at;
        let token = &text[start..self.scalar_end()];
        if token == "-Infinity" {
            return self.word();
        }
        if !is_number(token.as_bytes()) {
            return Err(Broken);
        }
        self.at += token.len();
        if token.len() >= card::CARD_DIGITS_MIN && matches!(self.redactor.text(token), Cow::Owned(_)) {
            self.redacted = Redacted::Masked;
            self.replace(start, |out| out.push_str(MASK_JSON));
        } else if is_beyond_doubles(token) {
            self.replace(start, |out| push_string(out, token));
        }
        Ok(())
    }

    /// Reads `true`, `false` or `null`; Python's and JavaScript's non-finite numbers become strings.
    fn word(&mut self) -> Result<(), Broken> {
        let text = self.text;
        let start = self.at;
        let token = &text[start..self.scalar_end()];
        self.at += token.len();
        match token {
            "true" | "false" | "null" => {}
            "NaN" | "Infinity" | "-Infinity" => self.replace(start, |out| push_string(out, token)),
            _ => return Err(Broken),
        }
        Ok(())
    }

    /// Skips a value and writes `instead`.
    fn skip_for(&mut self, instead: &str) -> Result<(), Broken> {
        self.skip_space();
        let start = self.at;
        self.skip_value()?;
        if &self.text[start..self.at] != instead {
            self.redacted = Redacted::Masked;
            self.replace(start, |out| out.push_str(instead));
        }
        self.is_whole();
        Ok(())
    }

    /// Skips a value without a look at what is in it; only where it ends matters.
    fn skip_value(&mut self) -> Result<(), Broken> {
        let mut depth = 0_usize;
        loop {
            match self.peek().ok_or(Broken)? {
                b'"' => {
                    self.raw_string()?;
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1).ok_or(Broken)?;
                    self.at += 1;
                }
                _ if depth > 0 => self.at += 1,
                _ => {
                    let end = self.scalar_end();
                    if end == self.at {
                        return Err(Broken);
                    }
                    self.at = end;
                }
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// Where the number or word that is next ends.
    fn scalar_end(&self) -> usize {
        let rest = &self.text.as_bytes()[self.at..];
        let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b':' | b' ' | b'\t' | b'\n' | b'\r');
        self.at + rest.iter().position(ends).unwrap_or(rest.len())
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Result<(), Broken> {
        if self.peek() != Some(byte) {
            return Err(Broken);
        }
        self.at += 1;
        Ok(())
    }

    /// Skips white space and leaves it out. Most calls find none.
    #[inline]
    fn skip_space(&mut self) {
        if self.peek().is_some_and(|byte| byte <= b' ') {
            self.leave_out_space();
        }
    }

    fn leave_out_space(&mut self) {
        let start = self.at;
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.replace(start, |_| {});
    }

    /// Writes something else for the text from `start` to here.
    fn replace(&mut self, start: usize, write: impl FnOnce(&mut String)) {
        self.copy_up_to(start);
        write(self.out);
        self.copied = self.at;
    }

    fn copy_up_to(&mut self, end: usize) {
        self.out.push_str(&self.text[self.copied..end]);
        self.copied = end;
    }
}

/// Whether `token` is a number of JSON's grammar (RFC 8259 §6).
fn is_number(token: &[u8]) -> bool {
    let token = token.strip_prefix(b"-").unwrap_or(token);
    let (integer, rest) = digits(token);
    if integer.is_empty() || (integer.len() > 1 && integer[0] == b'0') {
        return false;
    }
    let rest = match rest.strip_prefix(b".") {
        Some(fraction) => match digits(fraction) {
            ([], _) => return false,
            (_, rest) => rest,
        },
        None => rest,
    };
    match rest {
        [] => true,
        [b'e' | b'E', b'+' | b'-', exponent @ ..] | [b'e' | b'E', exponent @ ..] => matches!(digits(exponent), ([_, ..], [])),
        _ => false,
    }
}

/// Whether no double holds the number (RFC 8259 §6): many readers refuse the whole text that has one, and so would hide an event.
fn is_beyond_doubles(number: &str) -> bool {
    // Without an exponent it has 309 digits.
    (number.len() > 308 || number.contains(['e', 'E'])) && number.parse().is_ok_and(f64::is_infinite)
}

fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().take_while(|byte| byte.is_ascii_digit()).count())
}
