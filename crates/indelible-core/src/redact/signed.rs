//! What `django.core.signing` signed with a time: `value:1rXa2b:signature`, as in links that let somebody in or confirm an address.

use std::ops::Range;

const TIME_BYTES: usize = 6;
const SIGNATURE_BYTES: usize = 43;

/// Longest value before the signature that is masked with it, in bytes.
const VALUE_BYTES_MAX: usize = 4096;

/// Finds the signed value of which the colon before the time stands at `colon`.
pub(super) fn value_at(text: &[u8], colon: usize) -> Option<Range<usize>> {
    let second = colon + 1 + TIME_BYTES;
    let end = second + 1 + SIGNATURE_BYTES;
    if text.get(second) != Some(&b':') || text.len() < end {
        return None;
    }
    let is_signed = text[colon + 1..second].iter().all(u8::is_ascii_alphanumeric)
        && text[second + 1..end].iter().all(|&byte| is_base64(byte))
        && text.get(end).is_none_or(|&byte| !is_base64(byte) && byte != b'=');
    if !is_signed {
        return None;
    }
    let floor = colon.saturating_sub(VALUE_BYTES_MAX);
    let length = text[floor..colon].iter().rev().take_while(|&&byte| is_base64(byte) || matches!(byte, b':' | b'.')).count();
    Some(colon - length..end)
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}
