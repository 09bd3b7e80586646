//! `extra`: their own members for statements and many-to-many changes (J2, J3), then what of an event those records have no key for.

use indelible_core::ObjectWriter;

use super::{error_text, optional, strings};
use crate::sink::Record;
use crate::sink::shape::body::{Body, Change};

/// Their word for a many-to-many change. One that adds and removes is told as adding; `changes` has both.
pub(super) fn m2m_action(changes: &[Change<'_>]) -> &'static str {
    let adds = changes.iter().any(|change| change.added.as_ref().is_some_and(|added| !added.is_empty()));
    if adds { "post_add" } else { "post_remove" }
}

pub(super) fn extra(out: &mut String, record: &Record, body: &Body<'_>, changes: &[Change<'_>]) {
    let mut object = ObjectWriter::begin(out);
    match changes.first() {
        Some(change) if change.added.is_some() || change.removed.is_some() => many_to_many(&mut object, change, changes),
        Some(change) if change.count.is_some() || change.ids.is_some() => statement(&mut object, change),
        _ => {}
    }
    ours(&mut object, record, body);
    object.end();
}

fn statement(object: &mut ObjectWriter<'_>, change: &Change<'_>) {
    if let Some(count) = change.count {
        object.integer("total_count", count);
    }
    optional(object, "fields", change.fields);
}

fn many_to_many(object: &mut ObjectWriter<'_>, change: &Change<'_>, changes: &[Change<'_>]) {
    let action = m2m_action(changes);
    object.string("action", action);
    object.string("field_name", change.field.as_deref().unwrap_or_default());
    let related = if action == "post_add" { &change.added } else { &change.removed };
    strings(object.member("related_ids"), related.as_deref().unwrap_or_default());
}

fn ours(object: &mut ObjectWriter<'_>, record: &Record, body: &Body<'_>) {
    object.string("event_id", &record.entry.event.to_string());
    object.integer("leaf", record.leaf_index);
    object.string("verdict", record.entry.verdict.as_str());
    object.string("event_action", &body.action);
    object.string("outcome", &body.outcome);
    object.optional("error", error_text(body).as_deref());
    object.string("service", &body.source.service);
    object.string("actor_type", &body.actor.r#type);
    object.optional("actor_id", body.actor.id.as_deref());
    optional(object, "actor_label", body.actor.label);
    if let Some(resource) = &body.resource {
        object.string("resource_type", &resource.r#type);
        object.optional("resource_id", resource.id.as_deref());
        optional(object, "resource_label", resource.label);
    }
    if let Some(request) = &body.request {
        if let Some(status) = request.status {
            object.integer("status_code", status.into());
        }
        optional(object, "route", request.route);
        optional(object, "client_ip", request.client_ip);
        optional(object, "user_agent", request.user_agent);
    }
    for (name, value) in
        [("changes", body.changes), ("trace_id", body.trace_id), ("reason", body.reason), ("tenant", body.tenant), ("meta", body.meta)]
    {
        optional(object, name, value);
    }
}
