//! Why verification ends before its end.

use super::report::{Fault, FaultKind, Report};
use crate::trail::TrailError;

/// The first thing that verification cannot go on from.
#[derive(Debug)]
pub(super) enum Halt {
    /// Something is not as it was written.
    Fault(Fault),
    /// Something of the trail cannot be read.
    Unreadable(TrailError),
    /// Something else that is needed is not there: a sentence.
    CouldNotCheck(String),
}

impl Halt {
    /// Names the file in which it was found, unless one is named.
    pub(super) fn in_file(mut self, name: &str) -> Self {
        if let Self::Fault(fault) = &mut self {
            fault.file.get_or_insert_with(|| name.to_owned());
        }
        self
    }
}

impl Halt {
    /// Bytes that could be read and were never written are a fault, wherever they were met.
    pub(super) fn judged(self) -> Self {
        match self {
            Self::Unreadable(error) if error.is_damage() => {
                Self::Fault(Fault { kind: FaultKind::Damaged, leaves: None, event: None, verified: 0, file: None })
            }
            halt => halt,
        }
    }
}

impl From<Halt> for Report {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Fault(fault) => Self::Tampered(fault),
            Halt::Unreadable(error) => Self::CouldNotCheck(error.to_string()),
            Halt::CouldNotCheck(reason) => Self::CouldNotCheck(reason),
        }
    }
}

impl From<TrailError> for Halt {
    fn from(error: TrailError) -> Self {
        Self::Unreadable(error)
    }
}

impl From<rusqlite::Error> for Halt {
    fn from(error: rusqlite::Error) -> Self {
        Self::Unreadable(error.into())
    }
}
