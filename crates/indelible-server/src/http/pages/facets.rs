//! The most frequent values among the matches, each a click away from being asked for or excluded.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use indelible_core::query::{Condition, Key, Order, Pattern, Query, Value};
use serde::Serialize;

use super::query_bar::{Parts, asking, href, term};
use crate::cli::Body;
use crate::search::{CountRequest, Hit, SearchError, SearchRequest, Top, search, top};
use crate::trail::Reader;

/// Values of a facet.
const TOP: usize = 8;
/// Longest time that looking for the names of actors may take; who has none by then is shown by the id alone.
const NAMES_DEADLINE: Duration = Duration::from_millis(50);

/// One key with its most frequent values.
#[derive(Debug, Serialize)]
pub(super) struct Facet {
    pub(super) name: &'static str,
    pub(super) key: &'static str,
    pub(super) values: Vec<Frequent>,
    /// Whether there are values that are not shown.
    pub(super) more: bool,
    /// Whether the counts are not those of all matches.
    pub(super) partial: bool,
}

/// One value.
#[derive(Debug, Serialize)]
pub(super) struct Frequent {
    pub(super) text: String,
    /// Of an actor, the label beside the id.
    pub(super) name: Option<String>,
    pub(super) count: u64,
    pub(super) chosen: bool,
    pub(super) toggle: String,
    pub(super) exclude: String,
}

const FACETS: [(&str, Key); 6] = [
    ("Kind", Key::Kind),
    ("Action", Key::Action),
    ("Actor", Key::Actor),
    ("Object type", Key::Type),
    ("Outcome", Key::Outcome),
    ("Service", Key::Service),
];

/// Finds the most frequent values of each key that has any. A value more than is shown tells whether there are more. `rows` are those of
/// the page, which know the names of some actors.
///
/// # Errors
/// As [`top`].
pub(super) fn facets(reader: &mut Reader, request: &CountRequest, rows: &[Hit]) -> Result<Vec<Facet>, SearchError> {
    let parts = Parts::of(&request.query);
    let mut facets = Vec::new();
    for (name, key) in FACETS {
        let mut facet = facet(&parts, name, key, top(reader, request, key.as_str(), TOP + 1)?);
        if key == Key::Actor {
            name_actors(reader, request, rows, &mut facet.values);
        }
        if !facet.values.is_empty() {
            facets.push(facet);
        }
    }
    Ok(facets)
}

/// Puts labels beside the ids of actors: those of the rows, else of the newest record that an actor has.
fn name_actors(reader: &mut Reader, request: &CountRequest, rows: &[Hit], values: &mut [Frequent]) {
    let started = Instant::now();
    let mut known: HashMap<String, String> = rows.iter().rev().filter_map(actor).collect();
    for value in values {
        let left = NAMES_DEADLINE.saturating_sub(started.elapsed());
        if !known.contains_key(&value.text) && !left.is_zero() {
            known.extend(newest_of(reader, request, &value.text, left));
        }
        value.name = known.get(&value.text).filter(|name| **name != value.text).cloned();
    }
}

fn newest_of(reader: &mut Reader, request: &CountRequest, id: &str, deadline: Duration) -> Option<(String, String)> {
    let term = asking(Key::Actor, Value::Text(Pattern::Exact(id.to_owned())));
    let query = Query { condition: Some(Condition::Term(term)), order: Order::NewestFirst };
    let sought = SearchRequest { query, limit: 1, cursor: None, clock: request.clock.clone(), deadline };
    // A name is a help to the eye: without one the id stands there.
    actor(search(reader, &sought).ok()?.rows.first()?).filter(|(found, _)| found == id)
}

/// Id and label of who did it.
fn actor(hit: &Hit) -> Option<(String, String)> {
    let actor = Body::parse(&hit.body).actor?;
    Some((actor.id?, actor.label?))
}

fn facet(parts: &Parts, name: &'static str, key: Key, top: Top) -> Facet {
    let (more, partial) = (top.values.len() > TOP, top.counted.partial);
    let values = top.values.into_iter().take(TOP).filter_map(|(text, count)| frequent(parts, key, text, count)).collect();
    Facet { name, key: key.as_str(), values, more, partial }
}

fn frequent(parts: &Parts, key: Key, text: String, count: u64) -> Option<Frequent> {
    let value = value(key, &text)?;
    Some(Frequent {
        chosen: parts.has(key, &value),
        toggle: href(&parts.clone().toggled(key, value.clone()).query()),
        exclude: href(&parts.clone().excluding(key, value).query()),
        name: None,
        text,
        count,
    })
}

/// The value that a query asks with. A word that the grammar does not know, as a damaged body may hold, cannot be asked for.
fn value(key: Key, text: &str) -> Option<Value> {
    match key {
        Key::Kind | Key::Outcome => term(&format!("{key}:{text}"))?.values.into_iter().next(),
        _ => Some(Value::Text(Pattern::Exact(text.to_owned()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::{Counted, TimeRange};

    fn counted(values: &[(&str, u64)]) -> Top {
        let counted = Counted { canonical: String::new(), range: TimeRange::default(), matches: 0, approx: false, partial: false };
        Top { counted, values: values.iter().map(|(text, count)| ((*text).to_owned(), *count)).collect() }
    }

    #[test]
    fn values_can_be_asked_for_and_excluded() {
        let parts = Parts::of(&"action:a.y".parse::<Query>().unwrap());
        let action = facet(&parts, "Action", Key::Action, counted(&[("b.x", 2), ("a.y", 1)]));
        assert_eq!(action.values.iter().map(|value| value.chosen).collect::<Vec<_>>(), [false, true]);
        assert_eq!(action.values[0].toggle, "/events?q=action:a.y,b.x");
        assert_eq!(action.values[1].toggle, "/events?q=");
        assert_eq!(action.values[0].exclude, "/events?q=action:a.y+-action:b.x");
        let kind = facet(&parts, "Kind", Key::Kind, counted(&[("nonsense", 1)]));
        assert!(kind.values.is_empty(), "no query can ask for it");
    }

    #[test]
    fn what_is_not_shown_is_said_to_be_there() {
        let many: Vec<(String, u64)> = (0..=TOP as u64).map(|number| (format!("a.v{number}"), 9)).collect();
        let many: Vec<(&str, u64)> = many.iter().map(|(text, count)| (text.as_str(), *count)).collect();
        let action = facet(&Parts::of(&Query::default()), "Action", Key::Action, counted(&many));
        assert_eq!((action.values.len(), action.more), (TOP, true));
    }
}
