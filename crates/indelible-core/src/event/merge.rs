//! What somebody says about a change, and the automatic event of that change, as one event.

use super::{Changes, Event, Kind};
use crate::json::Json;

/// Verbs that say by themselves what was done to a row.
const PLAIN_VERBS: [&str; 3] = ["create", "update", "delete"];

impl Event {
    /// Whether this event can be about the change that `change` is, of the same resource.
    ///
    /// It cannot where it names fields of its own and the change is of none of them, nor where both have a plain verb and not the same, nor where
    /// it knows new values and the row is gone.
    #[must_use]
    pub fn is_about(&self, change: &Self) -> bool {
        let is_same_verb = match (self.plain_verb(), change.plain_verb()) {
            (Some(own), Some(other)) => own == other,
            _ => true,
        };
        let is_gone = change.plain_verb() == Some("delete") && self.changes.has_new_value();
        is_same_verb && !is_gone && (self.changes.is_empty() || self.changes.shares_field_with(&change.changes))
    }

    fn plain_verb(&self) -> Option<&'static str> {
        let (_, verb) = self.action.as_str().rsplit_once('.')?;
        PLAIN_VERBS.into_iter().find(|&plain| plain == verb)
    }

    /// This event as the one that stands for `change` too: what it says itself wins, what it leaves open is as the change had it.
    ///
    /// Of a field that both know, the change has the values: it comes from the write. A change of rights stays one.
    #[must_use]
    pub fn superseding(mut self, change: Self) -> Self {
        let said = std::mem::replace(&mut self.changes, change.changes);
        self.changes.add_missing(&said);
        if change.kind == Kind::Auth {
            self.kind = Kind::Auth;
        }
        if let (Some(own), Some(known)) = (&mut self.resource, change.resource) {
            own.label = own.label.take().or(known.label);
        }
        self.occurred_at = change.occurred_at.or(self.occurred_at);
        self.reason = self.reason.or(change.reason);
        self.code = self.code.or(change.code);
        self.sensitive |= change.sensitive;
        self.meta = merged(self.meta, change.meta);
        let mut notes = change.notes;
        notes.extend(self.notes.drain(..).filter(|note| !notes.contains(note)).collect::<Vec<_>>());
        self.notes = notes;
        self
    }
}

impl Changes {
    /// Whether a new value of some field is among them.
    fn has_new_value(&self) -> bool {
        let is_new = |member: &str| member.starts_with(NEW);
        parts(self.elements()).any(|element| inside(element).is_some_and(|members| parts(members).any(is_new)))
    }

    fn shares_field_with(&self, other: &Self) -> bool {
        self.fields().any(|(field, _)| other.has_field(field))
    }

    fn has_field(&self, wanted: &str) -> bool {
        self.fields().any(|(field, _)| field == wanted)
    }

    /// Adds those changes of `said` whose fields are not among these.
    fn add_missing(&mut self, said: &Self) {
        let missing: Vec<&str> = said.fields().filter(|(field, _)| !self.has_field(field)).map(|(_, element)| element).collect();
        for element in missing {
            self.push_element(element);
        }
    }

    /// The names of the fields, in quotes as they are encoded, and the changes that they stand in.
    fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        parts(self.elements()).filter_map(|element| Some((quoted(element.strip_prefix(FIELD)?)?, element)))
    }
}

const FIELD: &str = "{\"field\":";
const NEW: &str = "\"new\":";

/// The members of two objects; those of `first` win.
fn merged(first: Option<Json>, second: Option<Json>) -> Option<Json> {
    let (Some(own), Some(other)) = (&first, &second) else { return first.or(second) };
    let (Some(own), Some(other)) = (members(own), members(other)) else { return first };
    let is_missing = |member: &&str| parts(own).all(|known| quoted(known) != quoted(member));
    let all: Vec<&str> = parts(own).chain(parts(other).filter(is_missing)).collect();
    Some(Json::from_text(format!("{{{}}}", all.join(","))))
}

fn members(object: &Json) -> Option<&str> {
    inside(object.as_str())
}

/// What stands between the braces of an encoded object.
fn inside(object: &str) -> Option<&str> {
    object.strip_prefix('{')?.strip_suffix('}')
}

/// The string that stands at the beginning, with its quotes.
fn quoted(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('"')?;
    let mut is_escaped = false;
    let end = inside.bytes().position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    })?;
    text.get(..end + 2)
}

/// What stands between the commas of encoded JSON that are in no string, array or object.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let (mut depth, mut is_string, mut is_escaped) = (0_usize, false, false);
    text.split(move |character| {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => is_string = !is_string,
            _ if is_string => {}
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            ',' => return depth == 0,
            _ => {}
        }
        false
    })
    .filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(action: &str, fields: &[(&str, &str)]) -> Event {
        let mut event = Event::new(Kind::Change, action);
        for (field, value) in fields {
            event.changes.push_values(field, None, Some(value));
        }
        event
    }

    #[test]
    fn an_event_is_about_a_change_of_its_own_fields_and_its_own_verb() {
        let renamed = event("patient.update", &[("name", r#""{,\"field\":""#)]);
        for about in [event("patient.rename", &[]), event("patient.rename", &[("ward", "1"), ("name", "2")]), event("patient.update", &[])]
        {
            assert!(about.is_about(&renamed), "{about:?}");
        }
        for other in [event("patient.move", &[("ward", "1")]), event("patient.delete", &[]), event("patient.move", &[("nam", "1")])] {
            assert!(!other.is_about(&renamed), "{other:?}");
        }
    }

    #[test]
    fn what_comes_from_the_write_stays_and_what_was_said_is_added() {
        let mut said = event("patient.rename", &[("name", "\"a lie\""), ("why", "[1,{\"a\":\"},\"}]"), ("say \"so\"", "1")]);
        said.meta = Some(Json::from_text(r#"{"by":"hand"}"#.to_owned()));
        let mut change = event("patient.update", &[("name", "\"the truth\"")]);
        change.kind = Kind::Auth;
        change.meta = Some(Json::from_text(r#"{"by":"us","description":"Updated, {twice}"}"#.to_owned()));
        change.notes.push("old values not known".to_owned());
        let one = said.superseding(change);
        assert_eq!(
            one.changes.to_json().as_str(),
            r#"[{"field":"name","new":"the truth"},{"field":"why","new":[1,{"a":"},"}]},{"field":"say \"so\"","new":1}]"#
        );
        assert_eq!(one.changes.count(), 3);
        assert_eq!(one.meta.unwrap().as_str(), r#"{"by":"hand","description":"Updated, {twice}"}"#);
        assert_eq!((one.kind, one.action.as_str(), one.notes), (Kind::Auth, "patient.rename", vec!["old values not known".to_owned()]));
    }

    #[test]
    fn links_are_told_from_the_row() {
        let mut links = Changes::default();
        links.push_m2m("conditions", &[Json::integer(1)], &[], true);
        assert!(links.are_of_links());
        let mut masked = Changes::default();
        masked.push_m2m_masked("conditions");
        assert!(masked.are_of_links());
        assert_eq!(masked.to_json().as_str(), r#"[{"field":"conditions","masked":true}]"#);
        let mut row = Changes::default();
        row.push_masked("ssn");
        assert!(!row.are_of_links());
        assert!(!event("patient.update", &[("added", "[1]")]).changes.are_of_links());
    }

    #[test]
    fn an_event_with_new_values_is_not_about_a_row_that_is_gone() {
        let mut gone = Event::new(Kind::Change, "patient.delete");
        gone.changes.push_values("details", Some("1"), None);
        let mut told = Event::new(Kind::Change, "patient.discharge");
        told.changes.push_values("details", Some(r#"{"a":1,"new":2,"b":{"c":3,"new":4}}"#), None);
        assert!(told.is_about(&gone));
        told.changes.push_values("details", None, Some("5"));
        assert!(!told.is_about(&gone));
    }
}
