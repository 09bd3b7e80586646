//! Passwords in URLs (RFC 3986 §3.2.1): `postgres://ana:hunter2@host`.

use std::ops::Range;

/// How far past the end of an authority an `@` is looked for, in bytes.
///
/// Passwords with a raw `/`, `?` or `#` are wrong but common; without the bound a text full of `://` would be searched over and over.
const OVERRUN_BYTES_MAX: usize = 256;

const PORT_DIGITS_MAX: usize = 5;

/// Finds the password in the URL whose `:` before `//` stands at `colon`.
pub(super) fn password_at(text: &[u8], colon: usize) -> Option<Range<usize>> {
    let start = colon + b"://".len();
    let authority = start..start + length_until(&text[start..], |byte| ends_url(byte) || matches!(byte, b'/' | b'?' | b'#'));
    let user_end = start + text[authority.clone()].iter().position(|&byte| byte == b':')?;
    let at_sign = match text[authority.clone()].iter().rposition(|&byte| byte == b'@') {
        Some(at_sign) => start + at_sign,
        None => at_sign_beyond(text, user_end + 1, authority.end)?,
    };
    (user_end + 1 < at_sign).then_some(user_end + 1..at_sign)
}

/// The `@` after a password that holds characters which end an authority.
fn at_sign_beyond(text: &[u8], password: usize, authority_end: usize) -> Option<usize> {
    let port = &text[password..authority_end];
    if port.len() <= PORT_DIGITS_MAX && port.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let rest = &text[authority_end..text.len().min(authority_end + OVERRUN_BYTES_MAX)];
    let rest = &rest[..length_until(rest, ends_url)];
    Some(authority_end + rest.iter().position(|&byte| byte == b'@')?)
}

fn length_until(text: &[u8], ends: impl Fn(u8) -> bool) -> usize {
    text.iter().position(|&byte| ends(byte)).unwrap_or(text.len())
}

fn ends_url(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'<' | b'>' | b'`')
}
