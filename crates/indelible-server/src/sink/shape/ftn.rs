//! What ftn-audit hands to its Celery task (J11): a sentence, and attributes before they are made flat.

use indelible_core::{ObjectWriter, Timestamp, push_i64};

use super::activity::{event_type, instance_id, last_part, strings};
use super::body::{Body, Change, text_of};
use super::members::before_and_after;
use crate::sink::Record;

/// What that package knows about a user. Only the id is among it that an event holds.
const USER: [&str; 3] = ["user_email", "user_first_name", "user_last_name"];

pub(super) fn payload(record: &Record, body: &Body<'_>, out: &mut String) {
    let changes = body.changes();
    let id = instance_id(body, &changes);
    let mut line = ObjectWriter::begin(out);
    let description = body.meta().get("description").and_then(|text| text_of(Some(text)));
    line.string("description", &description.unwrap_or_else(|| generic(body, &changes, &id)));
    let mut attributes = ObjectWriter::begin(line.member("attributes"));
    attributes.string("audit.event_type", event(body, &changes));
    attributes.string("audit.model", body.resource.as_ref().map_or("", |resource| &resource.r#type));
    attributes.string("audit.model_pk", &id);
    attributes.string("audit.raw_route", "");
    attributes.string("user_id", body.user_id().unwrap_or_default());
    USER.iter().for_each(|fact| attributes.string(fact, ""));
    match changes.first() {
        Some(change) if change.added.is_some() || change.removed.is_some() => collection(&mut attributes, change),
        _ => before_and_after(attributes.member("audit.changeset"), &changes, ["old", "new"]),
    }
    // What that package never sent, and whoever joins the two needs.
    attributes.string("audit.event_id", &record.entry.event.to_string());
    attributes.optional("audit.request_id", body.request.as_ref().and_then(|request| request.id.as_deref()));
    if let Some(trace) = text_of(body.trace_id) {
        attributes.string("trace_id", &trace);
    }
    attributes.end();
    let at = body.occurred_at.parse().map_or(0, Timestamp::micros);
    push_i64(line.member("timestamp_ns"), at.saturating_mul(1000));
    line.end();
}

fn event(body: &Body<'_>, changes: &[Change<'_>]) -> &'static str {
    match event_type(body, changes).as_ref() {
        "CREATE" | "BULK_CREATE" => "creation",
        "DELETE" | "BULK_DELETE" => "deletion",
        "M2M" => "collection_update",
        _ => "update",
    }
}

fn generic(body: &Body<'_>, changes: &[Change<'_>], id: &str) -> String {
    let model = body.resource.as_ref().map_or("", |resource| last_part(&resource.r#type));
    let fields: Vec<_> = changes.iter().filter_map(|change| change.field.as_deref()).collect();
    match event(body, changes) {
        "creation" => format!("Created {model} #{id}"),
        "deletion" => format!("Deleted {model} #{id}"),
        "collection_update" => format!("{} on {model} #{id}.{}", action(&changes[0]), fields.join(", ")),
        _ => format!("Updated {model} #{id} ({})", fields.join(", ")),
    }
}

fn action(change: &Change<'_>) -> &'static str {
    if change.added.as_ref().is_some_and(|added| !added.is_empty()) { "post_add" } else { "post_remove" }
}

fn collection(attributes: &mut ObjectWriter<'_>, change: &Change<'_>) {
    attributes.string("audit.field_name", change.field.as_deref().unwrap_or_default());
    attributes.string("audit.action", action(change));
    let ids = if action(change) == "post_add" { &change.added } else { &change.removed };
    strings(attributes.member("audit.pk_set"), ids.as_deref().unwrap_or_default());
}
