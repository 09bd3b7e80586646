//! Private keys in PEM (RFC 7468), PGP and OpenSSH armour.

use std::ops::Range;

const BEGIN: &[u8] = b"-----BEGIN";
const END: &[u8] = b"-----END";
const DASHES: &[u8] = b"-----";

/// Longest label between `-----BEGIN` and the dashes after it, in bytes.
const LABEL_BYTES_MAX: usize = 80;

/// Finds the private key whose first dash stands at `at`: the whole block, or everything to the end of the text where the
/// block was cut off.
pub(super) fn private_key_at(text: &[u8], at: usize) -> Option<Range<usize>> {
    let label_start = at + text[at..].starts_with(BEGIN).then_some(BEGIN.len())?;
    let (label, body) = until_dashes(text, label_start)?;
    position(&text[label], b"PRIVATE KEY")?;
    let Some(end_line) = position(&text[body..], END) else { return Some(at..text.len()) };
    let end = until_dashes(text, body + end_line + END.len()).map_or(text.len(), |(_, end)| end);
    Some(at..end)
}

/// The label that begins at `from`, and where the dashes after it end.
fn until_dashes(text: &[u8], from: usize) -> Option<(Range<usize>, usize)> {
    let reach = text.len().min(from + LABEL_BYTES_MAX + DASHES.len());
    let length = position(&text[from..reach], DASHES)?;
    Some((from..from + length, from + length + DASHES.len()))
}

fn position(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}
