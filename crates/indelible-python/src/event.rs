//! One event on its way from the hook that made it to the journal.

use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

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
        let event = self.event.lock().unwrap_or_else(PoisonError::into_inner).take();
        event.ok_or_else(|| PyValueError::new_err(format!("this {} event was recorded before", self.action)))
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

    fn __repr__(&self) -> String {
        format!("<Event {} {}>", self.kind, self.action)
    }
}
