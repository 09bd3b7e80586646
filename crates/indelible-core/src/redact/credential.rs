//! What follows `Bearer` and `Basic` (RFC 6750 §2.1, RFC 7617 §2).
//!
//! Both are words of prose too, so what follows must look like a credential: `basic understanding` does not.

use std::ops::Range;

use super::detectors::{Detector, Detectors};

/// Finds the credential of the scheme whose first letter stands at `at`.
pub(super) fn credential_at(text: &[u8], at: usize, detectors: Detectors) -> Option<Range<usize>> {
    match text.get(at + 1)? {
        b'e' | b'E' if detectors.has(Detector::Bearer) => {
            after_scheme(text, at, b"bearer").filter(|found| looks_like_token(&text[found.clone()]))
        }
        b'a' | b'A' if detectors.has(Detector::Basic) => {
            after_scheme(text, at, b"basic").filter(|found| looks_like_base64(&text[found.clone()]))
        }
        _ => None,
    }
}

/// Whether a scheme's name may begin somewhere in `text`, by its first three letters.
pub(super) fn may_name_scheme(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&byte| byte | 0x20 == b'b') {
        rest = &rest[at + 1..];
        if may_begin_scheme(rest) {
            return true;
        }
    }
    false
}

/// Whether what follows a `b` may make it the first letter of a scheme's name.
pub(super) fn may_begin_scheme(rest: &[u8]) -> bool {
    matches!(rest, [b'a' | b'A' | b'e' | b'E', b'a' | b'A' | b's' | b'S', ..])
}

fn after_scheme(text: &[u8], at: usize, scheme: &[u8]) -> Option<Range<usize>> {
    if !starts_with_ignoring_case(&text[at..], scheme) {
        return None;
    }
    let start = after_gap(text, at + scheme.len())?;
    Some(start..token_end(text, start))
}

/// Whether `text` begins with `name`, which is lower-case.
pub(super) fn starts_with_ignoring_case(text: &[u8], name: &[u8]) -> bool {
    text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
}

/// Where the gap of at least one blank ends, plain or in a URL.
fn after_gap(text: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        match &text[at..] {
            [b' ' | b'\t' | b'+', ..] => at += 1,
            [b'%', b'2', b'0', ..] => at += 3,
            _ => return (at > from).then_some(at),
        }
    }
}

/// The end of the `token68` (RFC 9110 §11.2), with the `:` of tokens that are not quite that.
fn token_end(text: &[u8], start: usize) -> usize {
    let is_token = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b':');
    let mut end = start + text[start..].iter().take_while(is_token).count();
    end += text[end..].iter().take_while(|&&byte| byte == b'=').count();
    end
}

const LONG_WORD_BYTES: usize = 16;

fn looks_like_token(token: &[u8]) -> bool {
    let word = token.trim_ascii_end();
    let word = word.strip_suffix(b".").or(word.strip_suffix(b":")).unwrap_or(word);
    word.len() >= LONG_WORD_BYTES || word.iter().any(|byte| !byte.is_ascii_lowercase())
}

const BASE64_BYTES_MIN: usize = 6;

fn looks_like_base64(token: &[u8]) -> bool {
    let is_odd = |byte: &u8| !byte.is_ascii_lowercase() && !matches!(byte, b'.' | b':' | b'-');
    token.len() >= BASE64_BYTES_MIN && token[1..].iter().any(is_odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(text: &str) -> Option<&str> {
        credential_at(text.as_bytes(), 0, Detectors::all()).map(|found| &text[found])
    }

    #[test]
    fn credentials_are_found() {
        assert_eq!(credential("Bearer abc123 x"), Some("abc123"));
        assert_eq!(credential("BEARER%20s3cr3t-token.x"), Some("s3cr3t-token.x"));
        assert_eq!(credential("bearer \t averyveryverylongword"), Some("averyveryverylongword"));
        assert_eq!(credential("basic YW5hOmh1bnRlcjI="), Some("YW5hOmh1bnRlcjI="));
    }

    #[test]
    fn prose_is_not_a_credential() {
        for text in ["bearer of bad news", "Bearer", "bearer ", "Basic understanding", "basic, simple", "Bearerabc123", "basic fees."] {
            assert_eq!(credential(text), None, "{text}");
        }
    }

    #[test]
    fn schemes_that_are_switched_off_are_not_looked_for() {
        assert_eq!(credential_at(b"Bearer abc123", 0, Detectors::none().with(Detector::Basic)), None);
        assert_eq!(credential_at(b"Basic YW5hOmh1bnRlcjI=", 0, Detectors::none().with(Detector::Bearer)), None);
    }
}
