//! `application/x-www-form-urlencoded` and query strings: parameters between `&`, percent-encoded.

use std::borrow::Cow;
use std::cell::OnceCell;

use super::json::looks_like_json;
use super::{MASK, Redactor, oauth, percent, text};

/// How many times a value may be encoded: a URL in a URL in a URL.
const ENCODINGS_MAX: usize = 3;

/// JSON inside strings inside the JSON of a parameter; what is deeper is redacted as text.
const STRING_NESTING_MAX: u8 = 2;

const CODE: &str = "code=";

impl Redactor {
    /// Masks secrets in a form body: the values of sensitive names (`user[password]`, `api%5Fkey`), and what the detectors find
    /// in other names and values. Parameters without a secret stay as they are, byte by byte. A `code` is masked beside the
    /// other parameters of OAuth (RFC 6749 §4.1); elsewhere it is a postcode or a voucher.
    #[must_use]
    pub fn form<'t>(&self, form: &'t str) -> Cow<'t, str> {
        let mut out = String::new();
        let mut copied = 0;
        let mut at = 0;
        let has_grant = OnceCell::new();
        for parameter in form.split('&') {
            let is_code = parameter.starts_with(CODE) && *has_grant.get_or_init(|| oauth::is_grant(form));
            if let Some(redacted) = self.parameter(parameter, is_code) {
                out.push_str(&form[copied..at]);
                out.push_str(&redacted);
                copied = at + parameter.len();
            }
            at += parameter.len() + 1;
        }
        if copied == 0 {
            return Cow::Borrowed(form);
        }
        out.push_str(&form[copied..]);
        Cow::Owned(out)
    }

    /// Masks secrets in a query string, with or without the `?` before it, as [`Redactor::form`] does.
    #[must_use]
    pub fn query<'t>(&self, query: &'t str) -> Cow<'t, str> {
        match query.strip_prefix('?') {
            None => self.form(query),
            Some(parameters) => match self.form(parameters) {
                Cow::Borrowed(_) => Cow::Borrowed(query),
                Cow::Owned(redacted) => Cow::Owned(format!("?{redacted}")),
            },
        }
    }

    /// `None`: there is nothing to mask.
    fn parameter(&self, parameter: &str, is_secret: bool) -> Option<String> {
        let Some((name, value)) = parameter.split_once('=') else { return self.encoded(parameter, percent::decode_form) };
        let redacted_name = self.encoded(name, percent::decode_form);
        // A name that holds a secret is no name: nobody knows what its value is.
        let redacted_value = if is_secret || redacted_name.is_some() || self.masks_field(&fully_decoded(name)) {
            (!value.is_empty() && value != MASK).then(|| MASK.to_owned())
        } else {
            self.encoded(value, percent::decode_form)
        };
        if redacted_name.is_none() && redacted_value.is_none() {
            return None;
        }
        Some(format!("{}={}", redacted_name.as_deref().unwrap_or(name), redacted_value.as_deref().unwrap_or(value)))
    }

    /// Masks secrets in text that may be percent-encoded: as in text where they stand as they are, otherwise all of it, since
    /// a part cannot be put back without encoding the rest anew. `None`: there are none.
    pub(super) fn encoded(&self, text: &str, decode: fn(&str) -> Cow<'_, str>) -> Option<String> {
        let redacted = self.literal_value(text);
        let mut decoded = decode(&redacted);
        for _ in 0..ENCODINGS_MAX {
            if let Cow::Borrowed(_) = decoded {
                break;
            }
            if let Cow::Owned(_) = self.literal_value(&decoded) {
                return Some(MASK.to_owned());
            }
            decoded = match percent::decode(&decoded) {
                Cow::Owned(again) => Cow::Owned(again),
                Cow::Borrowed(_) => break,
            };
        }
        match redacted {
            Cow::Owned(redacted) => Some(redacted),
            Cow::Borrowed(_) => None,
        }
    }
}

impl Redactor {
    /// As [`Redactor::value`], without a look at what it would be decoded: that is for the caller to do.
    fn literal_value<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if looks_like_json(text) { self.value(text, STRING_NESTING_MAX) } else { text::redact_literally(self, text) }
    }
}

fn fully_decoded(name: &str) -> Cow<'_, str> {
    let mut decoded = percent::decode_form(name);
    for _ in 1..ENCODINGS_MAX {
        let Cow::Owned(again) = percent::decode(&decoded) else { break };
        decoded = Cow::Owned(again);
    }
    decoded
}
