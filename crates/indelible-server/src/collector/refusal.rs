//! Why a request of a drainer was not carried out: what it is told, and what only the agent's log says.

use std::io;
use std::path::PathBuf;

use super::lent::{SILENCE_MAX, STREAMS_MAX, STREAMS_PER_SERVICE};

/// Why a request was not carried out. Its text is for the log of this host; [`Refusal::said`] goes to others.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// It shows no token of the configuration.
    #[error("this needs a token for the outbox of this service")]
    Stranger,
    /// Its token is one for another service than it asks for.
    #[error("this token is for the outbox of another service")]
    Elsewhere,
    /// As many requests of this service as there may be are under way.
    #[error("{STREAMS_PER_SERVICE} requests with rows of this service are under way")]
    Busy,
    /// The body did not come in time.
    #[error("the rows did not come within {0} s")]
    Slow(u64),
    /// The connection ended in the middle of the body.
    #[error("the rows did not come whole")]
    Cut,
    /// More bytes, or more rows, than a request may have.
    #[error("a request has at most 64 MiB and 1,000 rows")]
    TooLarge,
    /// Nothing was written, and never will be as it stands.
    #[error("the body is not made of rows (docs/format.md, \"Outbox over HTTP\")")]
    Malformed,
    /// This row, counted from 0, is the first that is not what an outbox has written. Nothing of the request was.
    #[error("row {0} is not what an outbox has written")]
    Damaged(usize),
    /// An event of this row names a service that the token is not for. Nothing of the request was written.
    #[error("row {row} has an event of the service {service:?}, which this token is not for")]
    Foreign {
        /// Counted from 0.
        row: usize,
        /// As the event says; empty where it says nothing.
        service: String,
    },
    /// The stream has ended, or never was.
    #[error("this stream has ended: {} s without a word, or another start of the agent", SILENCE_MAX.as_secs())]
    Ended,
    /// A row names a position that is not the next one: most likely this request comes for the second time.
    #[error("the stream is at another position than the row")]
    Moved,
    /// As many streams as one service can have.
    #[error("{STREAMS_PER_SERVICE} drainers of this service have a stream here")]
    CrowdedService,
    /// As many streams as there can be.
    #[error("{STREAMS_MAX} drainers have a stream here")]
    Crowded,
    /// The journal did not take everything; the stream has ended.
    #[error("the journal of the collector: {0}")]
    Journal(#[from] indelible::Error),
    /// Something beside the journal.
    #[error("{path}: {error}")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The agent's own answers are not what it writes.
    #[error("{path}: {error}")]
    Answers {
        /// The file.
        path: PathBuf,
        /// Where and why.
        error: serde_json::Error,
    },
    /// A panic.
    #[error("a fault in the collector: {0}")]
    Fault(String),
}

/// The kind of a refusal, by which they are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    Token,
    Service,
    Busy,
    Slow,
    Rows,
    Ended,
    Moved,
    Crowded,
    Disk,
    Fault,
}

impl Reason {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Service => "service",
            Self::Busy => "busy",
            Self::Slow => "slow",
            Self::Rows => "rows",
            Self::Ended => "ended",
            Self::Moved => "moved",
            Self::Crowded => "crowded",
            Self::Disk => "disk",
            Self::Fault => "fault",
        }
    }
}

impl Refusal {
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Stranger => Reason::Token,
            Self::Elsewhere | Self::Foreign { .. } => Reason::Service,
            Self::Busy => Reason::Busy,
            Self::Slow(_) | Self::Cut => Reason::Slow,
            Self::TooLarge | Self::Malformed | Self::Damaged(_) => Reason::Rows,
            Self::Ended => Reason::Ended,
            Self::Moved => Reason::Moved,
            Self::CrowdedService | Self::Crowded => Reason::Crowded,
            Self::Journal(_) | Self::File { .. } => Reason::Disk,
            Self::Answers { .. } | Self::Fault(_) => Reason::Fault,
        }
    }

    /// What whoever asked is told: nothing of this host's files.
    pub(crate) fn said(&self) -> String {
        match self {
            Self::Journal(_) => "the collector cannot write its journal now; its agent's log says why".to_owned(),
            Self::File { .. } => "the collector cannot read or write its files now; its agent's log says why".to_owned(),
            Self::Answers { .. } => "the collector does not understand its own answers; its agent's log says why".to_owned(),
            Self::Fault(_) => "a fault in the collector; its agent's log says which".to_owned(),
            other => other.to_string(),
        }
    }
}
