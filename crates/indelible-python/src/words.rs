//! The words of the settings, as Python hands them over.

use indelible::{EventClass, Evidence, Kind, Limits, OnFailure};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// What happens when an event cannot be recorded, by its word.
pub(crate) const MODES: [(&str, OnFailure); 3] =
    [("required", OnFailure::Required), ("standard", OnFailure::Standard), ("best_effort", OnFailure::BestEffort)];

/// One mode for all events, or a dict: of kinds of events and types of resources, and `default` for the others.
pub(crate) fn modes(given: &Bound<'_, PyAny>) -> PyResult<(OnFailure, Vec<(EventClass, OnFailure)>)> {
    let Ok(given) = given.cast::<PyDict>() else { return Ok((choice(given.extract::<&str>()?, &MODES)?, Vec::new())) };
    let (mut default, mut classes) = (OnFailure::default(), Vec::new());
    for (class, mode) in given {
        let (class, mode) = (class.extract::<String>()?, choice(mode.extract::<&str>()?, &MODES)?);
        match Kind::from_name(&class) {
            _ if class == "default" => default = mode,
            Some(kind) => classes.push((EventClass::Kind(kind), mode)),
            None => classes.push((EventClass::Type(class), mode)),
        }
    }
    Ok((default, classes))
}

/// How a commit is known after a crash.
pub(crate) fn evidence(given: &str) -> PyResult<Evidence> {
    choice(given, &[Evidence::Ack, Evidence::Marker, Evidence::Outbox].map(|evidence| (evidence.as_str(), evidence)))
}

/// What a word stands for.
pub(crate) fn choice<T: Copy>(given: &str, choices: &[(&str, T)]) -> PyResult<T> {
    choices.iter().find(|(name, _)| *name == given).map(|&(_, value)| value).ok_or_else(|| {
        let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        PyValueError::new_err(format!("{given:?} is none of: {}", names.join(", ")))
    })
}

/// The bounds that are given; the others stay.
pub(crate) fn limits(given: &Bound<'_, PyDict>) -> PyResult<Limits> {
    let mut limits = Limits::default();
    for (name, value) in given {
        match name.extract::<&str>()? {
            // Of the middleware, which hands it over with each body.
            "body_bytes" => {}
            "event_bytes" => limits.event_bytes = value.extract()?,
            "journal_bytes" => limits.journal_bytes = value.extract()?,
            "segment_bytes" => limits.segment_bytes = value.extract()?,
            "transaction_bytes" => limits.transaction_bytes = value.extract()?,
            "transaction_events" => limits.transaction_events = value.extract()?,
            other => return Err(PyValueError::new_err(format!("there is no limit {other:?}"))),
        }
    }
    Ok(limits)
}
