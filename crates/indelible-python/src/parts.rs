//! The parts of an event, read from the mappings that Python hands over.

use std::borrow::Cow;

use indelible::{Actor, ActorType, Changes, ErrorInfo, Json, Redactor, Request, Resource, not_captured, push_i64};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::body::PyBody;
use crate::types::{Sort, Types};
use crate::values::Unknown;
use crate::walk::{Walker, shortened, text_of};

const LABEL_BYTES_MAX: usize = 256;

/// The members of any mapping.
///
/// A list of its own: turning a value into text can run code that changes the mapping.
fn members<'py>(mapping: &Bound<'py, PyAny>) -> PyResult<Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)>> {
    if let Ok(dict) = mapping.cast_exact::<PyDict>() {
        return Ok(dict.iter().collect());
    }
    let copy = mapping.py().get_type::<PyDict>().call1((mapping,))?;
    Ok(copy.cast::<PyDict>()?.iter().collect())
}

/// The name of a member; one that is no text has none, so that it matches none that is known.
fn name_of<'a>(name: &'a Bound<'_, PyAny>) -> PyResult<Cow<'a, str>> {
    name.cast::<PyString>().map_or(Ok(Cow::Borrowed("")), text_of)
}

/// What `read` makes of a value; `None` stays absent.
fn present<'py, T>(value: &Bound<'py, PyAny>, read: impl FnOnce(&Bound<'py, PyAny>) -> PyResult<T>) -> PyResult<Option<T>> {
    if value.is_none() { Ok(None) } else { read(value).map(Some) }
}

fn not_a_member(of: &str, name: &Bound<'_, PyAny>) -> PyErr {
    name.repr().map_or_else(|error| error, |name| PyValueError::new_err(format!("{of} has no member {name}")))
}

/// The text of a value that ought to be text; anything else as its `str()`.
pub(crate) fn text(value: &Bound<'_, PyAny>) -> PyResult<String> {
    text_through(value, |text| text.into())
}

/// Free text, redacted.
pub(crate) fn redacted_text(redactor: &Redactor, value: &Bound<'_, PyAny>) -> PyResult<String> {
    text_through(value, |text| redactor.text(text))
}

/// What `redact` leaves of a text, copied once.
fn text_through(value: &Bound<'_, PyAny>, redact: impl FnOnce(&str) -> Cow<'_, str>) -> PyResult<String> {
    match value.cast_exact::<PyString>() {
        Ok(text) => Ok(redact(&text_of(text)?).into_owned()),
        Err(_) => Ok(redact(&text_of(&value.str()?)?).into_owned()),
    }
}

/// An identifier: text as it is, `None` as absent, anything else as the text of its JSON. Identifiers are not searched for secrets: a
/// sixteen-digit key would pass for a card.
pub(crate) fn identifier(value: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    if value.is_none() {
        return Ok(None);
    }
    // Asking text for a number makes an exception, which costs more than the rest of an identifier.
    if may_be_integer(value)?
        && let Ok(number) = value.extract::<i64>()
    {
        let mut digits = String::new();
        push_i64(&mut digits, number);
        return Ok(Some(digits));
    }
    Ok(Some(Walker::plain(value.py())?.bare(value).into_owned()))
}

fn may_be_integer(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(matches!(Types::get(value.py())?.exact(value), None | Some(Sort::Integer | Sort::Boolean)))
}

/// A name to show, redacted and cut.
pub(crate) fn label(redactor: &Redactor, value: &Bound<'_, PyAny>) -> PyResult<String> {
    Ok(shortened(&redactor.text(&text_of(&value.str()?)?), LABEL_BYTES_MAX).to_owned())
}

/// A list of identifiers as JSON strings.
pub(crate) fn identifiers(values: &Bound<'_, PyAny>, at_most: usize) -> PyResult<Vec<Json>> {
    let mut identifiers = Vec::new();
    for value in values.try_iter()?.take(at_most) {
        identifiers.push(identifier(&value?)?.map_or_else(Json::null, |text| Json::string(&text)));
    }
    Ok(identifiers)
}

/// Keys of new rows: each as identifier, and as the value of the field that holds it.
pub(crate) fn keys(redactor: &Redactor, values: &Bound<'_, PyAny>) -> PyResult<Vec<(String, Json)>> {
    let mut walker = Walker::redacting(values.py(), redactor)?;
    let mut keys = Vec::new();
    for value in values.try_iter()? {
        let value = value?;
        let id = identifier(&value)?.ok_or_else(|| PyValueError::new_err("None is no key"))?;
        keys.push((id, walker.json(&value)));
    }
    Ok(keys)
}

/// An actor. Members beyond the known ones are kept as further members, redacted.
pub(crate) fn actor(redactor: &Redactor, mapping: &Bound<'_, PyAny>) -> PyResult<Actor> {
    let mut actor = Actor::new(ActorType::Unresolved);
    let mut r#type = None;
    for (name, value) in members(mapping)? {
        match &*name_of(&name)? {
            "type" => r#type = present(&value, actor_type)?,
            "id" => actor.id = identifier(&value)?,
            "label" => actor.label = present(&value, |value| label(redactor, value))?,
            "auth" => actor.auth = present(&value, text)?,
            "session" => actor.session = present(&value, text)?,
            "on_behalf_of" => actor.on_behalf_of = present(&value, |value| self::actor(redactor, value).map(Box::new))?,
            "roles" => actor.roles = present(&value, texts)?.unwrap_or_default(),
            _ => actor.extra.push(named_value(redactor, &name, &value)?),
        }
    }
    actor.r#type = r#type.ok_or_else(|| PyValueError::new_err("actor has no type"))?;
    Ok(actor)
}

fn actor_type(name: &Bound<'_, PyAny>) -> PyResult<ActorType> {
    let name = text(name)?;
    ActorType::from_name(&name).ok_or_else(|| PyValueError::new_err(format!("{name:?} is no type of actor")))
}

/// A resource and what it relates to.
pub(crate) fn resource(redactor: &Redactor, mapping: &Bound<'_, PyAny>) -> PyResult<Resource> {
    let mut resource = Resource::default();
    let mut r#type = None;
    for (name, value) in members(mapping)? {
        match &*name_of(&name)? {
            "type" => r#type = present(&value, text)?,
            "id" => resource.id = identifier(&value)?,
            "label" => resource.label = present(&value, |value| label(redactor, value))?,
            "related" => resource.related = present(&value, |value| resources(redactor, value))?.unwrap_or_default(),
            _ => return Err(not_a_member("resource", &name)),
        }
    }
    resource.r#type = r#type.ok_or_else(|| PyValueError::new_err("resource has no type"))?;
    Ok(resource)
}

fn resources(redactor: &Redactor, mappings: &Bound<'_, PyAny>) -> PyResult<Vec<Resource>> {
    mappings.try_iter()?.map(|mapping| resource(redactor, &mapping?)).collect()
}

/// A request; path, query, user agent and headers are redacted.
pub(crate) fn request(redactor: &Redactor, mapping: &Bound<'_, PyAny>) -> PyResult<Request> {
    let mut request = Request::default();
    for (name, value) in members(mapping)? {
        match &*name_of(&name)? {
            "id" => request.id = present(&value, text)?,
            "method" => request.method = present(&value, text)?,
            "route" => request.route = present(&value, text)?,
            "path" => request.path = present(&value, |value| text_through(value, |path| redactor.path(path)))?,
            "query" => request.query = present(&value, |value| text_through(value, |query| redactor.query(query)))?,
            "status" => request.status = present(&value, |value| value.extract())?,
            "duration_us" => request.duration_us = present(&value, |value| value.extract())?,
            "client_ip" => request.client_ip = present(&value, text)?,
            "user_agent" => request.user_agent = present(&value, |value| redacted_text(redactor, value))?,
            "response_bytes" => request.response_bytes = present(&value, |value| value.extract())?,
            "headers" => request.headers = present(&value, |value| headers(redactor, value))?,
            "response_headers" => request.response_headers = present(&value, |value| headers(redactor, value))?,
            "body" => request.body = present(&value, |value| body(redactor, value))?,
            "response" => request.response = present(&value, |value| body(redactor, value))?,
            _ => return Err(not_a_member("request", &name)),
        }
    }
    Ok(request)
}

/// A body that was captured, or as text why it was not.
fn body(redactor: &Redactor, value: &Bound<'_, PyAny>) -> PyResult<Json> {
    match value.cast::<PyBody>() {
        Ok(body) => Ok(body.get().to_json(redactor)),
        Err(_) => Ok(not_captured(&text(value)?, None)),
    }
}

fn headers(redactor: &Redactor, mapping: &Bound<'_, PyAny>) -> PyResult<Json> {
    let mut out = String::new();
    let mut object = indelible::ObjectWriter::begin(&mut out);
    for item in mapping.call_method0("items")?.try_iter()? {
        let (name, value) = item?.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
        let (name, value) = (text(&name)?, text(&value)?);
        object.string(&name, &redactor.header(&name, &value));
    }
    object.end();
    Ok(Json::from_text(out))
}

/// What went wrong: type and message, and the place where it is known.
pub(crate) fn error(redactor: &Redactor, error: &Bound<'_, PyTuple>) -> PyResult<ErrorInfo> {
    Ok(ErrorInfo {
        r#type: text(&error.get_item(0)?)?,
        message: redacted_text(redactor, &error.get_item(1)?)?,
        place: error.get_item(2).ok().map(|place| present(&place, text)).transpose()?.flatten(),
    })
}

/// Changes given field by field; a field whose name is masked loses its values.
pub(crate) fn changes(redactor: &Redactor, sequence: &Bound<'_, PyAny>) -> PyResult<Changes> {
    let mut changes = Changes::default();
    for mapping in sequence.try_iter()? {
        let (mut field, mut old, mut new) = (None, None, None);
        for (name, value) in members(&mapping?)? {
            match &*name_of(&name)? {
                "field" => field = present(&value, text)?,
                "old" => old = Some(value),
                "new" => new = Some(value),
                _ => {}
            }
        }
        let field = field.ok_or_else(|| PyValueError::new_err("change has no field"))?;
        if redactor.masks_field(&field) {
            changes.push_masked(&field);
            continue;
        }
        let old = known(redactor, old)?;
        let new = known(redactor, new)?;
        match (&old, &new) {
            (old, None) => changes.push_new_unknown(&field, old.as_ref().map(Json::as_str), None),
            (None, Some(new)) => changes.push_old_unknown(&field, Some(new.as_str())),
            (Some(old), Some(new)) => changes.push_values(&field, Some(old.as_str()), Some(new.as_str())),
        }
    }
    Ok(changes)
}

fn known(redactor: &Redactor, value: Option<Bound<'_, PyAny>>) -> PyResult<Option<Json>> {
    match value {
        Some(value) if !value.is_instance_of::<Unknown>() => Ok(Some(Walker::redacting(value.py(), redactor)?.json(&value))),
        _ => Ok(None),
    }
}

/// The members of a mapping, by name, each redacted by name and by what it says.
pub(crate) fn named_values(redactor: &Redactor, mapping: &Bound<'_, PyAny>) -> PyResult<Vec<(String, Json)>> {
    members(mapping)?.iter().map(|(name, value)| named_value(redactor, name, value)).collect()
}

fn named_value(redactor: &Redactor, name: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<(String, Json)> {
    let mut walker = Walker::redacting(name.py(), redactor)?;
    let name = walker.bare(name).into_owned();
    let value = if redactor.masks_field(&name) { Json::string(indelible::MASK) } else { walker.json(value) };
    Ok((name, value))
}

/// A sequence of text.
pub(crate) fn texts(values: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    values.try_iter()?.map(|value| text(&value?)).collect()
}
