//! How a recorder is set up; parsed elsewhere, plain values here.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use indelible_core::{EVENT_BYTES_MIN, Event, Kind};

use crate::capture::Capture;

/// An INTENT is one frame of at most 64 MiB. The bound counts events without their source, which has at most 788 bytes more than the bound
/// charges for each of at most 49,152 events.
const TRANSACTION_BYTES_MAX: usize = 24 * 1024 * 1024;

/// What an appended event survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// A crash of this process, but not of the machine: the frame is in the page cache.
    #[default]
    Buffered,
    /// A crash of the machine: the frame is on disk before the call returns, one `fdatasync` for all who wait.
    Synced,
}

/// What happens when an event cannot be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum OnFailure {
    /// Count the loss.
    BestEffort,
    /// Wait up to 50 ms, then count the loss.
    #[default]
    Standard,
    /// Wait up to 2 s, then refuse the action before COMMIT.
    Required,
}

/// Events that have a mode of their own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EventClass {
    /// Those of one kind.
    Kind(Kind),
    /// Those about one type of resource, such as `clinic.Patient`; this counts before the kind.
    Type(String),
}

impl OnFailure {
    pub(crate) const fn patience(self) -> Duration {
        match self {
            Self::Required => Duration::from_secs(2),
            Self::Standard => Duration::from_millis(50),
            Self::BestEffort => Duration::ZERO,
        }
    }
}

/// The mode of every event.
#[derive(Debug, Default)]
pub(crate) struct Modes {
    default: OnFailure,
    kinds: Vec<(Kind, OnFailure)>,
    types: HashMap<String, OnFailure>,
}

impl Modes {
    pub(crate) fn new(default: OnFailure, given: &[(EventClass, OnFailure)]) -> Self {
        let mut modes = Self { default, ..Self::default() };
        for (class, mode) in given {
            match class {
                EventClass::Kind(kind) => modes.kinds.push((*kind, *mode)),
                EventClass::Type(name) => {
                    modes.types.insert(name.clone(), *mode);
                }
            }
        }
        modes
    }

    pub(crate) fn of(&self, event: &Event) -> OnFailure {
        if self.is_uniform() {
            return self.default;
        }
        let by_type = event.resource.as_ref().and_then(|resource| self.types.get(&resource.r#type)).copied();
        let by_kind = || self.kinds.iter().find(|(kind, _)| *kind == event.kind).map(|&(_, mode)| mode);
        by_type.or_else(by_kind).unwrap_or(self.default)
    }

    /// The strictest mode of several events; the default where there are none.
    pub(crate) fn strictest(&self, events: &[Event]) -> OnFailure {
        if self.is_uniform() {
            return self.default;
        }
        events.iter().map(|event| self.of(event)).max().unwrap_or(self.default)
    }

    fn is_uniform(&self) -> bool {
        self.kinds.is_empty() && self.types.is_empty()
    }
}

/// Which changes of a rolled-back transaction are recorded, with outcome `aborted`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeepRolledBack {
    /// None.
    None,
    /// Those of data declared sensitive.
    #[default]
    Sensitive,
    /// All.
    All,
}

/// Bounds, in bytes unless they say otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest encoded event; at least 16,384. Default 262,144.
    pub event_bytes: usize,
    /// Largest journal of this process before recording fails. Default 1 GiB.
    pub journal_bytes: u64,
    /// Size at which a segment is followed by the next. Default 16 MiB.
    pub segment_bytes: u64,
    /// Largest sum of events held by one transaction, at most 24 MiB. Default 16 MiB.
    pub transaction_bytes: usize,
    /// Most events held by one transaction. Default 65,536.
    pub transaction_events: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            event_bytes: 262_144,
            journal_bytes: 1024 * 1024 * 1024,
            segment_bytes: 16 * 1024 * 1024,
            transaction_bytes: 16 * 1024 * 1024,
            transaction_events: 65_536,
        }
    }
}

impl Limits {
    /// The same limits inside the bounds that the format sets: an INTENT is one frame, and identity always fits.
    pub(crate) fn clamped(self) -> Self {
        Self {
            event_bytes: self.event_bytes.clamp(EVENT_BYTES_MIN, 16 * 1024 * 1024),
            transaction_bytes: self.transaction_bytes.min(TRANSACTION_BYTES_MAX),
            transaction_events: self.transaction_events.clamp(1, 65_536),
            ..self
        }
    }
}

/// Everything a [`crate::Recorder`] needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Directory shared with the agent; the journal is written to `journal/SERVICE` in it.
    pub data_dir: PathBuf,
    /// Name of the service, `[a-z0-9][a-z0-9._-]{0,63}`.
    pub service: String,
    /// Deployment environment; may be empty.
    pub environment: String,
    /// Version of the service; may be empty.
    pub version: String,
    /// `web`, `worker`, `beat` or `command`. Default `web`.
    pub process_kind: String,
    /// What an event survives once it is recorded.
    pub durability: Durability,
    /// What happens when it cannot be recorded.
    pub on_failure: OnFailure,
    /// What happens when events of these classes cannot be recorded. The events of one transaction share the strictest mode among them.
    pub on_failure_of: Vec<(EventClass, OnFailure)>,
    /// What is kept of rolled-back transactions.
    pub keep_rolled_back: KeepRolledBack,
    /// Bounds.
    pub limits: Limits,
    /// Where events go instead of the journal: no file is made. For tests of the application.
    pub capture: Option<Capture>,
}

impl Config {
    /// A configuration with defaults for everything but the data directory and the service's name.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>, service: impl Into<String>) -> Self {
        Self {
            data_dir: data_dir.into(),
            service: service.into(),
            environment: String::new(),
            version: String::new(),
            process_kind: "web".to_owned(),
            durability: Durability::default(),
            on_failure: OnFailure::default(),
            on_failure_of: Vec::new(),
            keep_rolled_back: KeepRolledBack::default(),
            limits: Limits::default(),
            capture: None,
        }
    }
}

/// Whether `name` can be a service's name, and so a folder's.
pub(crate) fn is_service_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= 64
        && name.bytes().next().is_some_and(allowed)
        && name.bytes().all(|byte| allowed(byte) || matches!(byte, b'.' | b'_' | b'-'))
}
