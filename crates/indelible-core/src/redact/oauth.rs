//! The code of an OAuth callback in a URL (RFC 6749 §4.1.2): whoever has it before it is used may become the user.
//!
//! A parameter `code` by itself is a postcode or a voucher; beside the other parameters of a grant it is a secret.

use std::ops::Range;

use super::pairs::ends_assignment;

const NAME: &[u8] = b"code";

/// Parameters that stand beside the code: those of a callback, and that of the request for a token.
const COMPANIONS: [&[u8]; 4] = [b"state=", b"session_state=", b"grant_type=", b"code_verifier="];

/// How far before and behind the code its companions are looked for, in bytes; a text full of codes would be searched over and over without it.
const QUERY_BYTES_MAX: usize = 1024;

/// Finds the code whose `=` stands at `at`.
pub(super) fn code_at(text: &[u8], at: usize) -> Option<Range<usize>> {
    let name = at.checked_sub(NAME.len()).filter(|&start| text[start..].starts_with(NAME))?;
    if !begins_parameter(text, name) {
        return None;
    }
    let end = at + 1 + text[at + 1..].iter().take_while(|&&byte| !ends_parameter(byte)).count();
    (end > at + 1 && (has_companion_before(text, name) || has_companion_behind(text, end))).then_some(at + 1..end)
}

/// Whether a parameter named in `form` makes a `code` beside it a secret.
pub(super) fn is_grant(form: &str) -> bool {
    form.split('&').any(is_companion)
}

fn is_companion(parameter: &str) -> bool {
    COMPANIONS.iter().any(|companion| parameter.as_bytes().starts_with(companion))
}

fn begins_parameter(text: &[u8], name: usize) -> bool {
    name.checked_sub(1).is_none_or(|before| matches!(text[before], b'?' | b'&' | b'#' | b';'))
}

fn ends_parameter(byte: u8) -> bool {
    ends_assignment(byte) || matches!(byte, b'#' | b')' | b',')
}

fn has_companion_before(text: &[u8], name: usize) -> bool {
    let floor = name.saturating_sub(QUERY_BYTES_MAX);
    let start = text[floor..name].iter().rposition(|&byte| byte.is_ascii_whitespace()).map_or(floor, |blank| floor + blank + 1);
    parameters(&text[start..name]).any(begins_with_companion)
}

fn has_companion_behind(text: &[u8], end: usize) -> bool {
    let rest = &text[end..text.len().min(end + QUERY_BYTES_MAX)];
    let length = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
    parameters(&rest[..length]).skip(1).any(begins_with_companion)
}

fn parameters(query: &[u8]) -> impl Iterator<Item = &[u8]> {
    query.split(|&byte| matches!(byte, b'?' | b'&' | b'#' | b';'))
}

fn begins_with_companion(parameter: &[u8]) -> bool {
    COMPANIONS.iter().any(|companion| parameter.starts_with(companion))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Option<&str> {
        let at = text.find("code=").unwrap() + NAME.len();
        code_at(text.as_bytes(), at).map(|found| &text[found])
    }

    #[test]
    fn a_code_beside_the_parameters_of_a_grant_is_found() {
        assert_eq!(code("GET /cb?code=abc&state=x HTTP/1.1"), Some("abc"));
        assert_eq!(code("https://x/cb?state=x&code=abc)"), Some("abc"));
        assert_eq!(code("/cb#code=abc&session_state=1"), Some("abc"));
        assert_eq!(code("code=abc&amp;state=x"), Some("abc"));
    }

    #[test]
    fn any_other_code_stays() {
        for text in ["/shop?code=SUMMER", "code=8001", "exit code=1 state=failed", "/x?postcode=abc&state=x", "/x?code=&state=x"] {
            assert_eq!(code(text), None, "{text}");
        }
    }
}
