//! Receives the outboxes of hosts without a durable disk: their drainers write into a journal of this host (docs/evidence.md, "A collector").
//!
//! A drainer is given a stream that nobody else has. It commits in its own database at which position of that stream a row will be, posts it,
//! and deletes it when the answers say that the trail has it. The stream is all there is to know, so nothing is remembered here for the
//! sake of a request that comes twice: what stands at its positions already is not written again.
//!
//! **Invariant:** nothing but rows is written to such a stream, at the positions that they name; not even CLOSE, which would stand where a
//! drainer believes its row. A stream that has ended is never continued.

mod rows;

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indelible::{Outboxed, Position, Recorder};
use indelible_core::StreamId;
use sha2::{Digest as _, Sha256};

use crate::answers::{ANSWERS, COLLECTED};
use crate::data_dir::{DataDir, open_lock, open_unlinked, read_unlinked, sync_dir};

/// How long a stream waits for its drainer to say something.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(60);
/// The most streams at the same time.
const STREAMS_MAX: usize = 64;
/// The most bytes of answers that are passed on: as many as an application reads.
const ANSWERS_BYTES_MAX: u64 = 64 << 20;

/// One `[[collector]]`: who may post the outbox of which service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Permit {
    pub(crate) service: String,
    pub(crate) token_sha256: [u8; 32],
}

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// Nothing was written, and never will be as it stands.
    #[error("the body is not made of rows (docs/format.md, \"Outbox over HTTP\")")]
    Malformed,
    /// This row, counted from 0, is the first that is not what an outbox has written. Nothing of the request was.
    #[error("row {0} is not what an outbox has written")]
    Damaged(usize),
    /// The stream has ended, or never was.
    #[error("this stream has ended: {} s without a word, or another start of the agent", SILENCE_MAX.as_secs())]
    Ended,
    /// A row names a position that is not the next one: most likely this request comes for the second time.
    #[error("the stream is at another position than the row")]
    Elsewhere,
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
}

/// The answers of a service, as far as they are other than those that were seen.
#[derive(Debug)]
pub(crate) enum Told {
    /// They are the same.
    Same,
    /// This file, of this version.
    File(Vec<u8>, String),
    /// There are none yet.
    Nothing,
}

/// A stream that a drainer writes to.
struct Lent {
    service: String,
    stream: StreamId,
    recorder: Recorder,
    heard_at: Mutex<Instant>,
    /// One request at a time.
    turn: Mutex<()>,
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lent").field("service", &self.service).field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // Nobody else has it: where its lock cannot be had, a panic has poisoned it, and dropping the recorder writes nothing either.
        let _ = self.recorder.abandon();
    }
}

/// The collector of a data directory.
#[derive(Debug)]
pub(crate) struct Collector {
    dir: DataDir,
    permits: Vec<Permit>,
    lent: Mutex<HashMap<StreamId, Arc<Lent>>>,
}

impl Collector {
    pub(crate) fn new(dir: DataDir, permits: Vec<Permit>) -> Self {
        Self { dir, permits, lent: Mutex::default() }
    }

    /// Whether this token is one for the outbox of this service.
    pub(crate) fn permits(&self, service: &str, token: &[u8]) -> bool {
        // Digests are compared: how long that takes says nothing about the token.
        let digest = Sha256::digest(token);
        self.permits.iter().any(|permit| permit.service == service && digest[..] == permit.token_sha256[..])
    }

    /// Lends a new stream, and says where its first frame will be. Its folder is on the disk before anybody can name it in a database.
    ///
    /// # Errors
    /// [`Refusal::Crowded`], [`Refusal::Journal`], [`Refusal::File`].
    pub(crate) fn lend(&self, service: &str, now: Instant) -> Result<Position, Refusal> {
        self.take_back_silent(now);
        if self.lent().len() >= STREAMS_MAX {
            return Err(Refusal::Crowded);
        }
        let recorder = Recorder::open(indelible::Config::new(self.dir.root(), service))?;
        let folder = self.dir.journal().join(service);
        let failed = |error| Refusal::File { path: folder.clone(), error };
        // From now on the agent says how far the streams of this service are.
        open_lock(&folder.join(COLLECTED)).map_err(failed)?;
        let first = recorder.next_position()?;
        let stream = first.stream;
        let lent = Lent { service: service.to_owned(), stream, recorder, heard_at: Mutex::new(now), turn: Mutex::default() };
        sync_dir(&folder).map_err(failed)?;
        self.lent().insert(stream, Arc::new(lent));
        Ok(first)
    }

    /// Writes rows where they say, all of them or as many as can be: then the stream has ended.
    ///
    /// # Errors
    /// With [`Refusal::Malformed`], [`Refusal::Damaged`], [`Refusal::Ended`] nothing was written; with the others, some may have been.
    pub(crate) fn receive(&self, service: &str, stream: StreamId, body: &[u8], now: Instant) -> Result<(), Refusal> {
        let rows = rows::parse(body).ok_or(Refusal::Malformed)?;
        if let Some(index) = rows.iter().position(|row| !indelible::is_sealed(row.payload)) {
            return Err(Refusal::Damaged(index));
        }
        let lent = self.heard(service, stream, now)?;
        let _turn = lent.turn.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, row) in rows.iter().enumerate() {
            let position = Position { stream, sequence: row.sequence };
            match lent.recorder.append_outbox(row.payload, position) {
                Ok(Outboxed::Done) => {}
                // The first row tells that another request came before this one, whose stream it stays.
                Ok(Outboxed::Moved) if index == 0 => return Err(Refusal::Elsewhere),
                Ok(Outboxed::Moved) => {
                    self.take_back(service, stream);
                    return Err(Refusal::Elsewhere);
                }
                Err(error) => {
                    self.take_back(service, stream);
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }

    /// Notes that the drainer of a stream is there.
    ///
    /// # Errors
    /// [`Refusal::Ended`]: it has no such stream.
    pub(crate) fn hear(&self, service: &str, stream: StreamId, now: Instant) -> Result<(), Refusal> {
        self.heard(service, stream, now).map(drop)
    }

    /// Ends a stream. Nothing is said of one that has ended already.
    pub(crate) fn take_back(&self, service: &str, stream: StreamId) {
        let mut lent = self.lent();
        if lent.get(&stream).is_some_and(|lent| lent.service == service) {
            lent.remove(&stream);
        }
    }

    /// Ends the streams whose drainers have said nothing for too long. Whether the named one goes on.
    pub(crate) fn goes_on(&self, stream: StreamId, now: Instant) -> bool {
        self.take_back_silent(now);
        self.lent().contains_key(&stream)
    }

    /// Whether the journals have a folder for a stream: then the agent has not come to its end.
    pub(crate) fn has_folder(&self, service: &str, stream: StreamId) -> bool {
        fs::symlink_metadata(self.dir.journal().join(service).join(stream.to_string())).is_ok()
    }

    /// What the agent says of a service's streams, unless it is what `seen` names. What another user has put there is not the agent's word.
    ///
    /// # Errors
    /// [`Refusal::File`]: the file is there and cannot be read.
    pub(crate) fn told(&self, service: &str, seen: Option<&str>) -> Result<Told, Refusal> {
        let path = self.dir.journal().join(service).join(ANSWERS);
        let read = || -> io::Result<Told> {
            let mut version = String::new();
            let metadata = open_unlinked(&path)?.metadata()?;
            if !is_own(&metadata) {
                return Ok(Told::Nothing);
            }
            if seen == Some(version_of(&metadata).as_str()) {
                return Ok(Told::Same);
            }
            let text = read_unlinked(&path, ANSWERS_BYTES_MAX, |metadata| {
                version = version_of(metadata);
                is_own(metadata)
            })?;
            Ok(Told::File(text, version))
        };
        match read() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Told::Nothing),
            read => read.map_err(|error| Refusal::File { path, error }),
        }
    }

    fn heard(&self, service: &str, stream: StreamId, now: Instant) -> Result<Arc<Lent>, Refusal> {
        self.take_back_silent(now);
        let lent = self.lent().get(&stream).filter(|lent| lent.service == service).cloned().ok_or(Refusal::Ended)?;
        *lent.heard_at.lock().unwrap_or_else(PoisonError::into_inner) = now;
        Ok(lent)
    }

    fn take_back_silent(&self, now: Instant) {
        let heard_at = |lent: &Lent| *lent.heard_at.lock().unwrap_or_else(PoisonError::into_inner);
        self.lent().retain(|_, lent| now.saturating_duration_since(heard_at(lent)) < SILENCE_MAX);
    }

    fn lent(&self) -> MutexGuard<'_, HashMap<StreamId, Arc<Lent>>> {
        self.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_own(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    metadata.uid() == rustix::process::geteuid().as_raw()
}

/// What tells one version of a file from another.
fn version_of(metadata: &fs::Metadata) -> String {
    use std::os::unix::fs::MetadataExt as _;
    format!("\"{}-{}-{}-{}\"", metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.len())
}
