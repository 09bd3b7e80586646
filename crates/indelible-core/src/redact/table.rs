//! Columns of a table in text (RFC 4180, and with tabs and semicolons): the values under the name of a secret in its first line.

use std::ops::Range;

use super::{MASK, Redactor};

/// Longest first line that is taken for the names of columns, in bytes.
const NAMES_BYTES_MAX: usize = 8192;

const NAME_BYTES_MAX: usize = 64;

const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Masks the columns whose names are sensitive; `None`: this is no table, or it has nothing to mask.
///
/// A first line of names makes a table only with a second one that has as many fields: prose has commas, too.
pub(super) fn redact(redactor: &Redactor, text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let names_end = text.find('\n').filter(|&end| end <= NAMES_BYTES_MAX)?;
    let delimiter = DELIMITERS.into_iter().find(|delimiter| bytes[..names_end].contains(delimiter))?;
    let secret = secret_columns(redactor, &text[..names_end], delimiter)?;
    let mut rows = Rows { text: bytes, delimiter, at: names_end + 1 };
    let first = rows.next_row()?;
    if first.len() != secret.len() {
        return None;
    }
    let mut out = String::new();
    let mut copied = 0;
    let mut row = Some(first);
    while let Some(fields) = row {
        for (field, _) in
            fields.into_iter().zip(&secret).filter(|(field, is_secret)| **is_secret && &text[field.clone()] != MASK && !field.is_empty())
        {
            out.push_str(&text[copied..field.start]);
            out.push_str(MASK);
            copied = field.end;
        }
        row = rows.next_row();
    }
    if copied == 0 {
        return None;
    }
    out.push_str(&text[copied..]);
    Some(out)
}

/// For each column whether its name is sensitive; `None`: none is, or these are no names.
fn secret_columns(redactor: &Redactor, line: &str, delimiter: u8) -> Option<Vec<bool>> {
    let mut secret = Vec::new();
    for name in line.trim_start_matches('\u{feff}').trim_end().split(char::from(delimiter)) {
        let name = name.trim().trim_matches(['"', '\'']);
        let is_name =
            name.len() <= NAME_BYTES_MAX && name.chars().all(|character| character.is_alphanumeric() || " _-./()[]".contains(character));
        if !is_name {
            return None;
        }
        secret.push(redactor.masks_field(name));
    }
    secret.contains(&true).then_some(secret)
}

struct Rows<'t> {
    text: &'t [u8],
    delimiter: u8,
    at: usize,
}

impl Rows<'_> {
    /// Where the fields of the next line are, without their quotes; `None`: the text has ended.
    fn next_row(&mut self) -> Option<Vec<Range<usize>>> {
        if self.at >= self.text.len() {
            return None;
        }
        let mut fields = Vec::new();
        loop {
            fields.push(self.next_field());
            let end = self.text.get(self.at);
            self.at += 1;
            if end != Some(&self.delimiter) {
                return Some(fields);
            }
        }
    }

    /// Moves to the delimiter or the end of the line behind the field.
    fn next_field(&mut self) -> Range<usize> {
        self.at += self.text[self.at.min(self.text.len())..].iter().take_while(|&&byte| byte == b' ').count();
        if self.text.get(self.at) == Some(&b'"') {
            let start = self.at + 1;
            let end = self.closing_quote(start);
            self.at = end;
            self.skip_to_end();
            return start..end;
        }
        let start = self.at.min(self.text.len());
        self.skip_to_end();
        start..start + self.text[start..self.at].trim_ascii_end().len()
    }

    fn skip_to_end(&mut self) {
        let rest = &self.text[self.at.min(self.text.len())..];
        self.at += rest.iter().position(|&byte| byte == self.delimiter || byte == b'\n').unwrap_or(rest.len());
    }

    /// A quote in quotes is doubled; where none closes them, the field reaches to the end of the text.
    fn closing_quote(&self, from: usize) -> usize {
        let mut at = from;
        while let Some(length) = self.text[at..].iter().position(|&byte| byte == b'"') {
            at += length;
            if self.text.get(at + 1) != Some(&b'"') {
                return at;
            }
            at += 2;
        }
        self.text.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(text: &str) -> Option<String> {
        redact(&Redactor::default(), text)
    }

    #[test]
    fn a_column_under_the_name_of_a_secret_is_masked() {
        assert_eq!(redacted("name,password\nana,a b\nbob,\neva,c").as_deref(), Some("name,password\nana,[masked]\nbob,\neva,[masked]"));
        assert_eq!(redacted("API key;n\r\nx;1\r\n").as_deref(), Some("API key;n\r\n[masked];1\r\n"));
        assert_eq!(redacted("\"id\",\"pin\"\n1,\"a \"\"b\"\",\nc\"\n").as_deref(), Some("\"id\",\"pin\"\n1,\"[masked]\"\n"));
        assert_eq!(redacted("a\tpin\n1\t\"cut off").as_deref(), Some("a\tpin\n1\t\"[masked]"));
    }

    #[test]
    fn what_is_masked_or_no_table_stays() {
        for text in [
            "name,password\nana,[masked]\n",
            "name,age\nana,4\n",
            "name,password",
            "name,password\n",
            "Password, please!\nana, bob",
            "the token, the user\nand nothing else",
            "password\nana\n",
        ] {
            assert_eq!(redacted(text), None, "{text}");
        }
    }
}
