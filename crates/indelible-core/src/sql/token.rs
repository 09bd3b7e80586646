//! SQL text as words, names, literals and marks.

/// One token. Literals keep nothing of what they say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A keyword or a name without quotes.
    Word(&'a str),
    /// A name in quotes, as it stands between them.
    Quoted(&'a str),
    /// A string, a number or a parameter.
    Literal,
    /// Any other character.
    Mark(char),
}

impl<'a> Token<'a> {
    /// Whether it is this word, whatever its case.
    pub(super) fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(text) if text.eq_ignore_ascii_case(word))
    }

    /// The name that it may be.
    pub(super) fn name(&self) -> Option<&'a str> {
        match *self {
            Self::Word(name) | Self::Quoted(name) => Some(name),
            Self::Literal | Self::Mark(_) => None,
        }
    }
}

/// The tokens of a text. Comments and white space are left out; what is not closed reaches to the end.
pub(super) struct Tokens<'a> {
    rest: &'a str,
    /// Where a `[` begins a name, and no subscript.
    expects_table: bool,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(sql: &'a str) -> Self {
        Self { rest: sql, expects_table: false }
    }

    fn skip_blanks(&mut self) {
        loop {
            self.rest = self.rest.trim_start();
            if self.rest.starts_with("--") {
                self.rest = self.rest.find('\n').map_or("", |end| &self.rest[end..]);
            } else if self.rest.starts_with("/*") {
                self.rest = after_comment(self.rest);
            } else {
                return;
            }
        }
    }

    /// Takes a token that ends where `end` says.
    fn take(&mut self, end: usize) -> &'a str {
        let (token, rest) = self.rest.split_at(end.min(self.rest.len()));
        self.rest = rest;
        token
    }

    fn quoted(&mut self, close: char) -> Token<'a> {
        let end = end_of_quoted(self.rest, close, false);
        let text = self.take(end);
        Token::Quoted(text[1..].strip_suffix(close).unwrap_or(&text[1..]))
    }

    fn word(&mut self) -> Token<'a> {
        let end = self.rest.find(|letter: char| !is_word(letter)).unwrap_or(self.rest.len());
        let word = self.take(end);
        if self.rest.starts_with('\'') && ["e", "b", "x", "n"].iter().any(|prefix| word.eq_ignore_ascii_case(prefix)) {
            self.take(end_of_quoted(self.rest, '\'', word.eq_ignore_ascii_case("e")));
            return Token::Literal;
        }
        Token::Word(word)
    }

    /// `$1`, `$tag$ … $tag$`, or only a mark.
    fn dollar(&mut self) -> Token<'a> {
        let tag = self.rest[1..].find(|letter: char| !is_word(letter)).map_or(self.rest.len(), |end| end + 1);
        if self.rest[tag..].starts_with('$') {
            let mark = &self.rest[..=tag];
            let end = self.rest[mark.len()..].find(mark).map_or(self.rest.len(), |at| at + 2 * mark.len());
            self.take(end);
            return Token::Literal;
        }
        self.take(tag);
        if tag > 1 { Token::Literal } else { Token::Mark('$') }
    }

    /// `%s`, `%(name)s`, or the operator.
    fn percent(&mut self) -> Token<'a> {
        if self.rest.starts_with("%s") {
            self.take(2);
            return Token::Literal;
        }
        if self.rest.starts_with("%(")
            && let Some(end) = self.rest.find(")s")
        {
            self.take(end + 2);
            return Token::Literal;
        }
        self.take(1);
        Token::Mark('%')
    }

    /// `:name`, `::` of a cast, or only a mark.
    fn colon(&mut self) -> Token<'a> {
        if self.rest[1..].starts_with(':') {
            self.take(2);
            return Token::Mark(':');
        }
        let end = self.rest[1..].find(|letter: char| !is_word(letter)).map_or(self.rest.len(), |end| end + 1);
        self.take(end);
        if end > 1 { Token::Literal } else { Token::Mark(':') }
    }

    fn number(&mut self) -> Token<'a> {
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_');
        let end = self.rest.find(|letter: char| !is_part(letter)).unwrap_or(self.rest.len());
        let text = self.take(end);
        if text.ends_with(['e', 'E']) && self.rest.starts_with(['+', '-']) {
            self.take(1);
            return self.number();
        }
        Token::Literal
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blanks();
        let first = self.rest.chars().next()?;
        let token = match first {
            '\'' => {
                self.take(end_of_quoted(self.rest, '\'', false));
                Token::Literal
            }
            '"' | '`' => self.quoted(first),
            '[' if self.expects_table => self.quoted(']'),
            '$' => self.dollar(),
            '%' => self.percent(),
            ':' => self.colon(),
            '?' => {
                self.take(1);
                Token::Literal
            }
            '0'..='9' => self.number(),
            _ if is_word(first) => self.word(),
            // The sign of a number belongs to it, or `-1` would be another shape than `1`.
            '-' if self.rest[1..].starts_with(|next: char| next.is_ascii_digit()) => {
                self.take(1);
                self.number()
            }
            _ => {
                self.take(first.len_utf8());
                Token::Mark(first)
            }
        };
        let introduces = |word: &str| token.is(word);
        self.expects_table =
            token == Token::Mark('.') || ["into", "update", "from", "table", "only", "truncate"].into_iter().any(introduces);
        Some(token)
    }
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Where a text in quotes ends, doubled ones inside it left aside.
fn end_of_quoted(text: &str, close: char, backslashes: bool) -> usize {
    let mut letters = text.char_indices().skip(1).peekable();
    while let Some((at, letter)) = letters.next() {
        if letter == '\\' && backslashes {
            letters.next();
        } else if letter == close {
            if letters.peek().is_some_and(|&(_, next)| next == close) {
                letters.next();
            } else {
                return at + close.len_utf8();
            }
        }
    }
    text.len()
}

/// What follows a comment; PostgreSQL's may hold others.
fn after_comment(text: &str) -> &str {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return &text[at..];
            }
        } else {
            at += 1;
        }
    }
    ""
}
