//! The records of django-activity-audit 1.3: the same keys with values of the same types. What an event does not hold stays empty; what
//! those records have no key for goes into `extra`.

mod extra;
mod feed;
mod older;
mod outbound;
pub(super) mod query;

use std::borrow::Cow;

use indelible_core::{MASK, ObjectWriter, push_f64, push_string};
use serde_json::value::RawValue;

use self::extra::extra;
pub(super) use self::feed::feed;
pub(super) use self::older::{first, nested};
pub(super) use self::outbound::{http, sftp};
use super::body::{Body, Change, text_of};
use crate::sink::Record;

/// What those records know about a user. Only the id is among it that an event may hold.
const USER_INFO: [&str; 7] = ["title", "email", "first_name", "middle_name", "last_name", "sex", "date_of_birth"];

/// A model record (J1, J2, J3).
pub(super) fn model(record: &Record, body: &Body<'_>, out: &mut String) {
    let changes = body.changes();
    let (event, id) = (event_type(body, &changes), instance_id(body, &changes));
    let mut line = ObjectWriter::begin(out);
    head(&mut line, body, "AUDIT", "audit.model", &message(body, &changes), "audit");
    change_of(&mut line, body, &changes);
    instance_repr(line.member("instance_repr"), &event, &id, &changes);
    request_id(&mut line, body);
    user(&mut line, body);
    extra(line.member("extra"), record, body, &changes);
    line.end();
}

/// What happened to which row; nobody who counts what happened may count what did not.
fn named(body: &Body<'_>, event: &str) -> String {
    if body.outcome == "success" { event.to_owned() } else { format!("{event}_{}", body.outcome.to_uppercase()) }
}

fn message(body: &Body<'_>, changes: &[Change<'_>]) -> String {
    let (event, id, model) = (event_type(body, changes), instance_id(body, changes), model_name(body));
    let named = named(body, &event);
    match event.as_ref() {
        "BULK_UPDATE" => format!("{named} event by {model}"),
        "M2M" => format!("{named} {} event by {model} (id: {id})", extra::m2m_action(changes)),
        _ => format!("{named} event by {model} (id: {id})"),
    }
}

fn change_of(line: &mut ObjectWriter<'_>, body: &Body<'_>, changes: &[Change<'_>]) {
    line.string("model", model_name(body));
    line.string("event_type", &named(body, &event_type(body, changes)));
    line.string("instance_id", &instance_id(body, changes));
}

fn model_name<'b>(body: &'b Body<'_>) -> &'b str {
    body.resource.as_ref().map_or("", |resource| last_part(&resource.r#type))
}

/// A request record (J4).
pub(super) fn request(record: &Record, body: &Body<'_>, out: &mut String) {
    let mut line = ObjectWriter::begin(out);
    head(&mut line, body, "API", "audit.request", "Audit Internal Request", "api");
    line.string("service_name", &body.source.service);
    line.string("request_type", "internal");
    // Which of http and https it was, an event does not say.
    line.string("protocol", "");
    request_id(&mut line, body);
    user(&mut line, body);
    exchange(&mut line, body);
    match error_text(body) {
        Some(error) => line.string("error_message", &error),
        None => line.member("error_message").push_str("null"),
    }
    execution_time(&mut line, body);
    extra(line.member("extra"), record, body, &[]);
    line.end();
}

/// An application record (J7).
pub(super) fn application(record: &Record, body: &Body<'_>, out: &mut String) {
    let mut line = ObjectWriter::begin(out);
    head(&mut line, body, level(body), &body.source.service, &body.action, log_type(body));
    callsite(&mut line, body);
    if let Some(id) = body.request.as_ref().and_then(|request| request.id.as_deref()) {
        line.string("request_id", id);
    }
    if let Some(error) = error_text(body) {
        line.string("exception", &error);
    }
    extra(line.member("extra"), record, body, &body.changes());
    line.end();
}

/// A login record (J8).
pub(super) fn login(record: &Record, body: &Body<'_>, out: &mut String) {
    let mut line = ObjectWriter::begin(out);
    head(&mut line, body, "LOGIN", "audit.login", &body.action, "login");
    callsite(&mut line, body);
    attempt(&mut line, body);
    extra(line.member("extra"), record, body, &body.changes());
    line.end();
}

/// Who tried to log in or out, and how it ended.
fn attempt(line: &mut ObjectWriter<'_>, body: &Body<'_>) {
    let verb = last_part(&body.action);
    request_id(line, body);
    user(line, body);
    line.string("event", if verb == "login_failed" { "login" } else { verb });
    line.boolean("success", body.outcome == "success");
    line.string("error", &error_text(body).unwrap_or_default());
}

fn level(body: &Body<'_>) -> &'static str {
    match body.outcome.as_ref() {
        "success" => "INFO",
        "failure" => "ERROR",
        _ => "WARNING",
    }
}

fn log_type(body: &Body<'_>) -> &'static str {
    match body.source.process_kind.as_ref() {
        "worker" => "celeryworker",
        "beat" => "celerybeat",
        _ => "app",
    }
}

fn execution_time(line: &mut ObjectWriter<'_>, body: &Body<'_>) {
    match body.request.as_ref().and_then(|request| request.duration_us) {
        Some(micros) => push_f64(line.member("execution_time"), micros as f64 / 1e6),
        None => line.member("execution_time").push_str("null"),
    }
}

fn head(line: &mut ObjectWriter<'_>, body: &Body<'_>, level: &str, name: &str, message: &str, log_type: &str) {
    line.string("timestamp", &timestamp(&body.occurred_at));
    line.string("level", level);
    line.string("name", name);
    line.string("message", message);
    line.string("log_type", log_type);
}

/// `2026-01-10T08:00:00.123456Z` as `2026-01-10 08:00:00.123`: their form, in UTC.
fn timestamp(occurred_at: &str) -> String {
    let milliseconds = occurred_at.get(..23).unwrap_or(occurred_at);
    milliseconds.replacen('T', " ", 1)
}

fn request_id(line: &mut ObjectWriter<'_>, body: &Body<'_>) {
    line.string("request_id", body.request.as_ref().and_then(|request| request.id.as_deref()).unwrap_or_default());
}

fn callsite(line: &mut ObjectWriter<'_>, body: &Body<'_>) {
    let code = body.source.code.as_ref();
    line.string("filename", code.map_or("", |code| &code.file));
    line.string("func_name", code.map_or("", |code| &code.function));
}

/// Id and empty facts of a user; of everybody else nothing, as without a user there.
fn user(line: &mut ObjectWriter<'_>, body: &Body<'_>) {
    line.string("user_id", body.user_id().unwrap_or_default());
    let is_user = body.actor.r#type == "user";
    let mut info = ObjectWriter::begin(line.member("user_info"));
    USER_INFO.iter().filter(|_| is_user).for_each(|fact| info.string(fact, ""));
    info.end();
}

fn exchange(line: &mut ObjectWriter<'_>, body: &Body<'_>) {
    let none = super::body::Request::default();
    let request = body.request.as_ref().unwrap_or(&none);
    let mut object = ObjectWriter::begin(line.member("request_repr"));
    object.string("method", request.method.as_deref().unwrap_or_default());
    object.string("path", &text_of(request.path).unwrap_or_default());
    query::push(&text_of(request.query).unwrap_or_default(), object.member("query_params"));
    object.member("headers").push_str(request.headers.map_or("{}", RawValue::get));
    optional(&mut object, "body", request.body);
    object.end();
    let mut object = ObjectWriter::begin(line.member("response_repr"));
    object.member("headers").push_str(request.response_headers.map_or("{}", RawValue::get));
    optional(&mut object, "body", request.response);
    object.end();
}

/// Their words for what happened to a row; another verb of ours stands in capitals.
pub(super) fn event_type<'a>(body: &Body<'_>, changes: &[Change<'_>]) -> Cow<'a, str> {
    let is_bulk = changes.first().is_some_and(|change| change.count.is_some() || change.ids.is_some());
    let is_m2m = !changes.is_empty() && changes.iter().all(|change| change.added.is_some() || change.removed.is_some());
    match (last_part(&body.action), is_bulk) {
        _ if is_m2m => "M2M".into(),
        ("create", false) => "CREATE".into(),
        ("create", true) => "BULK_CREATE".into(),
        ("update", false) => "UPDATE".into(),
        ("update", true) => "BULK_UPDATE".into(),
        (other, _) => other.to_uppercase().into(),
    }
}

/// The id of the row; of a statement over many rows that of the first.
pub(super) fn instance_id(body: &Body<'_>, changes: &[Change<'_>]) -> String {
    let own = body.resource.as_ref().and_then(|resource| resource.id.as_deref()).map(str::to_owned);
    own.or_else(|| plain(changes.first()?.ids.as_ref()?.first()?).into()).unwrap_or_default()
}

/// What is known of the row's fields: after a deletion what they were, else what they are now.
fn instance_repr(out: &mut String, event: &str, id: &str, changes: &[Change<'_>]) {
    let mut object = ObjectWriter::begin(out);
    if event == "M2M" {
        object.string("id", id);
    }
    for change in changes.iter().filter(|change| change.added.is_none() && change.removed.is_none()) {
        let Some(field) = change.field.as_deref() else { continue };
        let value = if event == "DELETE" { change.old } else { change.new };
        match value {
            _ if change.masked => object.string(field, MASK),
            Some(value) => object.key(field).push_str(value.get()),
            None => object.key(field).push_str("null"),
        }
    }
    object.end();
}

pub(super) fn error_text(body: &Body<'_>) -> Option<String> {
    let error = body.error.as_ref()?;
    let parts: Vec<_> = [text_of(error.r#type), text_of(error.message)].into_iter().flatten().filter(|part| !part.is_empty()).collect();
    Some(parts.join(": "))
}

pub(super) fn last_part(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// A value as text: a string without its quotes, everything else as it is.
pub(super) fn plain(raw: &RawValue) -> String {
    text_of(Some(raw)).unwrap_or_else(|| raw.get().to_owned())
}

fn optional(object: &mut ObjectWriter<'_>, name: &'static str, value: Option<&RawValue>) {
    if let Some(value) = value {
        object.member(name).push_str(value.get());
    }
}

pub(super) fn strings(out: &mut String, values: &[&RawValue]) {
    let mut array = indelible_core::ArrayWriter::begin(out);
    values.iter().for_each(|value| push_string(array.element(), &plain(value)));
    array.end();
}
