//! The policy of requests as a Python object.

use std::collections::BTreeMap;

use indelible::{Policy, Rule};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Chooses how much of each request is recorded.
#[pyclass(frozen, name = "Policy", module = "indelible._native")]
pub(crate) struct PyPolicy {
    policy: Policy,
}

#[pymethods]
impl PyPolicy {
    #[new]
    #[expect(clippy::needless_pass_by_value, reason = "PyO3 hands over what it converted")]
    fn new(level: &str, rules: Vec<BTreeMap<String, String>>) -> PyResult<Self> {
        let level = level.parse().map_err(invalid)?;
        let rules = rules.iter().map(rule).collect::<PyResult<_>>()?;
        Ok(Self { policy: Policy::new(level, rules) })
    }

    #[pyo3(signature = (method, route, path))]
    fn level(&self, method: &str, route: Option<&str>, path: &str) -> &'static str {
        self.policy.level(method, route, path).as_str()
    }
}

fn rule(keys: &BTreeMap<String, String>) -> PyResult<Rule> {
    Rule::parse(keys.iter().map(|(key, value)| (key.as_str(), value.as_str()))).map_err(invalid)
}

fn invalid(error: indelible::PolicyError) -> PyErr {
    PyValueError::new_err(error.to_string())
}
