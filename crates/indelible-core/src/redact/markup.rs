//! Names and values that are joined by something else than `=` or `:`: `<name>value</name>`, `--name value`,
//! `("name", "value")` and the parts of a multipart form. Each function finds the value of a sensitive name.

use std::ops::Range;

use super::Redactor;
use super::pairs::{bare_end, ends_assignment, is_name, is_quote, quoted_value};

/// Longest tag, option or quoted name that is looked at, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// Longest run of headers in a part of a form, in bytes.
const PART_HEADERS_BYTES_MAX: usize = 256;

/// How much of a tag before and behind a value is looked at, in bytes.
const TAG_BYTES_MAX: usize = 512;

/// Attributes that hold what an element says.
const VALUES: [&[u8]; 2] = [b"value", b"content"];

/// Attributes that say what it is.
const NAMES: [&[u8]; 3] = [b"name", b"key", b"id"];

const CDATA_START: &[u8] = b"<![CDATA[";
const CDATA_END: &[u8] = b"]]>";

impl Redactor {
    /// The content of the element whose opening tag ends at `at`, where `>` stands.
    pub(super) fn element(&self, text: &str, at: usize) -> Option<Range<usize>> {
        let bytes = text.as_bytes();
        let floor = at.saturating_sub(NAME_BYTES_MAX);
        let open = floor + bytes[floor..at].iter().rposition(|byte| matches!(byte, b'<' | b'>'))?;
        let is_opening = bytes[open] == b'<' && bytes[at - 1] != b'/';
        let length = bytes[open + 1..at].iter().take_while(|&&byte| is_name(byte) || byte == b':').count();
        let name = text.get(open + 1..open + 1 + length)?;
        if is_opening && self.masks_field(name) { content(bytes, at + 1) } else { None }
    }

    /// What an element says in `value="…"` or `content="…"`, with its `=` at `at`, where another attribute gives it a sensitive name: the hidden
    /// fields of a form, `<add key="…" value="…"/>`. A value whose quote was cut off reaches to the end.
    pub(super) fn attribute(&self, text: &str, at: usize) -> Option<Range<usize>> {
        let bytes = text.as_bytes();
        if !is_attribute(&bytes[..at], &VALUES) {
            return None;
        }
        let floor = at.saturating_sub(TAG_BYTES_MAX);
        let open = floor + open_tag(&bytes[floor..at])?;
        let value = attribute_value(bytes, at + 1);
        let mut limit = bytes.len().min(value.end + TAG_BYTES_MAX);
        while !text.is_char_boundary(limit) {
            limit -= 1;
        }
        // Behind the quote that closes the value.
        let rest = limit.min(value.end + usize::from(value.start > at + 1));
        let end = rest + end_of_tag(&bytes[rest..limit]);
        let is_named = |part: Range<usize>| attribute_names(text, part).any(|name| self.masks_field(name));
        if is_named(open..at) || is_named(rest..end) { some_value(value) } else { None }
    }

    /// The word after the option of a command line whose first dash stands at `at`: `--name value`, `'--name', 'value'`.
    pub(super) fn option(&self, text: &str, at: usize) -> Option<Range<usize>> {
        let bytes = text.as_bytes();
        let is_first = at == 0 || bytes[at - 1].is_ascii_whitespace() || is_quote(bytes[at - 1]);
        if !is_first || !bytes[at..].starts_with(b"--") {
            return None;
        }
        let start = at + 2;
        let end = start + bytes[start..].iter().take(NAME_BYTES_MAX).take_while(|&&byte| is_name(byte)).count();
        let gap = match &bytes[end..] {
            [b' ' | b'\t', ..] => 0,
            [quote, b',', ..] if is_quote(*quote) => 2,
            _ => return None,
        };
        let value = after_blanks(bytes, end + gap);
        if bytes.get(value) == Some(&b'-') || !self.masks_field(text.get(start..end)?) {
            return None;
        }
        some_value(quoted_value(bytes, value).unwrap_or_else(|| value..bare_end(bytes, value, ends_assignment)))
    }

    /// The second member of the tuple or list whose bracket stands at `at`: `("name", "value")`.
    pub(super) fn second_of_pair(&self, text: &str, at: usize) -> Option<Range<usize>> {
        let bytes = text.as_bytes();
        let quote = *bytes.get(at + 1).filter(|&&byte| is_quote(byte))?;
        let close = position_within(bytes, at + 2, NAME_BYTES_MAX, quote)?;
        if bytes.get(close + 1) != Some(&b',') || !self.masks_field(text.get(at + 2..close)?) {
            return None;
        }
        let value = after_blanks(bytes, close + 2);
        if matches!(bytes.get(value), Some(b'(' | b'[' | b'{')) {
            return some_value(value..closing_bracket_of_literal(bytes, value));
        }
        some_value(quoted_value(bytes, value).unwrap_or_else(|| value..bare_end(bytes, value, |byte| matches!(byte, b',' | b')' | b']'))))
    }

    /// The part of a multipart form (RFC 7578) that says `name="…"` with its `=` at `at`: all up to the next boundary.
    pub(super) fn part(&self, text: &str, at: usize) -> Option<Range<usize>> {
        let bytes = text.as_bytes();
        if !bytes[..at].ends_with(b"name") || bytes.get(at + 1) != Some(&b'"') {
            return None;
        }
        let close = position_within(bytes, at + 2, NAME_BYTES_MAX, b'"')?;
        if !self.masks_field(text.get(at + 2..close)?) {
            return None;
        }
        let start = after_headers(bytes, close + 1)?;
        let length = find(&bytes[start..], b"\n--").unwrap_or(bytes.len() - start);
        some_value(start..start + bytes[start..start + length].trim_ascii_end().len())
    }
}

/// What the attributes `name`, `key` and `id` say in this part of a tag.
fn attribute_names(text: &str, part: Range<usize>) -> impl Iterator<Item = &str> {
    let inside = text.get(part).unwrap_or_default();
    let is_name = |&(at, _): &(usize, &str)| is_attribute(&inside.as_bytes()[..at], &NAMES);
    inside.match_indices('=').filter(is_name).filter_map(|(at, _)| inside.get(attribute_value(inside.as_bytes(), at + 1)))
}

/// Whether the text ends with one of these names of attributes, and nothing of a longer one.
fn is_attribute(text: &[u8], names: &[&[u8]]) -> bool {
    names.iter().any(|name| {
        let before = text.len().checked_sub(name.len() + 1);
        before.is_some_and(|before| {
            let is_apart = text[before].is_ascii_whitespace() || is_quote(text[before]);
            is_apart && text[before + 1..].eq_ignore_ascii_case(name)
        })
    })
}

/// What stands behind the `=` of an attribute: in quotes, without them, up to the end where the last of them is missing, or a word.
fn attribute_value(text: &[u8], from: usize) -> Range<usize> {
    if let Some(quote) = text.get(from).copied().filter(|&byte| is_quote(byte)) {
        let length = text[from + 1..].iter().position(|&byte| byte == quote);
        return from + 1..length.map_or(text.len(), |length| from + 1 + length);
    }
    let is_end = |byte: &u8| byte.is_ascii_whitespace() || is_quote(*byte) || matches!(byte, b'<' | b'>');
    from..text[from..].iter().position(is_end).map_or(text.len(), |length| from + length)
}

/// Where the tag begins that is open at the end of this text. A `<` or `>` in a quoted value of it is none of its ends, unless quotes and tags do
/// not match.
fn open_tag(text: &[u8]) -> Option<usize> {
    let plain = text.iter().rposition(|byte| matches!(byte, b'<' | b'>')).filter(|&at| text[at] == b'<');
    let mut at = 0;
    while let Some(open) = text[at..].iter().position(|&byte| byte == b'<') {
        let open = at + open;
        at = open + 1 + end_of_tag(&text[open + 1..]);
        if at == text.len() {
            return Some(open);
        }
    }
    plain
}

/// How long the rest of a tag is: up to a `<` or `>` that is in no quoted value, or all of it.
fn end_of_tag(text: &[u8]) -> usize {
    let (mut quote, mut before) = (None, b' ');
    let end = text.iter().position(|&byte| {
        match quote {
            Some(open) if byte == open => quote = None,
            None if is_quote(byte) && before == b'=' => quote = Some(byte),
            None if matches!(byte, b'<' | b'>') => return true,
            _ => {}
        }
        before = byte;
        false
    });
    end.unwrap_or(text.len())
}

/// Where the tuple, list or mapping of Python ends that begins at `opening`; brackets inside quotes do not count.
fn closing_bracket_of_literal(text: &[u8], opening: usize) -> usize {
    let mut depth = 0_usize;
    let mut quote = None;
    let mut is_escaped = false;
    for (at, &byte) in text.iter().enumerate().skip(opening) {
        match (quote, byte) {
            (Some(_), b'\\') => {
                is_escaped = !is_escaped;
                continue;
            }
            (Some(open), _) if byte == open && !is_escaped => quote = None,
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'(' | b'[' | b'{') => depth += 1,
            (None, b')' | b']' | b'}') => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        is_escaped = false;
    }
    text.len()
}

fn some_value(value: Range<usize>) -> Option<Range<usize>> {
    (!value.is_empty()).then_some(value)
}

fn after_blanks(text: &[u8], from: usize) -> usize {
    from + text[from..].iter().take_while(|&&byte| matches!(byte, b' ' | b'\t')).count()
}

fn position_within(text: &[u8], from: usize, bytes_max: usize, wanted: u8) -> Option<usize> {
    text[from..].iter().take(bytes_max).position(|&byte| byte == wanted).map(|at| from + at)
}

/// Text up to a closing tag; without one (`<password> is asked for`) only a word that follows at once.
fn content(text: &[u8], from: usize) -> Option<Range<usize>> {
    let start = from + if text[from..].starts_with(CDATA_START) { CDATA_START.len() } else { 0 };
    let end = text[start..].iter().position(|&byte| byte == b'<').map_or(text.len(), |length| start + length);
    let inside = text[start..end].strip_suffix(CDATA_END).unwrap_or(&text[start..end]);
    let is_closed = start > from || text[end..].starts_with(b"</");
    if !is_closed {
        return some_value(start..bare_end(text, start, ends_assignment));
    }
    let blank = inside.len() - inside.trim_ascii_start().len();
    some_value(start + blank..start + blank + inside.trim_ascii().len())
}

/// Where the empty line after the headers ends.
fn after_headers(text: &[u8], from: usize) -> Option<usize> {
    let headers = &text[from..text.len().min(from + PART_HEADERS_BYTES_MAX)];
    let ends = [&b"\r\n\r\n"[..], b"\n\n"].into_iter().filter_map(|gap| Some(from + find(headers, gap)? + gap.len()));
    ends.min()
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}
