//! Text to query.

use super::cursor::{Atom, Cursor, Until};
use super::error::{Cause, QueryError};
use super::key::{self, Key, Takes};
use super::{Condition, IdPrefix, Moment, Order, Pattern, QUERY_BYTES_MAX, Query, Range, Term, Value};

/// Deepest nesting of parentheses; what walks a query recurses as deep.
const DEPTH_MAX: usize = 16;
/// Most values in one query; each becomes a parameter of a statement.
const VALUES_MAX: usize = 256;

const STATUSES: &str = "an HTTP status of 100 to 599, a comparison like `>=400`, or a range like `400..499`";
const MOMENTS: &str =
    "a date, an RFC 3339 time, `>-24h`, `today`, `yesterday`, `\"last week\"`, a comparison, or a range like `2026-01-01..2026-01-31`";

pub(super) fn query(text: &str) -> Result<Query, QueryError> {
    if text.len() > QUERY_BYTES_MAX {
        return Err(QueryError::new(1, Cause::TooLong));
    }
    let mut parser = Parser { cursor: Cursor::new(text), depth: 0, values: 0, order: None };
    let condition = parser.alternatives()?;
    match parser.cursor.rest().chars().next() {
        Some(found) => Err(parser.cursor.error(Cause::Unexpected { found })),
        None => Ok(Query { condition, order: parser.order.unwrap_or_default() }),
    }
}

struct Parser<'a> {
    cursor: Cursor<'a>,
    depth: usize,
    values: usize,
    order: Option<Order>,
}

/// How a value is compared.
#[derive(Clone, Copy)]
enum Comparison {
    Equal,
    Above,
    From,
    Below,
    UpTo,
}

impl Parser<'_> {
    /// `and { "OR" and }`; nothing when there are no conditions at all.
    fn alternatives(&mut self) -> Result<Option<Condition>, QueryError> {
        let mut alternatives: Vec<Condition> = self.conjunction()?.into_iter().collect();
        let column = self.cursor.column();
        while self.cursor.take_keyword("OR") {
            if alternatives.is_empty() {
                return Err(QueryError::new(column, Cause::MissingTerm));
            }
            let next = self.conjunction()?.ok_or_else(|| self.cursor.error(Cause::MissingTerm))?;
            alternatives.push(next);
        }
        Ok(any(alternatives))
    }

    /// `term { ["AND"] term }`; nothing when there are no conditions.
    fn conjunction(&mut self) -> Result<Option<Condition>, QueryError> {
        let mut parts: Vec<Condition> = Vec::new();
        let mut required = false;
        loop {
            self.cursor.skip_space();
            if self.is_at_end_of_conjunction() {
                if required {
                    return Err(self.cursor.error(Cause::MissingTerm));
                }
                return Ok(all(parts));
            }
            let column = self.cursor.column();
            if let Some(part) = self.term()? {
                add(&mut parts, part).map_err(|cause| QueryError::new(column, cause))?;
            }
            self.expect_end_of_term()?;
            self.cursor.skip_space();
            required = self.cursor.take_keyword("AND");
        }
    }

    fn is_at_end_of_conjunction(&self) -> bool {
        let mut ahead = Cursor::new(self.cursor.rest());
        ahead.is_at_end() || ahead.take(")") || ahead.take_keyword("OR")
    }

    fn expect_end_of_term(&self) -> Result<(), QueryError> {
        match self.cursor.rest().chars().next() {
            Some(found) if !found.is_whitespace() && !matches!(found, '(' | ')') => Err(self.cursor.error(Cause::Unexpected { found })),
            _ => Ok(()),
        }
    }

    /// A condition, or nothing for `sort:`.
    fn term(&mut self) -> Result<Option<Condition>, QueryError> {
        let negated = self.cursor.take("-") || self.cursor.take_keyword("NOT");
        if self.cursor.take("(") {
            return self.group(negated).map(Some);
        }
        let column = self.cursor.column();
        if self.cursor.rest().starts_with('"') {
            let text = self.cursor.atom(Until::Delimiter)?.text;
            return Err(QueryError::new(column, Cause::FreeText { text }));
        }
        let word = self.cursor.bare(Until::Colon);
        if !self.cursor.take(":") {
            return Err(QueryError::new(column, wordless(word, self.cursor.rest())));
        }
        if word == "sort" {
            return self.sort(negated, column).map(|()| None);
        }
        let key = known_key(word).map_err(|cause| QueryError::new(column, cause))?;
        let values = self.values(key)?;
        Ok(Some(Condition::Term(Term { negated, key, values })))
    }

    fn group(&mut self, negated: bool) -> Result<Condition, QueryError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.cursor.error(Cause::TooDeep));
        }
        let inner = self.alternatives()?.ok_or_else(|| self.cursor.error(Cause::MissingTerm))?;
        if !self.cursor.take(")") {
            return Err(self.cursor.error(Cause::UnclosedParenthesis));
        }
        self.depth -= 1;
        Ok(if negated { negate(inner) } else { inner })
    }

    fn sort(&mut self, negated: bool, column: usize) -> Result<(), QueryError> {
        let order = match self.cursor.bare(Until::Delimiter) {
            "created-asc" => Order::OldestFirst,
            "created-desc" => Order::NewestFirst,
            other => {
                let expected = "`created-asc` or `created-desc`".to_owned();
                return Err(QueryError::new(column, Cause::BadValue { key: "sort", value: other.to_owned(), expected }));
            }
        };
        if negated || self.depth > 0 || self.order.is_some() {
            return Err(QueryError::new(column, Cause::MisplacedSort));
        }
        self.order = Some(order);
        Ok(())
    }

    fn values(&mut self, key: Key) -> Result<Vec<Value>, QueryError> {
        let mut values = Vec::new();
        loop {
            self.values += 1;
            if self.values > VALUES_MAX {
                return Err(self.cursor.error(Cause::TooManyValues));
            }
            let value = self.value(key)?;
            if !values.contains(&value) {
                values.push(value);
            }
            if !self.cursor.take(",") {
                return Ok(values);
            }
        }
    }

    fn value(&mut self, key: Key) -> Result<Value, QueryError> {
        match key.takes() {
            Takes::Status => self.range(key, STATUSES, parse_status, |_| true).map(Value::Status),
            Takes::Moment => {
                let can_equal = |moment: &Moment| !moment.is_relative_point();
                self.range(key, MOMENTS, Moment::parse, can_equal).map(Value::Created)
            }
            Takes::Text | Takes::Choice | Takes::Resource | Takes::Id => {
                let atom = self.cursor.atom(Until::Delimiter)?;
                let column = atom.column;
                single(key, atom).map_err(|cause| QueryError::new(column, cause))
            }
        }
    }

    /// Reads `a`, `>a`, `a..b` and so on. `can_equal` tells which values make sense without a comparison.
    fn range<T: Copy>(
        &mut self,
        key: Key,
        expected: &str,
        parse: fn(&str) -> Option<T>,
        can_equal: fn(&T) -> bool,
    ) -> Result<Range<T>, QueryError> {
        let column = self.cursor.column();
        let start = self.cursor.rest();
        let comparison = self.comparison();
        let from = self.end_of_range(key, expected, parse)?;
        let dots = matches!(comparison, Comparison::Equal) && self.cursor.take("..");
        let to = if dots { self.end_of_range(key, expected, parse)? } else { None };
        let range = match (comparison, from, dots, to) {
            (_, None, false, _) | (_, None, true, None) => return Err(QueryError::new(column, Cause::EmptyValue { key: key.as_str() })),
            (_, Some(from), true, Some(to)) => Some(Range::Between(from, to)),
            (_, Some(from), true, None) => Some(Range::From(from)),
            (_, None, true, Some(to)) => Some(Range::UpTo(to)),
            (Comparison::Equal, Some(value), false, _) => can_equal(&value).then_some(Range::At(value)),
            (Comparison::Above, Some(value), false, _) => Some(Range::Above(value)),
            (Comparison::From, Some(value), false, _) => Some(Range::From(value)),
            (Comparison::Below, Some(value), false, _) => Some(Range::Below(value)),
            (Comparison::UpTo, Some(value), false, _) => Some(Range::UpTo(value)),
        };
        range.ok_or_else(|| {
            let value = start[..start.len() - self.cursor.rest().len()].to_owned();
            QueryError::new(column, bad_value(key, value, expected))
        })
    }

    fn comparison(&mut self) -> Comparison {
        if self.cursor.take(">=") {
            Comparison::From
        } else if self.cursor.take(">") {
            Comparison::Above
        } else if self.cursor.take("<=") {
            Comparison::UpTo
        } else if self.cursor.take("<") {
            Comparison::Below
        } else {
            // An equals sign says nothing that its absence does not.
            self.cursor.take("=");
            Comparison::Equal
        }
    }

    /// One end of a range; nothing when it is empty.
    fn end_of_range<T>(&mut self, key: Key, expected: &str, parse: fn(&str) -> Option<T>) -> Result<Option<T>, QueryError> {
        let atom = self.cursor.atom(Until::Dots)?;
        if atom.text.is_empty() && !atom.starred {
            return Ok(None);
        }
        match parse(&atom.text) {
            Some(value) if !atom.starred => Ok(Some(value)),
            _ => Err(QueryError::new(atom.column, bad_value(key, written(&atom), expected))),
        }
    }
}

fn wordless(word: &str, rest: &str) -> Cause {
    match rest.chars().next() {
        _ if !word.is_empty() => Cause::FreeText { text: word.to_owned() },
        Some(found) if !found.is_whitespace() && found != ')' => Cause::Unexpected { found },
        _ => Cause::MissingTerm,
    }
}

fn known_key(word: &str) -> Result<Key, Cause> {
    match Key::from_text(word) {
        Some(key) => Ok(key),
        None if word.is_empty() => Err(Cause::Unexpected { found: ':' }),
        None if key::is_unanswered(word) => Err(Cause::UnansweredKey { key: word.to_owned() }),
        None => Err(Cause::UnknownKey { key: word.to_owned() }),
    }
}

/// The value of a key that takes no comparison.
fn single(key: Key, atom: Atom) -> Result<Value, Cause> {
    if atom.text.is_empty() && !atom.starred {
        return Err(Cause::EmptyValue { key: key.as_str() });
    }
    match key.takes() {
        Takes::Choice => choice(key, &atom),
        Takes::Id => id(key, &atom),
        _ if !atom.quoted && !atom.starred && atom.text == "none" => Ok(Value::Missing),
        _ if !atom.quoted && !atom.starred && atom.text == "any" => Ok(Value::Present),
        _ if atom.text.is_empty() => Ok(Value::Present),
        _ if !atom.quoted && atom.text.starts_with(['<', '>', '=']) => {
            Err(bad_value(key, written(&atom), "a text, not a comparison; quote the value if it begins with this sign"))
        }
        Takes::Resource => resource(key, atom),
        _ => Ok(Value::Text(pattern(atom.text, atom.starred))),
    }
}

fn choice(key: Key, atom: &Atom) -> Result<Value, Cause> {
    let word = atom.text.to_ascii_lowercase();
    let choices = key.choices();
    match choices.iter().find(|choice| **choice == word) {
        Some(found) if !atom.starred => Ok(Value::Choice(found)),
        _ => Err(Cause::UnknownChoice { key: key.as_str(), value: written(atom), choices }),
    }
}

fn id(key: Key, atom: &Atom) -> Result<Value, Cause> {
    match IdPrefix::parse(&atom.text) {
        Some(prefix) if atom.starred || prefix.is_whole() => Ok(Value::Id(prefix)),
        _ => Err(bad_value(key, written(atom), "a whole event id, or its first digits and `*`")),
    }
}

fn resource(key: Key, atom: Atom) -> Result<Value, Cause> {
    match atom.text.split_once('/') {
        Some((resource_type, id)) if !resource_type.is_empty() && (!id.is_empty() || atom.starred) => {
            Ok(Value::Resource { resource_type: resource_type.to_owned(), id: pattern(id.to_owned(), atom.starred) })
        }
        _ => Err(bad_value(key, written(&atom), "TYPE/ID; `type:` finds every resource of a type")),
    }
}

fn pattern(text: String, starred: bool) -> Pattern {
    if starred { Pattern::Prefix(text) } else { Pattern::Exact(text) }
}

fn parse_status(text: &str) -> Option<u16> {
    text.parse().ok().filter(|status| (100..=599).contains(status))
}

fn bad_value(key: Key, value: String, expected: &str) -> Cause {
    Cause::BadValue { key: key.as_str(), value, expected: expected.to_owned() }
}

fn written(atom: &Atom) -> String {
    let Atom { text, starred, .. } = atom;
    if *starred { format!("{text}*") } else { text.clone() }
}

/// Adds a condition to those that must all hold; a term joins the values of an earlier one with the same key.
fn add(parts: &mut Vec<Condition>, part: Condition) -> Result<(), Cause> {
    let Condition::Term(term) = part else {
        parts.push(part);
        return Ok(());
    };
    let same = parts.iter_mut().find_map(|part| match part {
        Condition::Term(earlier) if earlier.key == term.key && earlier.negated == term.negated => Some(earlier),
        _ => None,
    });
    let Some(earlier) = same else {
        parts.push(Condition::Term(term));
        return Ok(());
    };
    for value in term.values {
        if !term.negated && earlier.values.iter().any(|other| are_opposite(other, &value)) {
            return Err(Cause::SplitRange { key: term.key.as_str() });
        }
        if !earlier.values.contains(&value) {
            earlier.values.push(value);
        }
    }
    Ok(())
}

/// Whether one value bounds from below and the other from above.
fn are_opposite(one: &Value, other: &Value) -> bool {
    match (side(one), side(other)) {
        (Some(one), Some(other)) => one != other,
        _ => false,
    }
}

/// `true` for a lower bound, `false` for an upper one.
fn side(value: &Value) -> Option<bool> {
    fn of<T>(range: &Range<T>) -> Option<bool> {
        match range {
            Range::Above(_) | Range::From(_) => Some(true),
            Range::Below(_) | Range::UpTo(_) => Some(false),
            Range::At(_) | Range::Between(..) => None,
        }
    }
    match value {
        Value::Status(range) => of(range),
        Value::Created(range) => of(range),
        _ => None,
    }
}

fn all(mut parts: Vec<Condition>) -> Option<Condition> {
    if parts.len() > 1 { Some(Condition::All(parts)) } else { parts.pop() }
}

fn any(parts: Vec<Condition>) -> Option<Condition> {
    let mut flat = Vec::with_capacity(parts.len());
    for part in parts {
        match part {
            Condition::Any(inner) => flat.extend(inner),
            other => flat.push(other),
        }
    }
    if flat.len() > 1 { Some(Condition::Any(flat)) } else { flat.pop() }
}

fn negate(condition: Condition) -> Condition {
    match condition {
        Condition::Not(inner) => *inner,
        Condition::Term(term) => Condition::Term(Term { negated: !term.negated, ..term }),
        group => Condition::Not(Box::new(group)),
    }
}
