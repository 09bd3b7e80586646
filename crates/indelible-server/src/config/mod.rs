//! `DATA_DIR/config.toml`: where events go, and how the agent runs (docs/sinks.md, "Configuration").
//!
//! The file is read once, at the start. A file that is not there means the defaults; one with a mistake in it stops the agent,
//! which would otherwise deliver to somewhere else than its operator believes.

mod error;
mod read;
mod recorded;
mod retention;
mod show;
mod spec;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

pub use self::error::ConfigError;
use self::error::{Mistake, Mistakes};
use self::read::{Document, Section};
pub(crate) use self::recorded::Recorded;
pub(crate) use self::show::{Effective, effective, schema};
pub(crate) use self::spec::is_name;
use crate::collector::Permit;
use crate::data_dir::{DataDir, open_regular};
use crate::ingest::Deadlines;
use crate::retention::Rule;
use crate::sink::Shape;

/// The longest configuration file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A configuration: the defaults, or what a file says.
#[derive(Debug, Clone, Default)]
pub struct Config {
    file: PathBuf,
    digest: Option<String>,
    document: Document,
    listen: Option<SocketAddr>,
    deadlines: Deadlines,
    sinks: Vec<SinkConfig>,
    rules: Vec<Rule>,
    senders: Vec<Permit>,
}

/// One `[[sink]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SinkConfig {
    /// What it is called.
    pub(crate) name: String,
    /// Where it delivers to.
    pub(crate) target: Target,
    /// The form of what it delivers.
    pub(crate) shape: Shape,
    /// Whether it begins with the next record where it has no cursor yet.
    pub(crate) starts_newest: bool,
    /// Bounds of its deliveries.
    pub(crate) limits: Limits,
}

/// Where a sink delivers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// Rotating files.
    Files(FilesConfig),
    /// Standard output of the agent.
    Stdout,
}

impl Target {
    /// The word in the configuration.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Files(_) => "files",
            Self::Stdout => "stdout",
        }
    }
}

/// What a sink of files needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FilesConfig {
    pub(crate) folder: PathBuf,
    pub(crate) file_bytes_max: u64,
    pub(crate) rotated_files_max: u64,
    /// `None`: files are not rotated by age.
    pub(crate) rotate_after: Option<Duration>,
    pub(crate) file_mode: u32,
}

/// Bounds of deliveries, the same for every kind of sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) batch_records_max: usize,
    pub(crate) batch_bytes_max: usize,
    pub(crate) call_timeout: Duration,
    pub(crate) retry_min: Duration,
    pub(crate) retry_max: Duration,
    pub(crate) dead_letters_max: usize,
}

impl Config {
    /// Reads the file that was named, else `config.toml` of the directory, else takes the defaults.
    ///
    /// # Errors
    /// - [`ConfigError::File`]: the named file is not there, or the file cannot be read.
    /// - [`ConfigError::Mistakes`]: it has mistakes.
    pub fn load(dir: &DataDir, named: Option<&Path>) -> Result<Self, ConfigError> {
        let path = named.map_or_else(|| dir.config(), Path::to_owned);
        match read_file(&path) {
            Ok(text) => Self::from_text(dir, path, &text),
            Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => Ok(Self { file: path, ..Self::defaults() }),
            Err(error) => Err(ConfigError::File { path, error }),
        }
    }

    fn defaults() -> Self {
        Self { document: read::read("").expect("an empty text has no mistakes"), ..Self::default() }
    }

    fn from_text(dir: &DataDir, path: PathBuf, text: &str) -> Result<Self, ConfigError> {
        let typed = read::read(text).and_then(|document| Self::typed(dir, document));
        let digest = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
        match typed {
            Ok(config) => Ok(Self { file: path, digest: Some(digest), ..config }),
            Err(mistakes) => Err(ConfigError::Mistakes { path, mistakes: Mistakes(mistakes) }),
        }
    }

    fn typed(dir: &DataDir, document: Document) -> Result<Self, Vec<Mistake>> {
        let sinks: Vec<_> = document.sinks.iter().map(|section| sink(dir, section)).collect();
        let rules: Vec<_> = document.retention.iter().map(retention::rule).collect();
        let mut mistakes = conflicts(&document, &sinks);
        mistakes.extend(retention::conflicts(&document.retention, &rules));
        mistakes.extend(too_many_senders(&document));
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let listen = document.agent.text("listen").map(|text| text.parse().expect("the address was checked"));
        let deadlines = Deadlines { transaction_deadline_ms: document.agent.integer("transaction_deadline_ms"), ..Deadlines::default() };
        let senders = document.collector.iter().filter_map(permit).collect();
        Ok(Self { file: PathBuf::new(), digest: None, document, listen, deadlines, sinks, rules, senders })
    }

    /// Where the agent listens, where the file says so.
    #[must_use]
    pub fn listen(&self) -> Option<SocketAddr> {
        self.listen
    }

    /// How long intents wait.
    #[must_use]
    pub fn deadlines(&self) -> Deadlines {
        self.deadlines
    }

    /// The file that was read, or would have been.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// SHA-256 of the file in hexadecimal; nothing where there is no file.
    pub(crate) fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// How long what is kept, in the order of the file; without rules nothing expires.
    pub(crate) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Who may post an outbox here; nobody without an entry.
    pub(crate) fn senders(&self) -> &[Permit] {
        &self.senders
    }

    /// The sinks, in the order of the file.
    pub(crate) fn sinks(&self) -> &[SinkConfig] {
        &self.sinks
    }
}

fn read_file(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open_regular(path, FILE_BYTES_MAX)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn sink(dir: &DataDir, section: &Section) -> SinkConfig {
    // What the list of keys requires was there, or this is not reached.
    let required = |name| section.text(name).unwrap_or_default().to_owned();
    let name = required("name");
    let target = if required("type") == "stdout" { Target::Stdout } else { Target::Files(files(dir, &name, section)) };
    let shape = Shape::from_name(&required("shape")).unwrap_or_default();
    SinkConfig { name, target, shape, starts_newest: required("start") == "newest", limits: limits(section) }
}

fn permit(section: &Section) -> Option<Permit> {
    // A text that is none of both was a mistake, and this is not reached.
    let digest = read::parse_digest(section.text("token_sha256")?)?;
    Some(Permit { service: section.text("service")?.to_owned(), token_sha256: digest })
}

fn too_many_senders(document: &Document) -> Option<Mistake> {
    let first = document.collector.get(spec::SENDERS_MAX)?;
    Some(
        first.mistake(
            format!("more than {} entries of the collector", spec::SENDERS_MAX),
            "one token may be shared by the hosts of a service",
        ),
    )
}

fn files(dir: &DataDir, name: &str, section: &Section) -> FilesConfig {
    let folder = section.text("folder").map_or_else(|| dir.sink(name).join("files"), |folder| dir.root().join(folder));
    let mode = section.text("file_mode").and_then(|mode| u32::from_str_radix(mode, 8).ok());
    let age_s = section.integer("rotate_after_s").unsigned_abs();
    FilesConfig {
        folder,
        file_bytes_max: section.integer("file_bytes_max").unsigned_abs(),
        rotated_files_max: section.integer("rotated_files_max").unsigned_abs(),
        rotate_after: (age_s > 0).then(|| Duration::from_secs(age_s)),
        file_mode: mode.unwrap_or(0o600),
    }
}

fn limits(section: &Section) -> Limits {
    let count = |name| usize::try_from(section.integer(name)).unwrap_or(usize::MAX);
    let time = |name| Duration::from_millis(section.integer(name).unsigned_abs());
    Limits {
        batch_records_max: count("batch_records_max"),
        batch_bytes_max: count("batch_bytes_max"),
        call_timeout: time("call_timeout_ms"),
        retry_min: time("retry_min_ms"),
        retry_max: time("retry_max_ms"),
        dead_letters_max: count("dead_letters_max"),
    }
}

/// What is wrong between keys that are right one by one.
fn conflicts(document: &Document, sinks: &[SinkConfig]) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let (mut names, mut folders, mut stdout) = (HashMap::new(), HashMap::new(), None);
    for (index, (section, sink)) in document.sinks.iter().zip(sinks).enumerate() {
        let line = section.place.0;
        let mut clash = |before: Option<usize>, what: &str, help: &str| {
            if let Some(before) = before {
                mistakes.push(section.mistake(format!("{what} as the sink in line {before}"), help));
            }
        };
        clash(names.insert(&sink.name, line), "the same name", "a name belongs to one sink");
        match &sink.target {
            Target::Files(files) => clash(folders.insert(&files.folder, line), "the same folder", "a sink owns the files of its folder"),
            Target::Stdout => clash(stdout.replace(line), "the same standard output", "there is one"),
        }
        if sink.limits.retry_min > sink.limits.retry_max {
            mistakes.push(section.mistake("`retry_min_ms` is above `retry_max_ms`".to_owned(), "exchange them"));
        }
        if index == spec::SINKS_MAX {
            mistakes.push(section.mistake(format!("more than {} sinks", spec::SINKS_MAX), "run another agent for the others"));
        }
    }
    mistakes
}
