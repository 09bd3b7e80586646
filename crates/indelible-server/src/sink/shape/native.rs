//! `{"leaf":…,"verdict":…,"received_at":…,"event":{…}}`, the event as it was recorded, to the byte.

use indelible_core::{ObjectWriter, push_timestamp};

use super::body::Body;
use crate::sink::Record;

pub(super) fn push(record: &Record, body: &Body<'_>, out: &mut String) {
    let mut line = ObjectWriter::begin(out);
    line.integer("leaf", record.leaf_index);
    line.string("verdict", record.entry.verdict.as_str());
    push_timestamp(line.member("received_at"), record.entry.received_at);
    one_line(body.text, line.member("event"));
    line.end();
}

/// A line break in valid JSON stands between tokens, where a space means the same.
fn one_line(text: &str, out: &mut String) {
    out.extend(text.chars().map(|character| if matches!(character, '\n' | '\r') { ' ' } else { character }));
}
