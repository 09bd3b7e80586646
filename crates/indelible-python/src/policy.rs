//! The policy of requests as a Python object.

use std::collections::BTreeMap;

use indelible::{Policy, Rule, Visit};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::walk::Text;

/// Chooses how much of each request is recorded.
#[pyclass(frozen, name = "Policy", module = "indelible._native")]
pub(crate) struct PyPolicy {
    policy: Policy,
}

#[pymethods]
#[expect(clippy::needless_pass_by_value, reason = "PyO3 hands over what it converted")]
impl PyPolicy {
    #[new]
    #[pyo3(signature = (level, rules, include=Vec::new(), exclude=Vec::new()))]
    fn new(level: &str, rules: Vec<BTreeMap<String, String>>, include: Vec<String>, exclude: Vec<String>) -> PyResult<Self> {
        let level = level.parse().map_err(invalid)?;
        let rules = rules.iter().map(rule).collect::<PyResult<_>>()?;
        let policy = Policy::new(level, rules).only(include.iter().map(String::as_str), exclude.iter().map(String::as_str));
        Ok(Self { policy })
    }

    #[pyo3(signature = (method, path, route, status, user))]
    fn level(&self, method: Text, path: Text, route: Option<Text>, status: Option<u16>, user: Option<&str>) -> PyResult<&'static str> {
        let user = user.map(str::parse).transpose().map_err(invalid)?;
        let visit = Visit { method: &method.0, path: &path.0, route: route.as_ref().map(|route| route.0.as_str()), status, user };
        Ok(self.policy.level(&visit).as_str())
    }

    fn level_max(&self, method: Text, path: Text) -> &'static str {
        self.policy.level_max(&method.0, &path.0).as_str()
    }

    #[getter]
    fn asks_for_user(&self) -> bool {
        self.policy.asks_for_user()
    }
}

fn rule(keys: &BTreeMap<String, String>) -> PyResult<Rule> {
    Rule::parse(keys.iter().map(|(key, value)| (key.as_str(), value.as_str()))).map_err(invalid)
}

fn invalid(error: indelible::PolicyError) -> PyErr {
    PyValueError::new_err(error.to_string())
}
