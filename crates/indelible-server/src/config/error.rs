//! What is wrong with a configuration file, with the place and a cure. Values of unknown keys are never repeated: they may be secrets.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// One mistake in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// Line, from 1.
    pub(crate) line: usize,
    /// Column in characters, from 1.
    pub(crate) column: usize,
    pub(crate) message: String,
    /// What to do.
    pub(crate) help: Option<String>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, "; {help}"))
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file is there, or was named, and cannot be read.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file says something that makes no sense. Every mistake stands on a line of its own.
    #[error("{}", lines(path, mistakes))]
    Mistakes {
        /// The file.
        path: PathBuf,
        /// What is wrong, in the order of the file.
        mistakes: Mistakes,
    },
}

/// The mistakes of one file.
#[derive(Debug)]
pub struct Mistakes(pub(crate) Vec<Mistake>);

fn lines(path: &std::path::Path, mistakes: &Mistakes) -> String {
    let lines: Vec<_> = mistakes.0.iter().map(|mistake| format!("{}:{mistake}", path.display())).collect();
    lines.join("\n")
}
