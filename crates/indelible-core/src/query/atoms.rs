//! Text to query: the values of a term.

use super::cursor::{Atom, Until};
use super::error::{Cause, Fault};
use super::key::{Key, Takes};
use super::parse::Parser;
use super::{Elapsed, Hours, IdPrefix, Moment, Network, Pattern, Range, Value, Words};

/// How a value is compared.
#[derive(Clone, Copy)]
enum Comparison {
    Equal,
    Above,
    From,
    Below,
    UpTo,
}

/// A key and how it was written, for what is said about its values.
#[derive(Clone, Copy)]
struct Field<'a> {
    key: Key,
    word: &'a str,
}

impl Field<'_> {
    fn empty(self) -> Cause {
        Cause::EmptyValue { key: self.word.to_owned(), expected: self.key.expected(), can_be_missing: self.key.can_be_missing() }
    }

    fn bad(self, value: String) -> Cause {
        Cause::BadValue { key: self.word.to_owned(), value, expected: self.key.expected() }
    }
}

impl Parser<'_> {
    /// Reads `value { "," value }`; `word` is the key as written.
    pub(super) fn values(&mut self, key: Key, word: &str) -> Result<Vec<Value>, Fault> {
        let field = Field { key, word };
        let mut values = Vec::new();
        loop {
            self.count_value()?;
            let value = self.value(field)?;
            if !values.contains(&value) {
                values.push(value);
            }
            if !self.cursor.take(",") {
                return Ok(values);
            }
        }
    }

    fn value(&mut self, field: Field<'_>) -> Result<Value, Fault> {
        if let Some(presence) = self.presence(field.key) {
            return Ok(presence);
        }
        match field.key.takes() {
            Takes::Status => self.range(field, parse_status, |_| true).map(Value::Status),
            Takes::Number => self.range(field, parse_number, |_| true).map(Value::Number),
            // Nothing takes exactly so many microseconds but by chance.
            Takes::Duration => self.range(field, Elapsed::parse, |_| false).map(Value::Duration),
            Takes::Moment => self.range(field, Moment::parse, |moment| !moment.is_relative_point()).map(Value::Time),
            _ => {
                let atom = self.cursor.atom(Until::Delimiter)?;
                let at = atom.at;
                single(field.key, field.word, atom).map_err(|cause| Fault { at, cause })
            }
        }
    }

    /// Reads `none` or `any`, for a key that an event can lack; `created:any` is all times.
    fn presence(&mut self, key: Key) -> Option<Value> {
        let at = self.cursor.at();
        match self.cursor.bare(Until::Delimiter) {
            "none" if key.can_be_missing() => Some(Value::Missing),
            "any" | "*" if key.can_be_missing() || key == Key::Created => Some(Value::Present),
            _ => {
                self.cursor.go_back(at);
                None
            }
        }
    }

    /// Reads `a`, `>a`, `a..b` and so on. `can_equal` tells which values make sense without a comparison.
    fn range<T: Copy>(&mut self, field: Field<'_>, parse: fn(&str) -> Option<T>, can_equal: fn(&T) -> bool) -> Result<Range<T>, Fault> {
        let at = self.cursor.at();
        let comparison = self.comparison();
        let from = self.end_of_range(field, parse)?;
        let dots = matches!(comparison, Comparison::Equal) && self.cursor.take("..");
        let to = if dots { self.end_of_range(field, parse)? } else { None };
        let range = match (comparison, from, dots, to) {
            (_, None, false, _) | (_, None, true, None) => return Err(Fault { at, cause: field.empty() }),
            (_, Some(from), true, Some(to)) => Some(Range::Between(from, to)),
            (_, Some(from), true, None) => Some(Range::From(from)),
            (_, None, true, Some(to)) => Some(Range::UpTo(to)),
            (Comparison::Equal, Some(value), false, _) => can_equal(&value).then_some(Range::At(value)),
            (Comparison::Above, Some(value), false, _) => Some(Range::Above(value)),
            (Comparison::From, Some(value), false, _) => Some(Range::From(value)),
            (Comparison::Below, Some(value), false, _) => Some(Range::Below(value)),
            (Comparison::UpTo, Some(value), false, _) => Some(Range::UpTo(value)),
        };
        range.ok_or_else(|| Fault { at, cause: field.bad(self.cursor.since(at).to_owned()) })
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
    fn end_of_range<T>(&mut self, field: Field<'_>, parse: fn(&str) -> Option<T>) -> Result<Option<T>, Fault> {
        let atom = self.cursor.atom(Until::Dots)?;
        if atom.is_empty() {
            return Ok(None);
        }
        match parse(&atom.text) {
            Some(value) if !atom.starred && !atom.opened => Ok(Some(value)),
            _ => Err(Fault { at: atom.at, cause: field.bad(atom.written()) }),
        }
    }
}

/// The value of a key that takes no comparison.
pub(super) fn single(key: Key, word: &str, atom: Atom) -> Result<Value, Cause> {
    let field = Field { key, word };
    if atom.is_empty() || atom.quoted && atom.text.is_empty() && !atom.starred {
        return Err(field.empty());
    }
    if atom.opened && key != Key::Text {
        return Err(Cause::LeadingWildcard { value: atom.written() });
    }
    let compared = !atom.quoted && atom.text.starts_with(['<', '>', '=']);
    match key.takes() {
        Takes::Choice => return choice(field, &atom),
        Takes::Text | Takes::Upper if atom.text.is_empty() => Some(Value::Present),
        _ if compared => None,
        Takes::Id => id(&atom),
        Takes::Words => Words::parse(&atom.text, atom.opened, atom.starred).map(Value::Words),
        Takes::Network => Network::parse(&atom.text).filter(|_| !atom.starred).map(Value::Network),
        Takes::Hours => Hours::parse(&atom.text).filter(|_| !atom.starred).map(Value::Hours),
        Takes::Hex => hex(&atom),
        Takes::Resource => resource(&atom),
        Takes::Upper => Some(Value::Text(pattern(atom.text.to_ascii_uppercase(), atom.starred))),
        _ => Some(Value::Text(pattern(atom.text.clone(), atom.starred))),
    }
    .ok_or_else(|| field.bad(atom.written()))
}

fn choice(field: Field<'_>, atom: &Atom) -> Result<Value, Cause> {
    let word = atom.text.to_ascii_lowercase();
    let choices = field.key.choices();
    match choices.iter().find(|choice| **choice == word) {
        Some(found) if !atom.starred => Ok(Value::Choice(found)),
        _ => Err(Cause::UnknownChoice { key: field.word.to_owned(), value: atom.written(), choices }),
    }
}

fn id(atom: &Atom) -> Option<Value> {
    IdPrefix::parse(&atom.text).filter(|prefix| atom.starred || prefix.is_whole()).map(Value::Id)
}

/// Number of hexadecimal digits of a trace id.
const TRACE_DIGITS: usize = 32;

fn hex(atom: &Atom) -> Option<Value> {
    let digits = atom.text.to_ascii_lowercase();
    let length = digits.len();
    let fits = if atom.starred { length <= TRACE_DIGITS } else { length == TRACE_DIGITS };
    (fits && digits.bytes().all(|digit| digit.is_ascii_hexdigit())).then(|| Value::Text(pattern(digits, atom.starred)))
}

fn resource(atom: &Atom) -> Option<Value> {
    let (resource_type, id) = atom.text.split_once('/')?;
    let whole = !resource_type.is_empty() && (!id.is_empty() || atom.starred);
    whole.then(|| Value::Resource { resource_type: resource_type.to_owned(), id: pattern(id.to_owned(), atom.starred) })
}

fn pattern(text: String, starred: bool) -> Pattern {
    if starred { Pattern::Prefix(text) } else { Pattern::Exact(text) }
}

fn parse_status(text: &str) -> Option<u16> {
    text.parse().ok().filter(|status| (100..=599).contains(status))
}

/// Reads a number that SQLite can hold.
fn parse_number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|digit| digit.is_ascii_digit());
    text.parse().ok().filter(|number| digits && i64::try_from(*number).is_ok())
}
