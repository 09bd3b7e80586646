//! A row of django-system-audit (J14): who did what to which object, everything else in `metadata`.

use indelible_core::ObjectWriter;
use serde_json::value::RawValue;

use super::activity::{instance_id, last_part};
use super::body::{Body, Change, text_of};
use super::members::{before_and_after, nullable};
use crate::sink::Record;

/// Members of `metadata` that are not the application's.
const OURS: [&str; 8] = ["ip", "user_agent", "path", "method", "auth_type", "diffs", "outcome", "event_id"];

pub(super) fn row(record: &Record, body: &Body<'_>, out: &mut String) {
    let changes = body.changes();
    let id = instance_id(body, &changes);
    let mut line = ObjectWriter::begin(out);
    nullable(&mut line, "actor_id", body.user_id());
    line.string("action", &action(body));
    // There it is a number of a table; the label is what it stands for.
    nullable(&mut line, "target_content_type", body.resource.as_ref().map(|resource| resource.r#type.to_lowercase()).as_deref());
    nullable(&mut line, "target_object_id", Some(id.as_str()).filter(|id| !id.is_empty()));
    metadata(line.member("metadata"), record, body, &changes);
    line.string("created_at", &body.occurred_at);
    line.end();
}

/// Its words, in capitals; what it has no word for is the action as it was normalised there. What did not happen says so.
fn action(body: &Body<'_>) -> String {
    let word = match last_part(&body.action) {
        _ if body.kind == "action" => body.action.to_uppercase().replace(['.', ' ', '-'], "_"),
        "list" => "VIEW".to_owned(),
        verb => verb.to_uppercase(),
    };
    if body.outcome == "success" || body.kind == "auth" { word } else { format!("{word}_{}", body.outcome.to_uppercase()) }
}

fn metadata(out: &mut String, record: &Record, body: &Body<'_>, changes: &[Change<'_>]) {
    let mut object = ObjectWriter::begin(out);
    if let Some(request) = &body.request {
        for (name, value) in [("ip", request.client_ip), ("user_agent", request.user_agent), ("path", request.path)] {
            optional(&mut object, name, value);
        }
        object.optional("method", request.method.as_deref());
    }
    optional(&mut object, "auth_type", body.actor.auth.filter(|_| body.kind == "auth"));
    if !changes.is_empty() {
        before_and_after(object.member("diffs"), changes, ["old", "new"]);
    }
    for (name, value) in body.meta().iter().filter(|(name, _)| !OURS.contains(&name.as_ref())) {
        object.key(name).push_str(value.get());
    }
    object.string("outcome", &body.outcome);
    object.string("event_id", &record.entry.event.to_string());
    object.end();
}

fn optional(object: &mut ObjectWriter<'_>, name: &'static str, value: Option<&RawValue>) {
    if let Some(text) = text_of(value) {
        object.string(name, &text);
    }
}
