//! Pairs of a name and a value in text that has no grammar: `password=…`, `"password": "…"`, and what is left of broken JSON.

use std::borrow::Cow;
use std::ops::Range;

use super::credential::starts_with_ignoring_case;
use super::{escape, percent};

/// What the text is, which says how far a value after `name:` reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pairs {
    /// Anything: after a bare name one word, since `password: must be at least eight letters long` is prose.
    InProse,
    /// Data that could not be parsed: all of the line.
    InData,
}

/// Longest name that is looked for in front of a separator, in bytes; every letter of it may be a `\u` escape.
const NAME_BYTES_MAX: usize = 512;

const ENCODED_AMPERSAND: &str = "%26";

/// A name in front of a separator.
pub(super) struct Name<'t> {
    pub(super) text: Cow<'t, str>,
    pub(super) is_quoted: bool,
    /// Whether its first letter may belong to an escape before it: in `'ana\npin: 1'` as Python prints it.
    pub(super) follows_escape: bool,
}

impl Name<'_> {
    /// The ways to read it.
    pub(super) fn readings(&self) -> impl Iterator<Item = &str> {
        [Some(&*self.text), self.follows_escape.then(|| &self.text[1..])].into_iter().flatten()
    }
}

/// The name in front of the separator at `at`.
pub(super) fn name_before(text: &str, at: usize) -> Option<Name<'_>> {
    let bytes = text.as_bytes();
    let floor = at.saturating_sub(NAME_BYTES_MAX);
    let end = floor + bytes[floor..at].trim_ascii_end().len();
    let last = *bytes[floor..end].last()?;
    if is_quote(last) {
        let close = floor + trim_backslashes(&bytes[floor..end - 1]).len();
        let open = floor + bytes[floor..close].iter().rposition(|&byte| byte == last)?;
        return Some(Name { text: plain(&text[open + 1..close]), is_quoted: true, follows_escape: false });
    }
    let mut start = floor + bytes[floor..end].iter().rposition(|&byte| !is_name(byte)).map_or(0, |before| before + 1);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    if let Some(ampersand) = text[start..end].rfind(ENCODED_AMPERSAND) {
        start += ampersand + ENCODED_AMPERSAND.len();
    }
    let follows_escape = start > 0 && matches!(bytes[start - 1..end], [b'\\', b'n' | b'r' | b't', ..]);
    Some(Name { text: plain(&text[start..end]), is_quoted: false, follows_escape })
}

pub(super) fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'' | b'`')
}

pub(super) fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || matches!(byte, b'_' | b'-' | b'.' | b'[' | b']' | b'%' | b'$')
}

fn trim_backslashes(text: &[u8]) -> &[u8] {
    let backslashes = text.iter().rev().take_while(|&&byte| byte == b'\\').count();
    &text[..text.len() - backslashes]
}

/// The name without its escapes; one that cannot be read is taken as it is.
fn plain(name: &str) -> Cow<'_, str> {
    if name.contains('%') {
        percent::decode(name)
    } else if name.contains('\\') {
        escape::unescape(name).map_or(Cow::Borrowed(name), Cow::Owned)
    } else {
        Cow::Borrowed(name)
    }
}

/// The separator at a byte, which may be percent-encoded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Separator {
    Equals,
    Colon,
    /// A colon of prose, after a bare name.
    ColonOfProse,
    /// `%3D` or `%3A`.
    Encoded,
}

impl Separator {
    /// The separator at `at`, if one stands there.
    pub(super) fn at(text: &[u8], at: usize) -> Option<Self> {
        match text[at..] {
            [b'=', ..] => Some(Self::Equals),
            [b':', ..] => Some(Self::Colon),
            [b'%', b'3', b'D' | b'd' | b'A' | b'a', ..] => Some(Self::Encoded),
            _ => None,
        }
    }

    const fn len(self) -> usize {
        if matches!(self, Self::Encoded) { 3 } else { 1 }
    }
}

/// The value after the separator at `at`: the inside of quotes, a whole object or array, or as much as can belong to it.
///
/// Where the value is cut off it reaches to the end of the text. `None`: there is no value.
pub(super) fn value_after(text: &[u8], at: usize, separator: Separator) -> Option<Range<usize>> {
    let start = after_separator(text, at, separator);
    if let Some(value) = quoted_value(text, start) {
        return (!value.is_empty()).then_some(value);
    }
    let opening = start + text[start..].iter().take_while(|&&byte| byte == b'\\').count();
    let value = match (separator, text.get(opening)) {
        (Separator::Colon | Separator::ColonOfProse, Some(b'{' | b'[')) => start..closing_bracket(text, opening),
        (Separator::Colon, _) => start..bare_end(text, start, ends_data),
        (Separator::ColonOfProse, Some(b':')) => return None,
        (Separator::ColonOfProse, _) => start..word_of_prose(text, start),
        (Separator::Encoded, _) => start..encoded_end(text, start),
        (Separator::Equals, _) => start..after_scheme(text, start, bare_end(text, start, ends_assignment)),
    };
    (!value.is_empty()).then_some(value)
}

/// Skips what may stand between `=` or `:` and the value, `=>` and `==` included.
fn after_separator(text: &[u8], at: usize, separator: Separator) -> usize {
    let is_gap = |byte: &&u8| match separator {
        Separator::Colon => byte.is_ascii_whitespace(),
        Separator::Equals => matches!(byte, b' ' | b'\t' | b'=' | b'>'),
        Separator::ColonOfProse | Separator::Encoded => matches!(byte, b' ' | b'\t'),
    };
    let from = at + separator.len();
    let gap = text[from..].iter().take_while(is_gap).count();
    let mut start = from + gap;
    while separator == Separator::Encoded && text[start..].starts_with(b"%20") {
        start += 3;
    }
    start
}

/// The inside of the quotes at `start`, or of those of a literal or a call there: `b'…'`, `SecretStr('…')`.
pub(super) fn quoted_value(text: &[u8], start: usize) -> Option<Range<usize>> {
    let start = start + call_length(&text[start..]);
    let start = start + literal_prefix_length(&text[start..]);
    let escapes = text[start..].iter().take_while(|&&byte| byte == b'\\').count();
    let opening = start + escapes;
    let quote = *text.get(opening).filter(|&&byte| is_quote(byte))?;
    let triple = [quote; 3];
    if !text[opening..].starts_with(&triple) {
        return Some(opening + 1..closing_quote(text, opening, escapes));
    }
    let inside = opening + triple.len();
    let length = text[inside..].windows(triple.len()).position(|window| window == triple);
    Some(inside..length.map_or(text.len(), |length| inside + length))
}

/// Longest name of a function around a value, in bytes.
const CALL_BYTES_MAX: usize = 64;

/// Length of `name(` where quotes follow, otherwise 0.
fn call_length(text: &[u8]) -> usize {
    let is_callee = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    let name = text.iter().take(CALL_BYTES_MAX).take_while(is_callee).count();
    if text.get(name) != Some(&b'(') {
        return 0;
    }
    let argument = &text[name + 1..];
    let is_text = argument.get(literal_prefix_length(argument)).is_some_and(|&byte| is_quote(byte));
    if is_text { name + 1 } else { 0 }
}

/// Length of the letters before the quote of a Python literal (`b'`, `Rb"`), otherwise 0.
fn literal_prefix_length(text: &[u8]) -> usize {
    let letters = text.iter().take(2).take_while(|byte| matches!(byte.to_ascii_lowercase(), b'b' | b'r' | b'u' | b'f')).count();
    if text.get(letters).is_some_and(|&byte| is_quote(byte)) { letters } else { 0 }
}

/// The end of the word at `start`, and of the credential after it where the word is its scheme.
fn word_of_prose(text: &[u8], start: usize) -> usize {
    if text.get(start).is_some_and(|&byte| ends_data(byte)) {
        return start;
    }
    let end = after_scheme(text, start, bare_end(text, start, ends_assignment));
    end - text[start..end].iter().rev().take_while(|&&byte| matches!(byte, b',' | b')' | b'}')).count()
}

fn encoded_end(text: &[u8], start: usize) -> usize {
    let is_encoded_end = |at: &usize| ends_assignment(text[*at]) || text[*at..].starts_with(ENCODED_AMPERSAND.as_bytes());
    (start..text.len()).find(is_encoded_end).unwrap_or(text.len())
}

/// Finds the quote that closes the one at `opening`, which has `escapes` backslashes before it as all of its text has.
fn closing_quote(text: &[u8], opening: usize, escapes: usize) -> usize {
    let mut backslashes = 0;
    for (at, &byte) in text.iter().enumerate().skip(opening + 1) {
        if byte == b'\\' {
            backslashes += 1;
            continue;
        }
        let is_open_text = if escapes == 0 { backslashes % 2 == 0 } else { backslashes <= escapes };
        if byte == text[opening] && is_open_text {
            return at - if escapes == 0 { 0 } else { backslashes };
        }
        backslashes = 0;
    }
    text.len()
}

/// Finds where the object or array that begins at `opening` ends; brackets inside quotes do not count.
fn closing_bracket(text: &[u8], opening: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = opening;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => at = closing_quote(text, at, 0),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

pub(super) fn bare_end(text: &[u8], start: usize, ends: impl Fn(u8) -> bool) -> usize {
    let value = &text[start..];
    let length = value.iter().position(|&byte| ends(byte)).unwrap_or(value.len());
    start + value[..length].trim_ascii_end().len()
}

fn ends_data(byte: u8) -> bool {
    matches!(byte, b',' | b'}' | b']' | b'\n' | b'\r' | b'&')
}

pub(super) fn ends_assignment(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b'&' | b';' | b'"' | b'\'' | b'`' | b'<')
}

/// Includes the credential where the value so far is only its scheme: `authorization=Token abc`.
fn after_scheme(text: &[u8], start: usize, end: usize) -> usize {
    const SCHEMES: [&[u8]; 6] = [b"bearer", b"basic", b"token", b"digest", b"apikey", b"negotiate"];
    let gap = text[end..].iter().take_while(|&&byte| matches!(byte, b' ' | b'\t')).count();
    let credential = end + gap..bare_end(text, end + gap, ends_assignment).max(end + gap);
    let is_known = SCHEMES.iter().any(|scheme| scheme.len() == end - start && starts_with_ignoring_case(&text[start..], scheme));
    let is_other = || looks_like_scheme(&text[start..end]) && text[credential.clone()].iter().any(u8::is_ascii_digit);
    if gap > 0 && !credential.is_empty() && (is_known || is_other()) { credential.end } else { end }
}

const SCHEME_BYTES_MAX: usize = 20;

/// Whether a word may be a scheme of which nobody knows (RFC 9110 §11.1), by its capital: `DPoP`, `AWS4-HMAC-SHA256`.
fn looks_like_scheme(word: &[u8]) -> bool {
    word.len() <= SCHEME_BYTES_MAX
        && word.first().is_some_and(u8::is_ascii_uppercase)
        && word.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}
