//! What was announced and waits for the answer of the database, as a Python object.

use std::sync::{Arc, Mutex, PoisonError};

use indelible::{Event, Evidence, IntentId, OnFailure, Position, Redactor};
use pyo3::prelude::*;

use crate::errors;
use crate::event::PyEvent;
use crate::parts;
use crate::words::MODES;

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
    pub(crate) fn new(intent: indelible::Intent, redactor: &Arc<Redactor>) -> Self {
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
    fn committed(&self, py: Python<'_>, events: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let bodies = events.map(final_events).transpose();
        // The answer matters more than the bodies: it is written even when they cannot be used.
        match (self.take(), &bodies) {
            (Some(intent), Ok(Some(bodies))) => py.detach(|| intent.committed_with(bodies)),
            (Some(intent), _) => py.detach(|| intent.committed()),
            (None, _) => {}
        }
        bodies.map(|_| ())
    }

    fn committed_keyed(&self, py: Python<'_>, keys: &Bound<'_, PyAny>) -> PyResult<()> {
        let keys = parts::keys(&self.redactor, keys);
        match (self.take(), keys) {
            (Some(intent), Ok(keys)) => py.detach(|| intent.committed_keyed(keys)),
            (Some(intent), Err(error)) => {
                py.detach(|| intent.committed());
                return Err(error);
            }
            (None, _) => {}
        }
        Ok(())
    }

    fn rolled_back(&self, py: Python<'_>) {
        if let Some(intent) = self.take() {
            py.detach(|| intent.rolled_back());
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
        self.evidence.as_str()
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

/// A position as Python has it: the stream as text, and the sequence.
pub(crate) fn named(position: Position) -> (String, u64) {
    (position.stream.to_string(), position.sequence)
}
