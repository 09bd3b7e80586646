//! What stands for text: the fields of a form, and the beginning of what is longer than its limit.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::media::Media;
use crate::json::{ArrayWriter, Json, ObjectWriter, push_string};
use crate::redact::{Redactor, decode_form};

/// How far back from where a text was cut a secret may have begun that cannot be recognised any more, in bytes.
const CUT_SECRET_BYTES_MAX: usize = 4096;

/// The fields of a form in the order of their first mention; a name that is given several times has all of its values.
pub(super) struct Fields<'a>(Vec<(Cow<'a, str>, Vec<Json>)>, BTreeMap<Cow<'a, str>, usize>);

impl<'a> Fields<'a> {
    pub(super) fn new() -> Self {
        Self(Vec::new(), BTreeMap::new())
    }

    pub(super) fn push(&mut self, name: Cow<'a, str>, value: Json) {
        if let Some(&place) = self.1.get(&name) {
            self.0[place].1.push(value);
            return;
        }
        self.1.insert(name.clone(), self.0.len());
        self.0.push((name, vec![value]));
    }

    pub(super) fn write(&self, out: &mut String) {
        let mut object = ObjectWriter::begin(out);
        for (name, values) in &self.0 {
            let out = object.key(name);
            if let [value] = values.as_slice() {
                out.push_str(value.as_str());
                continue;
            }
            let mut array = ArrayWriter::begin(out);
            for value in values {
                array.element().push_str(value.as_str());
            }
            array.end();
        }
        object.end();
    }
}

/// An object of the fields of `application/x-www-form-urlencoded`, masked as that and decoded after it.
pub(super) fn form(redactor: &Redactor, text: &str) -> Json {
    let masked = redactor.form(text);
    let mut fields = Fields::new();
    for parameter in masked.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        fields.push(decode_form(name), Json::string(&decode_form(value)));
    }
    let mut out = String::with_capacity(masked.len() + masked.len() / 2);
    fields.write(&mut out);
    Json::from_text(out)
}

/// The masked beginning of a text that was cut, without what could be the first half of a secret.
pub(super) fn beginning(redactor: &Redactor, media: &Media, text: &str) -> String {
    if *media == Media::Form {
        let whole = text.rfind('&').map_or("", |end| &text[..end]);
        return redactor.form(whole).into_owned();
    }
    if *media == Media::Json
        && let Some(masked) = redactor.json_beginning(text, CUT_SECRET_BYTES_MAX)
    {
        return masked;
    }
    let mut masked = redactor.data(text).into_owned();
    masked.truncate(safe_length(&masked));
    masked
}

/// How much of a text can be shown though nobody knows how its last word goes on: no token and no number that is cut off.
fn safe_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let from = bytes.len().saturating_sub(CUT_SECRET_BYTES_MAX);
    let ends_word = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b',' | b';' | b'<' | b'>' | b'&' | b'{' | b'}');
    let Some(end) = bytes[from..].iter().rposition(ends_word) else {
        return (0..=from).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    };
    // The groups of a card number stand apart.
    let in_number = |byte: &&u8| byte.is_ascii_digit() || matches!(byte, b' ' | b'-' | b'.');
    from + end - bytes[from..from + end].iter().rev().take_while(in_number).count()
}

/// A value under a name that came with it, masked by both.
pub(super) fn masked_value(redactor: &Redactor, is_secret: bool, value: &str) -> Json {
    let mut out = String::with_capacity(value.len() + 2);
    if is_secret {
        push_string(&mut out, crate::redact::MASK);
    } else {
        push_string(&mut out, &redactor.field(value));
    }
    Json::from_text(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_text_does_not_show_the_half_of_a_secret() {
        for (text, shown) in [
            ("note eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOi", "note"),
            ("paid with 4111 1111 1111", "paid with"),
            ("a,b,4111-1111-1111-1", "a,b"),
            ("one two", "one"),
        ] {
            assert_eq!(text[..safe_length(text)].trim_end(), shown, "{text}");
        }
        assert_eq!(safe_length(&"x".repeat(5000)), 5000 - CUT_SECRET_BYTES_MAX);
        assert_eq!(safe_length(&"é".repeat(5000)), 10_000 - CUT_SECRET_BYTES_MAX);
    }

    #[test]
    fn a_form_keeps_all_values_of_a_repeated_name_and_masks_secrets() {
        let json = form(&Redactor::default(), "a=1&b=x+y&a=%C3%A9&user%5Bpassword%5D=s&empty&note=4111+1111+1111+1111");
        assert_eq!(json.as_str(), r#"{"a":["1","é"],"b":"x y","user[password]":"[masked]","empty":"","note":"[masked]"}"#);
    }
}
