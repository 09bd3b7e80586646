//! Which Python type a value has: by comparing pointers for the types that values nearly always have, by `isinstance` for the rest.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

/// What a value is, as far as its representation is concerned.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Text,
    Integer,
    Boolean,
    Float,
    Decimal,
    DateTime,
    Date,
    Time,
    Duration,
    Uuid,
    Bytes,
    Dict,
    List,
    Tuple,
    Set,
    Enumeration,
    /// None of these, and no subclass of any.
    Other,
}

impl Sort {
    /// Whether a value of exactly this type stays what it is.
    pub(crate) const fn is_immutable(self) -> bool {
        self.compares_by_value() || matches!(self, Self::Float | Self::Uuid)
    }

    /// Whether two values of exactly this type are the same value when Python's `==` says so, without running application code.
    pub(crate) const fn compares_by_value(self) -> bool {
        matches!(
            self,
            Self::Text | Self::Integer | Self::Boolean | Self::Decimal | Self::DateTime | Self::Date | Self::Time | Self::Duration
        )
    }
}

/// The types themselves, looked up once per process and kept alive.
pub(crate) struct Types {
    known: Vec<(Py<PyType>, Sort)>,
    /// `datetime.timezone.utc`.
    pub(crate) utc: Py<PyAny>,
}

/// In the order in which `isinstance` asks: what is a subclass of another row comes before it.
const KNOWN: &[(&str, &str, Sort)] = &[
    ("enum", "Enum", Sort::Enumeration),
    ("builtins", "str", Sort::Text),
    ("builtins", "bool", Sort::Boolean),
    ("builtins", "int", Sort::Integer),
    ("datetime", "datetime", Sort::DateTime),
    ("datetime", "date", Sort::Date),
    ("decimal", "Decimal", Sort::Decimal),
    ("uuid", "UUID", Sort::Uuid),
    ("builtins", "float", Sort::Float),
    ("builtins", "dict", Sort::Dict),
    ("builtins", "list", Sort::List),
    ("builtins", "tuple", Sort::Tuple),
    ("datetime", "time", Sort::Time),
    ("datetime", "timedelta", Sort::Duration),
    ("builtins", "bytes", Sort::Bytes),
    ("builtins", "memoryview", Sort::Bytes),
    ("builtins", "bytearray", Sort::Bytes),
    ("builtins", "set", Sort::Set),
    ("builtins", "frozenset", Sort::Set),
];

impl Types {
    /// The types of this process.
    pub(crate) fn get(py: Python<'_>) -> PyResult<&'static Self> {
        static TYPES: PyOnceLock<Types> = PyOnceLock::new();
        TYPES.get_or_try_init(py, || Self::load(py))
    }

    fn load(py: Python<'_>) -> PyResult<Self> {
        let known = KNOWN
            .iter()
            .map(|&(module, name, sort)| Ok((py.import(module)?.getattr(name)?.cast_into::<PyType>()?.unbind(), sort)))
            .collect::<PyResult<Vec<_>>>()?;
        let utc = py.import("datetime")?.getattr("timezone")?.getattr("utc")?.unbind();
        Ok(Self { known, utc })
    }

    /// The sort of a value whose type is exactly one of the known ones; runs no Python.
    pub(crate) fn exact(&self, value: &Bound<'_, PyAny>) -> Option<Sort> {
        let wanted = value.get_type_ptr().cast();
        self.known.iter().find(|(known, _)| known.as_ptr() == wanted).map(|&(_, sort)| sort)
    }

    /// The sort of any value, subclasses included.
    pub(crate) fn of(&self, value: &Bound<'_, PyAny>) -> Sort {
        if let Some(sort) = self.exact(value) {
            return sort;
        }
        let py = value.py();
        // An object can lie about its class or fail to say; then it is something else.
        let is_one = |known: &Py<PyType>| value.is_instance(known.bind(py)).unwrap_or(false);
        self.known.iter().find(|(known, _)| is_one(known)).map_or(Sort::Other, |&(_, sort)| sort)
    }
}
