//! One event on its way from the hook that made it to the journal.

use std::sync::{Mutex, MutexGuard, PoisonError};

use indelible::{Code, Json};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::parts;
use crate::redactor::PyRedactor;
use crate::walk::Text;

/// Type, id and label of a resource.
type Named = (String, Option<String>, Option<String>);

/// A complete and redacted event. It moves into the journal, so it can be recorded once.
#[pyclass(frozen, name = "Event", module = "indelible._native")]
pub(crate) struct PyEvent {
    kind: &'static str,
    action: indelible::Action,
    event: Mutex<Option<indelible::Event>>,
}

impl PyEvent {
    pub(crate) fn new(event: indelible::Event) -> Self {
        Self { kind: event.kind.as_str(), action: event.action.clone(), event: Mutex::new(Some(event)) }
    }

    /// Takes the event out.
    ///
    /// # Errors
    /// `ValueError` when it was taken before.
    pub(crate) fn take(&self) -> PyResult<indelible::Event> {
        // The lock is held for this line only and nothing in it can panic.
        self.held().take().ok_or_else(|| self.recorded_before())
    }

    fn held(&self) -> MutexGuard<'_, Option<indelible::Event>> {
        self.event.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recorded_before(&self) -> PyErr {
        PyValueError::new_err(format!("this {} event was recorded before", self.action))
    }

    /// Does something with the event while it waits to be recorded; no Python code may run in it.
    fn with<T>(&self, work: impl FnOnce(&mut indelible::Event) -> T) -> PyResult<T> {
        self.held().as_mut().map(work).ok_or_else(|| self.recorded_before())
    }
}

#[pymethods]
impl PyEvent {
    #[getter]
    fn kind(&self) -> &'static str {
        self.kind
    }

    #[getter]
    fn action(&self) -> &str {
        self.action.as_str()
    }

    #[getter]
    fn outcome(&self) -> PyResult<&'static str> {
        self.with(|event| event.outcome.as_str())
    }

    #[getter]
    fn actor_type(&self) -> PyResult<&'static str> {
        self.with(|event| event.actor.r#type.as_str())
    }

    #[getter]
    fn resource(&self) -> PyResult<Option<Named>> {
        self.with(|event| {
            let resource = event.resource.as_ref()?;
            Some((resource.r#type.clone(), resource.id.clone(), resource.label.clone()))
        })
    }

    #[pyo3(signature = (redactor, *, meta=None, notes=None, code=None))]
    fn add(
        &self,
        redactor: &Bound<'_, PyRedactor>,
        meta: Option<&Bound<'_, PyAny>>,
        notes: Option<&Bound<'_, PyAny>>,
        code: Option<(Text, u32, Text)>,
    ) -> PyResult<()> {
        let meta = meta.map(|meta| parts::named_values(&redactor.get().shared(), meta)).transpose()?.unwrap_or_default();
        let notes = notes.map(parts::texts).transpose()?.unwrap_or_default();
        self.with(|event| {
            meta.iter().for_each(|(name, value)| event.push_meta(name, value));
            event.notes.extend(notes);
            if let Some((file, line, function)) = code {
                event.code = Some(Code { file: file.0, line, function: function.0 });
            }
        })
    }

    fn parts(&self) -> PyResult<Vec<(&'static str, String)>> {
        self.with(|event| {
            let mut found = Vec::new();
            visit(event, |name, part| {
                found.push((name, part.text().to_owned()));
                None
            });
            if !event.changes.is_empty() {
                found.push(("changes", event.changes.to_json().into_text()));
            }
            found
        })
    }

    fn replace(&self, texts: Vec<(String, String)>) -> PyResult<()> {
        let text_of = |name: &str| texts.iter().find(|(given, _)| given == name).map(|(_, text)| text.clone());
        self.with(|event| {
            visit(event, |name, _| text_of(name));
            if let Some(text) = text_of("changes") {
                event.changes.replace(&text);
            }
        })
    }

    fn __repr__(&self) -> String {
        format!("<Event {} {}>", self.kind, self.action)
    }
}

/// A part of an event that holds what somebody wrote: text, or a JSON value as its text.
enum Part<'a> {
    Text(&'a mut String),
    Json(&'a mut Json),
}

impl Part<'_> {
    fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Json(json) => json.as_str(),
        }
    }

    fn set(self, text: String) {
        match self {
            Self::Text(old) => *old = text,
            Self::Json(old) => *old = Json::from_text(text),
        }
    }
}

/// Shows every part but the changes, by the name that docs/format.md has for it; what `look` answers is put in its place.
fn visit(event: &mut indelible::Event, mut look: impl FnMut(&'static str, &Part<'_>) -> Option<String>) {
    let mut parts = Vec::new();
    let resource = event.resource.as_mut().and_then(|resource| resource.label.as_mut());
    parts.push(("resource.label", resource.map(Part::Text)));
    if let Some(request) = &mut event.request {
        parts.push(("request.path", request.path.as_mut().map(Part::Text)));
        parts.push(("request.query", request.query.as_mut().map(Part::Text)));
        parts.push(("request.user_agent", request.user_agent.as_mut().map(Part::Text)));
        parts.push(("request.headers", request.headers.as_mut().map(Part::Json)));
        parts.push(("request.body", request.body.as_mut().map(Part::Json)));
        parts.push(("request.response", request.response.as_mut().map(Part::Json)));
        parts.push(("request.response_headers", request.response_headers.as_mut().map(Part::Json)));
    }
    parts.push(("error.message", event.error.as_mut().map(|error| Part::Text(&mut error.message))));
    parts.push(("reason", event.reason.as_mut().map(Part::Text)));
    parts.push(("meta", event.meta.as_mut().map(Part::Json)));
    for (name, part) in parts {
        if let Some(part) = part
            && let Some(text) = look(name, &part)
        {
            part.set(text);
        }
    }
}
