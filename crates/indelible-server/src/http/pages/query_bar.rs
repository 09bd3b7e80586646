//! The query as people handle it: text, chips that can be taken out, values that can be added.

use indelible_core::query::{Condition, Key, Order, Query, QueryError, Range, Term, Value};
use serde::Serialize;

use super::formats::parameter;

/// What the events page shows to who asks for nothing. All of it stands in chips.
pub(super) const DEFAULT: &str = "created:>-30d -kind:read -action:audit.read";

/// A list that is one click away from every page.
#[derive(Debug, Serialize)]
pub(super) struct List {
    /// What pages call it that show it.
    section: &'static str,
    name: &'static str,
    icon: &'static str,
    href: String,
}

/// Section, name, glyph and query of each list.
const LISTS: [(&str, &str, &str, &str); 4] = [
    ("changes", "Changes", "update", "created:>-30d kind:change"),
    ("sign-ins", "Sign-ins and rights", "auth", "created:>-30d kind:auth"),
    ("refusals", "Denied and failed", "denied", "created:>-30d outcome:denied,failure"),
    ("looks", "Who looked", "eye", "created:>-30d action:audit.read,audit.verify"),
];

/// The lists of the rail.
pub(super) fn lists() -> [List; 4] {
    LISTS.map(|(section, name, icon, query)| List { section, name, icon, href: format!("/events?q={}", parameter(query)) })
}

/// Which of the lists a query is, word for word; else the one of all events.
pub(super) fn section(text: &str) -> &'static str {
    LISTS.iter().find(|(.., query)| *query == text).map_or("events", |(section, ..)| section)
}

/// One condition, and the query without it.
#[derive(Debug, Serialize)]
pub(super) struct Chip {
    pub(super) text: String,
    /// What it means, where the text alone may not say.
    pub(super) meaning: Option<&'static str>,
    pub(super) without: String,
}

/// A stretch of time to choose, and the query with it.
#[derive(Debug, Serialize)]
pub(super) struct Preset {
    pub(super) name: &'static str,
    pub(super) href: String,
    pub(super) chosen: bool,
}

/// Why a query has no answer.
#[derive(Debug, Serialize)]
pub(super) struct Fault {
    /// The record that keeps it from one, since it was tampered with.
    pub(super) tampered: Option<u64>,
    pub(super) text: String,
    pub(super) message: String,
    pub(super) help: Option<String>,
    /// As many spaces as characters stand before the fault, where it has a place.
    pub(super) indent: Option<String>,
    /// A query that was probably meant.
    pub(super) meant: Option<Meant>,
}

#[derive(Debug, Serialize)]
pub(super) struct Meant {
    pub(super) text: String,
    pub(super) href: String,
}

/// The conditions of a query that all must hold.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    parts: Vec<Condition>,
    order: Order,
}

impl Parts {
    pub(super) fn of(query: &Query) -> Self {
        let parts = match &query.condition {
            None => Vec::new(),
            Some(Condition::All(parts)) => parts.clone(),
            Some(other) => vec![other.clone()],
        };
        Self { parts, order: query.order }
    }

    pub(super) fn query(self) -> Query {
        let condition = match self.parts.len() {
            0 | 1 => self.parts.into_iter().next(),
            _ => Some(Condition::All(self.parts)),
        };
        Query { condition, order: self.order }
    }

    pub(super) fn chips(&self) -> Vec<Chip> {
        (0..self.parts.len()).map(|index| self.chip(index)).collect()
    }

    fn chip(&self, index: usize) -> Chip {
        let text = Query { condition: Some(self.parts[index].clone()), order: Order::NewestFirst }.to_string();
        let meaning = match text.as_str() {
            "-kind:read" => Some("reads are folded away"),
            "-action:audit.read" => Some("looks at this trail are folded away"),
            _ => None,
        };
        Chip { text, meaning, without: href(&self.clone().without_part(index).query()) }
    }

    pub(super) fn count(&self) -> usize {
        self.parts.len()
    }

    pub(super) fn without_part(mut self, index: usize) -> Self {
        self.parts.remove(index);
        self
    }

    /// Without any condition on a key.
    pub(super) fn without(mut self, key: Key) -> Self {
        self.parts.retain(|part| !matches!(part, Condition::Term(term) if term.key == key));
        self
    }

    /// With this condition in place of all others on its key.
    pub(super) fn with_only(self, term: Term) -> Self {
        let mut without = self.without(term.key);
        without.parts.push(Condition::Term(term));
        without
    }

    /// Whether a value is asked for.
    pub(super) fn has(&self, key: Key, value: &Value) -> bool {
        self.parts
            .iter()
            .any(|part| matches!(part, Condition::Term(term) if term.key == key && !term.negated && term.values.contains(value)))
    }

    /// With a value asked for beside others of its key, or no more.
    pub(super) fn toggled(mut self, key: Key, value: Value) -> Self {
        let had = self.has(key, &value);
        let place = self.parts.iter_mut().find_map(|part| match part {
            Condition::Term(term) if term.key == key && !term.negated => Some(term),
            _ => None,
        });
        match place {
            Some(term) if had => term.values.retain(|other| *other != value),
            Some(term) => term.values.push(value),
            None => self.parts.push(Condition::Term(asking(key, value))),
        }
        self.parts.retain(|part| !matches!(part, Condition::Term(term) if term.values.is_empty()));
        self
    }

    /// With a value excluded.
    pub(super) fn excluding(mut self, key: Key, value: Value) -> Self {
        self.parts.push(Condition::Term(Term { negated: true, ..asking(key, value) }));
        self
    }

    /// The stretches of time that are one click away.
    pub(super) fn presets(&self) -> Vec<Preset> {
        [("24 hours", "created:>-24h"), ("7 days", "created:>-7d"), ("30 days", "created:>-30d"), ("All time", "")]
            .into_iter()
            .map(|(name, text)| {
                let term = term(text);
                let chosen = match &term {
                    Some(term) => self.parts.contains(&Condition::Term(term.clone())),
                    None => !self.clone().query().mentions(Key::Created),
                };
                let parts = match term {
                    Some(term) => self.clone().with_only(term),
                    None => self.clone().without(Key::Created),
                };
                Preset { name, href: href(&parts.query()), chosen }
            })
            .collect()
    }
}

/// The term that asks for one value.
pub(super) fn asking(key: Key, value: Value) -> Term {
    Term::new(key, vec![value])
}

/// The one term of a text.
pub(super) fn term(text: &str) -> Option<Term> {
    match text.parse::<Query>().ok()?.condition? {
        Condition::Term(term) => Some(term),
        _ => None,
    }
}

/// The address of the events that a query finds.
pub(super) fn href(query: &Query) -> String {
    format!("/events?q={}", parameter(&query.to_string()))
}

impl Fault {
    pub(super) fn new(text: &str, error: &QueryError) -> Self {
        let column = error.column().max(1) - 1;
        let whole = error.to_string();
        let message = whole.split_once(": ").map_or(whole.as_str(), |(_, message)| message).to_owned();
        let help = error.help();
        let meant = meant(text, column, &help);
        Self { tampered: None, text: text.to_owned(), message, help: Some(help), indent: Some(" ".repeat(column)), meant }
    }

    /// A query that is understood and cannot be answered; the fault has no place in it.
    pub(super) fn of_search(text: &str, message: &str) -> Self {
        Self { tampered: None, text: text.to_owned(), message: message.to_owned(), help: None, indent: None, meant: None }
    }

    /// A query that finds a record which was tampered with, and the same query without it.
    pub(super) fn of_tampered(query: &Query, leaf_index: u64, message: &str) -> Self {
        let others = Parts::of(query).excluding(Key::Leaf, Value::Number(Range::At(leaf_index))).query();
        let meant = Some(Meant { href: href(&others), text: others.to_string() });
        Self { tampered: Some(leaf_index), meant, ..Self::of_search(&query.to_string(), message) }
    }
}

/// The query with the word that was probably meant in the place of the one that is at fault.
fn meant(text: &str, column: usize, help: &str) -> Option<Meant> {
    let word = help.strip_prefix("did you mean `")?.strip_suffix("`?")?;
    let start = text.char_indices().nth(column)?.0;
    let (before, fault) = text.split_at(start);
    let negation = &fault[..fault.len() - fault.trim_start_matches('-').len()];
    let fault = &fault[negation.len()..];
    let end = match word.strip_suffix(':') {
        Some(_) => fault.find(':')? + 1,
        None => fault.find([' ', ',', ')']).unwrap_or(fault.len()),
    };
    // The fault may be in a value; its key then stands before it.
    let word = if before.ends_with([':', ',']) { word.split_once(':').map_or(word, |(_, value)| value) } else { word };
    let query = format!("{before}{negation}{word}{}", &fault[end..]);
    query.parse::<Query>().is_ok().then(|| Meant { href: format!("/events?q={}", parameter(&query)), text: query })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Parts {
        Parts::of(&text.parse().unwrap())
    }

    #[test]
    fn the_default_query_is_one_and_canonical() {
        assert_eq!(DEFAULT.parse::<Query>().unwrap().to_string(), DEFAULT);
    }

    #[test]
    fn a_list_of_the_rail_is_known_again_by_its_query() {
        for (section_of_list, _, _, query) in LISTS {
            assert_eq!(query.parse::<Query>().unwrap().to_string(), query);
            assert_eq!(section(query), section_of_list);
        }
        assert_eq!([section(DEFAULT), section("")], ["events"; 2]);
    }

    #[test]
    fn each_chip_leads_to_the_query_without_it() {
        let chips = parts("kind:change (actor:ana OR actor:bo) created:>-30d").chips();
        let shown: Vec<_> = chips.iter().map(|chip| (chip.text.as_str(), chip.without.as_str())).collect();
        assert_eq!(
            shown[0],
            ("kind:change", "/events?q=(actor:ana+OR+actor:bo)+created:%3E-30d".replace('(', "%28").replace(')', "%29").as_str())
        );
        assert_eq!(chips.len(), 3);
        assert_eq!(chips[2].without, href(&"kind:change (actor:ana OR actor:bo)".parse().unwrap()));
    }

    #[test]
    fn a_value_joins_those_of_its_key_and_leaves_again() {
        let change = || term("kind:change").unwrap().values.remove(0);
        let both = parts("kind:auth -kind:read").toggled(Key::Kind, change());
        assert_eq!(both.clone().query().to_string(), "kind:auth,change -kind:read");
        assert_eq!(both.toggled(Key::Kind, change()).query().to_string(), "kind:auth -kind:read");
        assert_eq!(parts("kind:change").toggled(Key::Kind, change()).query().to_string(), "");
    }

    #[test]
    fn a_preset_replaces_the_time_and_nothing_else() {
        let presets = parts("actor:ana created:>-30d").presets();
        assert_eq!(presets[3].href, "/events?q=actor:ana");
        assert_eq!(presets[1].href, "/events?q=actor:ana+created:%3E-7d");
        assert_eq!(presets.iter().map(|preset| preset.chosen).collect::<Vec<_>>(), [false, false, true, false]);
    }

    #[test]
    fn the_caret_stands_under_the_fault_and_the_meant_query_is_offered() {
        let text = "kind:read actr:ana";
        let fault = Fault::new(text, &text.parse::<Query>().unwrap_err());
        assert_eq!(fault.indent.as_ref().map(String::len), Some(10));
        assert_eq!(fault.meant.unwrap().text, "kind:read actor:ana");
        let text = "kind:raed";
        let fault = Fault::new(text, &text.parse::<Query>().unwrap_err());
        assert_eq!(fault.meant.map(|meant| meant.text).as_deref(), Some("kind:read"));
    }
}
