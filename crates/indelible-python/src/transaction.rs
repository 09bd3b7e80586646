//! An open transaction of one database connection as a Python object.

use std::sync::Arc;

use indelible::Redactor;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::context::Context;
use crate::errors;
use crate::event::PyEvent;
use crate::intent::PyIntent;
use crate::model::Model;
use crate::recorded::Answers;
use crate::recorder::LossListener;
use crate::words;

/// The events held for one open transaction of one database connection.
///
/// Borrowed for the length of a call: a second thread gets an exception, where a lock could be inherited locked by a forked child.
#[pyclass(name = "Transaction", module = "indelible._native")]
pub(crate) struct PyTransaction {
    pub(crate) transaction: indelible::Transaction,
    pub(crate) recorder: indelible::Recorder,
    pub(crate) redactor: Arc<Redactor>,
    pub(crate) on_loss: LossListener,
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

    fn rollback_to(&mut self, py: Python<'_>, sid: &str) {
        let transaction = &mut self.transaction;
        py.detach(|| transaction.rollback_to(sid));
    }

    fn prepare(&mut self, py: Python<'_>) -> PyResult<Option<PyIntent>> {
        let transaction = &mut self.transaction;
        let intent = py.detach(|| transaction.prepare()).map_err(|refused| errors::refused(&refused))?;
        if intent.as_ref().is_some_and(|intent| intent.recorded() == indelible::Recorded::Lost) {
            self.on_loss.tell(py, &self.recorder);
        }
        Ok(intent.map(|intent| PyIntent::new(intent, &self.redactor)))
    }

    fn require(&mut self, evidence: &str) -> PyResult<()> {
        self.transaction.require(words::evidence(evidence)?);
        Ok(())
    }

    #[getter]
    fn evidence(&self) -> &'static str {
        self.transaction.evidence().as_str()
    }

    fn seal<'py>(&mut self, py: Python<'py>) -> PyResult<Option<(PyIntent, Bound<'py, PyBytes>)>> {
        let (before, transaction) = (self.transaction.len(), &mut self.transaction);
        let sealed = transaction.seal().map_err(|refused| errors::refused(&refused))?;
        if sealed.is_none() && before > 0 {
            self.on_loss.tell(py, &self.recorder);
        }
        Ok(sealed.map(|(intent, payload)| (PyIntent::new(intent, &self.redactor), PyBytes::new(py, &payload))))
    }

    fn rollback(&mut self, py: Python<'_>) {
        let transaction = &mut self.transaction;
        py.detach(|| transaction.rollback());
    }

    fn __len__(&self) -> usize {
        self.transaction.len()
    }
}
