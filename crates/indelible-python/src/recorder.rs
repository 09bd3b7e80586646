//! The journal of this process, its transactions and intents, as Python objects.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use indelible::{
    Action, Config, Durability, Event, EventClass, Evidence, IntentId, KeepRolledBack, Kind, Limits, OnFailure, Outboxed, Outcome,
    Position, Redactor, Request, Resolution, Timestamp,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};

use crate::body::BodyTap;
use crate::capture::PyCapture;
use crate::context::Context;
use crate::errors;
use crate::event::PyEvent;
use crate::headers::HeaderMemo;
use crate::model::Model;
use crate::parts;
use crate::recorded::Answers;
use crate::redactor::PyRedactor;
use crate::request::Bodies;
use crate::walk::Text;

/// Who is told that an event was lost, so that it can be logged.
#[derive(Clone)]
struct LossListener(Option<Arc<Py<PyAny>>>);

impl LossListener {
    /// Called on the way back from a call into the journal. What the listener raises is printed, never passed on.
    fn tell(&self, py: Python<'_>, recorder: &indelible::Recorder) {
        if let Some(listener) = &self.0
            && let Err(error) = listener.call1(py, (recorder.health().last_error,))
        {
            error.write_unraisable(py, None);
        }
    }
}

/// Records for all threads of this process.
#[pyclass(frozen, weakref, name = "Recorder", module = "indelible._native")]
pub(crate) struct PyRecorder {
    recorder: indelible::Recorder,
    redactor: Arc<Redactor>,
    headers: HeaderMemo,
    waits: bool,
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
        let modes = config.on_failure_of.iter().map(|&(_, mode)| mode).chain([config.on_failure]);
        let waits = config.durability == Durability::Synced || modes.max() == Some(OnFailure::Required);
        let recorder = indelible::Recorder::open(config).map_err(|error| errors::not_opened(&error))?;
        let (redactor, on_loss) = (redactor.get().shared(), LossListener(on_loss.map(Arc::new)));
        Ok(Self { recorder, redactor, headers: HeaderMemo::new(), waits, on_loss })
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
        let recorded = self.waiting(py, || self.recorder.record(event));
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
        // It may wait for another process, whatever the settings say.
        let recorded = py.detach(|| self.recorder.record_once(event, happened_at_ms, digest));
        recorded.map(|recorded| self.answer(py, recorded, mode)).transpose()
    }

    fn transaction(&self, alias: &str) -> PyTransaction {
        let (recorder, on_loss) = (self.recorder.clone(), self.on_loss.clone());
        PyTransaction {
            transaction: recorder.transaction(alias),
            recorder,
            redactor: Arc::clone(&self.redactor),
            waits: self.waits,
            on_loss,
        }
    }

    #[pyo3(signature = (alias, events, evidence="ack"))]
    fn intent(&self, py: Python<'_>, alias: &str, events: &Bound<'_, PyAny>, evidence: &str) -> PyResult<PyIntent> {
        let evidence = self::evidence(evidence)?;
        let mut taken = Vec::with_capacity(events.len()?);
        for event in events.try_iter()? {
            taken.push(event?.cast::<PyEvent>()?.get().take()?);
        }
        let intent = self.waiting(py, || self.recorder.intent_with(alias, taken, evidence));
        let intent = intent.map_err(|refused| errors::refused(&refused))?;
        if intent.recorded() == indelible::Recorded::Lost && !intent.is_empty() {
            self.on_loss.tell(py, &self.recorder);
        }
        Ok(PyIntent::new(intent, &self.redactor))
    }

    fn count_losses(&self, events: u64) {
        self.recorder.count_losses(events);
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

    #[pyo3(signature = (payload, stream, sequence, *, announced=false))]
    fn append_outbox(&self, py: Python<'_>, payload: &[u8], stream: &str, sequence: u64, announced: bool) -> PyResult<&'static str> {
        let stream = stream.parse().map_err(|error: indelible::IdError| PyValueError::new_err(error.to_string()))?;
        let position = Position { stream, sequence };
        match py.detach(|| self.recorder.append_outbox(payload, position, announced)) {
            Ok(Outboxed::Done) => Ok("done"),
            Ok(Outboxed::Moved) => Ok("moved"),
            Ok(Outboxed::Announced) => Ok("announced"),
            Err(error @ (indelible::Error::Outbox(_) | indelible::Error::NoOutbox)) => Err(PyValueError::new_err(error.to_string())),
            Err(error) => Err(errors::not_journaled(&error)),
        }
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

    /// Lets other threads run Python where the journal may make this one wait; elsewhere that would cost more than the append.
    fn waiting<T: Send>(&self, py: Python<'_>, work: impl FnOnce() -> T + Send) -> T {
        if self.waits { py.detach(work) } else { work() }
    }
}

/// The events held for one open transaction of one database connection.
///
/// Borrowed for the length of a call: a second thread gets an exception, where a lock could be inherited locked by a forked child.
#[pyclass(name = "Transaction", module = "indelible._native")]
pub(crate) struct PyTransaction {
    transaction: indelible::Transaction,
    recorder: indelible::Recorder,
    redactor: Arc<Redactor>,
    waits: bool,
    on_loss: LossListener,
}

#[pymethods]
impl PyTransaction {
    fn hold<'py>(&mut self, py: Python<'py>, event: &Bound<'py, PyEvent>) -> PyResult<Bound<'py, PyAny>> {
        let recorded = self.transaction.record(event.get().take()?);
        Answers::get(py)?.answer(py, recorded)
    }

    fn supersede<'py>(&mut self, py: Python<'py>, event: &Bound<'py, PyEvent>) -> PyResult<Bound<'py, PyAny>> {
        let recorded = self.transaction.supersede(event.get().take()?);
        Answers::get(py)?.answer(py, recorded)
    }

    fn hold_all(slf: &Bound<'_, Self>, events: &Bound<'_, PyAny>) -> PyResult<()> {
        for event in events.try_iter()? {
            let event = event?.cast::<PyEvent>()?.get().take()?;
            // Borrowed for each event alone: making the next one runs Python.
            slf.try_borrow_mut()?.transaction.record(event);
        }
        Ok(())
    }

    #[pyo3(signature = (model, context, rows, key, labels=None))]
    fn hold_created(
        slf: &Bound<'_, Self>,
        model: &Bound<'_, Model>,
        context: &Bound<'_, Context>,
        rows: &Bound<'_, PyList>,
        key: usize,
        labels: Option<&Bound<'_, PyList>>,
    ) -> PyResult<()> {
        slf.try_borrow_mut()?.transaction.reserve(rows.len());
        model.get().created_rows(context, rows, key, labels, |event| {
            slf.try_borrow_mut()?.transaction.record(event);
            Ok(())
        })
    }

    fn savepoint(&mut self, sid: &str) {
        self.transaction.savepoint(sid);
    }

    fn release(&mut self, sid: &str) {
        self.transaction.release(sid);
    }

    fn rollback_to(&mut self, sid: &str) {
        self.transaction.rollback_to(sid);
    }

    fn prepare(&mut self, py: Python<'_>) -> PyResult<Option<PyIntent>> {
        let transaction = &mut self.transaction;
        let intent = if self.waits { py.detach(|| transaction.prepare()) } else { transaction.prepare() };
        let intent = intent.map_err(|refused| errors::refused(&refused))?;
        if intent.as_ref().is_some_and(|intent| intent.recorded() == indelible::Recorded::Lost) {
            self.on_loss.tell(py, &self.recorder);
        }
        Ok(intent.map(|intent| PyIntent::new(intent, &self.redactor)))
    }

    fn require(&mut self, evidence: &str) -> PyResult<()> {
        self.transaction.require(self::evidence(evidence)?);
        Ok(())
    }

    #[getter]
    fn evidence(&self) -> &'static str {
        name_of(self.transaction.evidence())
    }

    fn seal<'py>(&mut self, py: Python<'py>) -> PyResult<Option<(PyIntent, Bound<'py, PyBytes>)>> {
        let (before, transaction) = (self.transaction.len(), &mut self.transaction);
        let sealed = transaction.seal().map_err(|refused| errors::refused(&refused))?;
        if sealed.is_none() && before > 0 {
            self.on_loss.tell(py, &self.recorder);
        }
        Ok(sealed.map(|(intent, payload)| (PyIntent::new(intent, &self.redactor), PyBytes::new(py, &payload))))
    }

    fn rollback(&mut self) {
        self.transaction.rollback();
    }

    fn __len__(&self) -> usize {
        self.transaction.len()
    }
}

/// Events that stand in the journal and wait for the answer of the database.
#[pyclass(frozen, name = "Intent", module = "indelible._native")]
pub(crate) struct PyIntent {
    intent: Mutex<Option<indelible::Intent>>,
    redactor: Arc<Redactor>,
    id: IntentId,
    evidence: Evidence,
    position: Option<Position>,
    mode: OnFailure,
}

impl PyIntent {
    fn new(intent: indelible::Intent, redactor: &Arc<Redactor>) -> Self {
        let (id, evidence, position, mode) = (intent.id(), intent.evidence(), intent.position(), intent.on_failure());
        Self { intent: Mutex::new(Some(intent)), redactor: Arc::clone(redactor), id, evidence, position, mode }
    }

    fn take(&self) -> Option<indelible::Intent> {
        self.intent.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[pymethods]
impl PyIntent {
    #[pyo3(signature = (events=None))]
    fn committed(&self, events: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let bodies = events.map(final_events).transpose();
        // The answer matters more than the bodies: it is written even when they cannot be used.
        match (self.take(), &bodies) {
            (Some(intent), Ok(Some(bodies))) => intent.committed_with(bodies),
            (Some(intent), _) => intent.committed(),
            (None, _) => {}
        }
        bodies.map(|_| ())
    }

    fn committed_keyed(&self, keys: &Bound<'_, PyAny>) -> PyResult<()> {
        let keys = parts::keys(&self.redactor, keys);
        match (self.take(), keys) {
            (Some(intent), Ok(keys)) => intent.committed_keyed(keys),
            (Some(intent), Err(error)) => {
                intent.committed();
                return Err(error);
            }
            (None, _) => {}
        }
        Ok(())
    }

    fn rolled_back(&self) {
        if let Some(intent) = self.take() {
            intent.rolled_back();
        }
    }

    fn unknown(&self) {
        if let Some(intent) = self.take() {
            intent.unknown();
        }
    }

    #[getter]
    fn id(&self) -> String {
        self.id.to_string()
    }

    #[getter]
    fn evidence(&self) -> &'static str {
        name_of(self.evidence)
    }

    #[getter]
    fn position(&self) -> Option<(String, u64)> {
        self.position.map(named)
    }

    #[getter]
    fn on_failure(&self) -> &'static str {
        MODES.iter().find(|&&(_, mode)| mode == self.mode).map_or("standard", |&(name, _)| name)
    }

    fn without_marker(&self, py: Python<'_>, alias: &str) -> PyResult<Option<Self>> {
        let Some(intent) = self.take() else { return Ok(None) };
        let intent = py.detach(|| intent.without_marker(alias)).map_err(|refused| errors::refused(&refused))?;
        Ok(Some(Self::new(intent, &self.redactor)))
    }
}

fn final_events(events: &Bound<'_, PyAny>) -> PyResult<Vec<Option<Event>>> {
    let mut taken = Vec::with_capacity(events.len()?);
    for event in events.try_iter()? {
        let event = event?;
        taken.push(if event.is_none() { None } else { Some(event.cast::<PyEvent>()?.get().take()?) });
    }
    Ok(taken)
}

const MODES: [(&str, OnFailure); 3] =
    [("required", OnFailure::Required), ("standard", OnFailure::Standard), ("best_effort", OnFailure::BestEffort)];

/// One mode for all events, or a dict: of kinds of events and types of resources, and `default` for the others.
fn modes(given: &Bound<'_, PyAny>) -> PyResult<(OnFailure, Vec<(EventClass, OnFailure)>)> {
    let Ok(given) = given.cast::<PyDict>() else { return Ok((choice(given.extract::<&str>()?, &MODES)?, Vec::new())) };
    let (mut default, mut classes) = (OnFailure::default(), Vec::new());
    for (class, mode) in given {
        let (class, mode) = (class.extract::<String>()?, choice(mode.extract::<&str>()?, &MODES)?);
        match Kind::from_name(&class) {
            _ if class == "default" => default = mode,
            Some(kind) => classes.push((EventClass::Kind(kind), mode)),
            None => classes.push((EventClass::Type(class), mode)),
        }
    }
    Ok((default, classes))
}

const EVIDENCE: [(&str, Evidence); 3] = [("ack", Evidence::Ack), ("marker", Evidence::Marker), ("outbox", Evidence::Outbox)];

fn evidence(given: &str) -> PyResult<Evidence> {
    choice(given, &EVIDENCE)
}

fn name_of(evidence: Evidence) -> &'static str {
    match evidence {
        Evidence::Ack => "ack",
        Evidence::Marker => "marker",
        Evidence::Outbox => "outbox",
    }
}

fn named(position: Position) -> (String, u64) {
    (position.stream.to_string(), position.sequence)
}

fn choice<T: Copy>(given: &str, choices: &[(&str, T)]) -> PyResult<T> {
    choices.iter().find(|(name, _)| *name == given).map(|&(_, value)| value).ok_or_else(|| {
        let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        PyValueError::new_err(format!("{given:?} is none of: {}", names.join(", ")))
    })
}

fn limits(given: &Bound<'_, PyDict>) -> PyResult<Limits> {
    let mut limits = Limits::default();
    for (name, value) in given {
        match name.extract::<&str>()? {
            // Of the middleware, which hands it over with each body.
            "body_bytes" => {}
            "event_bytes" => limits.event_bytes = value.extract()?,
            "journal_bytes" => limits.journal_bytes = value.extract()?,
            "segment_bytes" => limits.segment_bytes = value.extract()?,
            "transaction_bytes" => limits.transaction_bytes = value.extract()?,
            "transaction_events" => limits.transaction_events = value.extract()?,
            other => return Err(PyValueError::new_err(format!("there is no limit {other:?}"))),
        }
    }
    Ok(limits)
}
