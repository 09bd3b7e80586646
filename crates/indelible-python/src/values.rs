//! Stand-ins for values: not known, computed by the database, or as it was at an earlier moment.

use std::hash::{DefaultHasher, Hash, Hasher};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};

use crate::types::{Sort, Types};
use crate::walk::{Text, Walker};

/// What the text of most copies has room in.
const COPY_BYTES: usize = 256;

/// Containers inside each other that are copied as such.
const OWN_DEPTH_MAX: usize = 16;

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

/// A copy of a value as it was at one moment, not redacted.
#[pyclass(frozen, module = "indelible._native")]
pub(crate) struct Encoded {
    kept: Kept,
    /// A digest of all of it, where a part is too deep for the text.
    whole: Option<u64>,
}

/// Most copies are made when a row is loaded, and nobody ever asks for them: their text is made for those who do.
enum Kept {
    /// Containers that nobody else has, around values that never change.
    Own {
        value: Py<PyAny>,
        text: PyOnceLock<Box<str>>,
    },
    Text(Box<str>),
}

impl Encoded {
    fn of(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Some(own) = own(value, Types::get(value.py())?, 0)? {
            return Ok(Self { kept: Kept::Own { value: own.unbind(), text: PyOnceLock::new() }, whole: None });
        }
        let (text, is_cut) = encoded(value)?;
        Ok(Self { kept: Kept::Text(text), whole: if is_cut { digest(value) } else { None } })
    }

    /// The value as JSON.
    pub(crate) fn text(&self, py: Python<'_>) -> PyResult<&str> {
        match &self.kept {
            Kept::Own { value, text } => text.get_or_try_init(py, || Ok(encoded(value.bind(py))?.0)).map(|text| &**text),
            Kept::Text(text) => Ok(text),
        }
    }
}

#[pymethods]
impl Encoded {
    fn __eq__(&self, py: Python<'_>, other: &Self) -> PyResult<bool> {
        Ok(self.whole == other.whole && self.text(py)? == other.text(py)?)
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<u64> {
        let mut hasher = DefaultHasher::new();
        self.text(py)?.hash(&mut hasher);
        Ok(hasher.finish())
    }

    /// A digest: the text may hold secrets, and what is printed ends up in logs.
    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("<Encoded {:016x}>", self.__hash__(py)?))
    }

    fn json(&self, py: Python<'_>) -> PyResult<&str> {
        self.text(py)
    }
}

/// The text of a value, and whether a part of it is too deep for that.
fn encoded(value: &Bound<'_, PyAny>) -> PyResult<(Box<str>, bool)> {
    let mut text = String::with_capacity(COPY_BYTES);
    let mut walker = Walker::plain(value.py())?;
    walker.push(value, &mut text);
    Ok((text.into_boxed_str(), walker.take_cut()))
}

/// A digest of all of a value of which the text says a part only (`is_cut`), or of which it is a copy; `None`: the text says it all.
pub(crate) fn whole(value: &Bound<'_, PyAny>, is_cut: bool) -> Option<u64> {
    match value.cast_exact::<Encoded>() {
        Ok(copy) => copy.get().whole,
        Err(_) if is_cut => digest(value),
        Err(_) => None,
    }
}

/// By Python's own encoder, which knows how deep it may go on the stack of its thread. `None`: it cannot be sent to the database either.
fn digest(value: &Bound<'_, PyAny>) -> Option<u64> {
    let py = value.py();
    let options = PyDict::new(py);
    options.set_item(intern!(py, "sort_keys"), true).ok()?;
    options.set_item(intern!(py, "default"), py.get_type::<PyString>()).ok()?;
    let text = py.import(intern!(py, "json")).ok()?.call_method(intern!(py, "dumps"), (value,), Some(&options)).ok()?;
    let mut hasher = DefaultHasher::new();
    text.cast::<PyString>().ok()?.to_str().ok()?.hash(&mut hasher);
    Some(hasher.finish())
}

/// The value itself where it never changes, else containers of our own around what they hold. No Python code is run.
///
/// `None`: it is something else than JSON is loaded as, or too deep, as what is inside itself is.
fn own<'py>(value: &Bound<'py, PyAny>, types: &Types, depth: usize) -> PyResult<Option<Bound<'py, PyAny>>> {
    match types.exact(value) {
        Some(Sort::Dict) if depth < OWN_DEPTH_MAX => own_dict(value.cast()?, types, depth + 1),
        Some(Sort::List) if depth < OWN_DEPTH_MAX => own_list(value.cast()?, types, depth + 1),
        _ => Ok(never_changes(value, types).then(|| value.clone())),
    }
}

fn never_changes(value: &Bound<'_, PyAny>, types: &Types) -> bool {
    value.is_none() || types.exact(value).is_some_and(Sort::is_immutable)
}

fn own_dict<'py>(dict: &Bound<'py, PyDict>, types: &Types, depth: usize) -> PyResult<Option<Bound<'py, PyAny>>> {
    let copy = dict.copy()?;
    let mut others = Vec::new();
    // The iterator panics when a dict grows meanwhile. Copying what is inside can run the collector, which runs code of the application; nothing
    // in here makes an object.
    for (key, value) in &copy {
        // Of any other type it could be changed, or run code when it is looked up.
        if types.exact(&key) != Some(Sort::Text) {
            return Ok(None);
        }
        if !never_changes(&value, types) {
            others.push((key, value));
        }
    }
    for (key, value) in others {
        let Some(own) = own(&value, types, depth)? else { return Ok(None) };
        copy.set_item(key, own)?;
    }
    Ok(Some(copy.into_any()))
}

fn own_list<'py>(list: &Bound<'py, PyList>, types: &Types, depth: usize) -> PyResult<Option<Bound<'py, PyAny>>> {
    let copy = list.get_slice(0, list.len());
    for (place, value) in list.iter().enumerate() {
        match own(&value, types, depth)? {
            Some(own) if own.is(&value) => {}
            Some(own) => copy.set_item(place, own)?,
            None => return Ok(None),
        }
    }
    Ok(Some(copy.into_any()))
}

/// Copies a value as it is now.
#[pyfunction]
pub(crate) fn encode(value: &Bound<'_, PyAny>) -> PyResult<Encoded> {
    Encoded::of(value)
}

/// Replaces the values at `places` of a list, those that the application can change in place, by copies as they are now.
///
/// `deferred` stands for a value that was not loaded, and stays. `prepare` has for each place what makes a column's value of one whose type is
/// not known (see [`prepared`]), or `None`; it is left out where no field has any.
#[pyfunction]
#[pyo3(signature = (values, places, deferred, prepare=None))]
pub(crate) fn encode_in_place(
    values: &Bound<'_, PyList>,
    places: &Bound<'_, PyTuple>,
    deferred: &Bound<'_, PyAny>,
    prepare: Option<&Bound<'_, PyTuple>>,
) -> PyResult<()> {
    let types = Types::get(values.py())?;
    for (index, place) in places.iter().enumerate() {
        let place: usize = place.extract()?;
        let value = values.get_item(place)?;
        let is_bytes = || value.cast_exact::<PyBytes>().is_ok();
        let stays = value.is_none() || value.is(deferred) || types.exact(&value).map_or_else(|| is_copy(&value), Sort::is_immutable);
        if stays || is_bytes() {
            continue;
        }
        let prepare = prepare.map(|prepare| prepare.get_item(index)).transpose()?.filter(|prepare| !prepare.is_none());
        let column = prepare.and_then(|prepare| prepared(&prepare, &value, types));
        values.set_item(place, encode(column.as_ref().unwrap_or(&value))?)?;
    }
    Ok(())
}

/// What `prepare`, a field's `get_prep_value`, sends to the database for a value of a type that is not known here.
///
/// `None`: the type is known, or `prepare` raised, as it then will when Django sends the value. The value's own text is not asked for: that
/// of a lazy one can cost a query, which its column's value does not.
pub(crate) fn prepared<'py>(prepare: &Bound<'py, PyAny>, value: &Bound<'py, PyAny>, types: &Types) -> Option<Bound<'py, PyAny>> {
    let is_unknown = !value.is_none() && types.of(value) == Sort::Other && !is_stand_in(value);
    is_unknown.then(|| prepare.call1((value,)).ok()).flatten()
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

fn is_stand_in(value: &Bound<'_, PyAny>) -> bool {
    is_copy(value) || value.cast_exact::<Expression>().is_ok() || value.cast_exact::<Unknown>().is_ok()
}

fn is_copy(value: &Bound<'_, PyAny>) -> bool {
    value.cast_exact::<Encoded>().is_ok()
}
