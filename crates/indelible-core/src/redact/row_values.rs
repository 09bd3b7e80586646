//! Values of rows in messages of PostgreSQL: `Key (email)=(…) already exists.`, `Failing row contains (…).`
//!
//! They are data of the application, and nothing tells which of them a model masks. Of a detail in other words, of another language for
//! one, all that stands in brackets may be values.

use std::ops::Range;

use super::Redactor;

const FAILING_ROW: &[u8] = b"Failing row contains ";

/// What stands before the columns of a key, and whether it is the second key of a message, which ends as a row does.
const KEYS: [(&[u8], bool); 3] = [(b"Key (", false), (b"conflicts with existing key (", true), (b"conflicts with key (", true)];

/// Longest list of columns that is looked at, in bytes.
const COLUMNS_BYTES_MAX: usize = 512;

/// What follows the values of the first key. Less of it may stand in a value.
const ENDINGS: [&[u8]; 4] = [b") already exists", b") is not present in table", b") is still referenced", b") conflicts with"];

/// How a detail begins, in the languages that PostgreSQL and its libraries speak (their catalogues, "DETAIL: ").
const DETAILS: [&str; 17] = [
    "DETAIL",
    "DETALLE",
    "DÉTAIL",
    "DETTAGLI",
    "DETALHE",
    "DETALJ",
    "AYRINTI",
    "SZCZEGÓŁY",
    "ПОДРОБНОСТИ",
    "ВІДОМОСТІ",
    "ДЕТАЛІ",
    "დეტალი",
    "დეტალები",
    "詳細",
    "详细信息",
    "描述",
    "상세정보",
];

/// Where the values of a detail begin at the latest, in bytes.
const DETAIL_WORDS_BYTES_MAX: usize = 256;

/// Longest number that is taken for that of a row.
const ROW_DIGITS_MAX: usize = 9;

/// Words before `_id` that make it the number of a person or a paper.
const PERSONAL: [&str; 22] = [
    "card",
    "citizen",
    "citizenship",
    "driver",
    "drivers",
    "fiscal",
    "gov",
    "government",
    "health",
    "identity",
    "insurance",
    "licence",
    "license",
    "medical",
    "national",
    "passport",
    "personal",
    "social",
    "state",
    "tax",
    "vat",
    "voter",
];

impl Redactor {
    /// The values of the row whose bracket stands at `at`.
    pub(super) fn failing_row(text: &[u8], at: usize) -> Option<Range<usize>> {
        if text[at] != b'(' || !text[..at].ends_with(FAILING_ROW) {
            return None;
        }
        let end = end_of_row(text, at + 1);
        (end > at + 1).then_some(at + 1..end)
    }

    /// The values of the key whose `=` stands at `at`; the number of a row under a name that is one for that is left.
    pub(super) fn key_values(&self, text: &str, at: usize) -> Option<Range<usize>> {
        let bytes = text.as_bytes();
        if at == 0 || bytes[at - 1] != b')' || bytes.get(at + 1) != Some(&b'(') {
            return None;
        }
        let floor = at.saturating_sub(COLUMNS_BYTES_MAX);
        let begins = |(key, is_second): (&[u8], bool)| {
            let place = bytes[floor..at].windows(key.len()).rposition(|window| window == key)?;
            Some((floor + place + key.len(), is_second))
        };
        let (open, is_second) = KEYS.into_iter().filter_map(begins).max()?;
        let columns = text.get(open..at - 1)?;
        let start = at + 2;
        let is_end = |place: &usize| ENDINGS.iter().any(|ending| bytes[*place..].starts_with(ending));
        let end = if is_second { end_of_row(bytes, start) } else { (start..bytes.len()).find(is_end).unwrap_or(bytes.len()) };
        (end > start && !self.is_number_of_row(columns, &bytes[start..end])).then_some(start..end)
    }

    fn is_number_of_row(&self, column: &str, value: &[u8]) -> bool {
        let is_number = value.len() <= ROW_DIGITS_MAX && value.iter().all(u8::is_ascii_digit);
        is_number && is_key_of_row(column) && !self.masks_field(column)
    }
}

/// What stands in brackets behind the colon at `at`, of a detail that [`KEYS`] and [`FAILING_ROW`] do not know.
pub(super) fn of_detail(text: &str, at: usize) -> Option<Range<usize>> {
    // French has a blank there, and some a hard one.
    let before = text[..at].strip_suffix([' ', '\u{a0}', '\u{202f}']).unwrap_or(&text[..at]);
    let before = DETAILS.iter().find_map(|label| before.strip_suffix(label))?;
    // A line may begin with the `\n` of text that was quoted.
    if before.ends_with(char::is_alphanumeric) && !before.ends_with("\\n") {
        return None;
    }
    let bytes = text.as_bytes();
    let words = &bytes[at + 1..bytes.len().min(at + 1 + DETAIL_WORDS_BYTES_MAX)];
    let line = words.split(|&byte| byte == b'\n').next()?;
    let open = at + 1 + line.iter().position(|&byte| byte == b'(')?;
    let is_known = |beginning: &[u8]| bytes[at + 1..=open].trim_ascii_start() == beginning;
    if is_known(KEYS[0].0) || is_known(&[FAILING_ROW, b"("].concat()) {
        return None;
    }
    // A value may hold line breaks. The line in which a bracket is closed is the last.
    let Some(close) = bytes[open..].iter().position(|&byte| byte == b')') else { return Some(open + 1..bytes.len()) };
    let rest = &bytes[open + close..];
    let tail = rest.split(|&byte| byte == b'\n').next()?.iter().rposition(|&byte| byte == b')')?;
    let end = open + close + tail;
    (end > open + 1).then_some(open + 1..end)
}

/// Whether the column is `id` or `…_id`, and not the number that a state or a company gave to a person.
fn is_key_of_row(column: &str) -> bool {
    let Some(noun) = column.strip_suffix("id") else { return false };
    let last = noun.strip_suffix('_').map(|noun| noun.rsplit('_').next().unwrap_or(noun));
    noun.is_empty() || last.is_some_and(|word| !PERSONAL.contains(&word.to_ascii_lowercase().as_str()))
}

/// Where the values end that begin at `start` and are closed by `).`: at the first that ends a line, since one inside of it may be of a value,
/// else at the last there is.
fn end_of_row(text: &[u8], start: usize) -> usize {
    let mut last = text.len();
    for (place, pair) in text[start..].windows(2).enumerate() {
        if pair == b")." {
            last = start + place;
            if matches!(text.get(last + 2), None | Some(b'\n' | b'\r')) {
                break;
            }
        }
    }
    last
}
