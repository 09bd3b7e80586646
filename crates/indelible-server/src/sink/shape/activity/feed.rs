//! The activity feed that the roadmap of that package planned (J15): what people did to things, with the fields that changed.

use indelible_core::ObjectWriter;

use super::super::body::{Body, text_of};
use super::super::members::before_and_after;
use super::{event_type, extra, instance_id, message, model_name, timestamp, user};
use crate::sink::Record;

/// A line of the feed.
pub(in super::super) fn feed(record: &Record, body: &Body<'_>, out: &mut String) {
    let changes = body.changes();
    let mut line = ObjectWriter::begin(out);
    line.string("timestamp", &timestamp(&body.occurred_at));
    line.string("level", "ACTIVITY");
    line.string("name", "audit.activity");
    line.string("message", &message(body, &changes));
    line.string("service_name", &body.source.service);
    user(&mut line, body);
    line.string("action", done(&event_type(body, &changes)));
    line.string("entity_type", model_name(body));
    line.string("entity_id", &instance_id(body, &changes));
    let label = body.resource.as_ref().and_then(|resource| text_of(resource.label));
    line.string("entity_name", &label.unwrap_or_default());
    before_and_after(line.member("changed_fields"), &changes, ["from", "to"]);
    extra(line.member("extra"), record, body, &changes);
    line.end();
}

fn done(event: &str) -> &'static str {
    match event {
        "CREATE" | "BULK_CREATE" => "CREATED",
        "DELETE" | "BULK_DELETE" => "DELETED",
        _ => "EDITED",
    }
}
