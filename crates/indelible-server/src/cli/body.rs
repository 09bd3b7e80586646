//! A stored body as the commands show it: parsed just as far as people read it.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use crate::search::Hit;

/// Most characters of a request's method and path in a list.
const OBJECT_CHARS_MAX: usize = 60;

/// The parts of a body that are shown. What is missing, or is no event at all, is shown as missing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Body {
    pub(crate) id: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) action: Option<String>,
    pub(crate) outcome: Option<String>,
    pub(crate) error: Option<Value>,
    pub(crate) occurred_at: Option<String>,
    pub(crate) recorded_at: Option<String>,
    pub(crate) actor: Option<Party>,
    pub(crate) resource: Option<Party>,
    pub(crate) changes: Option<Value>,
    pub(crate) request: Option<Value>,
    pub(crate) trace_id: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) tenant: Option<String>,
    pub(crate) meta: Option<Value>,
    pub(crate) source: Option<Source>,
    pub(crate) notes: Option<Value>,
}

/// An actor or a resource.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Party {
    pub(crate) r#type: Option<String>,
    pub(crate) id: Option<String>,
    pub(crate) label: Option<String>,
    pub(crate) on_behalf_of: Option<Box<Party>>,
}

/// Who observed it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Source {
    pub(crate) service: Option<String>,
    pub(crate) environment: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) process_kind: Option<String>,
}

impl Body {
    /// Reads a body; bytes that are no event give an empty one.
    pub(crate) fn parse(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }

    /// The body of a record; one that was erased is shown as that and nothing else.
    pub(crate) fn of(hit: &Hit) -> Self {
        if hit.erased { Self { action: Some("erased".to_owned()), ..Self::default() } } else { Self::parse(&hit.body) }
    }

    /// Who did it, in a few words.
    pub(crate) fn actor(&self) -> String {
        self.actor.as_ref().map_or_else(|| "-".to_owned(), Party::named_actor)
    }

    /// What it was done to, as `TYPE/ID`.
    pub(crate) fn resource(&self) -> String {
        match &self.resource {
            Some(Party { r#type: Some(kind), id: Some(id), .. }) => format!("{kind}/{id}"),
            Some(Party { r#type: Some(kind), .. }) => kind.clone(),
            _ => "-".to_owned(),
        }
    }

    /// What a list for people shows as its object: `TYPE/ID`, a name where there is no id, and of a request its method and path.
    pub(crate) fn object(&self) -> String {
        match &self.resource {
            Some(Party { r#type: Some(kind), id: None, label: Some(label), .. }) => format!("{kind} {label}"),
            Some(_) => self.resource(),
            None if self.kind.as_deref() == Some("request") => self.request_line().map_or_else(|| "-".to_owned(), |line| cut(&line)),
            None => "-".to_owned(),
        }
    }

    /// What a request asked for: its method and its path. `None` where neither is recorded.
    pub(crate) fn request_line(&self) -> Option<String> {
        let member = |name| self.request.as_ref()?.get(name)?.as_str();
        let words: Vec<_> = [member("method"), member("path").or_else(|| member("route"))].into_iter().flatten().collect();
        (!words.is_empty()).then(|| words.join(" "))
    }

    /// One sentence: who did what to what, with which result.
    pub(crate) fn sentence(&self) -> String {
        let mut sentence = format!("{}: {}", self.actor(), or_dash(self.action.as_deref()));
        match &self.resource {
            Some(Party { id: Some(_), label: Some(label), .. }) => sentence.push_str(&format!(" on {} ({label})", self.resource())),
            _ if self.object() != "-" => sentence.push_str(&format!(" on {}", self.object())),
            _ => {}
        }
        sentence.push_str(&format!(": {}", or_dash(self.outcome.as_deref())));
        if let Some(behalf) = self.actor.as_ref().and_then(|actor| actor.on_behalf_of.as_ref()) {
            sentence.push_str(&format!(", on behalf of {}", behalf.named_actor()));
        }
        if let Some(reason) = &self.reason {
            sentence.push_str(&format!(", because: {reason}"));
        }
        sentence
    }

    /// What changed.
    pub(crate) fn changes(&self) -> Vec<Change> {
        match &self.changes {
            None => Vec::new(),
            Some(Value::Array(changes)) => changes.iter().map(Change::of).collect(),
            Some(other) => vec![Change::words(None, format!("changes {}", shown(other)))],
        }
    }

    /// What changed, one line for each field.
    pub(crate) fn diff(&self) -> Vec<String> {
        self.changes().iter().map(Change::line).collect()
    }
}

impl Party {
    fn named_actor(&self) -> String {
        let kind = self.r#type.as_deref().unwrap_or("actor");
        match (&self.label, &self.id) {
            (Some(label), Some(id)) if label != id => format!("{label} ({kind} {id})"),
            (Some(name), _) | (None, Some(name)) => format!("{name} ({kind})"),
            (None, None) => kind.to_owned(),
        }
    }
}

/// So much of a line that a table stays one.
fn cut(line: &str) -> String {
    let mut letters = line.chars();
    let beginning: String = letters.by_ref().take(OBJECT_CHARS_MAX).collect();
    if letters.next().is_some() { beginning + "…" } else { beginning }
}

pub(crate) fn or_dash(text: Option<&str>) -> &str {
    text.unwrap_or("-")
}

/// How one change is shown.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// The field; nothing where a statement touched many rows.
    pub(crate) field: Option<String>,
    /// The values before and after, where the change is one from value to value.
    pub(crate) sides: Option<(String, String)>,
    /// What happened, in words.
    pub(crate) text: String,
}

impl Change {
    fn words(field: Option<&str>, text: String) -> Self {
        Self { field: field.map(str::to_owned), sides: None, text }
    }

    /// Reads one change (docs/format.md, "Body").
    fn of(change: &Value) -> Self {
        let flag = |name: &str| change.get(name) == Some(&Value::Bool(true));
        let Some(field) = change.get("field").and_then(Value::as_str) else { return Self::words(None, statement(change)) };
        if flag("masked") {
            return Self::words(Some(field), "•••• (changed)".to_owned());
        }
        if change.get("added").is_some() || change.get("removed").is_some() {
            let requested = if flag("exact") { "" } else { " (as requested)" };
            let text = format!("+{} -{}{requested}", member(change, "added"), member(change, "removed"));
            return Self::words(Some(field), text);
        }
        let old = if flag("old_unknown") { Cow::Borrowed("(unknown)") } else { member(change, "old") };
        let new = match (flag("new_unknown"), change.get("expression").and_then(Value::as_str)) {
            (true, Some(expression)) => Cow::Owned(format!("(computed: {expression})")),
            (true, None) => Cow::Borrowed("(unknown)"),
            (false, _) => member(change, "new"),
        };
        Self { field: Some(field.to_owned()), text: format!("{old} → {new}"), sides: Some((old.into_owned(), new.into_owned())) }
    }

    /// The change on one line.
    pub(crate) fn line(&self) -> String {
        match &self.field {
            Some(field) => format!("{field}: {}", self.text),
            None => self.text.clone(),
        }
    }
}

/// One line for a statement that touched many rows.
fn statement(change: &Value) -> String {
    let mut line = match change.get("count") {
        Some(count) => format!("{count} rows"),
        None => "rows, how many is not known".to_owned(),
    };
    for part in ["where", "fields", "ids"] {
        if let Some(value) = change.get(part) {
            line.push_str(&format!("; {part} {}", shown(value)));
        }
    }
    line
}

fn member<'a>(change: &'a Value, name: &str) -> Cow<'a, str> {
    change.get(name).map_or(Cow::Borrowed("-"), shown)
}

/// A value for people: a text as it is, everything else as JSON.
pub(crate) fn shown(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Owned(format!("{text:?}")),
        other => Cow::Owned(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_shows_of_a_request_what_it_asked_for_and_a_name_where_there_is_no_id() {
        let object = |body: &str| Body::parse(body.as_bytes()).object();
        let request = |path: &str| format!(r#"{{"kind":"request","request":{{"method":"POST","path":"{path}"}}}}"#);
        assert_eq!(object(&request("/patients/7/")), "POST /patients/7/");
        let long = object(&request(&"x".repeat(99)));
        assert!(long.chars().count() == OBJECT_CHARS_MAX + 1 && long.ends_with('…'), "{long}");
        assert_eq!(object(r#"{"kind":"task","resource":{"type":"command","label":"nightly"}}"#), "command nightly");
        assert_eq!(object(r#"{"resource":{"type":"clinic.Patient","id":"7","label":"Mia"}}"#), "clinic.Patient/7");
        assert_eq!(object(r#"{"kind":"change","request":{"method":"POST","path":"/x/"}}"#), "-");
        assert_eq!(Body::parse(request("/x/").as_bytes()).sentence(), "-: - on POST /x/: -");
    }

    fn diff(changes: &str) -> Vec<String> {
        Body::parse(format!(r#"{{"changes":{changes}}}"#).as_bytes()).diff()
    }

    #[test]
    fn every_form_of_change_has_a_line() {
        let lines = diff(
            r#"[{"field":"name","old":"Ana","new":"Bo"},{"field":"ssn","masked":true},{"field":"age","old_unknown":true,"new":4},
                {"field":"n","old":1,"new_unknown":true,"expression":"n + ?"},{"field":"tags","added":[1],"removed":[],"exact":false},
                {"count":3,"ids":[1,2,3],"where":"age > ?","fields":["age"]},{"ids":[7]}]"#,
        );
        assert_eq!(
            lines,
            [
                "name: \"Ana\" → \"Bo\"",
                "ssn: •••• (changed)",
                "age: (unknown) → 4",
                "n: 1 → (computed: n + ?)",
                "tags: +[1] -[] (as requested)",
                "3 rows; where \"age > ?\"; fields [\"age\"]; ids [1,2,3]",
                "rows, how many is not known; ids [7]",
            ]
        );
    }

    #[test]
    fn a_truncated_diff_says_so() {
        assert_eq!(diff(r#"{"truncated":true,"bytes":9}"#), [r#"changes {"bytes":9,"truncated":true}"#]);
    }

    #[test]
    fn a_body_that_is_no_event_is_shown_as_missing() {
        let body = Body::parse(b"\xff");
        assert_eq!((body.actor(), body.resource(), body.sentence()), ("-".into(), "-".into(), "-: -: -".into()));
    }

    #[test]
    fn the_sentence_names_label_id_and_reason_once() {
        let body = Body::parse(
            br#"{"action":"patient.update","outcome":"success","actor":{"type":"user","id":"7","label":"ana"},
                "resource":{"type":"clinic.Patient","id":"42","label":"B."},"reason":"ticket 9"}"#,
        );
        assert_eq!(body.sentence(), "ana (user 7): patient.update on clinic.Patient/42 (B.): success, because: ticket 9");
    }
}
