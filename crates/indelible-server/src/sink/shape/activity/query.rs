//! A query string as an object with the last value of each name, as Django's `dict(request.GET.items())` has it.

use indelible_core::ObjectWriter;

pub(in super::super) fn push(query: &str, out: &mut String) {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let (name, value) = (decoded(name), decoded(value));
        match pairs.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => pairs.push((name, value)),
        }
    }
    let mut object = ObjectWriter::begin(out);
    pairs.iter().for_each(|(name, value)| object.string(name, value));
    object.end();
}

/// Undoes `application/x-www-form-urlencoded`; what is no UTF-8 afterwards gets replacement characters, as Django does it.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hexadecimal = tail.get(..2).and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match (first, hexadecimal) {
            (b'%', Some(byte)) if tail[0] != b'+' => {
                bytes.push(byte);
                rest = &tail[2..];
                continue;
            }
            (b'+', _) => bytes.push(b' '),
            (other, _) => bytes.push(*other),
        }
        rest = tail;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_name_stands_at_the_place_of_the_first() {
        for (query, expected) in [
            ("", "{}"),
            ("a=1&b=2&a=3", r#"{"a":"3","b":"2"}"#),
            ("q=z%C3%BCrich+s&x", r#"{"q":"zürich s","x":""}"#),
            ("bad=%zz%1&&half=%E4", "{\"bad\":\"%zz%1\",\"half\":\"\u{fffd}\"}"),
        ] {
            let mut out = String::new();
            push(query, &mut out);
            assert_eq!(out, expected, "{query}");
        }
    }
}
