//! From journals to the trail: what was read becomes records in one transaction, is read back, signed, and only then deleted.
//!
//! **Invariant:** a journal segment is deleted only after a checkpoint and a state that cover it have reached the disk. A crash between
//! any two steps repeats work and repeats no record, because the high-water of every stream is committed with its records.

mod apply;
mod counts;
mod doubt;
mod outcome;
mod own;
mod quarantine;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use indelible_core::{IntentId, Origin, Source, StreamId, Timestamp};

use self::apply::Apply;
pub(crate) use self::counts::Counts;
pub use self::doubt::Deadlines;
pub(crate) use self::own::OwnEvent;
use crate::answers::{Answers, Unanswered, View};
use crate::clock::now;
use crate::data_dir::DataDir;
use crate::journal::{Budget, Discovery, Found, Round, Rounds, Stray, Strays, Tail, Watch};
use crate::keys::{KeysError, TrailKey};
use crate::trail::erase;
use crate::trail::files::{self, Listed};
use crate::trail::{LEAVES_PER_FILE, OpenFile, Signer, StreamRow, TrailError, Unresolved, forgotten, roll};

/// The most frames in one batch.
const BATCH_FRAMES: usize = 4096;
/// The most journal bytes in one batch, and one frame more.
const BATCH_BYTES: usize = 8 << 20;

/// Why ingesting does not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IngestError {
    /// The trail cannot be opened, written or signed.
    #[error(transparent)]
    Trail(#[from] TrailError),
    /// There is no key to sign with.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The data directory or the journal folder cannot be used.
    #[error("{path}: {error}")]
    File {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// A corrupt record could not be kept.
    #[error("{path}: {error}; the corrupt record stays in its journal")]
    Quarantine {
        /// Where it was to be kept.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// A pending intent that was stored cannot be read.
    #[error("pending intent {0} is damaged in the trail file: run `indelible verify`")]
    Pending(IntentId),
}

impl IngestError {
    /// Whether trying again cannot help and must not be tried: the trail is not the one that was signed.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Trail(error) => error.is_final(),
            Self::Keys(_) | Self::Pending(_) => true,
            Self::File { .. } | Self::Quarantine { .. } => false,
        }
    }
}

/// How to ingest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settings {
    /// How long intents wait.
    pub(crate) deadlines: Deadlines,
    /// Records after which a file of the trail is full; what one batch brings stays together, so it may hold more.
    pub(crate) leaves_per_file: u64,
}

impl From<Deadlines> for Settings {
    fn from(deadlines: Deadlines) -> Self {
        Self { deadlines, leaves_per_file: LEAVES_PER_FILE }
    }
}

/// What one step did, and what is left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Step {
    /// Whether something was ingested.
    pub(crate) worked: bool,
    /// Whether journals hold more than was read.
    pub(crate) is_behind: bool,
    /// Streams whose process is alive.
    pub(crate) live_streams: usize,
    /// Streams that hold something that could not be read yet.
    pub(crate) unread_streams: usize,
    /// Journal segments that are there.
    pub(crate) segments: usize,
    /// Intents without outcome that have no leaves yet.
    pub(crate) unresolved: usize,
    /// Age of the oldest of them, in microseconds.
    pub(crate) unresolved_age: i64,
    /// Intents with a marker that no resolver answers.
    pub(crate) unanswered: Unanswered,
    /// Records under the newest checkpoint.
    pub(crate) signed: u64,
    /// Whether a new file of the trail was begun, so that the one before it can be sealed.
    pub(crate) rolled_over: bool,
    /// What was counted.
    pub(crate) counts: Counts,
}

impl Step {
    /// Whether everything that was ever recorded is in the trail, and nobody is left to record more.
    pub(crate) fn is_idle(&self) -> bool {
        !self.worked && !self.is_behind && self.live_streams == 0 && self.unread_streams == 0 && self.unresolved == 0
    }
}

/// The ingesting half of the agent. One exists for a data directory; the caller holds the agent's lock.
#[derive(Debug)]
pub(crate) struct Ingester {
    dir: DataDir,
    file: OpenFile,
    signer: Signer,
    key: Arc<TrailKey>,
    source: Source,
    settings: Settings,
    watch: Watch,
    tails: Vec<Tail>,
    rounds: Rounds,
    strays: Strays,
    /// Folders of services that could not be listed.
    unlisted: Vec<PathBuf>,
    answers: Answers,
    /// When a stream with pending intents was first seen dead and read to its end.
    dead_since: HashMap<StreamId, Timestamp>,
    signed: u64,
    /// Whether a file was closed since the last step told of one.
    rolled_over: bool,
}

impl Ingester {
    /// Opens the trail, or creates one where there is none, and signs what a crash left unsigned.
    ///
    /// # Errors
    /// - [`IngestError::Trail`], [`IngestError::Keys`]: the trail is not the one that was signed, or the key is gone.
    /// - [`IngestError::File`]: the data directory cannot be made.
    pub(crate) fn open(dir: &DataDir, settings: impl Into<Settings>) -> Result<Self, IngestError> {
        let settings = settings.into();
        dir.create().map_err(|error| IngestError::File { path: dir.root().to_owned(), error })?;
        files::remove_unfinished(dir)?;
        let newest = files::list(dir)?.pop();
        let key = Arc::new(TrailKey::load_or_create(dir, newest.is_some() || dir.checkpoint().exists())?);
        erase::settle_all(dir, &key.signing.verifier())?;
        let newest = match newest {
            Some(newest) => newest,
            None if dir.checkpoint().exists() => return Err(TrailError::Missing { path: dir.trail() }.into()),
            None => Listed { path: roll::create_first(dir, &key)?, first_index: 0 },
        };
        let file = OpenFile::open(&newest, Arc::clone(&key))?;
        let signer = Signer::open(dir, &newest, Arc::clone(&key))?;
        let source = own::agent_source();
        let service = |stream| file.service(stream).map(str::to_owned);
        let answers = Answers::new(dir, signer.origin().clone(), &file.proving()?, service);
        let mut ingester = Self {
            dir: dir.clone(),
            file,
            signer,
            key,
            source,
            settings,
            watch: Watch::new(dir.journal()),
            tails: Vec::new(),
            rounds: Rounds::default(),
            strays: Strays::default(),
            unlisted: Vec::new(),
            answers,
            dead_since: HashMap::new(),
            signed: 0,
            rolled_over: false,
        };
        ingester.sign()?;
        Ok(ingester)
    }

    /// Name of the trail.
    pub(crate) fn origin(&self) -> &Origin {
        self.signer.origin()
    }

    /// The key of the trail.
    pub(crate) fn key(&self) -> Arc<TrailKey> {
        Arc::clone(&self.key)
    }

    /// The same ingester, which answers these services too: other hosts may post their outboxes here.
    pub(crate) fn collecting(mut self, services: Vec<String>) -> Self {
        self.answers.collect(services);
        self
    }

    /// The services that were given to [`Ingester::collecting`].
    pub(crate) fn collected(&self) -> &[String] {
        self.answers.collected()
    }

    /// With what it was opened.
    pub(crate) fn settings(&self) -> Settings {
        self.settings
    }

    /// Ingests one batch of what the journals hold, and signs it.
    ///
    /// # Errors
    /// [`IngestError`]: the ingester must be opened again; nothing is lost by that.
    pub(crate) fn step(&mut self, now: Timestamp) -> Result<Step, IngestError> {
        self.discover()?;
        let unresolved = self.file.unresolved()?;
        let Round { mut batch, unread_streams } = self.read(&unresolved);
        self.add_the_empty(&mut batch);
        let overdue = self.overdue(&unresolved, now);
        let mut step = Step {
            worked: !batch.is_empty() || !overdue.is_empty(),
            unread_streams: unread_streams + self.unlisted.len(),
            ..Step::default()
        };
        if step.worked {
            step.counts = self.apply(batch, &overdue, now)?;
            self.sign()?;
            self.roll_over_when_full()?;
        }
        step.rolled_over = std::mem::take(&mut self.rolled_over);
        let unresolved = if step.worked { self.file.unresolved()? } else { unresolved };
        self.note_the_dead(&unresolved, now);
        self.delete_consumed();
        self.answer(now);
        step.is_behind = self.tails.iter().any(Tail::is_behind);
        step.live_streams = self.tails.iter().filter(|tail| tail.is_live()).count();
        step.segments = self.tails.iter().map(Tail::segments).sum();
        step.unresolved = unresolved.len();
        step.unresolved_age = unresolved.first().map_or(0, |oldest| now.micros().saturating_sub(oldest.ingested_at.micros()).max(0));
        step.unanswered = self.answers.unanswered(now);
        step.signed = self.signed;
        Ok(step)
    }

    /// Records events of the agent's own, and signs them.
    ///
    /// # Errors
    /// As [`Ingester::step`].
    pub(crate) fn record_own(&mut self, events: &[OwnEvent], now: Timestamp) -> Result<(), IngestError> {
        let mut batch = self.file.begin()?;
        for event in events {
            event.append(&mut batch, &self.source, now)?;
        }
        batch.commit()?;
        self.sign()?;
        self.roll_over_when_full()
    }

    /// Records under the newest checkpoint.
    pub(crate) fn signed(&self) -> u64 {
        self.signed
    }

    /// Ends in order: the trail file alone is the trail afterwards.
    ///
    /// # Errors
    /// [`IngestError::Trail`]: the log stays, which does no harm.
    pub(crate) fn close(mut self) -> Result<(), IngestError> {
        // Who comes to look finds what was last true.
        let view = View { streams: self.file.streams(), unfinished: unfinished(&self.tails), unlisted: &self.unlisted };
        self.answers.write_last(&view, &mut self.watch, now());
        let Self { file, signer, .. } = self;
        drop(signer);
        file.fold_log()?;
        Ok(())
    }

    /// Takes in streams that are new. One stream belongs to one service: a copy of its folder under another one is not read,
    /// or its events would be recorded twice.
    fn discover(&mut self) -> Result<(), IngestError> {
        let found = self.watch.look().map_err(|error| IngestError::File { path: self.dir.journal(), error })?;
        let Some(Discovery { folders, mut strays, unlisted }) = found else { return Ok(()) };
        strays
            .extend(unlisted.iter().cloned().map(|path| Stray { path, reason: "this user cannot list it: check its owner and its mode" }));
        self.unlisted = unlisted;
        let unknown = folders.iter().map(|folder| folder.stream).filter(|stream| !self.file.knows(*stream)).collect();
        for (stream, row) in forgotten::recall(&self.dir, unknown)? {
            self.file.recall(stream, row);
        }
        let mut known: HashMap<StreamId, PathBuf> = self.tails.iter().map(|tail| (tail.stream(), tail.path().to_owned())).collect();
        for folder in folders {
            let is_elsewhere = self.file.service(folder.stream).is_some_and(|service| service != folder.service);
            match known.get(&folder.stream) {
                Some(path) if *path == folder.path => {}
                None if !is_elsewhere => {
                    known.insert(folder.stream, folder.path.clone());
                    let next_sequence = self.file.next_sequence(folder.stream);
                    self.tails.push(Tail::new(folder, next_sequence));
                }
                _ => strays.push(Stray { path: folder.path, reason: "its stream is known under another service" }),
            }
        }
        self.strays.warn(strays);
        Ok(())
    }

    /// Reads one batch. A stream that may hold an outcome that somebody waits for is read each time.
    fn read(&mut self, unresolved: &[Unresolved]) -> Round {
        let budget = Budget { frames: BATCH_FRAMES, bytes: BATCH_BYTES };
        let wanted = unresolved.iter().map(|intent| intent.stream).collect();
        self.rounds.read(&mut self.tails, budget, &wanted)
    }

    /// Adds streams that have ended and that nothing was read of. Rows of an outbox may be assigned to one, and only a stream that is known is
    /// named in the answers: its drainer died before its first frame.
    fn add_the_empty(&self, batch: &mut Vec<(StreamId, String, Vec<Found>)>) {
        let empty = self.tails.iter().filter(|tail| tail.has_ended() && !self.file.knows(tail.stream()));
        for tail in empty {
            if batch.iter().all(|(stream, ..)| *stream != tail.stream()) {
                batch.push((tail.stream(), tail.service().to_owned(), Vec::new()));
            }
        }
    }

    /// Intents that have waited long enough. One whose stream has not been read to its end may still find its outcome there.
    fn overdue(&self, unresolved: &[Unresolved], now: Timestamp) -> Vec<Unresolved> {
        let behind: HashSet<StreamId> = self.tails.iter().filter(|tail| tail.is_behind()).map(Tail::stream).collect();
        let read = unresolved.iter().filter(|intent| !behind.contains(&intent.stream));
        read.filter(|intent| self.settings.deadlines.is_overdue(intent, self.dead_since.get(&intent.stream).copied(), now))
            .copied()
            .collect()
    }

    /// Notes which streams with pending intents have ended by now, and forgets those that wait for nothing.
    fn note_the_dead(&mut self, unresolved: &[Unresolved], now: Timestamp) {
        let waiting: HashSet<StreamId> = unresolved.iter().map(|intent| intent.stream).collect();
        let unfinished = unfinished(&self.tails);
        self.dead_since.retain(|stream, _| waiting.contains(stream));
        for stream in waiting.difference(&unfinished) {
            self.dead_since.entry(*stream).or_insert(now);
        }
    }

    fn apply(&mut self, found: Vec<(StreamId, String, Vec<Found>)>, overdue: &[Unresolved], now: Timestamp) -> Result<Counts, IngestError> {
        let mut batch = self.file.begin()?;
        let quarantine = self.dir.quarantine();
        let mut apply = Apply {
            batch: &mut batch,
            source: &self.source,
            quarantine: &quarantine,
            now,
            counts: Counts::default(),
            decided: self.answers.decided(),
            decided_now: HashMap::new(),
            changes: Vec::new(),
        };
        for (stream, service, found) in found {
            // Also where nothing follows that moves it: a stream of which only a torn tail came is known as well.
            let next_sequence = apply.batch.next_sequence(stream);
            apply.batch.set_next_sequence(stream, &service, next_sequence);
            for found in found {
                apply.found(stream, &service, found)?;
            }
        }
        for intent in overdue {
            // Its outcome may be in this very batch.
            if let Some(pending) = apply.batch.pending(intent.intent)? {
                apply.overdue(&pending)?;
            }
        }
        let Apply { counts, changes, .. } = apply;
        let expired = batch.expire_orphans(self.settings.deadlines.orphans_before(now))?;
        if expired > 0 {
            tracing::warn!(expired, "outcomes whose intent never came were given up");
        }
        batch.commit()?;
        self.answers.absorb(changes);
        Ok(counts)
    }

    /// Tells applications how far their journals are. What it tells is signed.
    fn answer(&mut self, now: Timestamp) {
        if self.answers.is_due(now) {
            let view = View { streams: self.file.streams(), unfinished: unfinished(&self.tails), unlisted: &self.unlisted };
            self.answers.write(&view, &mut self.watch, now);
        }
    }

    /// Begins the next file of the trail when the open one is full. Everything in it is signed, so the next one begins with what
    /// `checkpoint` and `state` say. While a reader needs the log, the file stays open and grows.
    fn roll_over_when_full(&mut self) -> Result<(), IngestError> {
        if self.file.leaves() >= self.settings.leaves_per_file && !self.roll_over()? {
            tracing::warn!("a reader keeps the trail file open that is full: the next one is begun when it has finished");
        }
        Ok(())
    }

    /// Begins the next file of the trail though the open one is not full, so that it can be sealed and what is in it erased. `false`: a reader
    /// still needs its log. A file without records stays open.
    ///
    /// # Errors
    /// As [`Ingester::step`].
    pub(crate) fn roll_over_now(&mut self) -> Result<bool, IngestError> {
        if self.file.leaves() == 0 { Ok(true) } else { self.roll_over() }
    }

    fn roll_over(&mut self) -> Result<bool, IngestError> {
        failpoint!("roll.before_fold");
        if !self.file.fold_log()? {
            return Ok(false);
        }
        failpoint!("roll.after_fold");
        let journal = self.dir.journal();
        // Only a folder that is known to be gone ends a stream; what cannot be looked at may come back.
        let is_live = |stream: StreamId, row: &StreamRow| journal.join(&row.service).join(stream.to_string()).try_exists().unwrap_or(true);
        let next = Listed { path: roll::create_next(&self.dir, &self.key, &self.file, is_live)?, first_index: self.file.head().size() };
        self.signer = Signer::open(&self.dir, &next, Arc::clone(&self.key))?;
        let left = std::mem::replace(&mut self.file, OpenFile::open(&next, Arc::clone(&self.key))?);
        let is_left = |stream: &StreamId| !self.file.knows(*stream);
        self.answers.keep(left.streams().iter().filter(|(stream, _)| is_left(stream)).map(|(stream, row)| (*stream, row.clone())), now());
        failpoint!("roll.before_sign");
        self.rolled_over = true;
        self.sign().map(|()| true)
    }

    fn sign(&mut self) -> Result<(), IngestError> {
        let head = self.signer.verify()?;
        self.signed = self.signer.sign(head)?;
        Ok(())
    }

    /// Deletes what has been ingested and signed. What cannot be deleted is tried again, and passed over at the next start.
    fn delete_consumed(&mut self) {
        for tail in &mut self.tails {
            if let Err(error) = tail.delete_consumed() {
                tail.warn_once(&error);
            }
        }
        self.tails.retain(|tail| !tail.is_gone());
    }
}

/// Streams of which more may come, or that were not read to their end.
fn unfinished(tails: &[Tail]) -> HashSet<StreamId> {
    tails.iter().filter(|tail| !tail.has_ended()).map(Tail::stream).collect()
}
