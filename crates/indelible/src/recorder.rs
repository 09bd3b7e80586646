//! The recorder: stamps, encodes and appends.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use indelible_core::{EncodedSource, Event, EventId, Evidence, Frame, Item, Source, Stamp, StreamId};

use crate::capture::{Capture, Fate};
use crate::clock;
use crate::config::{Config, KeepRolledBack, Modes, OnFailure, is_service_name};
use crate::error::Error;
use crate::intent::{Intent, Refused};
use crate::journal::{Journal, JournalHealth, Position, Settings};
use crate::told;
use crate::transaction::Transaction;

/// What became of an event that was given to the recorder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It is in the journal.
    At(Position),
    /// Its transaction holds it until COMMIT.
    Held,
    /// It could not be recorded, or not as durably as asked; what is missing from the journal was counted.
    Lost,
}

/// Records events for all threads of this process and, after a fork, of its children.
///
/// Cloning is cheap and gives the same recorder. The stream's lock is held until the last clone is dropped or [`Recorder::close`] is called.
#[derive(Clone)]
pub struct Recorder {
    shared: Arc<Shared>,
}

struct Shared {
    config: Config,
    modes: Modes,
    host: String,
    /// Events that were lost while this process had no journal to count them in.
    uncounted: AtomicU64,
    first: Process,
}

/// One process's journal, and after a fork its child's.
///
/// A child inherits memory in which another thread may hold a mutex forever, so it never uses what it inherits: it appends an entry of its own.
struct Process {
    id: u32,
    source: EncodedSource,
    journal: Journal,
    child: OnceLock<Box<Process>>,
}

impl Process {
    fn start(config: &Config, host: &str) -> Result<Self, Error> {
        let id = std::process::id();
        let settings = Settings {
            data_dir: config.data_dir.clone(),
            service: config.service.clone(),
            durability: config.durability,
            limits: config.limits,
        };
        let source = Source {
            service: config.service.clone(),
            environment: config.environment.clone(),
            version: config.version.clone(),
            host: host.to_owned(),
            process: id,
            process_kind: config.process_kind.clone(),
        };
        let journal = if config.capture.is_some() { Journal::nowhere(settings) } else { Journal::open(settings)? };
        Ok(Self { id, source: EncodedSource::new(source), journal, child: OnceLock::new() })
    }

    fn last(&self) -> &Self {
        let mut process = self;
        while let Some(child) = process.child.get() {
            process = child;
        }
        process
    }
}

impl Recorder {
    /// Opens the data directory for this service. Folders that do not exist are created, private to this user; no file is written
    /// before the first event.
    ///
    /// # Errors
    /// - [`Error::Service`]: the service's name is not usable.
    /// - [`Error::Path`]: a folder cannot be created.
    /// - [`Error::NetworkFileSystem`]: locks on it would not tell whether a process is alive.
    pub fn open(config: Config) -> Result<Self, Error> {
        if !is_service_name(&config.service) {
            return Err(Error::Service(config.service));
        }
        let mut config = Config { limits: config.limits.clamped(), ..config };
        for text in [&mut config.environment, &mut config.version, &mut config.process_kind] {
            shorten(text);
        }
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let first = Process::start(&config, &host)?;
        let modes = Modes::new(config.on_failure, &config.on_failure_of);
        Ok(Self { shared: Arc::new(Shared { config, modes, host, uncounted: AtomicU64::new(0), first }) })
    }

    /// Journals one event at once, whatever any transaction does.
    ///
    /// Waits as long as [`OnFailure`] says, then counts the loss; never fails and never panics.
    pub fn record(&self, event: Event) -> Recorded {
        if let Some(capture) = self.capture() {
            return self.capture_event(capture, &event);
        }
        self.record_stamped(event, self.stamp())
    }

    /// Journals one event under an identifier that is made of what happened, unless this host has it already; then the answer is `None`.
    ///
    /// For what may be told twice, such as the end of a task whose message was delivered again. `happened_at_ms` (Unix time) and `digest`
    /// make the identifier: the same for the same thing, wherever it is told. The last 32,768 identifiers of the service or more are
    /// remembered in `journal/SERVICE/told`, for all its processes. Where that file cannot be used in time, the event is recorded: what
    /// reads the trail knows events by their identifiers.
    pub fn record_once(&self, event: Event, happened_at_ms: u64, digest: [u8; 10]) -> Option<Recorded> {
        if let Some(capture) = self.capture() {
            return Some(self.capture_event(capture, &event));
        }
        let id = EventId::from_parts(happened_at_ms, digest);
        let stamp = Stamp { id, recorded_at: clock::now() };
        let config = &self.shared.config;
        told::once(&config.data_dir.join("journal").join(&config.service), id, || self.record_stamped(event, stamp))
    }

    fn record_stamped(&self, event: Event, stamp: Stamp) -> Recorded {
        let mode = self.shared.modes.of(&event);
        let recorded = with_scratch(|body| {
            let process = self.process()?;
            event.encode_from(&stamp, &process.source, self.shared.config.limits.event_bytes, body);
            let item = Item { event: stamp.id, recorded_at: stamp.recorded_at, body: body.as_bytes() };
            Self::append(process, &Frame::Event(item), true, mode)
        });
        match recorded {
            Ok((position, Ok(()))) => Recorded::At(position),
            // What is in the journal may still arrive: counting it as lost would make the trail say too much.
            Ok((_, Err(_))) => Recorded::Lost,
            Err(_) => {
                self.count_losses(1);
                Recorded::Lost
            }
        }
    }

    /// Starts to hold events of transactions on one database connection.
    #[must_use]
    pub fn transaction(&self, alias: &str) -> Transaction {
        Transaction::new(self.clone(), alias)
    }

    /// Journals an INTENT for a write that commits by itself, before it is sent.
    ///
    /// # Errors
    /// [`Refused`] with [`OnFailure::Required`] when the intent could not be journaled in time: the write must not be sent.
    pub fn intent(&self, alias: &str, events: Vec<Event>) -> Result<Intent, Refused> {
        self.intent_with(alias, events, Evidence::Ack)
    }

    /// The same with other evidence than `ack`: for a write that the caller puts into a transaction with its marker.
    ///
    /// # Errors
    /// As [`Recorder::intent`].
    pub fn intent_with(&self, alias: &str, events: Vec<Event>, evidence: Evidence) -> Result<Intent, Refused> {
        let mut transaction = self.transaction(alias);
        transaction.require(evidence);
        transaction.reserve(events.len());
        for event in events {
            transaction.record(event);
        }
        transaction.prepare().map(|intent| intent.unwrap_or_else(|| Intent::nothing(self)))
    }

    /// What happened to the journal of this process until now.
    #[must_use]
    pub fn health(&self) -> JournalHealth {
        let mut health = self.process().map(|process| process.journal.health()).unwrap_or_default();
        health.lost += self.shared.uncounted.load(Ordering::Relaxed);
        health
    }

    /// Says in the journal that this process ends in order, and gives the stream's lock back.
    ///
    /// # Errors
    /// Those of the last write; the lock is given back all the same.
    pub fn close(&self) -> Result<(), Error> {
        self.process()?.journal.close()
    }

    /// Keeps other threads from opening or closing a journal until [`Recorder::after_fork_in_parent`], so that no child inherits a lock that
    /// nobody in it knows of. Waits at most a second for them, and they for it.
    pub fn before_fork(&self) {
        self.with_own_journal(Journal::before_fork);
    }

    /// Ends what [`Recorder::before_fork`] began, also where no child was made.
    pub fn after_fork_in_parent(&self) {
        self.with_own_journal(Journal::after_fork_in_parent);
    }

    fn with_own_journal(&self, work: impl FnOnce(&Journal)) {
        let last = self.shared.first.last();
        if last.id == std::process::id() {
            work(&last.journal);
        }
    }

    /// Closes what a forked child inherited. Called by the child at once where there is a hook for that, else by its first event.
    pub fn after_fork_in_child(&self) {
        let last = self.shared.first.last();
        if last.id != std::process::id() {
            last.journal.abandon_after_fork();
        }
    }

    pub(crate) fn stamp(&self) -> Stamp {
        let recorded_at = clock::now();
        Stamp { id: clock::event_id(recorded_at), recorded_at }
    }

    pub(crate) fn capture(&self) -> Option<&Capture> {
        self.shared.config.capture.as_ref()
    }

    fn capture_event(&self, capture: &Capture, event: &Event) -> Recorded {
        let number = capture.keep(Fate::Recorded, self.captured_body(event, &self.stamp()));
        Recorded::At(Position { stream: StreamId::from_bytes([0; 16]), sequence: number + 1 })
    }

    /// The body as it would be written.
    pub(crate) fn captured_body(&self, event: &Event, stamp: &Stamp) -> String {
        let mut body = String::new();
        // A process that captures opens no file, so it has always started.
        let _ = self.encode(event, stamp, &mut body);
        body
    }

    pub(crate) fn config(&self) -> &Config {
        &self.shared.config
    }

    pub(crate) fn keeps(&self, event: &Event) -> bool {
        match self.shared.config.keep_rolled_back {
            KeepRolledBack::None => false,
            KeepRolledBack::Sensitive => event.sensitive,
            KeepRolledBack::All => true,
        }
    }

    /// Counts events that were lost before they came here. They become one event of the trail, `audit.loss`, as soon as anything can
    /// be journaled: nothing is written by this call.
    pub fn count_losses(&self, events: u64) {
        match self.process() {
            Ok(process) => process.journal.count_losses(events),
            // A forked child that could not begin a journal of its own yet.
            Err(_) => {
                self.shared.uncounted.fetch_add(events, Ordering::Relaxed);
            }
        }
    }

    /// Writes what could not be written before: outcomes of intents that stand in the journal, and the losses. What is recorded next does the
    /// same; this is for a process that may have nothing to record for long. Tried once, at once, and costs nothing where nothing waits.
    ///
    /// # Errors
    /// [`Error`]: the journal takes nothing yet; what was not written is kept.
    pub fn write_waiting(&self) -> Result<(), Error> {
        self.process()?.journal.write_waiting()
    }

    /// What happens when this event cannot be recorded.
    #[must_use]
    pub fn on_failure(&self, event: &Event) -> OnFailure {
        self.shared.modes.of(event)
    }

    pub(crate) fn modes(&self) -> &Modes {
        &self.shared.modes
    }

    pub(crate) fn journal(&self) -> Result<&Journal, Error> {
        if self.capture().is_some() { Err(Error::Nowhere) } else { Ok(&self.process()?.journal) }
    }

    pub(crate) fn encode(&self, event: &Event, stamp: &Stamp, body: &mut String) -> Result<(), Error> {
        event.encode_from(stamp, &self.process()?.source, self.shared.config.limits.event_bytes, body);
        Ok(())
    }

    pub(crate) fn append_frame(&self, frame: &Frame<'_>, synced: bool, mode: OnFailure) -> Result<Position, Error> {
        let (position, synced) = self.append_at_least(frame, synced, mode)?;
        synced.map(|()| position)
    }

    /// Says what became of an intent of this process; what cannot be written now is written with the next frame that can.
    pub(crate) fn answer(&self, outcome: &Frame<'_>) {
        if let Ok(process) = self.process() {
            process.journal.answer(outcome);
        }
    }

    pub(crate) fn append_at_least(&self, frame: &Frame<'_>, synced: bool, mode: OnFailure) -> Result<(Position, Result<(), Error>), Error> {
        Self::append(self.process()?, frame, synced, mode)
    }

    fn append(process: &Process, frame: &Frame<'_>, synced: bool, mode: OnFailure) -> Result<(Position, Result<(), Error>), Error> {
        process.journal.append(frame, synced, mode.patience(), mode == OnFailure::Required)
    }

    /// This process's journal; after a fork a new one.
    fn process(&self) -> Result<&Process, Error> {
        let last = self.shared.first.last();
        if last.id == std::process::id() {
            return Ok(last);
        }
        last.journal.abandon_after_fork();
        let started = Process::start(&self.shared.config, &self.shared.host)?;
        started.journal.count_losses(self.shared.uncounted.swap(0, Ordering::Relaxed));
        // Two threads of a fresh child may both come here; the second one's journal has no stream yet and is dropped.
        let _ = last.child.set(Box::new(started));
        Ok(last.last())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let last = self.first.last();
        if last.id == std::process::id() {
            // Nothing can be reported from here; without CLOSE the agent waits for the lock, which is free after this.
            let _ = last.journal.close();
        }
    }
}

/// Cuts a text that every event repeats to 64 bytes.
fn shorten(text: &mut String) {
    let mut end = text.len().min(64);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
}

/// Runs `work` with a buffer that this thread keeps.
fn with_scratch<T>(work: impl FnOnce(&mut String) -> T) -> T {
    const KEPT_BYTES_MAX: usize = 64 * 1024;
    thread_local! {
        static SCRATCH: RefCell<String> = const { RefCell::new(String::new()) };
    }
    let mut buffer = SCRATCH.take();
    buffer.clear();
    let result = work(&mut buffer);
    if buffer.capacity() <= KEPT_BYTES_MAX {
        SCRATCH.set(buffer);
    }
    result
}
