//! What changed between two states of one thing.

use crate::event::Changes;
use crate::json::Json;
use crate::redact::Redactor;

/// Compares two states of the same thing, field by field, and redacts what differs.
///
/// Values are equal when their JSON texts are. A field that only one side has was created or deleted with the thing and has
/// only that side's value. Changes come in the order of `new`, then what only `old` has. A field for which `masked` says so,
/// or whose name `redactor` masks, carries no value; text passes the detectors, objects and arrays their names too.
#[must_use]
pub fn diff(old: &[(&str, Json)], new: &[(&str, Json)], redactor: &Redactor, masked: &dyn Fn(&str) -> bool) -> Changes {
    let mut changes = Changes::default();
    let mut add = |field: &str, old: Option<&Json>, new: Option<&Json>| {
        if old == new {
            return;
        }
        if masked(field) || redactor.masks_field(field) {
            changes.push_masked(field);
            return;
        }
        let [old, new] = [old, new].map(|value| value.map(|value| redactor.json(value.as_str().as_bytes(), usize::MAX)));
        if old == new {
            // Both values are the mask: only the fact that it changed may be said.
            changes.push_masked(field);
        } else {
            changes.push_values(field, old.as_ref().map(Json::as_str), new.as_ref().map(Json::as_str));
        }
    };
    for (place, (field, value)) in new.iter().enumerate() {
        add(field, value_of(old, place, field), Some(value));
    }
    for (place, (field, value)) in old.iter().enumerate() {
        if value_of(new, place, field).is_none() {
            add(field, Some(value), None);
        }
    }
    changes
}

/// Finds a field, first at the place where it is on the other side: most states have the same fields in the same order.
fn value_of<'a>(fields: &'a [(&str, Json)], place: usize, name: &str) -> Option<&'a Json> {
    let expected = fields.get(place).filter(|(field, _)| *field == name);
    expected.or_else(|| fields.iter().find(|(field, _)| *field == name)).map(|(_, value)| value)
}
