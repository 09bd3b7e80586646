//! The forms of earlier releases: what 1.3.0.dev19 wrote through structlog (J9), and what the README of 1.0.5 shows (J10).

use indelible_core::ObjectWriter;
use serde_json::value::RawValue;

use super::super::body::{Body, Code, Request, text_of};
use super::super::members::{nullable, number};
use super::{USER_INFO, callsite, change_of, error_text, exchange, execution_time, extra, head, instance_repr, level, log_type, message};
use super::{attempt, event_type, instance_id, optional, query, request_id, timestamp, user};
use crate::sink::Record;

/// J9: what the event is about stands one level down, under `extra`.
pub(in super::super) fn nested(record: &Record, body: &Body<'_>, out: &mut String) {
    let mut line = ObjectWriter::begin(out);
    match body.kind.as_ref() {
        "change" | "read" | "action" => {
            let changes = body.changes();
            head(&mut line, body, "AUDIT", "audit.model", &message(body, &changes), "audit");
            callsite(&mut line, body);
            let mut members = ObjectWriter::begin(line.member("extra"));
            change_of(&mut members, body, &changes);
            instance_repr(members.member("instance_repr"), &event_type(body, &changes), &instance_id(body, &changes), &changes);
            request_id(&mut members, body);
            user(&mut members, body);
            extra(members.member("extra"), record, body, &changes);
            members.end();
        }
        "request" | "outbound" => {
            let external = body.kind == "outbound";
            let message = if external { "Audit External Service" } else { "Audit Internal Request" };
            head(&mut line, body, "API", "audit.request", message, "api");
            callsite(&mut line, body);
            let mut members = ObjectWriter::begin(line.member("extra"));
            members.string("service_name", &body.source.service);
            members.string("request_type", if external { "external" } else { "internal" });
            members.string("protocol", "");
            request_id(&mut members, body);
            user(&mut members, body);
            exchange(&mut members, body);
            nullable(&mut members, "error_message", error_text(body).as_deref());
            execution_time(&mut members, body);
            extra(members.member("extra"), record, body, &[]);
            members.end();
        }
        "auth" => {
            head(&mut line, body, "LOGIN", "audit.login", &body.action, "login");
            callsite(&mut line, body);
            let mut members = ObjectWriter::begin(line.member("extra"));
            attempt(&mut members, body);
            extra(members.member("extra"), record, body, &[]);
            members.end();
        }
        _ => {
            application_head(&mut line, body);
            request_id(&mut line, body);
            line.string("message", &body.action);
            nullable(&mut line, "exception", error_text(body).as_deref());
            line.string("log_type", log_type(body));
        }
    }
    line.end();
}

/// J10: the user as one object, the status among the response, no request id.
pub(in super::super) fn first(record: &Record, body: &Body<'_>, out: &mut String) {
    let mut line = ObjectWriter::begin(out);
    match body.kind.as_ref() {
        "change" | "read" | "action" => {
            let changes = body.changes();
            head(&mut line, body, "AUDIT", "audit.crud", &message(body, &changes), "audit");
            change_of(&mut line, body, &changes);
            user_object(&mut line, body);
            extra(line.member("extra"), record, body, &changes);
        }
        "request" | "outbound" => {
            let external = body.kind == "outbound";
            let message = if external { "Audit External Service" } else { "Audit Internal Request" };
            head(&mut line, body, "API", "audit.request", message, "api");
            line.string("service_name", &body.source.service);
            line.string("request_type", if external { "external" } else { "internal" });
            line.string("protocol", "");
            exchange_with_user(&mut line, body);
            nullable(&mut line, "error_message", error_text(body).as_deref());
            execution_time(&mut line, body);
            extra(line.member("extra"), record, body, &[]);
        }
        _ => {
            application_head(&mut line, body);
            line.string("message", &body.action);
            nullable(&mut line, "exception", error_text(body).as_deref());
            nullable(&mut line, "request", body.request.as_ref().and_then(|request| request.id.as_deref()));
            extra(line.member("extra_fields"), record, body, &body.changes());
        }
    }
    line.end();
}

fn application_head(line: &mut ObjectWriter<'_>, body: &Body<'_>) {
    let none = Code::default();
    let code = body.source.code.as_ref().unwrap_or(&none);
    line.string("timestamp", &timestamp(&body.occurred_at));
    line.string("level", level(body));
    line.string("name", &body.source.service);
    line.string("path", &code.file);
    line.string("module", code.file.rsplit('/').next().and_then(|file| file.strip_suffix(".py")).unwrap_or_default());
    line.string("function", &code.function);
}

fn user_object(object: &mut ObjectWriter<'_>, body: &Body<'_>) {
    let mut user = ObjectWriter::begin(object.member("user"));
    if let Some(id) = body.user_id() {
        user.string("id", id);
        USER_INFO.iter().for_each(|fact| user.string(fact, ""));
    }
    user.end();
}

fn exchange_with_user(line: &mut ObjectWriter<'_>, body: &Body<'_>) {
    let none = Request::default();
    let request = body.request.as_ref().unwrap_or(&none);
    let mut object = ObjectWriter::begin(line.member("request_repr"));
    object.string("method", request.method.as_deref().unwrap_or_default());
    object.string("path", &text_of(request.path).unwrap_or_default());
    query::push(&text_of(request.query).unwrap_or_default(), object.member("query_params"));
    object.member("headers").push_str(request.headers.map_or("{}", RawValue::get));
    user_object(&mut object, body);
    optional(&mut object, "body", request.body);
    object.end();
    let mut object = ObjectWriter::begin(line.member("response_repr"));
    number(&mut object, "status_code", request.status.map(u64::from));
    object.member("headers").push_str(request.response_headers.map_or("{}", RawValue::get));
    optional(&mut object, "body", request.response);
    object.end();
}
