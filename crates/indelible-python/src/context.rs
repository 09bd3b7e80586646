//! Who, where and why: the part that all events of a request have in common.

use indelible::{EncodedActor, Event, Json, ObjectWriter, Request};
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
}

impl Context {
    /// Copies everything known into an event; `meta` are the event's own members, which win over members of the same name.
    pub(crate) fn apply(&self, event: &mut Event, meta: Vec<(String, Json)>) {
        event.actor = self.actor.clone();
        event.request = self.request_id.as_deref().map(Request::from_id);
        event.trace_id.clone_from(&self.trace_id);
        event.span_id.clone_from(&self.span_id);
        event.reason.clone_from(&self.reason);
        event.tenant.clone_from(&self.tenant);
        event.notes.clone_from(&self.notes);
        event.meta = merged(&self.meta, &meta);
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
