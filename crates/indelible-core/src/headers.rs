//! Headers as the members of a JSON object, masked. Most of them are the same in every request, so what became of them is remembered.

use std::borrow::Cow;
use std::sync::{Mutex, MutexGuard};

use crate::{Json, MASK, Redactor, push_string};

const NAMES_MAX: usize = 128;
const VALUES_MAX: usize = 256;
/// Longest value that is remembered.
const VALUE_BYTES_MAX: usize = 256;

/// What became of headers that were seen before: at most 128 names of each kind and 256 short values with nothing in them to mask.
///
/// No secret stays in it. Who finds it in use by another thread, or left locked by a fork, does without.
#[derive(Debug, Default)]
pub struct HeaderMemo(Mutex<Memos>);

#[derive(Debug)]
struct Memos {
    variables: Memo<Name>,
    names: Memo<Name>,
    values: Memo<String>,
}

impl Default for Memos {
    fn default() -> Self {
        Self { variables: Memo::new(NAMES_MAX), names: Memo::new(NAMES_MAX), values: Memo::new(VALUES_MAX) }
    }
}

/// The name of a header in small letters, as JSON, and whether its value is masked whatever it is.
#[derive(Debug)]
struct Name {
    plain: String,
    json: String,
    is_masked: bool,
}

impl Name {
    /// The name behind a variable of WSGI (PEP 3333), `HTTP_USER_AGENT`.
    fn of_variable(redactor: &Redactor, variable: &str) -> Self {
        Self::of(redactor, &variable.strip_prefix("HTTP_").unwrap_or(variable).replace('_', "-"))
    }

    fn of(redactor: &Redactor, name: &str) -> Self {
        let plain = name.to_ascii_lowercase();
        let mut json = String::with_capacity(plain.len() + 3);
        push_string(&mut json, &redactor.header_name(&plain));
        json.push(':');
        Self { is_masked: redactor.masks_field(&plain), json, plain }
    }
}

/// Writes the headers of one message as the members of a JSON object, in the order of the calls, names in small letters.
///
/// Values of masked names and secrets inside of values are replaced. Names that come twice are members that come twice.
#[derive(Debug)]
pub struct HeaderWriter<'a> {
    redactor: &'a Redactor,
    memos: Option<MutexGuard<'a, Memos>>,
    out: String,
}

impl<'a> HeaderWriter<'a> {
    /// Begins the headers of a message. `memo` is that of this redactor alone.
    #[must_use]
    pub fn new(redactor: &'a Redactor, memo: &'a HeaderMemo) -> Self {
        Self { redactor, memos: memo.0.try_lock().ok(), out: String::with_capacity(512) }
    }

    /// Writes the header that stands in a variable of WSGI (PEP 3333), such as `HTTP_USER_AGENT` or `CONTENT_TYPE`.
    pub fn variable(&mut self, variable: &str, value: &str) {
        let redactor = self.redactor;
        match &mut self.memos {
            Some(memos) => {
                let memos = &mut **memos;
                let name = memos.variables.get_or_make(variable, || Name::of_variable(redactor, variable));
                write(redactor, name, value, Some(&mut memos.values), &mut self.out);
            }
            None => write(redactor, &Name::of_variable(redactor, variable), value, None, &mut self.out),
        }
    }

    /// Writes a header; answers which of `asked` it is.
    pub fn header<'n>(&mut self, name: &str, value: &str, asked: &[&'n str]) -> Option<&'n str> {
        let redactor = self.redactor;
        let is_asked = |name: &Name| asked.iter().copied().find(|&asked| name.plain == asked);
        match &mut self.memos {
            Some(memos) => {
                let memos = &mut **memos;
                let name = memos.names.get_or_make(name, || Name::of(redactor, name));
                write(redactor, name, value, Some(&mut memos.values), &mut self.out);
                is_asked(name)
            }
            None => {
                let name = Name::of(redactor, name);
                write(redactor, &name, value, None, &mut self.out);
                is_asked(&name)
            }
        }
    }

    /// The object.
    #[must_use]
    pub fn end(mut self) -> Json {
        self.out.push_str(if self.out.is_empty() { "{}" } else { "}" });
        Json::from_text(self.out)
    }
}

fn write(redactor: &Redactor, name: &Name, value: &str, values: Option<&mut Memo<String>>, out: &mut String) {
    out.push(if out.is_empty() { '{' } else { ',' });
    out.push_str(&name.json);
    if name.is_masked {
        return push_string(out, MASK);
    }
    if let Some(json) = values.as_ref().and_then(|values| values.get(value)) {
        return out.push_str(json);
    }
    let redacted = redactor.header(&name.plain, value);
    let start = out.len();
    push_string(out, &redacted);
    if let (Some(values), Cow::Borrowed(_)) = (values, redacted)
        && value.len() <= VALUE_BYTES_MAX
    {
        values.put(value, out[start..].to_owned());
    }
}

/// A text and its value.
type Place<V> = Option<(Box<str>, V)>;

/// Values by text. Each text has two places, of which one may be another's: so it never grows, and two texts do not drive each other out.
#[derive(Debug)]
struct Memo<V> {
    places: Box<[Place<V>]>,
}

impl<V> Memo<V> {
    /// `places` is a power of two.
    fn new(places: usize) -> Self {
        Self { places: (0..places).map(|_| None).collect() }
    }

    fn get(&self, text: &str) -> Option<&V> {
        self.found(text).and_then(|place| self.places[place].as_ref()).map(|(_, value)| value)
    }

    fn found(&self, text: &str) -> Option<usize> {
        let is_of = |place: &usize| self.places[*place].as_ref().is_some_and(|(known, _)| **known == *text);
        let first = self.place(text);
        Some(first).filter(is_of).or_else(|| Some(self.second(first)).filter(is_of))
    }

    /// Puts a value in that is not there. Who had the first place moves to the second, and from there who had that goes.
    fn put(&mut self, text: &str, value: V) {
        let first = self.place(text);
        self.places.swap(first, self.second(first));
        self.places[first] = Some((text.into(), value));
    }

    fn get_or_make(&mut self, text: &str, make: impl FnOnce() -> V) -> &V {
        let place = self.found(text).unwrap_or_else(|| {
            self.put(text, make());
            self.place(text)
        });
        self.places[place].as_ref().map(|(_, value)| value).expect("it was found there, or has just been put there")
    }

    fn second(&self, first: usize) -> usize {
        (first ^ 1) & (self.places.len() - 1)
    }

    /// Whoever makes texts meet on purpose makes them be forgotten, no more.
    fn place(&self, text: &str) -> usize {
        const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut hash = text.len() as u64;
        let (words, rest) = text.as_bytes().as_chunks::<8>();
        for word in words {
            hash = (hash.rotate_left(5) ^ u64::from_le_bytes(*word)).wrapping_mul(SPREAD);
        }
        for &byte in rest {
            hash = (hash.rotate_left(5) ^ u64::from(byte)).wrapping_mul(SPREAD);
        }
        (hash >> 32) as usize & (self.places.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(memo: &HeaderMemo, headers: &[(&str, &str)]) -> String {
        let redactor = Redactor::default();
        let mut writer = HeaderWriter::new(&redactor, memo);
        for (name, value) in headers {
            writer.header(name, value, &[]);
        }
        writer.end().into_text()
    }

    #[test]
    fn what_is_remembered_is_what_would_be_written() {
        let memo = HeaderMemo::default();
        let headers = [
            ("Content-Type", "text/html"),
            ("X-Api-Key", "k-1"),
            ("X-Text", "card 4111 1111 1111 1111"),
            ("Location", "/a?token=x\"y"),
            ("X-Text", "text/html"),
        ];
        let expected = concat!(
            r#"{"content-type":"text/html","x-api-key":"[masked]","x-text":"card [masked]","#,
            r#""location":"/a?token=[masked]","x-text":"text/html"}"#
        );
        for _ in 0..3 {
            assert_eq!(written(&memo, &headers), expected);
        }
        assert_eq!(written(&memo, &[]), "{}");
    }

    #[test]
    fn no_masked_value_is_remembered() {
        let memo = HeaderMemo::default();
        written(
            &memo,
            &[("Authorization", "Token 0123"), ("X-Text", "card 4111 1111 1111 1111"), ("X-Long", &"x".repeat(VALUE_BYTES_MAX + 1))],
        );
        let memos = memo.0.lock().unwrap();
        assert!(memos.values.places.iter().all(Option::is_none));
    }

    #[test]
    fn two_texts_that_share_a_place_are_both_kept_and_a_third_drives_out_the_older() {
        let mut memo = Memo::new(2);
        let texts: Vec<String> = (0..).map(|number| format!("text {number}")).filter(|text| memo.place(text) == 0).take(3).collect();
        for _ in 0..2 {
            assert_eq!([0, 1].map(|value| *memo.get_or_make(&texts[value], || value)), [0, 1]);
        }
        assert_eq!(memo.get(&texts[2]), None);
        assert_eq!(*memo.get_or_make(&texts[2], || 2), 2);
        assert_eq!([0, 1, 2].map(|value| memo.get(&texts[value])), [None, Some(&1), Some(&2)]);
    }

    #[test]
    fn headers_are_written_the_same_while_another_thread_uses_the_memory() {
        let memo = HeaderMemo::default();
        let _busy = memo.0.lock().unwrap();
        assert_eq!(written(&memo, &[("Cookie", "a=b"), ("Accept", "*/*")]), r#"{"cookie":"[masked]","accept":"*/*"}"#);
    }
}
