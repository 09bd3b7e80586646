//! Percent-encoded words in free text: the URL in an exception's message, a command with an encoded argument.

use std::borrow::Cow;

use super::pairs::Pairs;
use super::text;
use super::{MASK, Redactor, percent};

/// How often a word may be encoded: a URL in a URL in a URL.
const ENCODINGS_MAX: usize = 3;

/// Masks what is only a secret once it is decoded; `None`: there is nothing to mask.
///
/// A parameter (`?name=value&…`) loses its value, a segment of a path and any other word all of it, since a part cannot be put back without encoding the rest anew.
/// What is decoded is looked at as plain text and not searched for encoded words again, so that the work stays linear.
pub(super) fn redact(redactor: &Redactor, text: &str, pairs: Pairs) -> Option<String> {
    let mut out = String::new();
    let mut copied = 0;
    for word in words(text) {
        if !holds_secret(redactor, word.text, pairs) {
            continue;
        }
        out.push_str(&text[copied..word.start]);
        let masked = without_parts(redactor, word.text, pairs);
        out.push_str(if holds_secret(redactor, &masked, pairs) { MASK } else { &masked });
        copied = word.start + word.text.len();
    }
    if copied == 0 {
        return None;
    }
    out.push_str(&text[copied..]);
    Some(out)
}

struct Word<'t> {
    start: usize,
    text: &'t str,
}

/// The words that hold an encoded byte.
fn words(text: &str) -> impl Iterator<Item = Word<'_>> {
    let ends_word =
        |character: char| character.is_whitespace() || matches!(character, '"' | '\'' | '`' | '<' | '>' | '(' | ')' | '{' | '}');
    let mut at = 0;
    text.split(ends_word).filter_map(move |word| {
        let start = at + text[at..].find(word)?;
        at = start + word.len();
        percent::is_encoded(word).then_some(Word { start, text: word })
    })
}

/// The word without those parameters' values, and those segments of the path before them, that hold a secret.
fn without_parts(redactor: &Redactor, word: &str, pairs: Pairs) -> String {
    let (path, parameters) = word.split_at(word.find('?').unwrap_or(word.len()));
    let mut out = String::new();
    for part in path.split_inclusive(['/', '&', '#']).chain(parameters.split_inclusive(['?', '&', '#'])) {
        let inner = part.trim_end_matches(['?', '&', '#', '/']);
        if !holds_secret(redactor, inner, pairs) {
            out.push_str(part);
            continue;
        }
        if let Some((name, _)) = inner.split_once('=') {
            out.extend([name, "="]);
        }
        out.extend([MASK, &part[inner.len()..]]);
    }
    out
}

fn holds_secret(redactor: &Redactor, word: &str, pairs: Pairs) -> bool {
    // A plus is a blank in a form and itself in a path; nobody says which of them this is.
    let as_form = if word.contains('+') { Some(percent::decode_form(word)) } else { None };
    [Some(percent::decode(word)), as_form].into_iter().flatten().any(|decoded| holds_secret_decoded(redactor, decoded, pairs))
}

fn holds_secret_decoded(redactor: &Redactor, mut decoded: Cow<'_, str>, pairs: Pairs) -> bool {
    for _ in 0..ENCODINGS_MAX {
        if text::scan(redactor, &decoded, pairs).masked.is_some() {
            return true;
        }
        decoded = match percent::decode(&decoded) {
            Cow::Owned(again) => Cow::Owned(again),
            Cow::Borrowed(_) => break,
        };
    }
    false
}
