//! The one text of a query.

use std::fmt::{self, Display, Write as _};

use super::cursor::is_delimiter;
use super::{Condition, Key, Order, Pattern, Query, Range, Term, Value};

impl fmt::Display for Query {
    /// Writes a text that reads back as an equal query: terms in their order, values joined by commas, quotes only where
    /// they are needed, exclusions as `-`. The order is written when it is not the usual one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let alternatives = matches!(self.condition, Some(Condition::Any(_)));
        let sorted = self.order == Order::OldestFirst;
        if let Some(condition) = &self.condition {
            write_condition(f, condition, alternatives && sorted)?;
        }
        if sorted {
            f.write_str(if self.condition.is_some() { " sort:created-asc" } else { "sort:created-asc" })?;
        }
        Ok(())
    }
}

fn write_condition(f: &mut fmt::Formatter<'_>, condition: &Condition, parentheses: bool) -> fmt::Result {
    if parentheses {
        f.write_char('(')?;
    }
    match condition {
        Condition::Term(term) => term.fmt(f)?,
        Condition::All(parts) => write_joined(f, parts, " ", true)?,
        // AND binds more tightly than OR.
        Condition::Any(parts) => write_joined(f, parts, " OR ", false)?,
        Condition::Not(inner) => {
            f.write_char('-')?;
            write_condition(f, inner, true)?;
        }
    }
    if parentheses {
        f.write_char(')')?;
    }
    Ok(())
}

fn write_joined(f: &mut fmt::Formatter<'_>, parts: &[Condition], joint: &str, groups_in_parentheses: bool) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            f.write_str(joint)?;
        }
        write_condition(f, part, groups_in_parentheses && matches!(part, Condition::All(_) | Condition::Any(_)))?;
    }
    Ok(())
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.negated {
            f.write_char('-')?;
        }
        write!(f, "{}:", self.key.as_str())?;
        for (index, value) in self.values.iter().enumerate() {
            if index > 0 {
                f.write_char(',')?;
            }
            value.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("none"),
            Self::Present => f.write_str("any"),
            Self::Text(pattern) => write_pattern(f, "", pattern),
            Self::Choice(word) => f.write_str(word),
            Self::Resource { resource_type, id } => write_pattern(f, &format!("{resource_type}/"), id),
            Self::Status(range) => range.fmt(f),
            Self::Created(range) => range.fmt(f),
            Self::Id(prefix) if prefix.is_whole() => crate::EventId::from_bytes(prefix.bounds().0).fmt(f),
            Self::Id(prefix) => write!(f, "{}*", prefix.digits()),
        }
    }
}

fn write_pattern(f: &mut fmt::Formatter<'_>, before: &str, pattern: &Pattern) -> fmt::Result {
    let (text, star) = match pattern {
        Pattern::Exact(text) => (text, ""),
        Pattern::Prefix(text) => (text, "*"),
    };
    let text = format!("{before}{text}");
    if reads_bare(&text) {
        return write!(f, "{text}{star}");
    }
    f.write_char('"')?;
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            f.write_char('\\')?;
        }
        f.write_char(character)?;
    }
    write!(f, "\"{star}")
}

/// Whether a text means itself without quotes.
fn reads_bare(text: &str) -> bool {
    let plain = !text.chars().any(|character| is_delimiter(character) || character.is_control() || matches!(character, '*' | '\\'));
    let begins_like_a_comparison = text.starts_with(['<', '>', '=']);
    let is_a_word = matches!(text, "" | "none" | "any");
    plain && !begins_like_a_comparison && !is_a_word
}

impl<T: fmt::Display> fmt::Display for Range<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(value) => value.fmt(f),
            Self::Above(value) => write!(f, ">{value}"),
            Self::From(value) => write!(f, ">={value}"),
            Self::Below(value) => write!(f, "<{value}"),
            Self::UpTo(value) => write!(f, "<={value}"),
            Self::Between(from, to) => write!(f, "{from}..{to}"),
        }
    }
}
