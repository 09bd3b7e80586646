//! The journal of this process as a Python object.

use std::path::PathBuf;
use std::sync::Arc;

use indelible::{
    Action, Config, Durability, Event, HeaderMemo, IntentId, KeepRolledBack, Kind, OnFailure, Outboxed, Outcome, Position, Redactor,
    Request, Resolution, Timestamp,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::body::BodyTap;
use crate::capture::PyCapture;
use crate::context::Context;
use crate::errors;
use crate::event::PyEvent;
use crate::intent::{PyIntent, named};
use crate::parts;
use crate::recorded::Answers;
use crate::redactor::PyRedactor;
use crate::request::Bodies;
use crate::transaction::PyTransaction;
use crate::walk::Text;
use crate::words::{choice, evidence, limits, modes};

/// Who is told that an event was lost, so that it can be logged.
#[derive(Clone)]
pub(crate) struct LossListener(Option<Arc<Py<PyAny>>>);

impl LossListener {
    /// Called on the way back from a call into the journal. What the listener raises is printed, never passed on.
    pub(crate) fn tell(&self, py: Python<'_>, recorder: &indelible::Recorder) {
        if let Some(listener) = &self.0
            && let Err(error) = listener.call1(py, (recorder.health().last_error,))
        {
            error.write_unraisable(py, None);
        }
    }
}

/// Records for all threads of this process.
///
/// Whatever may touch a file is done without Python's lock: a disk that hangs then holds the thread that writes, and no other.
#[pyclass(frozen, weakref, name = "Recorder", module = "indelible._native")]
pub(crate) struct PyRecorder {
    recorder: indelible::Recorder,
    redactor: Arc<Redactor>,
    headers: HeaderMemo,
    on_loss: LossListener,
}

#[pymethods]
impl PyRecorder {
    #[new]
    #[pyo3(signature = (
        redactor, *, data_dir, service, environment="", version="", process_kind="web",
        durability="buffered", on_failure=None, keep_rolled_back="sensitive", limits=None, on_loss=None, capture=None
    ))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments in Python")]
    fn new(
        redactor: &Bound<'_, PyRedactor>,
        data_dir: PathBuf,
        service: String,
        environment: &str,
        version: &str,
        process_kind: &str,
        durability: &str,
        on_failure: Option<&Bound<'_, PyAny>>,
        keep_rolled_back: &str,
        limits: Option<&Bound<'_, PyDict>>,
        on_loss: Option<Py<PyAny>>,
        capture: Option<&Bound<'_, PyCapture>>,
    ) -> PyResult<Self> {
        let (on_failure, on_failure_of) = on_failure.map(modes).transpose()?.unwrap_or_default();
        let config = Config {
            environment: environment.to_owned(),
            version: version.to_owned(),
            process_kind: process_kind.to_owned(),
            durability: choice(durability, &[("buffered", Durability::Buffered), ("synced", Durability::Synced)])?,
            on_failure,
            on_failure_of,
            keep_rolled_back: choice(
                keep_rolled_back,
                &[("sensitive", KeepRolledBack::Sensitive), ("all", KeepRolledBack::All), ("none", KeepRolledBack::None)],
            )?,
            limits: limits.map(self::limits).transpose()?.unwrap_or_default(),
            capture: capture.map(|capture| capture.get().shared()),
            ..Config::new(data_dir, service)
        };
        let recorder = indelible::Recorder::open(config).map_err(|error| errors::not_opened(&error))?;
        let (redactor, on_loss) = (redactor.get().shared(), LossListener(on_loss.map(Arc::new)));
        Ok(Self { recorder, redactor, headers: HeaderMemo::default(), on_loss })
    }

    #[pyo3(signature = (
        context, kind, action, outcome="success", *, resource=None, changes=None, request=None, error=None, reason=None, meta=None,
        occurred_at_us=None, notes=None
    ))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments in Python")]
    fn event(
        &self,
        context: &Bound<'_, Context>,
        kind: &str,
        action: Text,
        outcome: &str,
        resource: Option<&Bound<'_, PyAny>>,
        changes: Option<&Bound<'_, PyAny>>,
        request: Option<&Bound<'_, PyAny>>,
        error: Option<&Bound<'_, PyTuple>>,
        reason: Option<&Bound<'_, PyAny>>,
        meta: Option<&Bound<'_, PyAny>>,
        occurred_at_us: Option<i64>,
        notes: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyEvent> {
        let redactor = &*self.redactor;
        let kind = Kind::from_name(kind).ok_or_else(|| PyValueError::new_err(format!("{kind:?} is no kind of event")))?;
        let mut event = Event::new(kind, &action.0);
        let meta = meta.map(|meta| parts::named_values(redactor, meta)).transpose()?.unwrap_or_default();
        context.get().apply(&mut event, meta);
        event.outcome = Outcome::from_name(outcome).ok_or_else(|| PyValueError::new_err(format!("{outcome:?} is no outcome")))?;
        event.occurred_at = occurred_at_us.map(Timestamp::from_micros);
        event.resource = resource.map(|resource| parts::resource(redactor, resource)).transpose()?;
        if let Some(changes) = changes {
            event.changes = parts::changes(redactor, changes)?;
        }
        if let Some(request) = request {
            let request = parts::request(redactor, request)?;
            let known = event.request.take().and_then(|known| known.id);
            event.request = Some(Request { id: request.id.or(known), ..request });
        }
        event.error = error.map(|error| parts::error(redactor, error)).transpose()?;
        if let Some(reason) = reason {
            event.reason = Some(parts::redacted_text(redactor, reason)?);
        }
        if let Some(notes) = notes {
            event.notes.extend(parts::texts(notes)?);
        }
        Ok(PyEvent::new(event))
    }

    #[pyo3(signature = (event, context, *, kind=None, action=None, reason=None, meta=None))]
    fn declared(
        &self,
        event: &Bound<'_, PyEvent>,
        context: &Bound<'_, Context>,
        kind: Option<&str>,
        action: Option<Text>,
        reason: Option<&Bound<'_, PyAny>>,
        meta: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyEvent> {
        let redactor = &*self.redactor;
        let kind = kind.map(|name| Kind::from_name(name).ok_or_else(|| PyValueError::new_err(format!("{name:?} is no kind of event"))));
        let kind = kind.transpose()?;
        let meta = meta.map(|meta| parts::named_values(redactor, meta)).transpose()?;
        let reason = reason.map(|reason| parts::redacted_text(redactor, reason)).transpose()?;
        let mut event = event.get().take()?;
        if let Some(meta) = meta {
            event.meta = context.get().meta_with(&meta);
        }
        if let Some(action) = action {
            event.action = Action::new(&action.0);
        }
        event.kind = kind.unwrap_or(event.kind);
        event.reason = reason.or(event.reason);
        Ok(PyEvent::new(event))
    }

    #[pyo3(signature = (
        context, action, outcome, members, occurred_at_us, error=None, meta=None, notes=None,
        environ=None, body=None, response_headers=None, response=None, body_bytes=0
    ))]
    #[expect(clippy::too_many_arguments, reason = "arguments in Python")]
    fn request(
        &self,
        context: &Bound<'_, Context>,
        action: Text,
        outcome: &str,
        members: &Bound<'_, PyAny>,
        occurred_at_us: i64,
        error: Option<&Bound<'_, PyTuple>>,
        meta: Option<&Bound<'_, PyAny>>,
        notes: Option<&Bound<'_, PyAny>>,
        environ: Option<&Bound<'_, PyDict>>,
        body: Option<&Bound<'_, BodyTap>>,
        response_headers: Option<&Bound<'_, PyAny>>,
        response: Option<&Bound<'_, PyAny>>,
        body_bytes: usize,
    ) -> PyResult<PyEvent> {
        let redactor = &*self.redactor;
        let mut event = Event::new(Kind::Request, &action.0);
        let meta = meta.map(|meta| parts::named_values(redactor, meta)).transpose()?.unwrap_or_default();
        context.get().apply(&mut event, meta);
        event.outcome = Outcome::from_name(outcome).ok_or_else(|| PyValueError::new_err(format!("{outcome:?} is no outcome")))?;
        event.occurred_at = Some(Timestamp::from_micros(occurred_at_us));
        let mut request = parts::request(redactor, members)?;
        Bodies { environ, body, response_headers, response, bytes_max: body_bytes }.put_into(&mut request, redactor, &self.headers)?;
        event.request = Some(request);
        event.error = error.map(|error| parts::error(redactor, error)).transpose()?;
        if let Some(notes) = notes {
            event.notes.extend(parts::texts(notes)?);
        }
        Ok(PyEvent::new(event))
    }

    fn record<'py>(&self, py: Python<'py>, event: &Bound<'py, PyEvent>) -> PyResult<Bound<'py, PyAny>> {
        let event = event.get().take()?;
        let mode = self.recorder.on_failure(&event);
        let recorded = py.detach(|| self.recorder.record(event));
        self.answer(py, recorded, mode)
    }

    fn record_once<'py>(
        &self,
        py: Python<'py>,
        event: &Bound<'py, PyEvent>,
        happened_at_ms: u64,
        digest: [u8; 10],
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let event = event.get().take()?;
        let mode = self.recorder.on_failure(&event);
        let recorded = py.detach(|| self.recorder.record_once(event, happened_at_ms, digest));
        recorded.map(|recorded| self.answer(py, recorded, mode)).transpose()
    }

    fn transaction(&self, alias: &str) -> PyTransaction {
        let (recorder, on_loss) = (self.recorder.clone(), self.on_loss.clone());
        PyTransaction { transaction: recorder.transaction(alias), recorder, redactor: Arc::clone(&self.redactor), on_loss }
    }

    #[pyo3(signature = (alias, events, evidence="ack"))]
    fn intent(&self, py: Python<'_>, alias: &str, events: &Bound<'_, PyAny>, evidence: &str) -> PyResult<PyIntent> {
        let evidence = self::evidence(evidence)?;
        let mut taken = Vec::with_capacity(events.len()?);
        for event in events.try_iter()? {
            taken.push(event?.cast::<PyEvent>()?.get().take()?);
        }
        let intent = py.detach(|| self.recorder.intent_with(alias, taken, evidence));
        let intent = intent.map_err(|refused| errors::refused(&refused))?;
        if intent.recorded() == indelible::Recorded::Lost && !intent.is_empty() {
            self.on_loss.tell(py, &self.recorder);
        }
        Ok(PyIntent::new(intent, &self.redactor))
    }

    fn count_losses(&self, events: u64) {
        self.recorder.count_losses(events);
    }

    fn write_waiting(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.recorder.write_waiting()).map_err(|error| errors::not_journaled(&error))
    }

    fn resolve(&self, py: Python<'_>, intent: &str, committed: bool) -> PyResult<(String, u64)> {
        let intent = intent.parse::<IntentId>().map_err(|error| PyValueError::new_err(error.to_string()))?;
        let resolution = if committed { Resolution::Committed } else { Resolution::RolledBack };
        let position = py.detach(|| self.recorder.resolve(intent, resolution));
        position.map(named).map_err(|error| errors::not_journaled(&error))
    }

    fn next_position(&self, py: Python<'_>) -> PyResult<(String, u64)> {
        py.detach(|| self.recorder.next_position()).map(named).map_err(|error| errors::not_journaled(&error))
    }

    fn append_outbox(&self, py: Python<'_>, payload: &[u8], stream: &str, sequence: u64) -> PyResult<&'static str> {
        let stream = stream.parse().map_err(|error: indelible::IdError| PyValueError::new_err(error.to_string()))?;
        let position = Position { stream, sequence };
        match py.detach(|| self.recorder.append_outbox(payload, position)) {
            Ok(Outboxed::Done) => Ok("done"),
            Ok(Outboxed::Moved) => Ok("moved"),
            Err(error @ (indelible::Error::Outbox(_) | indelible::Error::NoOutbox)) => Err(PyValueError::new_err(error.to_string())),
            Err(error) => Err(errors::not_journaled(&error)),
        }
    }

    fn abandon(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.recorder.abandon()).map_err(|error| errors::not_journaled(&error))
    }

    fn health<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let health = self.recorder.health();
        let report = PyDict::new(py);
        report.set_item("stream", health.stream.map(|stream| stream.to_string()))?;
        report.set_item("sequence", health.sequence)?;
        report.set_item("bytes", health.bytes)?;
        report.set_item("lost", health.lost)?;
        report.set_item("degraded", health.degraded)?;
        report.set_item("last_error", health.last_error)?;
        Ok(report)
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.recorder.close()).map_err(|error| errors::not_closed(&error))
    }

    // Waits with Python's lock held: who is waited for needs none of Python, and nobody else may begin anything.
    fn before_fork(&self) {
        self.recorder.before_fork();
    }

    fn after_fork_in_parent(&self) {
        self.recorder.after_fork_in_parent();
    }

    fn after_fork_in_child(&self) {
        self.recorder.after_fork_in_child();
    }

    #[getter]
    fn stream(&self) -> Option<String> {
        self.recorder.health().stream.map(|stream| stream.to_string())
    }
}

impl PyRecorder {
    /// The answer in Python; a loss is told, or raised where that was asked for.
    fn answer<'py>(&self, py: Python<'py>, recorded: indelible::Recorded, mode: OnFailure) -> PyResult<Bound<'py, PyAny>> {
        if recorded == indelible::Recorded::Lost {
            if mode == OnFailure::Required {
                return Err(errors::lost(&self.recorder.health()));
            }
            self.on_loss.tell(py, &self.recorder);
        }
        Answers::get(py)?.answer(py, recorded)
    }
}

/// Whether a payload is what `seal` of a transaction gave.
#[pyfunction]
pub(crate) fn is_sealed(payload: &[u8]) -> bool {
    indelible::is_sealed(payload)
}
