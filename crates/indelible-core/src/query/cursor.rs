//! Reads a query's text from left to right and knows where it is.

use super::error::{Cause, Fault};

/// What has been read and what has not.
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

/// A text as written: bare or in quotes, with or without a `*` before and behind it.
#[derive(Debug)]
pub(super) struct Atom {
    pub(super) text: String,
    pub(super) quoted: bool,
    /// Whether a `*` stands before it. One that stands alone is behind it.
    pub(super) opened: bool,
    /// Whether a `*` stands behind it.
    pub(super) starred: bool,
    /// Where it begins, in bytes.
    pub(super) at: usize,
}

impl Atom {
    /// Whether nothing was written at all.
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty() && !self.opened && !self.starred
    }

    /// The text with its stars.
    pub(super) fn written(&self) -> String {
        let star = |is_there| if is_there { "*" } else { "" };
        format!("{}{}{}", star(self.opened), self.text, star(self.starred))
    }
}

/// Where a bare text ends, besides at a space, a comma, a quote or a parenthesis.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// Nowhere else.
    Delimiter,
    /// At `..`, which joins the ends of a range.
    Dots,
    /// At `:`, which ends a key.
    Colon,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.rest().is_empty()
    }

    /// Where what comes next begins, in bytes.
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    /// What has been read since a place.
    pub(super) fn since(&self, at: usize) -> &'a str {
        &self.text[at..self.at]
    }

    /// Goes back to a place that was read before.
    pub(super) const fn go_back(&mut self, at: usize) {
        self.at = at;
    }

    pub(super) const fn fault(&self, cause: Cause) -> Fault {
        Fault { at: self.at, cause }
    }

    pub(super) fn skip_space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    /// Reads `token` if it comes next.
    pub(super) fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    /// Reads a keyword and the space behind it if they come next; a parenthesis counts as space.
    pub(super) fn take_keyword(&mut self, keyword: &str) -> bool {
        let Some(rest) = self.rest().strip_prefix(keyword) else { return false };
        let found = rest.chars().next().is_none_or(|next| next.is_whitespace() || matches!(next, '(' | ')'));
        if found {
            self.at += keyword.len();
            self.skip_space();
        }
        found
    }

    /// Reads bare text, which may be empty.
    pub(super) fn bare(&mut self, until: Until) -> &'a str {
        let rest = self.rest();
        let ends = |(at, character): (usize, char)| {
            let ends = match until {
                Until::Delimiter => false,
                Until::Dots => rest[at..].starts_with(".."),
                Until::Colon => character == ':',
            };
            ends || is_delimiter(character)
        };
        let length = rest.char_indices().find(|&next| ends(next)).map_or(rest.len(), |(at, _)| at);
        self.at += length;
        &rest[..length]
    }

    /// Reads bare or quoted text with its stars; a bare one may be empty.
    pub(super) fn atom(&mut self, until: Until) -> Result<Atom, Fault> {
        let at = self.at;
        let opened = self.leading_star();
        if self.rest().starts_with('"') {
            let text = self.quoted()?;
            let starred = self.take("*");
            return Ok(Atom { text, quoted: true, opened, starred, at });
        }
        let bare = self.bare(until);
        let text = bare.strip_suffix('*').unwrap_or(bare);
        if text.contains('*') {
            return Err(Fault { at, cause: Cause::InnerWildcard { value: self.since(at).to_owned() } });
        }
        Ok(Atom { text: text.to_owned(), quoted: false, opened, starred: text.len() < bare.len(), at })
    }

    /// Reads a `*` that has a text behind it.
    fn leading_star(&mut self) -> bool {
        let text_follows = self.rest().strip_prefix('*').and_then(|rest| rest.chars().next());
        let found = text_follows.is_some_and(|next| next == '"' || !is_delimiter(next));
        self.at += usize::from(found);
        found
    }

    fn quoted(&mut self) -> Result<String, Fault> {
        let unclosed = self.fault(Cause::UnclosedQuote);
        let mut text = String::new();
        let mut characters = self.rest().char_indices().skip(1);
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.at += at + 1;
                    return Ok(text);
                }
                '\\' => text.extend(characters.next().map(|(_, escaped)| escaped)),
                other => text.push(other),
            }
        }
        Err(unclosed)
    }
}

/// Whether bare text ends before this character.
pub(super) fn is_delimiter(character: char) -> bool {
    character.is_whitespace() || matches!(character, '(' | ')' | ',' | '"')
}
