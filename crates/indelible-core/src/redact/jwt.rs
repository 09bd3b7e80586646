//! JSON Web Tokens (RFC 7519 §3): `eyJ…` (base64url of `{"`), two or more dots between base64url parts.

use std::ops::Range;

/// Shortest first part, in bytes; base64url of `{"alg":"…"}` is longer.
const HEADER_BYTES_MIN: usize = 12;

/// Dots in an encrypted token (RFC 7516 §7.1); a signed one has two.
const DOTS_MAX: usize = 4;

/// Measures the token that begins at `from`, where `eyJ` stands.
///
/// # Errors
/// Where the first part ends when it is no token. No token starts between `from` and there either.
pub(super) fn token_at(text: &[u8], from: usize) -> Result<Range<usize>, usize> {
    let header_end = part_end(text, from);
    let mut end = header_end;
    let mut dots = 0;
    while dots < DOTS_MAX && text.get(end) == Some(&b'.') {
        end = part_end(text, end + 1);
        dots += 1;
    }
    // A token cut off in its second part still tells what it claims.
    let is_cut_off = dots == 1 && text[header_end + 1..].starts_with(b"eyJ");
    if header_end - from >= HEADER_BYTES_MIN && (dots >= 2 || is_cut_off) { Ok(from..end) } else { Err(header_end) }
}

fn part_end(text: &[u8], from: usize) -> usize {
    let length = text[from..].iter().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')).count();
    from + length
}
