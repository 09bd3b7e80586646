//! Redaction: what must not be stored is masked before an event is encoded, once.
//!
//! Two things make a value secret: the name it stands under ([`Redactor::masks_field`]) and its shape ([`Detector`]). Every
//! function takes one representation and returns the same one, masked; all run in linear time, whatever the input.

mod api_token;
mod block;
mod builtin;
mod card;
mod credential;
mod detectors;
mod escape;
mod form;
mod http;
mod json;
mod jwt;
mod markup;
mod members;
mod names;
mod oauth;
mod pairs;
mod password_hash;
mod pem;
mod percent;
mod reset_token;
mod row_values;
mod sieve;
mod signed;
mod table;
mod text;
mod url;
mod user_option;
mod words;

use std::borrow::Cow;

pub(crate) use percent::decode_form;

pub use detectors::{Detector, Detectors, UnknownDetector};
use names::Names;
use pairs::Pairs;

/// What stands in place of a secret.
pub const MASK: &str = "[masked]";

/// Masks secrets.
///
/// ```
/// use indelible_core::Redactor;
///
/// let redactor = Redactor::default();
/// assert_eq!(redactor.json(br#"{"user": "ana", "apiKey": "k-1"}"#, 1024).as_str(), r#"{"user":"ana","apiKey":"[masked]"}"#);
/// assert_eq!(redactor.text("card 4111 1111 1111 1111 declined"), "card [masked] declined");
/// ```
#[derive(Debug, Clone)]
pub struct Redactor {
    names: Names,
    detectors: Detectors,
}

impl Redactor {
    /// Masks the values of the built-in names and of `fields`, and what `detectors` find.
    ///
    /// A name in `fields` matches however it is written (`birth_date`, `birthDate`) and inside longer names
    /// (`patient_birth_date`).
    #[must_use]
    pub fn new<'a>(fields: impl IntoIterator<Item = &'a str>, detectors: Detectors) -> Self {
        Self { names: Names::with(fields), detectors }
    }

    /// Whether the value of a field, key, parameter or header of this name is masked whole.
    #[must_use]
    pub fn masks_field(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Masks secrets in free text: what the detectors find, and the values of sensitive names in `name=value`, `name: value`,
    /// `--name value`, `<name>value</name>`, `("name", "value")` and the parts of a multipart form.
    ///
    /// A colon after a bare word may be prose, so only one word after it is masked, unless it stands in a block of `name: value` lines.
    /// A percent-encoded word is looked at decoded, too. Columns of a table are masked by their names in its first line.
    #[must_use]
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        text::redact(self, text, Pairs::InProse)
    }
}

impl Default for Redactor {
    /// The built-in names and all detectors.
    fn default() -> Self {
        Self::new([], Detectors::all())
    }
}
