//! What is wrong with a query, where, and what may have been meant.

use std::fmt;

use super::key;
use super::suggest;

/// A text that is not a query.
///
/// `Display` says what and where; [`QueryError::help`] says what to write instead, and [`QueryError::caret`] points at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryError {
    column: usize,
    cause: Cause,
}

/// What is wrong, and where in bytes.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) cause: Cause,
}

impl Fault {
    /// The same with its column in the text that was read.
    pub(super) fn within(self, text: &str) -> QueryError {
        QueryError::new(text[..self.at].chars().count() + 1, self.cause)
    }
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
    /// A word that other audit trails have a field for, and events of this one have not.
    NoSuchField {
        /// The key as written.
        key: String,
        /// What to do instead.
        instead: &'static str,
    },
    /// `meta:` without the name of a member.
    UnnamedMember,
    /// Text without a key that finds nothing as words, since it is the value of a key, or an operator.
    FreeText {
        /// The text.
        text: String,
        /// What is probably meant.
        meant: String,
    },
    /// A key, a comma or a comparison with nothing behind it.
    EmptyValue {
        /// The key.
        key: String,
        /// What the key takes.
        expected: String,
        /// Whether the key takes `none`.
        can_be_missing: bool,
    },
    /// A value that the key does not take.
    BadValue {
        /// The key.
        key: String,
        /// The value as written.
        value: String,
        /// What the key takes.
        expected: String,
    },
    /// A word that is not in the key's list.
    UnknownChoice {
        /// The key.
        key: String,
        /// The word as written.
        value: String,
        /// The list.
        choices: Vec<&'static str>,
    },
    /// A `*` in the middle.
    InnerWildcard {
        /// The value as written.
        value: String,
    },
    /// A `*` at the beginning of a value of another key than `text`.
    LeadingWildcard {
        /// The value as written.
        value: String,
    },
    /// A key was repeated with bounds of both sides, which together match everything.
    SplitRange {
        /// The key.
        key: String,
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
    /// The text, or its canonical form, is longer than [`super::QUERY_BYTES_MAX`].
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

    /// Two lines for people: the query, and below it a caret under the place. Line breaks and the like become spaces.
    #[must_use]
    pub fn caret(&self, query: &str) -> String {
        let line: String = query.chars().map(|character| if character.is_control() { ' ' } else { character }).collect();
        format!("{line}\n{:>column$}", '^', column = self.column)
    }

    /// What to write instead, or what the limit is.
    #[must_use]
    pub fn help(&self) -> String {
        match &self.cause {
            Cause::UnknownKey { key } => match key::meant_by(key) {
                Some(meant) if meant.starts_with('-') => format!("did you mean the option `{meant}`?"),
                Some(meant) => format!("did you mean `{meant}:`?"),
                None => format!("the keys are {}; quote the text to search for it as words", key_list()),
            },
            Cause::NoSuchField { instead, .. } => (*instead).to_owned(),
            Cause::UnnamedMember => "name the member, for example `meta.ticket:ABC-1`".to_owned(),
            Cause::FreeText { text, meant } if meant.eq_ignore_ascii_case(text) => {
                format!("write {meant} in capitals, or quote it to search for the word")
            }
            Cause::FreeText { text, meant } => format!("did you mean `{meant}`? Write \"{text}\" in quotes to search for its words"),
            Cause::UnknownChoice { key, value, choices } => match suggest::nearest(value, choices.iter().copied()) {
                Some(meant) => format!("did you mean `{key}:{meant}`?"),
                None => format!("`{key}:` takes {}", choices.join(", ")),
            },
            Cause::EmptyValue { key, can_be_missing: true, expected } => {
                format!("`{key}:none` finds events without it; else `{key}:` takes {expected}")
            }
            Cause::EmptyValue { key, expected, .. } | Cause::BadValue { key, expected, .. } => format!("`{key}:` takes {expected}"),
            Cause::InnerWildcard { .. } => "only a `*` at the end matches any text; quote the value to search for the character".to_owned(),
            Cause::LeadingWildcard { value } => {
                let days = super::OPEN_START_DAYS_MAX;
                format!(
                    "only `text:{value}` takes a `*` at the beginning, beside a `created:` of at most {days} days; quote the value to search for the character"
                )
            }
            Cause::SplitRange { key } => format!("write one range, `{key}:FROM..TO`"),
            Cause::MisplacedSort => "write `sort:created-asc` or `sort:created-desc` once, outside parentheses".to_owned(),
            Cause::UnclosedQuote => "write a `\"` at the end of the text; inside quotes, `\\\"` is a quote".to_owned(),
            Cause::UnclosedParenthesis => "write a `)` here".to_owned(),
            Cause::MissingTerm => "write `key:value`, or remove the operator before it".to_owned(),
            Cause::Unexpected { .. } => "separate conditions by spaces, and quote a value that holds this character".to_owned(),
            Cause::TooLong | Cause::TooDeep | Cause::TooManyValues => "search in several steps".to_owned(),
        }
    }
}

fn key_list() -> String {
    let keys: Vec<_> = super::Key::ALL.iter().map(|key| if *key == super::Key::Meta { "meta.NAME" } else { key.as_str() }).collect();
    keys.join(", ")
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: ", self.column)?;
        match &self.cause {
            Cause::UnknownKey { key } => write!(f, "unknown key `{key}:`"),
            Cause::NoSuchField { key, .. } => write!(f, "`{key}:` cannot be searched: events have no such field"),
            Cause::UnnamedMember => f.write_str("`meta:` does not say which member of it"),
            Cause::FreeText { text, .. } => write!(f, "`{text}` would be searched for as words"),
            Cause::EmptyValue { key, .. } => write!(f, "`{key}:` has an empty value"),
            Cause::BadValue { key, value, .. } => write!(f, "`{value}` is not a value of `{key}:`"),
            Cause::UnknownChoice { key, value, .. } => write!(f, "`{value}` is not a value of `{key}:`"),
            Cause::InnerWildcard { value } => write!(f, "`{value}` has a `*` that is not at its end"),
            Cause::LeadingWildcard { value } => write!(f, "`{value}` has a `*` at its beginning"),
            Cause::SplitRange { key } => {
                write!(f, "`{key}:` is given a lower and an upper bound apart, and repeating a key means OR: that matches everything")
            }
            Cause::UnclosedQuote => f.write_str("this quote is not closed"),
            Cause::UnclosedParenthesis => f.write_str("a parenthesis is not closed"),
            Cause::MissingTerm => f.write_str("a condition is missing here"),
            Cause::Unexpected { found } => write!(f, "`{found}` is not expected here"),
            Cause::MisplacedSort => f.write_str("`sort:` is not expected here"),
            Cause::TooLong => write!(f, "the query is longer than {} bytes", super::QUERY_BYTES_MAX),
            Cause::TooDeep => write!(f, "parentheses are nested more than {} deep", super::DEPTH_MAX),
            Cause::TooManyValues => write!(f, "the query has more than {} values", super::VALUES_MAX),
        }
    }
}

impl std::error::Error for QueryError {}
