//! Media types (RFC 9110 §8.3), as far as they decide what stands for a body.

use std::borrow::Cow;

use super::Decoded;
use super::charset::Charset;

/// Longest boundary that is believed, in bytes; RFC 2046 allows 70, Django 200.
const BOUNDARY_BYTES_MAX: usize = 200;

/// What a body is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Media {
    Json,
    Form,
    /// With its boundary.
    Multipart(Vec<u8>),
    Text(Charset),
    /// Nobody says; the bytes decide.
    Unsaid,
    Binary,
}

static JSON: Media = Media::Json;
static TEXT: Media = Media::Text(Charset::Utf8);

impl Media {
    /// Reads the value of a `Content-Type` header.
    pub(super) fn of(content_type: &str) -> Self {
        let (essence, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
        let essence = essence.trim();
        let is = |name: &str| essence.eq_ignore_ascii_case(name);
        if essence.is_empty() {
            return Self::Unsaid;
        }
        if has_word_at_end(essence, "json") {
            return Self::Json;
        }
        if is("application/x-www-form-urlencoded") {
            return Self::Form;
        }
        if starts_with(essence, "multipart/") {
            let boundary = parameter(parameters, "boundary").filter(|text| !text.is_empty() && text.len() <= BOUNDARY_BYTES_MAX);
            return boundary.map_or(Self::Binary, |boundary| Self::Multipart(boundary.into_bytes()));
        }
        if !is_text(essence) {
            return Self::Binary;
        }
        match parameter(parameters, "charset").map(|name| Charset::of(&name)) {
            None => Self::Text(Charset::Utf8),
            Some(Some(charset)) => Self::Text(charset),
            Some(None) => Self::Binary,
        }
    }

    /// The text of a body, and what it is after a look at its bytes; `None`: it is binary.
    pub(super) fn text_of<'a, 'm>(&'m self, bytes: &'a [u8], is_cut: bool) -> Option<Decoded<'a, 'm>> {
        match self {
            // JSON on the wire is UTF-8; parsers also take what RFC 4627 §3 tells apart by its zeros, so must we.
            Self::Json => Some((Charset::seen_in(bytes).text_of(bytes), self)),
            Self::Form => Some((Charset::Utf8.text_of(bytes), self)),
            Self::Text(Charset::Utf8) => Some((Charset::seen_in(bytes).text_of(bytes), self)),
            Self::Text(charset) => Some((charset.text_of(bytes), self)),
            Self::Unsaid => {
                let text = plain_text(bytes, is_cut)?;
                let is_json = matches!(text.trim_ascii_start().as_bytes().first(), Some(b'{' | b'['));
                Some((Cow::Borrowed(text), if is_json { &JSON } else { &TEXT }))
            }
            Self::Multipart(_) | Self::Binary => None,
        }
    }
}

/// UTF-8 without control characters but those of text; where it is cut, a character may be too.
fn plain_text(bytes: &[u8], is_cut: bool) -> Option<&str> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if is_cut && error.error_len().is_none() => std::str::from_utf8(&bytes[..error.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    let is_control = |byte: u8| byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b);
    (!text.bytes().any(is_control)).then_some(text)
}

fn is_text(essence: &str) -> bool {
    const TEXT: [&str; 12] =
        ["xml", "javascript", "ecmascript", "ndjson", "jsonl", "json-seq", "yaml", "toml", "graphql", "sql", "pem-file", "csv"];
    starts_with(essence, "text/") || TEXT.iter().any(|word| has_word_at_end(essence, word))
}

fn starts_with(text: &str, start: &str) -> bool {
    text.get(..start.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(start))
}

/// Whether a type ends in a word, as in `application/json`, `application/vnd.api+json` and `application/x-json`.
fn has_word_at_end(essence: &str, word: &str) -> bool {
    let Some(at) = essence.len().checked_sub(word.len()) else { return false };
    let is_end = essence.get(at..).is_some_and(|end| end.eq_ignore_ascii_case(word));
    is_end && essence[..at].ends_with(['/', '+', '-', '.'])
}

/// The value of a parameter, without its quotes.
pub(super) fn parameter(parameters: &str, name: &str) -> Option<String> {
    let (mut rest, mut found) = (parameters, None);
    while let Some((key, after)) = rest.split_once('=') {
        let (value, next) = value_of(after.trim_start());
        // A word without a value may stand before it.
        if key.rsplit(';').next().is_some_and(|key| key.trim().eq_ignore_ascii_case(name)) {
            found = Some(value);
        }
        rest = next;
    }
    found
}

/// A token or a quoted string, and what follows.
fn value_of(text: &str) -> (String, &str) {
    let Some(inside) = text.strip_prefix('"') else {
        let (value, rest) = text.split_once(';').unwrap_or((text, ""));
        return (value.trim().to_owned(), rest);
    };
    let mut value = String::new();
    let mut characters = inside.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &inside[at + 1..]),
            // Browsers of old send the paths of files in quotes and do not escape their backslashes.
            '\\' => match inside[at + 1..].chars().next() {
                Some(escaped @ ('"' | '\\')) => {
                    value.push(escaped);
                    characters.next();
                }
                _ => value.push('\\'),
            },
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_json_are_told_by_their_last_word() {
        for json in ["application/json", "APPLICATION/JSON; charset=utf-8", "application/vnd.api+json", "text/json", "application/x-json"] {
            assert_eq!(Media::of(json), Media::Json, "{json}");
        }
        for other in
            ["application/jsonp-script", "application/notjson", "image/png", "application/octet-stream", "text/plain; charset=ebcdic"]
        {
            assert_eq!(Media::of(other), Media::Binary, "{other}");
        }
        assert_eq!(Media::of("application/x-ndjson"), Media::Text(Charset::Utf8));
        assert_eq!(Media::of("image/svg+xml"), Media::Text(Charset::Utf8));
        assert_eq!(Media::of(" ; charset=utf-8"), Media::Unsaid);
    }

    #[test]
    fn a_boundary_may_be_quoted_and_stand_anywhere() {
        for header in ["multipart/form-data; boundary=a-b", "Multipart/Mixed; charset=utf-8; Boundary=\"a-b\"; x=y"] {
            assert_eq!(Media::of(header), Media::Multipart(b"a-b".to_vec()), "{header}");
        }
        assert_eq!(Media::of("multipart/form-data"), Media::Binary);
        assert_eq!(parameter(r#" form-data; x; name="a\"b;c"; filename="C:\x.txt""#, "name").as_deref(), Some(r#"a"b;c"#));
        assert_eq!(parameter(r#" name="a"; filename="C:\x.txt""#, "filename").as_deref(), Some(r"C:\x.txt"));
        assert_eq!(parameter("name=color; x; name=password", "name").as_deref(), Some("password"), "as Django reads it");
    }
}
