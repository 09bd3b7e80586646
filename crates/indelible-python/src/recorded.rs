//! The answer to recording, as the Python class that also exists where this module does not.

use std::sync::{Mutex, PoisonError};

use indelible::{Position, Recorded, StreamId};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyTuple};

/// `indelible._recorded.Recorded` and what is used for nearly every answer.
pub(crate) struct Answers {
    class: Py<PyAny>,
    /// `tuple.__new__`: what the class itself would call, without the Python function around it.
    new: Py<PyAny>,
    held: Py<PyAny>,
    lost: Py<PyAny>,
    /// The text of the last stream: nearly always the same one.
    stream: Mutex<Option<(StreamId, Py<PyString>)>>,
}

impl Answers {
    pub(crate) fn get(py: Python<'_>) -> PyResult<&'static Self> {
        static ANSWERS: PyOnceLock<Answers> = PyOnceLock::new();
        ANSWERS.get_or_try_init(py, || {
            let class = py.import("indelible._recorded")?.getattr("Recorded")?;
            Ok(Self {
                held: class.call1(("held",))?.unbind(),
                lost: class.call1(("lost",))?.unbind(),
                class: class.unbind(),
                new: py.get_type::<PyTuple>().getattr("__new__")?.unbind(),
                stream: Mutex::new(None),
            })
        })
    }

    pub(crate) fn answer<'py>(&self, py: Python<'py>, recorded: Recorded) -> PyResult<Bound<'py, PyAny>> {
        match recorded {
            Recorded::At(Position { stream, sequence }) => {
                let fields = (intern!(py, "at"), self.name(py, stream), sequence);
                self.new.bind(py).call1((&self.class, fields))
            }
            Recorded::Held => Ok(self.held.bind(py).clone()),
            Recorded::Lost => Ok(self.lost.bind(py).clone()),
        }
    }

    fn name<'py>(&self, py: Python<'py>, stream: StreamId) -> Bound<'py, PyString> {
        let last = || self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, name)) = &*last()
            && *known == stream
        {
            return name.bind(py).clone();
        }
        let name = PyString::new(py, &stream.to_string());
        *last() = Some((stream, name.clone().unbind()));
        name
    }
}
