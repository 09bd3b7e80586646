//! Text to query: how conditions are joined.

use super::combine::{add, all, any, negate};
use super::cursor::{Cursor, Until, is_delimiter};
use super::error::{Cause, Fault, QueryError};
use super::key::{self, Key};
use super::{Condition, DEPTH_MAX, IdPrefix, Network, Order, QUERY_BYTES_MAX, Query, Term, VALUES_MAX};

pub(super) fn query(text: &str) -> Result<Query, QueryError> {
    if text.len() > QUERY_BYTES_MAX {
        return Err(QueryError::new(1, Cause::TooLong));
    }
    let mut parser = Parser { cursor: Cursor::new(text), depth: 0, values: 0, order: None };
    // Columns are counted once, for the one fault, so that reading stays linear.
    let query = parser.whole().map_err(|fault| fault.within(text))?;
    // Times and quotes can make the canonical text the longer one, and it has to be a query, too.
    if query.to_string().len() > QUERY_BYTES_MAX { Err(QueryError::new(1, Cause::TooLong)) } else { Ok(query) }
}

pub(super) struct Parser<'a> {
    pub(super) cursor: Cursor<'a>,
    depth: usize,
    values: usize,
    order: Option<Order>,
}

impl Parser<'_> {
    fn whole(&mut self) -> Result<Query, Fault> {
        let condition = self.alternatives()?;
        match self.cursor.rest().chars().next() {
            Some(found) => Err(self.cursor.fault(Cause::Unexpected { found })),
            None => Ok(Query { condition, order: self.order.unwrap_or_default() }),
        }
    }

    /// `and { "OR" and }`; nothing when there are no conditions at all.
    fn alternatives(&mut self) -> Result<Option<Condition>, Fault> {
        let mut alternatives: Vec<Condition> = self.conjunction()?.into_iter().collect();
        let at = self.cursor.at();
        while self.cursor.take_keyword("OR") {
            if alternatives.is_empty() {
                return Err(Fault { at, cause: Cause::MissingTerm });
            }
            let next = self.conjunction()?.ok_or_else(|| self.cursor.fault(Cause::MissingTerm))?;
            alternatives.push(next);
        }
        Ok(any(alternatives))
    }

    /// `term { ["AND"] term }`; nothing when there are no conditions.
    fn conjunction(&mut self) -> Result<Option<Condition>, Fault> {
        let mut parts: Vec<Condition> = Vec::new();
        let mut required = false;
        loop {
            self.cursor.skip_space();
            if self.is_at_end_of_conjunction() {
                if required {
                    return Err(self.cursor.fault(Cause::MissingTerm));
                }
                return Ok(all(parts));
            }
            let at = self.cursor.at();
            if let Some(part) = self.term()? {
                add(&mut parts, part).map_err(|cause| Fault { at, cause })?;
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

    fn expect_end_of_term(&self) -> Result<(), Fault> {
        match self.cursor.rest().chars().next() {
            Some(found) if !found.is_whitespace() && !matches!(found, '(' | ')') => Err(self.cursor.fault(Cause::Unexpected { found })),
            _ => Ok(()),
        }
    }

    /// A condition, or nothing for `sort:`.
    fn term(&mut self) -> Result<Option<Condition>, Fault> {
        let negated = self.cursor.take("-") || self.cursor.take_keyword("NOT");
        if self.cursor.take("(") {
            return self.group(negated).map(Some);
        }
        let at = self.cursor.at();
        let word = self.cursor.bare(Until::Colon);
        if !self.cursor.take(":") {
            self.cursor.go_back(at);
            return self.free_text(negated).map(Some);
        }
        if word == "sort" {
            return self.sort(negated, at).map(|()| None);
        }
        let (key, member) = known_key(word).map_err(|cause| Fault { at, cause })?;
        let values = self.values(key, word)?;
        Ok(Some(Condition::Term(Term { negated, key, member, values })))
    }

    fn group(&mut self, negated: bool) -> Result<Condition, Fault> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.cursor.fault(Cause::TooDeep));
        }
        let inner = self.alternatives()?.ok_or_else(|| self.cursor.fault(Cause::MissingTerm))?;
        if !self.cursor.take(")") {
            return Err(self.cursor.fault(Cause::UnclosedParenthesis));
        }
        self.depth -= 1;
        Ok(if negated { negate(inner) } else { inner })
    }

    /// A word or a phrase without a key.
    fn free_text(&mut self, negated: bool) -> Result<Condition, Fault> {
        let at = self.cursor.at();
        let fault = |cause| Fault { at, cause };
        match self.cursor.rest().chars().next() {
            Some(found) if found != '"' && (is_delimiter(found) && found != ')' || matches!(found, '<' | '>' | '=')) => {
                return Err(fault(if found.is_whitespace() { Cause::MissingTerm } else { Cause::Unexpected { found } }));
            }
            None | Some(')') => return Err(fault(Cause::MissingTerm)),
            Some(_) => (),
        }
        let word = self.cursor.bare(Until::Delimiter);
        if let Some(meant) = meant_instead(word) {
            return Err(fault(Cause::FreeText { text: word.to_owned(), meant }));
        }
        self.cursor.go_back(at);
        self.count_value()?;
        let atom = self.cursor.atom(Until::Delimiter)?;
        if atom.opened {
            return Err(fault(Cause::LeadingWildcard { value: atom.written() }));
        }
        let value = super::atoms::single(Key::Text, "text", atom).map_err(fault)?;
        Ok(Condition::Term(Term { negated, key: Key::Text, member: None, values: vec![value] }))
    }

    fn sort(&mut self, negated: bool, at: usize) -> Result<(), Fault> {
        let order = match self.cursor.bare(Until::Delimiter) {
            "created-asc" => Order::OldestFirst,
            "created-desc" => Order::NewestFirst,
            other => {
                let (key, expected) = ("sort".to_owned(), "`created-asc` or `created-desc`".to_owned());
                return Err(Fault { at, cause: Cause::BadValue { key, value: other.to_owned(), expected } });
            }
        };
        if negated || self.depth > 0 || self.order.is_some() {
            return Err(Fault { at, cause: Cause::MisplacedSort });
        }
        self.order = Some(order);
        Ok(())
    }

    /// Counts one more value against the limit.
    pub(super) fn count_value(&mut self) -> Result<(), Fault> {
        self.values += 1;
        if self.values > VALUES_MAX { Err(self.cursor.fault(Cause::TooManyValues)) } else { Ok(()) }
    }
}

/// The key that a word is, with the member of `meta` that it names.
fn known_key(word: &str) -> Result<(Key, Option<String>), Cause> {
    if let Some(member) = word.strip_prefix("meta.").filter(|member| !member.is_empty()) {
        return Ok((Key::Meta, Some(member.to_owned())));
    }
    match Key::from_text(word) {
        Some(key) => Ok((key, None)),
        None if word.is_empty() => Err(Cause::Unexpected { found: ':' }),
        None if matches!(word, "meta" | "meta.") => Err(Cause::UnnamedMember),
        None => Err(match key::instead_of(word) {
            Some(instead) => Cause::NoSuchField { key: word.to_owned(), instead },
            None => Cause::UnknownKey { key: word.to_owned() },
        }),
    }
}

/// What somebody means who writes this without quotes, where it would find nothing as words.
pub(super) fn meant_instead(text: &str) -> Option<String> {
    let is_name = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if matches!(text, "or" | "and" | "not") {
        return Some(text.to_ascii_uppercase());
    }
    if let Some((key, value)) = text.split_once('=') {
        return Key::from_text(key).map(|key| format!("{}:{value}", key.as_str()));
    }
    if text.len() >= 32 && IdPrefix::parse(text).is_some_and(|prefix| prefix.is_whole()) {
        return Some(format!("id:{text}"));
    }
    if text.contains(['.', ':']) && Network::parse(text).is_some() {
        return Some(format!("ip:{text}"));
    }
    if text.split_once('/').is_some_and(|(kind, id)| !kind.is_empty() && !id.is_empty()) {
        return Some(format!("resource:{text}"));
    }
    if text.starts_with('/') {
        return Some(format!("path:{text}"));
    }
    let action = text.strip_suffix(".*").unwrap_or(text);
    ((action.contains('.') || action.len() < text.len()) && action.split('.').all(is_name)).then(|| format!("action:{text}"))
}
