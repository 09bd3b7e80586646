//! The Python exceptions for Rust's errors.

use indelible::{Error, JournalHealth};
use pyo3::prelude::*;

pyo3::import_exception!(indelible._errors, IndelibleError);
pyo3::import_exception!(indelible._errors, Refused);

/// A recorder could not be opened.
pub(crate) fn not_opened(error: &Error) -> PyErr {
    IndelibleError::new_err(error.to_string())
}

/// The end of a stream could not be written.
pub(crate) fn not_closed(error: &Error) -> PyErr {
    IndelibleError::new_err(error.to_string())
}

/// What was to be said about another process's write is not in the journal.
pub(crate) fn not_journaled(error: &Error) -> PyErr {
    IndelibleError::new_err(error.to_string())
}

/// A write was refused before COMMIT.
pub(crate) fn refused(refused: &indelible::Refused) -> PyErr {
    Refused::new_err(refused.to_string())
}

/// An event that had to be journaled at once was not.
pub(crate) fn lost(health: &JournalHealth) -> PyErr {
    Refused::new_err(format!("the audit journal refused an event: {}", health.last_error.as_deref().unwrap_or("cause unknown")))
}
