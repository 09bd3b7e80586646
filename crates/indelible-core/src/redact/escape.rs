//! Escapes of JSON strings (RFC 8259 §7).

/// Decodes what stands between the quotes of a JSON string. Lone surrogates become U+FFFD, raw control characters stay.
///
/// `None`: an escape is none of JSON's.
pub(super) fn unescape(raw: &str) -> Option<String> {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = push_unescaped(&mut out, &rest[at + 1..])?;
    }
    out.push_str(rest);
    Some(out)
}

/// Appends the character of the escape that follows a backslash; returns what comes after it.
fn push_unescaped<'a>(out: &mut String, escape: &'a str) -> Option<&'a str> {
    let character = match escape.as_bytes().first()? {
        byte @ (b'"' | b'\\' | b'/') => char::from(*byte),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return push_unicode(out, &escape[1..]),
        _ => return None,
    };
    out.push(character);
    Some(&escape[1..])
}

fn push_unicode<'a>(out: &mut String, digits: &'a str) -> Option<&'a str> {
    let high = code_unit(digits)?;
    let rest = &digits[4..];
    let low = rest.strip_prefix("\\u").and_then(code_unit).filter(|low| (0xDC00..0xE000).contains(low));
    match (high, low) {
        (0xD800..0xDC00, Some(low)) => {
            out.push(char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))?);
            Some(&rest[6..])
        }
        _ => {
            out.push(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER));
            Some(rest)
        }
    }
}

fn code_unit(text: &str) -> Option<u32> {
    let digits = text.get(..4)?;
    // from_str_radix would take a sign.
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_become_characters() {
        assert_eq!(unescape(r#"\u0070ass\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"#).as_deref(), Some("pass\"\\/\u{8}\u{c}\n\r\té😀"));
    }

    #[test]
    fn lone_surrogates_become_replacement_characters() {
        assert_eq!(unescape(r"\ud83dx\ude00\ud83d\u0041").as_deref(), Some("\u{fffd}x\u{fffd}\u{fffd}A"));
    }

    #[test]
    fn other_escapes_are_refused() {
        for raw in [r"\x", "\\", r"\u12", r"\u12é", r"\u+123"] {
            assert_eq!(unescape(raw), None, "{raw}");
        }
    }
}
