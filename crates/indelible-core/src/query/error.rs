//! What is wrong with a query, where, and what may have been meant.

use std::fmt;

use super::key;
use super::suggest;

/// A text that is not a query.
///
/// `Display` says what and where; [`QueryError::help`] says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryError {
    column: usize,
    cause: Cause,
}

/// What is wrong with a query.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// No field has this name.
    UnknownKey {
        /// The key as written.
        key: String,
    },
    /// The grammar knows this key, but the trail has no column for it.
    UnansweredKey {
        /// The key as written.
        key: String,
    },
    /// A word without a key.
    FreeText {
        /// The word.
        text: String,
    },
    /// A key, a comma or a comparison with nothing behind it.
    EmptyValue {
        /// The key.
        key: &'static str,
    },
    /// A value that the key does not take.
    BadValue {
        /// The key.
        key: &'static str,
        /// The value as written.
        value: String,
        /// What the key takes.
        expected: String,
    },
    /// A word that is not in the key's list.
    UnknownChoice {
        /// The key.
        key: &'static str,
        /// The word as written.
        value: String,
        /// The list.
        choices: Vec<&'static str>,
    },
    /// A `*` that is not at the end.
    InnerWildcard {
        /// The value as written.
        value: String,
    },
    /// A key was repeated with bounds of both sides, which together match everything.
    SplitRange {
        /// The key.
        key: &'static str,
    },
    /// A quote that is not closed.
    UnclosedQuote,
    /// `(` without `)`.
    UnclosedParenthesis,
    /// A condition was expected: after OR, AND, NOT, `-` or `(`.
    MissingTerm,
    /// Something stands where a space, a comma or the end was expected.
    Unexpected {
        /// The character.
        found: char,
    },
    /// `sort:` inside parentheses, excluded, or given twice.
    MisplacedSort,
    /// The text is longer than [`super::QUERY_BYTES_MAX`].
    TooLong,
    /// Parentheses are nested too deeply.
    TooDeep,
    /// There are too many values.
    TooManyValues,
}

impl QueryError {
    pub(super) const fn new(column: usize, cause: Cause) -> Self {
        Self { column, cause }
    }

    /// Where, in characters from 1.
    #[must_use]
    pub const fn column(&self) -> usize {
        self.column
    }

    /// What is wrong.
    #[must_use]
    pub const fn cause(&self) -> &Cause {
        &self.cause
    }

    /// What to write instead, when that can be guessed.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match &self.cause {
            Cause::UnknownKey { key } => Some(match key::meant_by(key) {
                Some(meant) if meant.starts_with('-') => format!("did you mean the option `{meant}`?"),
                Some(meant) => format!("did you mean `{meant}:`?"),
                None => format!("the keys are {}", key_list()),
            }),
            Cause::UnansweredKey { .. } => Some(format!("the keys that can be searched are {}", key_list())),
            Cause::FreeText { text } => Some(free_text_help(text)),
            Cause::UnknownChoice { key, value, choices } => Some(match suggest::nearest(value, choices.iter().copied()) {
                Some(meant) => format!("did you mean `{key}:{meant}`?"),
                None => format!("`{key}:` takes {}", choices.join(", ")),
            }),
            Cause::EmptyValue { key } => Some(format!("`{key}:none` finds events without it, where an event can lack it")),
            Cause::BadValue { key, expected, .. } => Some(format!("`{key}:` takes {expected}")),
            Cause::InnerWildcard { .. } => {
                Some("only a `*` at the end matches any text; quote the value to search for the character".to_owned())
            }
            Cause::SplitRange { key } => Some(format!("write one range, `{key}:FROM..TO`")),
            Cause::MisplacedSort => Some("write `sort:created-asc` or `sort:created-desc` once, outside parentheses".to_owned()),
            _ => None,
        }
    }
}

fn key_list() -> String {
    super::Key::ALL.map(super::Key::as_str).join(", ")
}

fn free_text_help(text: &str) -> String {
    match text {
        "or" | "and" | "not" => format!("write {} in capitals", text.to_uppercase()),
        _ => format!("name the field, for example `actor:{text}` or `action:{text}*`"),
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: ", self.column)?;
        match &self.cause {
            Cause::UnknownKey { key } => write!(f, "unknown key `{key}:`"),
            Cause::UnansweredKey { key } => write!(f, "`{key}:` cannot be searched yet: the trail keeps no index of it"),
            Cause::FreeText { text } => write!(f, "`{text}` has no key: text without a field cannot be searched yet"),
            Cause::EmptyValue { key } => write!(f, "`{key}:` has an empty value"),
            Cause::BadValue { key, value, .. } => write!(f, "`{value}` is not a value of `{key}:`"),
            Cause::UnknownChoice { key, value, .. } => write!(f, "`{value}` is not a value of `{key}:`"),
            Cause::InnerWildcard { value } => write!(f, "`{value}` has a `*` that is not at its end"),
            Cause::SplitRange { key } => {
                write!(f, "`{key}:` is given a lower and an upper bound apart, and repeating a key means OR: that matches everything")
            }
            Cause::UnclosedQuote => f.write_str("this quote is not closed"),
            Cause::UnclosedParenthesis => f.write_str("this parenthesis is not closed"),
            Cause::MissingTerm => f.write_str("a condition is missing here"),
            Cause::Unexpected { found } => write!(f, "`{found}` is not expected here"),
            Cause::MisplacedSort => f.write_str("`sort:` is not expected here"),
            Cause::TooLong => write!(f, "the query is longer than {} bytes", super::QUERY_BYTES_MAX),
            Cause::TooDeep => f.write_str("parentheses are nested too deeply"),
            Cause::TooManyValues => f.write_str("the query has too many values"),
        }
    }
}

impl std::error::Error for QueryError {}
