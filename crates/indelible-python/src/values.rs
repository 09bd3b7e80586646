//! Stand-ins for values: not known, computed by the database, or as it was at an earlier moment.

use std::hash::{DefaultHasher, Hash, Hasher};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyList, PyTuple};

use crate::types::{Sort, Types};
use crate::walk::{Text, Walker};

/// What most copies have room in.
const COPY_BYTES: usize = 256;

/// The type of `UNKNOWN`.
#[pyclass(frozen, module = "indelible._native")]
pub(crate) struct Unknown;

#[pymethods]
impl Unknown {
    #[expect(clippy::unused_self, reason = "Python calls it on the instance")]
    fn __repr__(&self) -> &'static str {
        "UNKNOWN"
    }
}

/// The one value of `Unknown`.
pub(crate) fn unknown(py: Python<'_>) -> PyResult<&'static Py<Unknown>> {
    static UNKNOWN: PyOnceLock<Py<Unknown>> = PyOnceLock::new();
    UNKNOWN.get_or_try_init(py, || Py::new(py, Unknown))
}

/// A new value that the database computes.
#[pyclass(frozen, module = "indelible._native")]
pub(crate) struct Expression {
    text: String,
}

impl Expression {
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

#[pymethods]
impl Expression {
    #[new]
    fn new(text: Text) -> Self {
        Self { text: text.0 }
    }

    fn __repr__(&self) -> String {
        format!("Expression({:?})", self.text)
    }
}

/// A copy of a value as it was when it was encoded, not redacted.
#[pyclass(frozen, eq, hash, module = "indelible._native")]
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct Encoded {
    text: Box<str>,
}

impl Encoded {
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

#[pymethods]
impl Encoded {
    /// A digest: the text may hold secrets, and what is printed ends up in logs.
    fn __repr__(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        format!("<Encoded {:016x}>", hasher.finish())
    }

    fn json(&self) -> &str {
        &self.text
    }
}

/// Copies a value as it is now.
#[pyfunction]
pub(crate) fn encode(value: &Bound<'_, PyAny>) -> PyResult<Encoded> {
    let mut text = String::with_capacity(COPY_BYTES);
    Walker::plain(value.py())?.push(value, &mut text);
    Ok(Encoded { text: text.into_boxed_str() })
}

/// Replaces the values at `places` of a list, those that the application can change in place, by copies as they are now.
///
/// `deferred` stands for a value that was not loaded, and stays.
#[pyfunction]
pub(crate) fn encode_in_place(values: &Bound<'_, PyList>, places: &Bound<'_, PyTuple>, deferred: &Bound<'_, PyAny>) -> PyResult<()> {
    let types = Types::get(values.py())?;
    for place in places.iter() {
        let place: usize = place.extract()?;
        let value = values.get_item(place)?;
        let is_bytes = || value.cast_exact::<PyBytes>().is_ok();
        let stays = value.is_none() || value.is(deferred) || types.exact(&value).map_or_else(|| is_copy(&value), Sort::is_immutable);
        if !stays && !is_bytes() {
            values.set_item(place, encode(&value)?)?;
        }
    }
    Ok(())
}

fn is_copy(value: &Bound<'_, PyAny>) -> bool {
    value.cast_exact::<Encoded>().is_ok()
}
