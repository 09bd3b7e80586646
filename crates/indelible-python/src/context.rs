//! Who, where and why: the part that all events of a request have in common.

use indelible::{ArrayWriter, EncodedActor, Event, Json, ObjectWriter, Request, push_string};
use pyo3::prelude::*;

use crate::parts;
use crate::redactor::PyRedactor;
use crate::walk::Text;

/// Read and redacted once, then copied into each event.
#[pyclass(frozen, module = "indelible._native")]
pub(crate) struct Context {
    actor: EncodedActor,
    request_id: Option<String>,
    trace_id: Option<String>,
    span_id: Option<String>,
    reason: Option<String>,
    tenant: Option<String>,
    meta: Vec<(String, Json)>,
    notes: Vec<String>,
}

#[pymethods]
impl Context {
    #[new]
    #[pyo3(signature = (redactor, actor, request_id=None, trace_id=None, span_id=None, reason=None, tenant=None, meta=None, notes=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments in Python")]
    fn new(
        redactor: &Bound<'_, PyRedactor>,
        actor: &Bound<'_, PyAny>,
        request_id: Option<Text>,
        trace_id: Option<Text>,
        span_id: Option<Text>,
        reason: Option<&Bound<'_, PyAny>>,
        tenant: Option<&Bound<'_, PyAny>>,
        meta: Option<&Bound<'_, PyAny>>,
        notes: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let redactor = redactor.get().shared();
        Ok(Self {
            actor: parts::actor(&redactor, actor)?.into(),
            request_id: request_id.map(|text| text.0),
            trace_id: trace_id.map(|text| text.0),
            span_id: span_id.map(|text| text.0),
            reason: reason.map(|reason| parts::redacted_text(&redactor, reason)).transpose()?,
            tenant: tenant.map(parts::identifier).transpose()?.flatten(),
            meta: meta.map(|meta| parts::named_values(&redactor, meta)).transpose()?.unwrap_or_default(),
            notes: notes.map(parts::texts).transpose()?.unwrap_or_default(),
        })
    }

    /// What travels with a message to another process: the JSON of an object with the arguments of the constructor, already redacted.
    ///
    /// Where that is longer than `bytes_max`, `meta` stays behind, then `reason`, and a note says so. The rest is short by itself.
    fn carried(&self, bytes_max: usize) -> String {
        let mut text = String::new();
        for (cut, note) in [(0, None), (1, Some("meta not carried: too large")), (2, Some("meta and reason not carried: too large"))] {
            text.clear();
            self.carry(cut, note, &mut text);
            if text.len() <= bytes_max {
                break;
            }
        }
        text
    }
}

impl Context {
    fn carry(&self, cut: usize, note: Option<&str>, out: &mut String) {
        let mut object = ObjectWriter::begin(out);
        object.member("actor").push_str(self.actor.as_json());
        object.optional("request_id", self.request_id.as_deref());
        object.optional("trace_id", self.trace_id.as_deref());
        object.optional("span_id", self.span_id.as_deref());
        object.optional("tenant", self.tenant.as_deref());
        if cut < 2 {
            object.optional("reason", self.reason.as_deref());
        }
        if cut < 1 && !self.meta.is_empty() {
            let mut meta = ObjectWriter::begin(object.member("meta"));
            for (name, value) in &self.meta {
                meta.json(name, value);
            }
            meta.end();
        }
        if note.is_some() || !self.notes.is_empty() {
            let mut notes = ArrayWriter::begin(object.member("notes"));
            for note in self.notes.iter().map(String::as_str).chain(note) {
                push_string(notes.element(), note);
            }
            notes.end();
        }
        object.end();
    }

    /// Copies everything known into an event; `meta` are the event's own members, which win over members of the same name.
    pub(crate) fn apply(&self, event: &mut Event, meta: Vec<(String, Json)>) {
        event.actor = self.actor.clone();
        event.request = self.request_id.as_deref().map(Request::from_id);
        event.trace_id.clone_from(&self.trace_id);
        event.span_id.clone_from(&self.span_id);
        event.reason.clone_from(&self.reason);
        event.tenant.clone_from(&self.tenant);
        event.notes.clone_from(&self.notes);
        event.meta = self.meta_with(&meta);
    }

    /// What is known with an event's own members, which win.
    pub(crate) fn meta_with(&self, meta: &[(String, Json)]) -> Option<Json> {
        merged(&self.meta, meta)
    }
}

fn merged(outer: &[(String, Json)], inner: &[(String, Json)]) -> Option<Json> {
    if outer.is_empty() && inner.is_empty() {
        return None;
    }
    let mut out = String::new();
    let mut object = ObjectWriter::begin(&mut out);
    for (name, value) in outer.iter().filter(|(name, _)| !inner.iter().any(|(own, _)| own == name)).chain(inner) {
        object.json(name, value);
    }
    object.end();
    Some(Json::from_text(out))
}
