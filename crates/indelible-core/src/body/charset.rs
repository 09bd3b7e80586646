//! From bytes to text.

use std::borrow::Cow;

/// How the text of a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Charset {
    Utf8,
    /// ISO 8859-1, and what Windows writes in its place.
    Latin1,
    Utf16Le,
    Utf16Be,
    Utf32Le,
    Utf32Be,
}

impl Charset {
    /// The charset of this name; `None`: one that we cannot read.
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match &*name.to_ascii_lowercase() {
            "utf-8" | "utf8" | "us-ascii" | "ascii" => Self::Utf8,
            "iso-8859-1" | "latin1" | "latin-1" | "iso8859-1" | "windows-1252" | "cp1252" | "iso-8859-15" => Self::Latin1,
            "utf-16le" => Self::Utf16Le,
            "utf-16" | "utf-16be" => Self::Utf16Be,
            "utf-32le" => Self::Utf32Le,
            "utf-32" | "utf-32be" => Self::Utf32Be,
            _ => return None,
        })
    }

    /// What the first bytes of a text say: a byte order mark, or zeros where ASCII leaves them.
    pub(super) fn seen_in(bytes: &[u8]) -> Self {
        match bytes {
            [0xff, 0xfe, 0, 0, ..] | [1..=255, 0, 0, 0, ..] => Self::Utf32Le,
            [0, 0, 0xfe, 0xff, ..] | [0, 0, 0, 1..=255, ..] => Self::Utf32Be,
            [0xff, 0xfe, ..] | [1..=255, 0, ..] => Self::Utf16Le,
            [0xfe, 0xff, ..] | [0, 1..=255, ..] => Self::Utf16Be,
            _ => Self::Utf8,
        }
    }

    /// The text of `bytes`; what is not in this charset becomes U+FFFD.
    pub(super) fn text_of(self, bytes: &[u8]) -> Cow<'_, str> {
        match self {
            // Most texts are what they say, which is found out quicker than what to replace.
            Self::Utf8 => std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed),
            Self::Latin1 => Cow::Owned(bytes.iter().map(|&byte| char::from(byte)).collect()),
            Self::Utf16Le => utf16(bytes, u16::from_le_bytes),
            Self::Utf16Be if bytes.starts_with(&[0xff, 0xfe]) => utf16(bytes, u16::from_le_bytes),
            Self::Utf16Be => utf16(bytes, u16::from_be_bytes),
            Self::Utf32Le => utf32(bytes, u32::from_le_bytes),
            Self::Utf32Be if bytes.starts_with(&[0xff, 0xfe]) => utf32(bytes, u32::from_le_bytes),
            Self::Utf32Be => utf32(bytes, u32::from_be_bytes),
        }
    }
}

const BYTE_ORDER_MARK: char = '\u{feff}';

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Cow<'static, str> {
    let units = bytes.as_chunks::<2>().0.iter().map(|&pair| unit(pair));
    without_mark(char::decode_utf16(units).map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
}

fn utf32(bytes: &[u8], unit: fn([u8; 4]) -> u32) -> Cow<'static, str> {
    let units = bytes.as_chunks::<4>().0.iter().map(|&four| unit(four));
    without_mark(units.map(|unit| char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
}

fn without_mark(text: String) -> Cow<'static, str> {
    Cow::Owned(text.strip_prefix(BYTE_ORDER_MARK).map(str::to_owned).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_unicode_is_read() {
        let text = "{\"é😀";
        let le16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let be16: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let le32: Vec<u8> = text.chars().flat_map(|character| (character as u32).to_le_bytes()).collect();
        let be32: Vec<u8> = text.chars().flat_map(|character| (character as u32).to_be_bytes()).collect();
        for bytes in [text.as_bytes().to_vec(), le16.clone(), be16, le32, be32, [&[0xff, 0xfe][..], &le16].concat()] {
            assert_eq!(Charset::seen_in(&bytes).text_of(&bytes), text, "{bytes:?}");
        }
        assert_eq!(Charset::of("UTF-16").unwrap().text_of(&[&[0xff, 0xfe][..], &le16].concat()), text);
        assert_eq!(Charset::Latin1.text_of(&[b'a', 0xe9]), "aé");
    }
}
