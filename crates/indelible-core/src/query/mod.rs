//! The search grammar as data: a text becomes a [`Query`], and a query has one canonical text.
//!
//! ```
//! use indelible_core::query::Query;
//!
//! let query: Query = "kind:change resource:clinic.Patient/42 -actor:nightly created:>-24h".parse()?;
//! assert_eq!(query.to_string(), "kind:change resource:clinic.Patient/42 -actor:nightly created:>-24h");
//!
//! let error = "actr:ana".parse::<Query>().unwrap_err();
//! assert_eq!(error.help(), "did you mean `actor:`?");
//! assert_eq!(error.caret("actr:ana"), "actr:ana\n^");
//! # Ok::<(), indelible_core::query::QueryError>(())
//! ```
//!
//! ```text
//! query = or
//! or    = and { "OR" and }
//! and   = term { ["AND"] term }
//! term  = ["-" | "NOT"] ( "(" or ")" | key ":" value { "," value } | word | phrase ) | "sort:created-asc" | "sort:created-desc"
//! value = [">" | ">=" | "<" | "<=" | "="] atom | atom ".." atom | atom "*" | "none" | "any"
//! atom  = bare text | phrase
//! phrase = '"' text with \" and \\ '"'
//! ```
//!
//! Different keys are combined with AND. A key that is repeated beside itself, or has several values, matches any of them;
//! excluded, none of them. `-key:value` never matches an event that lacks the field: that is `key:none`. `-( … )` is the
//! plain opposite of a group. Words and phrases without a key are those of labels and reason; each must occur. Parentheses
//! around one term mean nothing. What cannot be understood, or what no field of an event answers, is an error with its
//! place; it never matches nothing in silence.
//!
//! The grammar reads no clock: [`Moment`] stays relative until whoever searches resolves it. Reading is linear in the length
//! of the text, which is bounded, and never panics.

mod atoms;
mod canonical;
mod combine;
mod cursor;
mod elapsed;
mod error;
mod id_prefix;
mod key;
mod moment;
mod network;
mod parse;
mod reach;
pub(crate) mod suggest;
mod value;
mod words;

use std::str::FromStr;

pub use elapsed::{Elapsed, Hours};
pub use error::{Cause, QueryError};
pub use id_prefix::IdPrefix;
pub use key::Key;
pub use moment::{Date, Moment, Period, Unit};
pub use network::Network;
pub use reach::{DEFAULT_DAYS, OPEN_START_DAYS_MAX};
pub use suggest::nearest;
pub use value::{Pattern, Range, Value};
pub use words::{Words, words};

/// Longest text of a query, in bytes.
pub const QUERY_BYTES_MAX: usize = 4096;
/// Deepest nesting of parentheses; what walks a query recurses as deep.
pub const DEPTH_MAX: usize = 16;
/// Most values in one query; each is looked up on its own.
pub const VALUES_MAX: usize = 256;

/// What to look for, and in which order to show it.
///
/// Two queries that mean the same by the rules of the grammar about repetition and parentheses are equal, and so is what
/// [`Query::from_str`] makes of a query's own text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// What an event must satisfy; without it every event does.
    pub condition: Option<Condition>,
    /// Which end of the trail comes first.
    pub order: Order,
}

/// Which end of the trail comes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// The record that arrived last comes first.
    #[default]
    NewestFirst,
    /// The record that arrived first comes first.
    OldestFirst,
}

/// One condition on an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Every one holds; at least two.
    All(Vec<Condition>),
    /// At least one holds; at least two.
    Any(Vec<Condition>),
    /// The group inside does not hold. A term carries its own negation.
    Not(Box<Condition>),
    /// One field has, or has not, one of some values.
    Term(Term),
}

/// One field has one of some values or, negated, is there and has none of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// Whether the values are excluded.
    pub negated: bool,
    /// Which field.
    pub key: Key,
    /// Which member of `meta`, with [`Key::Meta`] and with no other key. Dots lead into objects inside.
    pub member: Option<String>,
    /// The values, at least one, all of the type that the key takes.
    pub values: Vec<Value>,
}

impl FromStr for Query {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, QueryError> {
        parse::query(text)
    }
}

impl Query {
    /// Whether the key occurs anywhere in the query.
    #[must_use]
    pub fn mentions(&self, key: Key) -> bool {
        self.condition.as_ref().is_some_and(|condition| condition.mentions(key))
    }

    /// Adds a condition that must hold beside the present one. The caller makes sure that the query does not mention the
    /// key of `term` yet, since repeating a key widens a query instead of narrowing it.
    #[must_use]
    pub fn and(mut self, term: Term) -> Self {
        let term = Condition::Term(term);
        self.condition = Some(match self.condition.take() {
            None => term,
            Some(Condition::All(mut all)) => {
                all.push(term);
                Condition::All(all)
            }
            Some(other) => Condition::All(vec![other, term]),
        });
        self
    }

    /// The values that every match must have one of: those of a key that stands, not negated, at the top of the query.
    #[must_use]
    pub fn required(&self, key: Key) -> Option<&[Value]> {
        let top = match &self.condition {
            None => &[],
            Some(Condition::All(all)) => all.as_slice(),
            Some(one) => std::slice::from_ref(one),
        };
        top.iter().find_map(|condition| match condition {
            Condition::Term(term) if term.key == key && !term.negated => Some(term.values.as_slice()),
            _ => None,
        })
    }
}

impl Term {
    /// Asks for events whose field has one of some values.
    #[must_use]
    pub const fn new(key: Key, values: Vec<Value>) -> Self {
        Self { negated: false, key, member: None, values }
    }

    /// The key as it is written, with the member that it names.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.member {
            Some(member) => format!("{}.{member}", self.key.as_str()),
            None => self.key.as_str().to_owned(),
        }
    }
}

impl Condition {
    fn mentions(&self, key: Key) -> bool {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().any(|part| part.mentions(key)),
            Self::Not(inner) => inner.mentions(key),
            Self::Term(term) => term.key == key,
        }
    }
}
