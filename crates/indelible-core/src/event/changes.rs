//! What changed, as one JSON array that grows change by change.

use crate::json::{ArrayWriter, Json, ObjectWriter, push_string, push_u64};

const OLD: &str = ",\"old\":";
const NEW: &str = ",\"new\":";
const MASKED: &str = ",\"masked\":";
const OLD_UNKNOWN: &str = ",\"old_unknown\":";
const NEW_UNKNOWN: &str = ",\"new_unknown\":";
const EXPRESSION: &str = ",\"expression\":";
const ADDED: &str = ",\"added\":";
const REMOVED: &str = ",\"removed\":";
const EXACT: &str = ",\"exact\":";

const KEY_PENDING: &str = "null";

/// The changes of one event (docs/format.md, "Body"): encoded as they are added, so that holding them costs one string.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    elements: String,
    count: usize,
    /// Where [`KEY_PENDING`] stands for the key that the database will make.
    pending_key: Option<usize>,
    /// Whether they are of links to other rows, not of the row itself.
    are_of_links: bool,
}

/// The name of a field that many changes begin with, encoded once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldName {
    name: String,
    /// A change of a new row's field up to its value.
    created: String,
    /// The same of a row that is gone.
    deleted: String,
}

impl FieldName {
    /// Encodes a name.
    #[must_use]
    pub fn new(name: String) -> Self {
        let mut field = "{\"field\":".to_owned();
        push_string(&mut field, &name);
        Self { created: format!("{field}{NEW}"), deleted: format!("{field}{OLD}"), name }
    }

    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }
}

impl Changes {
    /// No changes yet, with room for `bytes` of text.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { elements: String::with_capacity(bytes), ..Self::default() }
    }

    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many changes there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Length of the encoded changes in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    /// The changes as one JSON array.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let mut out = String::with_capacity(self.elements.len() + 2);
        self.push_to(&mut out);
        Json::from_text(out)
    }

    /// The encoded changes, with commas between them.
    pub(super) fn elements(&self) -> &str {
        &self.elements
    }

    /// Adds a change that is encoded already.
    pub(super) fn push_element(&mut self, element: &str) {
        self.separate();
        self.elements.push_str(element);
    }

    pub(super) fn push_to(&self, out: &mut String) {
        out.push('[');
        out.push_str(&self.elements);
        out.push(']');
    }

    /// Adds a field of a new row; `write` appends its value, exactly one, to what it is given.
    pub fn push_created(&mut self, field: &FieldName, write: impl FnOnce(&mut String)) {
        self.push_value(&field.created, write);
    }

    /// The same of a row that is gone.
    pub fn push_deleted(&mut self, field: &FieldName, write: impl FnOnce(&mut String)) {
        self.push_value(&field.deleted, write);
    }

    fn push_value(&mut self, up_to_value: &str, write: impl FnOnce(&mut String)) {
        self.separate();
        self.elements.push_str(up_to_value);
        write(&mut self.elements);
        self.elements.push('}');
    }

    /// Writes one change of a field. Member names are written as they stand here: they need no escapes, and this is the hottest text of all.
    fn push(&mut self, field: &str, members: &[(&'static str, &str)]) {
        let values: usize = members.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.elements.reserve(field.len() + values + 32);
        self.separate();
        self.elements.push_str("{\"field\":");
        push_string(&mut self.elements, field);
        for (name, value) in members {
            self.elements.push_str(name);
            self.elements.push_str(value);
        }
        self.elements.push('}');
    }

    fn separate(&mut self) {
        if self.count > 0 {
            self.elements.push(',');
        }
        self.count += 1;
    }

    /// Adds a field whose values are both known; `None` where there is no value before (create) or after (delete).
    pub fn push_values(&mut self, field: &str, old: Option<&str>, new: Option<&str>) {
        match (old, new) {
            (Some(old), Some(new)) => self.push(field, &[(OLD, old), (NEW, new)]),
            (Some(old), None) => self.push(field, &[(OLD, old)]),
            (None, Some(new)) => self.push(field, &[(NEW, new)]),
            (None, None) => self.push(field, &[]),
        }
    }

    /// Adds a field of which only the fact that it changed may be said.
    pub fn push_masked(&mut self, field: &str) {
        self.push(field, &[(MASKED, "true")]);
    }

    /// Adds a many-to-many change of which only the fact may be said.
    pub fn push_m2m_masked(&mut self, field: &str) {
        self.are_of_links = true;
        self.push_masked(field);
    }

    /// Whether these are of links to other rows, not of the row itself.
    #[must_use]
    pub fn are_of_links(&self) -> bool {
        self.are_of_links
    }

    /// Adds a field whose old value was never loaded.
    pub fn push_old_unknown(&mut self, field: &str, new: Option<&str>) {
        match new {
            Some(new) => self.push(field, &[(OLD_UNKNOWN, "true"), (NEW, new)]),
            None => self.push(field, &[(OLD_UNKNOWN, "true")]),
        }
    }

    /// Adds a field whose new value the database computed. `old` is `None` when it is not known either.
    pub fn push_new_unknown(&mut self, field: &str, old: Option<&str>, expression: Option<&str>) {
        let old = old.map_or((OLD_UNKNOWN, "true"), |old| (OLD, old));
        match expression.map(Json::string) {
            Some(expression) => self.push(field, &[old, (NEW_UNKNOWN, "true"), (EXPRESSION, expression.as_str())]),
            None => self.push(field, &[old, (NEW_UNKNOWN, "true")]),
        }
    }

    /// Adds a field of a new row whose value the database made and nobody read back.
    pub fn push_created_unknown(&mut self, field: &str, expression: Option<&str>) {
        match expression.map(Json::string) {
            Some(expression) => self.push(field, &[(NEW_UNKNOWN, "true"), (EXPRESSION, expression.as_str())]),
            None => self.push(field, &[(NEW_UNKNOWN, "true")]),
        }
    }

    /// Adds the key of a new row that the database has yet to make: `null` until [`Changes::set_key`].
    pub fn push_pending_key(&mut self, field: &str) {
        self.push(field, &[(NEW, KEY_PENDING)]);
        self.pending_key = Some(self.elements.len() - KEY_PENDING.len() - 1);
    }

    /// Puts in the key that the database has made, as JSON text. Does nothing where none is pending.
    pub fn set_key(&mut self, value: &str) {
        if let Some(at) = self.pending_key.take() {
            self.elements.replace_range(at..at + KEY_PENDING.len(), value);
        }
    }

    /// Puts other text in place of the same changes: as many, in the same order, as the JSON array `text`, whose brackets are left off here.
    ///
    /// The caller knows it to be that. A key that is awaited is awaited still, unless its change reads otherwise now.
    pub fn replace(&mut self, text: &str) {
        let element = self.pending_key.map(|at| {
            let end = at + KEY_PENDING.len();
            let start = self.elements[..at].rfind("{\"field\":").unwrap_or(at);
            self.elements[start..end].to_owned()
        });
        text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text).clone_into(&mut self.elements);
        self.pending_key = element.and_then(|element| Some(self.elements.find(&element)? + element.len() - KEY_PENDING.len()));
    }

    /// Adds a many-to-many change. `exact: false` lists the ids that were asked for, some of which may have been there before.
    pub fn push_m2m(&mut self, field: &str, added: &[Json], removed: &[Json], exact: bool) {
        self.are_of_links = true;
        let exact = if exact { "true" } else { "false" };
        self.push(field, &[(ADDED, &array(added)), (REMOVED, &array(removed)), (EXACT, exact)]);
    }

    /// Adds one statement that touched many rows: the true total where it is known, the ids as far as they are, the filter without its values.
    pub fn push_statement(&mut self, count: Option<u64>, ids: &[Json], filter: Option<&str>, fields: &[&str]) {
        self.separate();
        let mut change = ObjectWriter::begin(&mut self.elements);
        if let Some(count) = count {
            push_u64(change.key("count"), count);
        }
        change.key("ids").push_str(&array(ids));
        change.optional("where", filter);
        if !fields.is_empty() {
            let mut array = ArrayWriter::begin(change.key("fields"));
            for field in fields {
                push_string(array.element(), field);
            }
            array.end();
        }
        change.end();
    }
}

fn array(values: &[Json]) -> String {
    let mut out = String::new();
    let mut array = ArrayWriter::begin(&mut out);
    for value in values {
        array.element().push_str(value.as_str());
    }
    array.end();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pending_key_is_null_until_it_is_set_once() {
        let mut changes = Changes::default();
        changes.push_pending_key("id");
        changes.push_created(&FieldName::new("name".to_owned()), |out| out.push_str("null"));
        assert_eq!(changes.to_json().as_str(), r#"[{"field":"id","new":null},{"field":"name","new":null}]"#);
        changes.set_key("17");
        changes.set_key("18");
        assert_eq!(changes.to_json().as_str(), r#"[{"field":"id","new":17},{"field":"name","new":null}]"#);
    }

    #[test]
    fn a_key_is_awaited_in_changes_that_were_put_in_place_of_others() {
        let mut changes = Changes::default();
        changes.push_created(&FieldName::new("name".to_owned()), |out| out.push_str("\"Ana\""));
        changes.push_pending_key("id");
        changes.replace(r#"[{"field":"name","new":"[masked]"},{"field":"id","new":null}]"#);
        changes.set_key("17");
        assert_eq!(changes.to_json().as_str(), r#"[{"field":"name","new":"[masked]"},{"field":"id","new":17}]"#);
        changes.replace("[1,[2]]");
        assert_eq!(changes.to_json().as_str(), "[1,[2]]");
    }
}
