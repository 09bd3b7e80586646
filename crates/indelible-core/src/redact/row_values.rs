//! Values of rows in messages of PostgreSQL: `Key (email)=(…) already exists.`, `Failing row contains (…).`
//!
//! They are data of the application, and nothing tells which of them a model masks.

use std::ops::Range;

use super::Redactor;

const FAILING_ROW: &[u8] = b"Failing row contains ";
const KEY: &[u8] = b"Key (";

/// Longest list of columns that is looked at, in bytes.
const COLUMNS_BYTES_MAX: usize = 512;

/// What follows the values of a key.
const ENDINGS: [&[u8]; 5] = [b") already", b") is ", b") conflicts", b")=", b") with"];

impl Redactor {
    /// The values of the row whose bracket stands at `at`.
    pub(super) fn failing_row(text: &[u8], at: usize) -> Option<Range<usize>> {
        if text[at] != b'(' || !text[..at].ends_with(FAILING_ROW) {
            return None;
        }
        let values = &text[at + 1..];
        let length = values.windows(2).position(|pair| pair == b").").unwrap_or(values.len());
        (length > 0).then_some(at + 1..at + 1 + length)
    }

    /// The values of the key whose `=` stands at `at`; the number of a row under a name that is one for that is left.
    pub(super) fn key_values(&self, text: &str, at: usize) -> Option<Range<usize>> {
        let bytes = text.as_bytes();
        if at == 0 || bytes[at - 1] != b')' || bytes.get(at + 1) != Some(&b'(') {
            return None;
        }
        let floor = at.saturating_sub(COLUMNS_BYTES_MAX);
        let open = floor + bytes[floor..at].windows(KEY.len()).rposition(|window| window == KEY)?;
        let columns = text.get(open + KEY.len()..at - 1)?;
        let start = at + 2;
        let is_end = |place: &usize| ENDINGS.iter().any(|ending| bytes[*place..].starts_with(ending));
        let end = (start..bytes.len()).find(is_end).unwrap_or(bytes.len());
        let is_number = !self.masks_field(columns) && columns.ends_with("id") && bytes[start..end].iter().all(u8::is_ascii_digit);
        (end > start && !is_number).then_some(start..end)
    }
}
