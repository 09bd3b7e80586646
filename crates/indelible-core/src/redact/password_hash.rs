//! Stored passwords: `algorithm$…` of Django and `$id$…` of crypt(3) and its successors.

use std::ops::Range;

/// Shortest text after the prefix, in bytes; salt and digest are longer.
const BODY_BYTES_MIN: usize = 20;

/// What stands between the first two `$`.
const IDS: &[&[u8]] = &[
    b"$2a$",
    b"$2b$",
    b"$2x$",
    b"$2y$",
    b"$argon2i$",
    b"$argon2d$",
    b"$argon2id$",
    b"$scrypt$",
    b"$pbkdf2$",
    b"$pbkdf2-",
    b"$1$",
    b"$5$",
    b"$6$",
    b"$7$",
    b"$y$",
    b"$apr1$",
];

/// What Django writes before the first `$`.
const ALGORITHMS: &[&[u8]] =
    &[b"pbkdf2_sha256", b"pbkdf2_sha1", b"argon2", b"bcrypt", b"bcrypt_sha256", b"scrypt", b"md5", b"sha1", b"crypt"];

const ALGORITHM_BYTES_MAX: usize = 16;

/// Finds the stored password whose first `$` stands at `at`.
pub(super) fn hash_at(text: &[u8], at: usize) -> Option<Range<usize>> {
    let floor = at.saturating_sub(ALGORITHM_BYTES_MAX);
    let letters = text[floor..at].iter().rev().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    let start = at - letters;
    if !ALGORITHMS.contains(&&text[start..at]) {
        let is_id = IDS.iter().any(|id| text[at..].starts_with(id));
        return if is_id { body(text, at, at) } else { None };
    }
    body(text, start, at)
}

/// The whole from `start`, if what follows the `$` at `first` is long enough and has a `$` of its own.
fn body(text: &[u8], start: usize, first: usize) -> Option<Range<usize>> {
    let is_hash = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'$' | b'.' | b'/' | b'+' | b'=' | b',' | b'-' | b'_');
    let length = text[first + 1..].iter().take_while(is_hash).count();
    let found = &text[first + 1..first + 1 + length];
    let found = found.strip_suffix(b",").unwrap_or(found);
    (found.len() >= BODY_BYTES_MIN && found.contains(&b'$')).then_some(start..first + 1 + found.len())
}
