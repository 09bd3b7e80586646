//! Values in blocks of `name: value` lines, as in YAML, in headers and in what settings print: there a value is all of its line.
//!
//! In running text only one word after a colon is masked. A line that begins with the name, beside another line of that
//! kind, is none.

use std::ops::Range;

use super::pairs::is_name;

/// How much of the line before and after is looked at, in bytes.
const LINE_BYTES_MAX: usize = 256;

/// Finds the value of the name before the colon at `colon`, if that stands in a block.
///
/// `password: |` and a `password:` with nothing behind it have their value in the lines that follow, as far as they are indented deeper.
pub(super) fn value_at(text: &[u8], colon: usize) -> Option<Range<usize>> {
    let line = line_start(text, colon);
    let indent = indent_of(&text[line..colon]);
    let end = line_end(text, colon);
    let has_own_line =
        !text[line + indent..colon].is_empty() && text[line + indent..colon].iter().all(|&byte| is_name(byte) || byte == b' ');
    let is_gap = text.get(colon + 1).is_none_or(u8::is_ascii_whitespace);
    if !has_own_line || !is_gap {
        return None;
    }
    let start = colon + 1 + text[colon + 1..end].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let value = start..start + text[start..end].trim_ascii_end().len();
    // The sign alone tells what this is.
    if !is_block_sign(&text[value.clone()]) && !has_neighbour(text, line, end) {
        return None;
    }
    if value.is_empty() || is_block_sign(&text[value.clone()]) { deeper(text, end, indent) } else { Some(value) }
}

fn line_start(text: &[u8], at: usize) -> usize {
    let floor = at.saturating_sub(LINE_BYTES_MAX);
    text[floor..at].iter().rposition(|&byte| byte == b'\n').map_or(floor, |newline| floor + newline + 1)
}

fn line_end(text: &[u8], at: usize) -> usize {
    text[at..].iter().position(|&byte| byte == b'\n').map_or(text.len(), |length| at + length)
}

/// Blanks and the dashes of list items before the name.
fn indent_of(line: &[u8]) -> usize {
    let mut at = 0;
    loop {
        match line[at..] {
            [b' ' | b'\t', ..] => at += 1,
            [b'-', b' ', ..] => at += 2,
            _ => return at,
        }
    }
}

/// Whether the line before or after is one of a block, too.
fn has_neighbour(text: &[u8], line: usize, end: usize) -> bool {
    let before = line.checked_sub(1).map(|newline| &text[line_start(text, newline)..newline]);
    let behind = text.get(end + 1..).map(|rest| &rest[..rest.len().min(LINE_BYTES_MAX)]);
    let behind = behind.map(|rest| &rest[..rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len())]);
    before.into_iter().chain(behind).any(is_pair)
}

/// `name: value`, `name:` or `- item`.
fn is_pair(line: &[u8]) -> bool {
    let line = line.trim_ascii_start();
    if line.starts_with(b"- ") {
        return true;
    }
    let name = line.iter().take_while(|&&byte| is_name(byte)).count();
    name > 0 && line.get(name) == Some(&b':') && line.get(name + 1).is_none_or(u8::is_ascii_whitespace)
}

/// The `|` or `>` of YAML, with what may follow it.
fn is_block_sign(value: &[u8]) -> bool {
    let [b'|' | b'>', rest @ ..] = value else { return false };
    rest.iter().all(|byte| matches!(byte, b'+' | b'-' | b'0'..=b'9'))
}

/// The lines after `end` that are indented deeper; `None`: there are none.
fn deeper(text: &[u8], end: usize, indent: usize) -> Option<Range<usize>> {
    let mut value: Option<Range<usize>> = None;
    let mut line = end + 1;
    while line < text.len() {
        let next = line_end(text, line);
        let blanks = text[line..next].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let content = text[line..next].trim_ascii();
        if !content.is_empty() {
            if blanks <= indent {
                break;
            }
            let start = value.map_or(line + blanks, |value| value.start);
            value = Some(start..line + blanks + content.len());
        }
        line = next + 1;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Option<&str> {
        let colon = text.find("password:").unwrap() + "password".len();
        value_at(text.as_bytes(), colon).map(|found| &text[found])
    }

    #[test]
    fn all_of_the_line_is_the_value() {
        assert_eq!(value("user: ana\npassword: a b, c\n"), Some("a b, c"));
        assert_eq!(value("- password: a b\r\n  host: x"), Some("a b"));
        assert_eq!(value("password: a b\nhost:\n"), Some("a b"));
    }

    #[test]
    fn deeper_lines_are_the_value() {
        assert_eq!(value("db:\n  password: |\n    a\n\n    b\n  port: 1"), Some("a\n\n    b"));
        assert_eq!(value("db:\n  password:\n    - a\n    - b"), Some("- a\n    - b"));
        assert_eq!(value("db:\n  password:\n  port: 1"), None);
    }

    #[test]
    fn prose_is_no_block() {
        for text in [
            "password: must be long",
            "Try again.\npassword: must be long\nGood bye.",
            "a: b\nthe old password:x y",
            "a: 1\n{\"password: a b",
        ] {
            assert_eq!(value(text), None, "{text}");
        }
    }
}
