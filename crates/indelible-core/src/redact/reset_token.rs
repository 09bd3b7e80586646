//! The token of Django's links for a new password, which is a segment of their path: `/reset/Mg/c8v2d1-0123…/`.
//!
//! It is the time in base 36, a dash and 32 hexadecimal digits. Whoever sees it before it is used may set the password. In links of allauth
//! the user stands before it: `/reset/key/2-c8v2d1-0123…/`.

use std::ops::Range;

const TIME_BYTES: std::ops::RangeInclusive<usize> = 6..=7;
const DIGEST_BYTES: usize = 32;

/// Shortest text with such a token in it, in bytes: a slash, the time, the dash, the digest.
pub(super) const PATH_BYTES_MIN: usize = 1 + 6 + 1 + DIGEST_BYTES;

/// Finds the token of which the dash stands at `dash`.
pub(super) fn token_at(text: &[u8], dash: usize) -> Option<Range<usize>> {
    let digest = text.get(dash + 1..dash + 1 + DIGEST_BYTES)?;
    if !digest.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let time = text[..dash].iter().rev().take(*TIME_BYTES.end()).take_while(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z')).count();
    let (start, end) = (dash - time, dash + 1 + DIGEST_BYTES);
    let is_begun = start > 0 && (text[start - 1] == b'/' || follows_user(text, start));
    let is_segment = is_begun && text.get(end).is_none_or(|&byte| ends_segment(byte));
    (is_segment && TIME_BYTES.contains(&time)).then_some(start..end)
}

const USER_BYTES_MAX: usize = 13;

fn follows_user(text: &[u8], start: usize) -> bool {
    let Some(before) = text[..start].strip_suffix(b"-") else { return false };
    let user = before.iter().rev().take(USER_BYTES_MAX).take_while(|byte| byte.is_ascii_alphanumeric()).count();
    user > 0 && before[..before.len() - user].ends_with(b"/key/")
}

/// Whether the dash may stand in one: a look that turns most dashes away.
pub(super) fn may_hold(text: &[u8], dash: usize) -> bool {
    dash > *TIME_BYTES.start() && text.get(dash + DIGEST_BYTES).is_some_and(u8::is_ascii_hexdigit)
}

fn ends_segment(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b'/' | b'?' | b'#' | b'"' | b'\'' | b'<' | b'>' | b')' | b',' | b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> Option<&str> {
        let dash = text.find('-').unwrap();
        token_at(text.as_bytes(), dash).map(|found| &text[found])
    }

    const TOKEN: &str = "d8v2d1-0123456789abcdef0123456789abcdef";

    #[test]
    fn a_segment_of_that_form_is_found() {
        assert_eq!(token(&format!("/reset/Mg/{TOKEN}/")), Some(TOKEN));
        assert_eq!(token(&format!("GET /reset/Mg/{TOKEN} HTTP/1.1")), Some(TOKEN));
        assert!(may_hold(format!("/{TOKEN}").as_bytes(), 7));
    }

    #[test]
    fn digests_in_names_of_files_stay() {
        for text in [
            format!("/static/{TOKEN}.css"),
            format!("/x/abc{TOKEN}"),
            format!("/x/{TOKEN}0"),
            "/x/0123456-89ab-cdef-0123-456789abcdef".to_owned(),
            TOKEN.to_owned(),
        ] {
            assert_eq!(token(&text), None, "{text}");
        }
    }
}
