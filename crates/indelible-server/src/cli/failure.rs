//! How a command ends when it does not end well: one line for the cause, one for the cure, one exit code.

use std::fmt;
use std::io;
use std::process::ExitCode;

use indelible_core::query::QueryError;

use super::output::{is_deceptive, tell};
use crate::search::SearchError;
use crate::trail::TrailError;
use crate::verify::NoProof;

/// Exit codes of the command; scripts rely on them. Nothing catches Ctrl-C, for which a shell reports 130.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done; finding nothing is done, too.
    Success = 0,
    /// Failed.
    Failed = 1,
    /// The command line or the query makes no sense.
    Usage = 2,
    /// Nothing was found, and `-e` asked to be told so.
    NothingFound = 3,
    /// Not permitted.
    Permission = 4,
    /// Tampering was found.
    Tampered = 5,
    /// Verification came to no result.
    CouldNotCheck = 6,
    /// Something deserves a look, and `--strict` asked to be told so.
    Degraded = 7,
    /// Try again later.
    Temporary = 75,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command ends without success.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
    help: Option<String>,
    /// Whether nobody reads the output any more, which is no reason to complain.
    quiet: bool,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: message.to_string(), help: None, quiet: false }
    }

    /// Adds what to do next.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// What is wrong with a query, shown below its text.
    pub(crate) fn of_query(error: &QueryError, query: &str) -> Self {
        // One character for one character, or the caret would stand elsewhere.
        let visible: String = query.chars().map(|character| if is_deceptive(character) { ' ' } else { character }).collect();
        let caret = error.caret(&visible).replace('\n', "\n    ");
        Self::new(Exit::Usage, format!("{error}\n    {caret}")).help(error.help())
    }

    /// Tells on standard error, and answers the exit code.
    pub(crate) fn report(&self) -> Exit {
        if self.quiet {
            return Exit::Success;
        }
        tell(&format!("error: {}", self.message));
        if let Some(help) = &self.help {
            tell(&format!("help: {help}"));
        }
        self.exit
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let quiet = error.kind() == io::ErrorKind::BrokenPipe;
        Self { exit: exit_of(&error), message: error.to_string(), help: None, quiet }
    }
}

impl From<TrailError> for Failure {
    fn from(error: TrailError) -> Self {
        let exit = match &error {
            TrailError::File { error, .. } => exit_of(error),
            TrailError::Sqlite(error) => exit_of_sqlite(error),
            _ => Exit::Failed,
        };
        Self::new(exit, error)
    }
}

impl From<NoProof> for Failure {
    fn from(error: NoProof) -> Self {
        let exit = match error {
            ref error if error.is_tampering() => Exit::Tampered,
            NoProof::Trail(error) => return error.into(),
            NoProof::NotSigned { .. } => Exit::Temporary,
            NoProof::NoRecord { .. } => Exit::Failed,
            _ => Exit::CouldNotCheck,
        };
        Self::new(exit, error)
    }
}

impl From<SearchError> for Failure {
    fn from(error: SearchError) -> Self {
        let help = error.help();
        let exit = match error {
            SearchError::Tampered { .. } | SearchError::Trail(TrailError::ReadBack { .. }) => Exit::Tampered,
            SearchError::Trail(error) => return error.into(),
            SearchError::Deadline { .. } => Exit::Temporary,
            ref error if error.is_usage() => Exit::Usage,
            _ => Exit::Failed,
        };
        let failure = Self::new(exit, error);
        match help {
            Some(help) => failure.help(help),
            None => failure,
        }
    }
}

fn exit_of(error: &io::Error) -> Exit {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Exit::Permission,
        _ => Exit::Failed,
    }
}

fn exit_of_sqlite(error: &rusqlite::Error) -> Exit {
    use rusqlite::ErrorCode::{CannotOpen, DatabaseBusy, DatabaseLocked, PermissionDenied};
    match error.sqlite_error_code() {
        Some(DatabaseBusy | DatabaseLocked) => Exit::Temporary,
        Some(PermissionDenied | CannotOpen) => Exit::Permission,
        _ => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_can_be_tried_again_is_told_from_what_is_not_permitted() {
        let refused = || io::Error::from(io::ErrorKind::PermissionDenied);
        let sqlite = |code| rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
        let failures: [(Failure, Exit); 6] = [
            (SearchError::Deadline { after: Duration::from_secs(1) }.into(), Exit::Temporary),
            (SearchError::Trail(TrailError::Sqlite(sqlite(rusqlite::ffi::SQLITE_BUSY))).into(), Exit::Temporary),
            (SearchError::Trail(TrailError::Sqlite(sqlite(rusqlite::ffi::SQLITE_CORRUPT))).into(), Exit::Failed),
            (TrailError::File { path: "trail".into(), error: refused() }.into(), Exit::Permission),
            (refused().into(), Exit::Permission),
            (SearchError::NotFound { text: "7".into() }.into(), Exit::Failed),
        ];
        for (failure, exit) in failures {
            assert_eq!(failure.exit, exit, "{failure:?}");
        }
    }
}
