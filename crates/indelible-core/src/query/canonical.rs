//! The one text of a query.

use std::fmt::{self, Display, Write as _};

use super::cursor::is_delimiter;
use super::parse::meant_instead;
use super::{Condition, Key, Order, Pattern, Query, Range, Term, Value, Words};

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

impl fmt::Display for Condition {
    /// Writes the condition as it stands beside others in a query.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_condition(f, self, matches!(self, Self::Any(_)))
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.negated {
            f.write_char('-')?;
        }
        if let (Key::Text, [Value::Words(words)]) = (self.key, self.values.as_slice())
            && !words.is_open_at_start()
        {
            return write_words(f, words, |word| !words.is_open_at_end() && meant_instead(word).is_some());
        }
        write!(f, "{}:", self.name())?;
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
            Self::Words(words) => write_words(f, words, |word| matches!(word, "none" | "any")),
            Self::Network(network) => network.fmt(f),
            Self::Status(range) => range.fmt(f),
            Self::Duration(range) => range.fmt(f),
            Self::Number(range) => range.fmt(f),
            Self::Time(range) => range.fmt(f),
            Self::Hours(hours) => hours.fmt(f),
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

/// Writes words with their stars, in quotes where they are several or `reads_otherwise` says that one needs them.
fn write_words(f: &mut fmt::Formatter<'_>, words: &Words, reads_otherwise: impl Fn(&str) -> bool) -> fmt::Result {
    let star = |is_there| if is_there { "*" } else { "" };
    let quote = match words.as_slice() {
        [word] if !reads_otherwise(word) => "",
        _ => "\"",
    };
    let text = words.as_slice().join(" ");
    write!(f, "{}{quote}{text}{quote}{}", star(words.is_open_at_start()), star(words.is_open_at_end()))
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
