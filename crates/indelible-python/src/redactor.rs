//! The redactor as a Python object.

use std::sync::Arc;

use indelible::{Detectors, ObjectWriter, Redactor};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::parts;
use crate::walk::Text;

/// Which names are masked and which secrets are found in text.
#[pyclass(frozen, name = "Redactor", module = "indelible._native")]
pub(crate) struct PyRedactor {
    redactor: Arc<Redactor>,
}

impl PyRedactor {
    pub(crate) fn shared(&self) -> Arc<Redactor> {
        Arc::clone(&self.redactor)
    }
}

#[pymethods]
impl PyRedactor {
    #[new]
    #[pyo3(signature = (*, mask_fields=None, detectors=None))]
    fn new(mask_fields: Option<Vec<String>>, detectors: Option<Vec<String>>) -> PyResult<Self> {
        let detectors = match detectors {
            None => Detectors::all(),
            Some(names) => Detectors::parse(names.iter().map(String::as_str)).map_err(|error| PyValueError::new_err(error.to_string()))?,
        };
        let redactor = Redactor::new(mask_fields.iter().flatten().map(String::as_str), detectors);
        Ok(Self { redactor: Arc::new(redactor) })
    }

    fn masks_field(&self, name: Text) -> bool {
        self.redactor.masks_field(&name.0)
    }

    fn text(&self, text: Text) -> String {
        self.redactor.text(&text.0).into_owned()
    }

    /// The JSON of an object with these members, redacted by name and by value.
    fn members(&self, members: &Bound<'_, PyAny>) -> PyResult<String> {
        let mut out = String::new();
        let mut object = ObjectWriter::begin(&mut out);
        for (name, value) in parts::named_values(&self.redactor, members)? {
            object.json(&name, &value);
        }
        object.end();
        Ok(out)
    }

    fn path(&self, path: Text) -> String {
        self.redactor.path(&path.0).into_owned()
    }

    fn header(&self, name: Text, value: Text) -> String {
        self.redactor.header(&name.0, &value.0).into_owned()
    }
}
