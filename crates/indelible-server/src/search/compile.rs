//! A query's condition as SQL over the table `event`. Values only ever travel as parameters.

use std::fmt::Write as _;

use indelible_core::Verdict;
use indelible_core::query::{Condition, Key, Pattern, Query, Range, Term, Value};
use rusqlite::types::Value as Parameter;

use super::SearchError;
use super::clock::{Clock, Limits};

/// When an event happened; a body that does not say counts from when it was recorded.
const OCCURRED_AT: &str = "COALESCE(event.occurred_at, event.recorded_at)";

/// Whether something has told what became of an event in doubt. The first comparison is what makes the partial index of
/// the trail file apply.
const IS_RESOLVED: &str = "EXISTS (SELECT 1 FROM event AS resolution WHERE resolution.action = 'audit.resolve' \
     AND resolution.resource_id = lower(substr(hex(event.event_id), 1, 8) || '-' || substr(hex(event.event_id), 9, 4) || '-' \
     || substr(hex(event.event_id), 13, 4) || '-' || substr(hex(event.event_id), 17, 4) || '-' || substr(hex(event.event_id), 21)))";

/// A condition in SQL with the parameters that it names, numbered from 1.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) sql: String,
    pub(super) parameters: Vec<Parameter>,
}

/// Compiles a query; without a condition it holds for every event.
///
/// # Errors
/// - [`SearchError::Time`], [`SearchError::EmptyRange`]: a time does not exist, or a range of times ends before it begins.
pub(super) fn compile(query: &Query, clock: &Clock) -> Result<Compiled, SearchError> {
    let mut compiler = Compiler { clock, parameters: Vec::new() };
    let sql = match &query.condition {
        Some(condition) => compiler.condition(condition)?,
        None => "TRUE".to_owned(),
    };
    Ok(Compiled { sql, parameters: compiler.parameters })
}

struct Compiler<'a> {
    clock: &'a Clock,
    parameters: Vec<Parameter>,
}

impl Compiler<'_> {
    /// SQL that is true where the condition holds; where it does not, false or, about a missing value, NULL.
    fn condition(&mut self, condition: &Condition) -> Result<String, SearchError> {
        match condition {
            Condition::All(parts) => self.joined(parts, " AND "),
            Condition::Any(parts) => self.joined(parts, " OR "),
            Condition::Not(inner) => Ok(format!("NOT COALESCE({}, FALSE)", self.condition(inner)?)),
            Condition::Term(term) => self.term(term),
        }
    }

    fn joined(&mut self, parts: &[Condition], joint: &str) -> Result<String, SearchError> {
        let parts: Vec<_> = parts.iter().map(|part| self.condition(part)).collect::<Result<_, _>>()?;
        Ok(format!("({})", parts.join(joint)))
    }

    fn term(&mut self, term: &Term) -> Result<String, SearchError> {
        let has_it = is_present(term.key);
        if term.negated && term.values.contains(&Value::Present) {
            return Ok(format!("NOT {has_it}"));
        }
        let mut tests = Vec::with_capacity(term.values.len());
        for value in &term.values {
            tests.push(self.test(term.key, value)?);
        }
        let tests = format!("({})", tests.join(" OR "));
        Ok(if term.negated { format!("({has_it} AND NOT COALESCE({tests}, FALSE))") } else { tests })
    }

    fn test(&mut self, key: Key, value: &Value) -> Result<String, SearchError> {
        match value {
            Value::Missing => Ok(format!("NOT {}", is_present(key))),
            Value::Present => Ok(is_present(key)),
            Value::Text(pattern) if key == Key::Type => Ok(self.resource_type(pattern)),
            Value::Text(pattern) => {
                let tests: Vec<_> = columns(key).iter().map(|column| self.text(column, pattern)).collect();
                Ok(format!("({})", tests.join(" OR ")))
            }
            Value::Choice(word) if key == Key::Outcome && *word == "unknown" => {
                let in_doubt = self.parameter(Verdict::InDoubt.as_str().to_owned());
                Ok(format!("(event.verdict = {in_doubt} AND NOT {IS_RESOLVED})"))
            }
            Value::Choice(word) => Ok(self.text(columns(key)[0], &Pattern::Exact((*word).to_owned()))),
            Value::Resource { resource_type, id } => {
                let is_type = self.resource_type(&Pattern::Exact(resource_type.clone()));
                Ok(format!("({is_type} AND {})", self.text("event.resource_id", id)))
            }
            Value::Status(range) => Ok(self.within(columns(key)[0], statuses(range))),
            Value::Created(range) => {
                let limits = self.clock.limits(range)?;
                if limits.is_empty() {
                    return Err(SearchError::EmptyRange { range: range.to_string() });
                }
                Ok(self.within(OCCURRED_AT, limits))
            }
            Value::Id(prefix) => {
                let (low, high) = prefix.bounds();
                if prefix.is_whole() {
                    return Ok(format!("event.event_id = {}", self.parameter(low.to_vec())));
                }
                let (low, high) = (self.parameter(low.to_vec()), self.parameter(high.to_vec()));
                Ok(format!("event.event_id BETWEEN {low} AND {high}"))
            }
            _ => Err(SearchError::Unsupported { value: value.to_string() }),
        }
    }

    fn text(&mut self, column: &str, pattern: &Pattern) -> String {
        match pattern {
            Pattern::Exact(text) => format!("{column} = {}", self.parameter(text.clone())),
            Pattern::Prefix(start) => {
                let from = self.parameter(start.clone());
                match after_prefix(start) {
                    Some(end) => format!("({column} >= {from} AND {column} < {})", self.parameter(end)),
                    None => format!("{column} >= {from}"),
                }
            }
        }
    }

    /// A type is meant whole, `clinic.Patient`, or by its last part alone in any case, `patient`.
    fn resource_type(&mut self, pattern: &Pattern) -> String {
        let column = "event.resource_type";
        match pattern {
            Pattern::Exact(name) if !name.contains('.') => {
                let (whole, end) = (self.parameter(name.to_ascii_lowercase()), self.parameter(format!(".{}", name.to_ascii_lowercase())));
                format!("(lower({column}) = {whole} OR lower(substr({column}, -length({end}))) = {end})")
            }
            pattern => self.text(column, pattern),
        }
    }

    fn within(&mut self, column: &str, limits: Limits) -> String {
        let mut tests = Vec::with_capacity(2);
        if let Some(from) = limits.from {
            tests.push(format!("{column} >= {}", self.parameter(from)));
        }
        if let Some(before) = limits.before {
            tests.push(format!("{column} < {}", self.parameter(before)));
        }
        format!("({})", tests.join(" AND "))
    }

    /// Adds a parameter and returns its name.
    fn parameter(&mut self, value: impl Into<Parameter>) -> String {
        self.parameters.push(value.into());
        let mut name = String::from("?");
        // Writing to a string does not fail.
        let _ = write!(name, "{}", self.parameters.len());
        name
    }
}

/// The columns that hold a key's value.
const fn columns(key: Key) -> &'static [&'static str] {
    match key {
        Key::Actor => &["event.actor_id", "event.actor_label"],
        Key::ActorType => &["event.actor_type"],
        Key::Action => &["event.action"],
        Key::Kind => &["event.kind"],
        Key::Outcome => &["event.outcome"],
        Key::Verdict => &["event.verdict"],
        Key::Type | Key::Resource => &["event.resource_type"],
        Key::Request => &["event.request_id"],
        Key::Service => &["event.service"],
        Key::Status => &["event.status"],
        Key::Created => &[OCCURRED_AT],
        _ => &["event.event_id"],
    }
}

fn is_present(key: Key) -> String {
    let tests: Vec<_> = columns(key).iter().map(|column| format!("{column} IS NOT NULL")).collect();
    format!("({})", tests.join(" OR "))
}

fn statuses(range: &Range<u16>) -> Limits {
    let from = |status: &u16| Some(i64::from(*status));
    let after = |status: &u16| Some(i64::from(*status) + 1);
    let (from, before) = match range {
        Range::At(status) => (from(status), after(status)),
        Range::Above(status) => (after(status), None),
        Range::From(status) => (from(status), None),
        Range::Below(status) => (None, from(status)),
        Range::UpTo(status) => (None, after(status)),
        Range::Between(low, high) => (from(low), after(high)),
    };
    Limits { from, before }
}

/// The smallest text that is greater than every text with this beginning, in the order of bytes; none when there is none.
fn after_prefix(prefix: &str) -> Option<String> {
    let mut characters: Vec<char> = prefix.chars().collect();
    while let Some(last) = characters.pop() {
        // The code points between the two ends of the gap are surrogates, which no text contains.
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(next) = next {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_the_next_text_in_byte_order() {
        for (prefix, end) in [
            ("a", Some("b")),
            ("az", Some("a{")),
            ("a\u{10ffff}", Some("b")),
            ("\u{d7ff}", Some("\u{e000}")),
            ("\u{10ffff}", None),
            ("", None),
        ] {
            assert_eq!(after_prefix(prefix).as_deref(), end, "{prefix:?}");
        }
    }

    #[test]
    fn values_never_become_part_of_the_statement() {
        let clock = Clock::system();
        for text in [r#"actor:"x' OR 1=1 --""#, r#"resource:"a'/b'"*"#, r#"-service:"'; DROP TABLE event; --""#] {
            let compiled = compile(&text.parse().unwrap(), &clock).unwrap();
            assert!(!compiled.sql.contains('\''), "{}", compiled.sql);
            assert!(compiled.parameters.iter().any(|value| matches!(value, Parameter::Text(text) if text.contains('\''))));
        }
    }
}
