//! Bodies as Python hands them over: a stream that is read by the application, and chunks that leave for the client.

use std::sync::{Mutex, PoisonError};

use indelible::{Body, Json, Redactor};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};

use crate::walk::Text;

/// Ways to the bytes of a stream that pass by the tap.
const UNSEEN: [&str; 7] = ["read1", "readinto", "readinto1", "readall", "getvalue", "getbuffer", "detach"];

/// The body of a response, chunk by chunk.
#[pyclass(frozen, name = "Body", module = "indelible._native")]
pub(crate) struct PyBody {
    body: Mutex<Body>,
}

#[pymethods]
impl PyBody {
    #[new]
    #[pyo3(signature = (content_type, bytes_max, encoded=false))]
    #[expect(clippy::needless_pass_by_value, reason = "PyO3 hands over what it converted")]
    fn new(content_type: Text, bytes_max: usize, encoded: bool) -> Self {
        let body = Body::new(&content_type.0, bytes_max);
        Self { body: Mutex::new(if encoded { body.encoded() } else { body }) }
    }

    /// What is no `bytes` is not looked at: the server decides what it takes.
    fn push(&self, chunk: &Bound<'_, PyAny>) {
        if let Ok(chunk) = chunk.cast::<PyBytes>() {
            self.with(|body| body.push(chunk.as_bytes()));
        }
    }

    #[getter]
    fn total(&self) -> u64 {
        self.with(|body| body.total())
    }
}

impl PyBody {
    fn with<T>(&self, work: impl FnOnce(&mut Body) -> T) -> T {
        work(&mut self.body.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn to_json(&self, redactor: &Redactor) -> Json {
        self.with(|body| body.to_json(redactor, None))
    }
}

/// Stands in the place of the stream that a request's body is read from, and sees what the application reads; nothing is ever read for us.
#[pyclass(frozen, name = "BodyTap", module = "indelible._native")]
pub(crate) struct BodyTap {
    stream: Py<PyAny>,
    /// As it was before the first byte, for a stream that is read again from its beginning.
    fresh: Body,
    passed: Mutex<Passed>,
}

struct Passed {
    body: Body,
    /// Whether bytes were read in another order than they came in.
    is_out_of_order: bool,
}

#[pymethods]
impl BodyTap {
    #[new]
    #[pyo3(signature = (stream, content_type, bytes_max, encoded=false))]
    #[expect(clippy::needless_pass_by_value, reason = "PyO3 hands over what it converted")]
    fn new(stream: Py<PyAny>, content_type: Text, bytes_max: usize, encoded: bool) -> Self {
        let fresh = Body::new(&content_type.0, bytes_max);
        let fresh = if encoded { fresh.encoded() } else { fresh };
        Self { stream, passed: Mutex::new(Passed { body: fresh.clone(), is_out_of_order: false }), fresh }
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn read<'py>(&self, py: Python<'py>, args: &Bound<'py, PyTuple>, kwargs: Option<&Bound<'py, PyDict>>) -> PyResult<Bound<'py, PyAny>> {
        self.seen(self.stream.bind(py).getattr(intern!(py, "read"))?.call(args, kwargs)?)
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn readline<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.seen(self.stream.bind(py).getattr(intern!(py, "readline"))?.call(args, kwargs)?)
    }

    #[pyo3(signature = (*args))]
    fn readlines<'py>(&self, py: Python<'py>, args: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let lines = self.stream.bind(py).call_method1(intern!(py, "readlines"), args)?;
        for line in lines.try_iter()? {
            self.seen(line?)?;
        }
        Ok(lines)
    }

    fn __iter__(tap: Bound<'_, Self>) -> Bound<'_, Self> {
        tap
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.stream.bind(py).call_method0(intern!(py, "__next__")) {
            Ok(line) => self.seen(line).map(Some),
            Err(error) if error.is_instance_of::<pyo3::exceptions::PyStopIteration>(py) => Ok(None),
            Err(error) => Err(error),
        }
    }

    #[pyo3(signature = (*args))]
    fn seek<'py>(&self, py: Python<'py>, args: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let place = self.stream.bind(py).call_method1(intern!(py, "seek"), args)?;
        let place_now = self.stream.bind(py).call_method0(intern!(py, "tell"))?.extract::<u64>();
        self.with(|passed| match place_now {
            Ok(0) => *passed = Passed { body: self.fresh.clone(), is_out_of_order: false },
            Ok(place) if place == passed.body.total() => {}
            _ => passed.is_out_of_order = true,
        });
        Ok(place)
    }

    /// As an attribute of the class: what Django asks every stream for is not found by way of an `AttributeError`.
    #[getter]
    fn seekable<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.stream.bind(py).getattr(intern!(py, "seekable"))
    }

    #[getter]
    fn close<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.stream.bind(py).getattr(intern!(py, "close"))
    }

    #[getter]
    fn closed<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.stream.bind(py).getattr(intern!(py, "closed"))
    }

    /// Everything else is the stream's own. Who takes another way to its bytes takes them unseen.
    fn __getattr__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        let found = self.stream.bind(py).getattr(name)?;
        if UNSEEN.contains(&name) {
            self.with(|passed| passed.is_out_of_order = true);
        }
        Ok(found)
    }
}

impl BodyTap {
    fn with<T>(&self, work: impl FnOnce(&mut Passed) -> T) -> T {
        work(&mut self.passed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn seen<'py>(&self, chunk: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        if let Ok(bytes) = chunk.cast::<PyBytes>() {
            self.with(|passed| passed.body.push(bytes.as_bytes()));
        }
        Ok(chunk)
    }

    pub(crate) fn to_json(&self, redactor: &Redactor, declared: Option<u64>) -> Json {
        self.with(|passed| {
            if passed.is_out_of_order {
                indelible::not_captured("read_out_of_order", declared)
            } else {
                passed.body.to_json(redactor, declared)
            }
        })
    }
}
