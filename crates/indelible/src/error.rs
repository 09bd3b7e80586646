//! What can go wrong, and where.

use std::io;
use std::path::PathBuf;

use indelible_core::FrameError;

/// Why a recorder could not be opened or an event not be recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The service's name cannot be a folder's name.
    #[error(
        "service name {0:?} is not usable: use lower-case letters, digits, '.', '_' and '-', at most 64, starting with a letter or digit"
    )]
    Service(String),
    /// A file or folder of the journal cannot be made or used.
    #[error("{path}: {source}: check that this user may write there", path = path.display())]
    Path {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The data directory lies on a network file system, where locks do not tell whether a process is alive.
    #[error("{path} is on a network file system ({kind}): put the data directory on a local disk", path = path.display())]
    NetworkFileSystem {
        /// The data directory.
        path: PathBuf,
        /// Name of the file system.
        kind: &'static str,
    },
    /// The journal has reached its bound and the agent has not taken anything away.
    #[error("the journal holds {bytes} bytes, its limit is {limit}: is the agent running?")]
    Full {
        /// Bytes in this stream's segments.
        bytes: u64,
        /// The bound, `journal_bytes`.
        limit: u64,
    },
    /// A frame could not be written whole.
    #[error("writing to the journal failed: {0}")]
    Write(#[source] io::Error),
    /// A frame was written but could not be forced to disk, not even in a new segment.
    #[error("syncing the journal failed: {0}")]
    Sync(#[source] io::Error),
    /// Another thread's sync did not end in time.
    #[error("the journal was not synced within {0} ms")]
    SyncTimeout(u128),
    /// Another thread has been writing all the time, as to a disk that does not answer.
    #[error("another thread has been writing to the journal for more than {0} ms: does its disk answer?")]
    Busy(u128),
    /// An earlier event failed less than 100 ms ago; this one was not tried.
    #[error("the journal failed a moment ago and is not tried again yet")]
    Degraded,
    /// The payload of a row of the outbox cannot be read.
    #[error("the row of the outbox is not what was written into it: {0}")]
    Outbox(#[source] FrameError),
    /// The payload of a row of the outbox is that of an intent with other evidence.
    #[error("the row of the outbox holds an intent that does not belong into an outbox")]
    NoOutbox,
    /// The process captures its events and has no journal.
    #[error("this process captures its events and has no journal")]
    Nowhere,
    /// A thread panicked while it held the journal.
    #[error("the journal's state is not usable after a panic")]
    Poisoned,
}

impl Error {
    /// Whether the frame is in the journal all the same, only not known to be on disk.
    pub(crate) fn is_only_unsynced(&self) -> bool {
        matches!(self, Self::Sync(_) | Self::SyncTimeout(_))
    }

    /// An error met while frames that are in the journal were to be forced to disk.
    pub(crate) fn unsynced(self) -> Self {
        if self.is_only_unsynced() { self } else { Self::Sync(io::Error::other(self)) }
    }

    pub(crate) fn path(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Path { path, source }
    }
}
