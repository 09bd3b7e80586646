//! Members that several shapes write alike.

use indelible_core::{MASK, ObjectWriter, push_string};

use super::activity::strings;
use super::body::Change;

/// By field, what it was and what it is, under these two names: `[masked]` for a masked field, `null` for an unknown value. Of a many-to-many
/// field what was `added` and `removed`.
pub(super) fn before_and_after(out: &mut String, changes: &[Change<'_>], names: [&'static str; 2]) {
    let mut object = ObjectWriter::begin(out);
    for change in changes {
        let Some(field) = change.field.as_deref() else { continue };
        let mut values = ObjectWriter::begin(object.key(field));
        if change.added.is_some() || change.removed.is_some() {
            strings(values.member("added"), change.added.as_deref().unwrap_or_default());
            strings(values.member("removed"), change.removed.as_deref().unwrap_or_default());
            values.end();
            continue;
        }
        for (name, value) in names.into_iter().zip([change.old, change.new]) {
            match value {
                _ if change.masked => values.string(name, MASK),
                Some(value) => values.member(name).push_str(value.get()),
                None => values.member(name).push_str("null"),
            }
        }
        values.end();
    }
    object.end();
}

/// A text, or `null`.
pub(super) fn nullable(object: &mut ObjectWriter<'_>, name: &'static str, text: Option<&str>) {
    match text {
        Some(text) => push_string(object.member(name), text),
        None => object.member(name).push_str("null"),
    }
}

/// A number, or `null`.
pub(super) fn number(object: &mut ObjectWriter<'_>, name: &'static str, value: Option<u64>) {
    match value {
        Some(value) => object.integer(name, value),
        None => object.member(name).push_str("null"),
    }
}
