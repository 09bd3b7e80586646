//! Stand-ins for values: not known, computed by the database, or as it was at an earlier moment.

use std::hash::{DefaultHasher, Hash, Hasher};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};

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

/// Takes the values of `attributes` out of the dictionaries of `instances`: a list for each.
///
/// `None`: one of them is missing, or is neither `None` nor of exactly its column's type in `types`, of which `None` stands for the types
/// that are loaded from a column that can hold anything.
#[pyfunction]
pub(crate) fn read_rows<'py>(
    instances: &Bound<'py, PyAny>,
    attributes: &Bound<'py, PyTuple>,
    types: &Bound<'py, PyTuple>,
) -> PyResult<Option<Bound<'py, PyList>>> {
    let py = instances.py();
    let known = Types::get(py)?;
    let columns: Vec<_> = attributes.iter().zip(types.iter()).collect();
    let rows = PyList::empty(py);
    let mut row = Vec::with_capacity(columns.len());
    for instance in instances.try_iter()? {
        let state = instance?.getattr(intern!(py, "__dict__"))?;
        let state = state.cast::<PyDict>()?;
        for (attribute, r#type) in &columns {
            let Some(value) = state.get_item(attribute)? else { return Ok(None) };
            let is_plain = value.is_none()
                || if r#type.is_none() { is_loaded_anywhere(&value, known) } else { value.get_type_ptr().cast() == r#type.as_ptr() };
            if !is_plain {
                return Ok(None);
            }
            row.push(value);
        }
        rows.append(PyList::new(py, row.drain(..))?)?;
    }
    Ok(Some(rows))
}

/// Puts what the database made into the rows that it made it for: `column` of each answer goes to `place` of each row.
#[pyfunction]
pub(crate) fn fill_rows(rows: &Bound<'_, PyList>, answers: &Bound<'_, PyAny>, column: usize, place: usize) -> PyResult<()> {
    for (row, answer) in rows.iter().zip(answers.try_iter()?) {
        row.cast::<PyList>()?.set_item(place, answer?.get_item(column)?)?;
    }
    Ok(())
}

/// Keeps for each instance what its row now holds, within `scope` or, where that is `None`, for good; as `indelible.django._snapshots` does for
/// one. Instances of which something was known before stay as they are and are returned with their rows.
#[pyfunction]
pub(crate) fn remember_rows<'py>(
    instances: &Bound<'py, PyAny>,
    rows: &Bound<'py, PyList>,
    scope: &Bound<'py, PyAny>,
    provisional: &Bound<'py, PyAny>,
) -> PyResult<Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)>> {
    let py = rows.py();
    // What the class itself would call, without the Python function around it.
    let make = py.get_type::<PyTuple>().getattr(intern!(py, "__new__"))?;
    let (of_state, of_values) = (intern!(py, "_state"), intern!(py, "indelible_values"));
    let mut known = Vec::new();
    for (instance, row) in instances.try_iter()?.zip(rows.iter()) {
        let instance = instance?;
        let state = instance.getattr(of_state)?;
        if scope.is_none() {
            state.setattr(of_values, row)?;
        } else if state.getattr(of_values)?.is_none() {
            state.setattr(of_values, make.call1((provisional, (row, scope, py.None())))?)?;
        } else {
            known.push((instance, row));
        }
    }
    Ok(known)
}

/// Whether a value is of one of the types that are loaded from a column that can hold anything.
fn is_loaded_anywhere(value: &Bound<'_, PyAny>, types: &Types) -> bool {
    match types.exact(value) {
        Some(Sort::Bytes) => value.cast_exact::<PyBytes>().is_ok(),
        Some(sort) => matches!(sort, Sort::Text | Sort::Boolean | Sort::Integer | Sort::Float | Sort::Dict | Sort::List),
        None => false,
    }
}

fn is_copy(value: &Bound<'_, PyAny>) -> bool {
    value.cast_exact::<Encoded>().is_ok()
}
