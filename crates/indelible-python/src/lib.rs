//! The native half of the Python package `indelible`: turns Python values into redacted events and hands them to the recorder.
//!
//! It holds no policy and no format of its own (those are in `indelible`), and no `unsafe` code. No function here raises because of a value
//! that it was given to record, and none holds a lock while Python code can run.

mod body;
mod capture;
mod context;
mod errors;
mod event;
mod intent;
mod model;
mod moments;
mod parts;
mod policy;
mod recorded;
mod recorder;
mod redactor;
mod request;
mod sql;
mod transaction;
mod types;
mod values;
mod walk;
mod words;

use pyo3::prelude::*;

#[pymodule]
#[pyo3(name = "_native")]
fn native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("Refused", py.get_type::<errors::Refused>())?;
    module.add("UNKNOWN", values::unknown(py)?)?;
    module.add_class::<body::BodyTap>()?;
    module.add_class::<body::PyBody>()?;
    module.add_class::<capture::PyCapture>()?;
    module.add_class::<context::Context>()?;
    module.add_class::<event::PyEvent>()?;
    module.add_class::<model::Model>()?;
    module.add_class::<intent::PyIntent>()?;
    module.add_class::<recorder::PyRecorder>()?;
    module.add_class::<transaction::PyTransaction>()?;
    module.add_class::<policy::PyPolicy>()?;
    module.add_class::<redactor::PyRedactor>()?;
    module.add_class::<values::Encoded>()?;
    module.add_class::<values::Expression>()?;
    module.add_class::<values::Unknown>()?;
    module.add_function(wrap_pyfunction!(values::encode, module)?)?;
    module.add_function(wrap_pyfunction!(values::encode_in_place, module)?)?;
    module.add_function(wrap_pyfunction!(values::fill_rows, module)?)?;
    module.add_function(wrap_pyfunction!(values::read_rows, module)?)?;
    module.add_function(wrap_pyfunction!(recorder::is_sealed, module)?)?;
    module.add_function(wrap_pyfunction!(values::remember_rows, module)?)?;
    module.add_function(wrap_pyfunction!(sql::sql_writes, module)?)
}
