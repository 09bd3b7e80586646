//! What a process would have recorded, for the tests of an application.

use indelible::Capture;
use pyo3::prelude::*;

/// The last events of a recorder that was opened with it. Immutable to Python but for what the recorder adds.
#[pyclass(frozen, name = "Capture", module = "indelible._native")]
pub(crate) struct PyCapture {
    capture: Capture,
}

impl PyCapture {
    pub(crate) fn shared(&self) -> Capture {
        self.capture.clone()
    }
}

#[pymethods]
impl PyCapture {
    #[new]
    #[pyo3(signature = (*, events_max=10_000, bytes_max=64 << 20))]
    fn new(events_max: usize, bytes_max: usize) -> Self {
        Self { capture: Capture::new(events_max, bytes_max) }
    }

    #[getter]
    fn events_max(&self) -> usize {
        self.capture.events_max()
    }

    fn mark(&self) -> u64 {
        self.capture.mark()
    }

    fn since(&self, number: u64) -> Vec<(u64, &'static str, String)> {
        let captured = self.capture.since(number).into_iter();
        captured.map(|event| (event.number, event.fate.as_str(), event.body)).collect()
    }

    fn dropped(&self, number: u64) -> u64 {
        self.capture.dropped(number)
    }

    fn forget_before(&self, number: u64) {
        self.capture.forget_before(number);
    }
}
