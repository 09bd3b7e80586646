//! What a drainer posts: rows of an outbox, each with the position that it was assigned to (docs/format.md, "Outbox over HTTP").

use indelible_core::FRAME_PAYLOAD_BYTES_MAX;

use super::Refusal;

/// Position and length, before each payload.
const HEAD_BYTES: usize = 8 + 4;
/// Longest body of one request: the longest row alone.
pub(crate) const ROWS_BYTES_MAX: usize = FRAME_PAYLOAD_BYTES_MAX + HEAD_BYTES;
/// The most rows of one request.
const ROWS_MAX: usize = 1_000;

/// A row on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row<'a> {
    /// Where its OUTCOME goes.
    pub(super) sequence: u64,
    /// The INTENT as its application has sealed it.
    pub(super) payload: &'a [u8],
}

/// The rows of a body.
///
/// # Errors
/// [`Refusal::Malformed`]: it is not made of rows from the first byte to the last. [`Refusal::TooLarge`]: they are too many.
pub(super) fn parse(mut body: &[u8]) -> Result<Vec<Row<'_>>, Refusal> {
    let mut rows = Vec::new();
    while !body.is_empty() {
        if rows.len() == ROWS_MAX {
            return Err(Refusal::TooLarge);
        }
        let (row, rest) = first(body).ok_or(Refusal::Malformed)?;
        rows.push(row);
        body = rest;
    }
    Ok(rows)
}

fn first(body: &[u8]) -> Option<(Row<'_>, &[u8])> {
    let (head, rest) = body.split_at_checked(HEAD_BYTES)?;
    let (sequence, length) = head.split_first_chunk::<8>()?;
    let length = usize::try_from(u32::from_le_bytes(length.try_into().ok()?)).ok()?;
    let (payload, rest) = rest.split_at_checked(length)?;
    Some((Row { sequence: u64::from_le_bytes(*sequence), payload }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(sequence: u64, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap();
        [&sequence.to_le_bytes()[..], &length.to_le_bytes(), payload].concat()
    }

    #[test]
    fn rows_are_read_as_they_were_written_and_nothing_else_is() {
        let body = [row(7, b"first"), row(u64::MAX, b"")].concat();
        let expected = [Row { sequence: 7, payload: b"first" }, Row { sequence: u64::MAX, payload: b"" }];
        assert_eq!(parse(&body).unwrap(), expected);
        assert_eq!(parse(b"").unwrap(), []);
        for end in (1..body.len()).filter(|&end| end != row(7, b"first").len()) {
            assert!(matches!(parse(&body[..end]), Err(Refusal::Malformed)), "cut at {end}");
        }
    }

    #[test]
    fn a_request_has_at_most_so_many_rows() {
        let body = row(1, b"").repeat(ROWS_MAX);
        assert_eq!(parse(&body).unwrap().len(), ROWS_MAX);
        assert!(matches!(parse(&[body, row(1, b"")].concat()), Err(Refusal::TooLarge)));
    }
}
