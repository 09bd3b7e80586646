//! Receives the outboxes of hosts without a durable disk: their drainers write into a journal of this host (docs/evidence.md, "A collector").
//!
//! A drainer is given a stream that nobody else has. It commits in its own database at which position of that stream a row will be, posts it,
//! and deletes it when the answers say that the trail has it. The stream is all there is to know, so nothing is remembered here for the
//! sake of a request that comes twice: what stands at its positions already is not written again.
//!
//! **Invariant:** nothing but rows is written to such a stream, at the positions that they name; not even CLOSE, which would stand where a
//! drainer believes its row. A stream that has ended is never continued.

mod lent;
mod metrics;
mod named;
mod refusal;
mod rows;
mod tally;
mod told;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use indelible::{Outboxed, Position, Recorder};
use indelible_core::StreamId;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use self::lent::{Lent, Streams};
pub(crate) use self::lent::{SILENCE_MAX, STREAMS_PER_SERVICE};
pub(crate) use self::metrics::CollectorMetrics;
pub(crate) use self::refusal::{Reason, Refusal};
pub(crate) use self::rows::ROWS_BYTES_MAX;
pub(crate) use self::tally::Refused;
use self::tally::Tally;
use self::told::Found;
pub(crate) use self::told::Told;
use crate::answers::{ANSWERS, COLLECTED};
use crate::data_dir::{DataDir, create_private_dir, open_lock, sync_dir};

/// One `[[collector]]`: who may post the outbox of which service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Permit {
    pub(crate) service: String,
    pub(crate) token_sha256: [u8; 32],
}

/// What a token opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Access {
    /// The service that was asked for. These are all services that the token is for.
    Granted(Arc<[String]>),
    /// Other services only.
    Elsewhere,
    /// Nothing.
    Unknown,
}

/// How the collector is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Health {
    /// Streams that are lent now.
    pub(crate) streams: usize,
    /// Streams that were lent since the agent started.
    pub(crate) lent: u64,
    /// Rows that were journaled since then.
    pub(crate) rows: u64,
    pub(crate) refused: Vec<Refused>,
}

/// The collector of a data directory.
#[derive(Debug)]
pub(crate) struct Collector {
    dir: DataDir,
    permits: Vec<Permit>,
    streams: Streams,
    /// One stream is lent after the other, so that their number has a bound.
    lending: Mutex<()>,
    tally: Tally,
    lends: Tally,
}

impl Collector {
    pub(crate) fn new(dir: DataDir, permits: Vec<Permit>) -> Self {
        Self { dir, permits, streams: Streams::default(), lending: Mutex::default(), tally: Tally::default(), lends: Tally::default() }
    }

    /// What this token opens of the outbox of this service.
    pub(crate) fn access(&self, service: &str, token: &[u8]) -> Access {
        // Digests are compared: how long that takes says nothing about the token.
        let digest = Sha256::digest(token);
        let of_token = self.permits.iter().filter(|permit| digest[..] == permit.token_sha256[..]);
        let services: Arc<[String]> = of_token.map(|permit| permit.service.clone()).collect();
        match services.iter().any(|known| known == service) {
            true => Access::Granted(services),
            false if services.is_empty() => Access::Unknown,
            false => Access::Elsewhere,
        }
    }

    /// The services whose outbox may be posted here.
    pub(crate) fn services(&self) -> BTreeSet<&str> {
        self.permits.iter().map(|permit| permit.service.as_str()).collect()
    }

    /// Counts that a request about a service was refused, and says so in the log, at most once a minute.
    pub(crate) fn tell(&self, service: &str, refusal: &Refusal, now: Instant) {
        // Only names of the configuration are remembered: anybody can ask for any other.
        let known = self.services().get(service).copied().unwrap_or_default();
        let reason = refusal.reason().as_str();
        if let Some(times) = self.tally.note(known, reason, now) {
            tracing::warn!(service = known, reason, times, error = %refusal, "a request to the collector was refused");
        }
    }

    /// How it is, and what it did since the agent started.
    pub(crate) fn health(&self, now: Instant) -> Health {
        Health { streams: self.streams.len(), lent: self.streams.lent(), rows: self.streams.rows(), refused: self.tally.refused(now) }
    }

    /// Lends a new stream, and says where its first frame will be. Its folder is on the disk before anybody can name it in a database.
    ///
    /// # Errors
    /// [`Refusal::Crowded`], [`Refusal::CrowdedService`], [`Refusal::Journal`], [`Refusal::File`].
    pub(crate) fn lend(&self, service: &str, now: Instant) -> Result<Position, Refusal> {
        let _lending = self.lending.lock().unwrap_or_else(PoisonError::into_inner);
        self.streams.take_back_silent(now);
        self.streams.check_room(service)?;
        let recorder = Recorder::open(indelible::Config::new(self.dir.root(), service))?;
        let folder = self.folder(service);
        // From now on the agent says how far the streams of this service are.
        self.ask_for_answers(&folder)?;
        let first = recorder.next_position()?;
        // All three may be as new as the stream.
        for folder in [folder.as_path(), &self.dir.journal(), self.dir.root()] {
            sync_dir(folder).map_err(at(folder))?;
        }
        self.streams.add(Lent::new(service, first.stream, recorder, now));
        if let Some(times) = self.lends.note(service, "lent", now) {
            tracing::info!(service, times, stream = %first.stream, "lent streams to drainers of other hosts, this one last");
        }
        Ok(first)
    }

    /// Writes rows where they say, all of them or as many as can be: then the stream has ended.
    ///
    /// # Errors
    /// With [`Refusal::Malformed`], [`Refusal::TooLarge`], [`Refusal::Damaged`], [`Refusal::Foreign`], [`Refusal::Ended`] nothing was written;
    /// with the others, some may have been.
    pub(crate) fn receive(&self, sender: (&str, &[String]), stream: StreamId, body: &[u8], now: Instant) -> Result<(), Refusal> {
        let (service, services) = sender;
        let rows = rows::parse(body)?;
        for (index, row) in rows.iter().enumerate() {
            if !indelible::is_sealed(row.payload) {
                return Err(Refusal::Damaged(index));
            }
            if let Some(service) = named::foreign(row.payload, services) {
                return Err(Refusal::Foreign { row: index, service });
            }
        }
        let lent = self.streams.heard(service, stream, now)?;
        let _turn = lent.turn();
        for (index, row) in rows.iter().enumerate() {
            let position = Position { stream, sequence: row.sequence };
            match lent.recorder.append_outbox(row.payload, position) {
                Ok(Outboxed::Done) => self.streams.count_row(),
                // The first row tells that another request came before this one, whose stream it stays.
                Ok(Outboxed::Moved) if index == 0 => return Err(Refusal::Moved),
                Ok(Outboxed::Moved) => {
                    self.take_back(service, stream);
                    return Err(Refusal::Moved);
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
        self.streams.heard(service, stream, now).map(drop)
    }

    /// Ends a stream. Nothing is said of one that has ended already.
    pub(crate) fn take_back(&self, service: &str, stream: StreamId) {
        self.streams.take_back(service, stream);
    }

    /// Ends the streams whose drainers have said nothing for too long. Whether the named one goes on.
    pub(crate) fn goes_on(&self, stream: StreamId, now: Instant) -> bool {
        self.streams.take_back_silent(now);
        self.streams.has(stream)
    }

    /// Whether the journals have a folder for a stream: then the agent has not come to its end.
    pub(crate) fn has_folder(&self, service: &str, stream: StreamId) -> bool {
        fs::symlink_metadata(self.folder(service).join(stream.to_string())).is_ok()
    }

    /// What the agent says of a service's streams, unless it is what `seen` names. What another user has put there is not the agent's word.
    ///
    /// # Errors
    /// [`Refusal::File`]: the file is there and cannot be read. [`Refusal::Answers`]: it cannot be understood.
    pub(crate) fn told(&self, service: &str, seen: Option<&str>) -> Result<Told, Refusal> {
        let folder = self.folder(service);
        let path = folder.join(ANSWERS);
        match told::read(&path, seen) {
            Ok(Found::Same) => Ok(Told::Same),
            Ok(Found::Foreign) => Ok(Told::Nothing),
            Ok(Found::File(text, version)) => {
                let is_lent = |name: &str| name.parse().is_ok_and(|stream| self.streams.has(stream));
                let passed = told::passed_on(&text, is_lent).map_err(|error| Refusal::Answers { path, error })?;
                Ok(Told::Answers(passed, version))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // A drainer may come for rows that were assigned here before, and never ask for a stream.
                create_private_dir(&folder).map_err(at(&folder))?;
                self.ask_for_answers(&folder).map(|()| Told::Nothing)
            }
            Err(error) => Err(at(&path)(error)),
        }
    }

    fn ask_for_answers(&self, folder: &Path) -> Result<(), Refusal> {
        open_lock(&folder.join(COLLECTED)).map(drop).map_err(at(folder))
    }

    fn folder(&self, service: &str) -> PathBuf {
        self.dir.journal().join(service)
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Refusal {
    move |error| Refusal::File { path: path.to_owned(), error }
}
