//! What applications may know of the trail: how far their journals are in it, and which intents nobody has answered (docs/format.md,
//! "Answers").
//!
//! A process that died between INTENT and OUTCOME cannot say what became of its transaction. Its database can, and its application has
//! the credentials for that; so the agent writes beside the journals of a service which intents wait, and the application answers with an
//! OUTCOME. Only services that ask for it have such files: those whose intents have markers, or that have a resolver or an outbox.
//!
//! **Invariant:** a file says only what is under a checkpoint, and may be as old as it likes or gone: whoever reads it must be right all the same.

mod changes;
mod committed;
mod decided;
mod document;
mod places;
mod streams;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use indelible_core::{Evidence, IntentId, Origin, Resolution, StreamId, Timestamp};

pub(crate) use self::changes::{Change, Decision, Marked};
use self::committed::Committed;
pub(crate) use self::decided::Decided;
use self::streams::Streams;
#[cfg(test)]
pub(crate) use self::streams::recalled_gaps;
use crate::data_dir::{DataDir, write_for_others};
use crate::journal::Watch;
use crate::trail::{StreamRow, TrailError, Waiting};

/// Name of the file with high-waters and unresolved intents.
pub(crate) const ANSWERS: &str = "answers.json";
/// The most bytes of it that anybody reads.
pub(crate) const ANSWERS_BYTES_MAX: u64 = 64 << 20;
/// Name of the file with the newest committed intents that have markers.
pub(crate) const COMMITTED: &str = "committed.json";
/// What a resolver, a drainer or the collector leaves in the folder of a service: who made one wants answers.
pub(crate) const WANTED_BY: [&str; 4] = ["resolver.lock", "outbox.lock", "id", COLLECTED];
/// What the collector leaves there (see [`crate::collector`]).
pub(crate) const COLLECTED: &str = "collector.lock";
/// How often answers are written at most, in microseconds.
const INTERVAL: i64 = 1_000_000;
/// How often committed intents are written at most, in microseconds.
const COMMITTED_INTERVAL: i64 = 10_000_000;
/// The most unresolved intents in a file.
pub(crate) const UNRESOLVED_MAX: usize = 1_000;
/// An older intent is not listed: its marker may have been deleted. Microseconds.
const UNRESOLVED_AGE_MAX: i64 = 24 * 3_600_000_000;

/// What the ingester knows of its streams when answers are written.
pub(crate) struct View<'a> {
    /// Streams of the open file.
    pub(crate) streams: &'a HashMap<StreamId, StreamRow>,
    /// Streams whose process lives, or that were not read to their end.
    pub(crate) unfinished: HashSet<StreamId>,
    /// Folders of services that cannot be listed: of their streams nobody knows whether they have ended.
    pub(crate) unlisted: &'a [PathBuf],
}

/// What an operator should know of intents that no resolver answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Unanswered {
    /// Intents with a marker that are in doubt and young enough to be resolved.
    pub(crate) intents: usize,
    /// Age of the oldest, in microseconds.
    pub(crate) age: i64,
}

/// What was written for one service.
#[derive(Debug, Default)]
struct Shown {
    answers: String,
    committed_at: Option<Timestamp>,
    committed: u64,
    /// The error that was last warned of.
    warned: Option<String>,
}

/// What the agent answers to applications. One exists for a data directory; the ingester has it.
#[derive(Debug)]
pub(crate) struct Answers {
    dir: DataDir,
    origin: Origin,
    /// Intents with markers whose OUTCOME has not come.
    waiting: BTreeMap<IntentId, Marked>,
    decided: Decided,
    committed: HashMap<String, Committed>,
    /// Services of which an intent had a marker or was in an outbox.
    proving: HashSet<String>,
    /// Services that other hosts may post here: one may ask before anything of it is in the trail.
    collected: Vec<String>,
    streams: Streams,
    shown: HashMap<String, Shown>,
    looked_at: Option<Timestamp>,
}

impl Answers {
    /// Begins with the intents that wait.
    pub(crate) fn new(dir: &DataDir, origin: Origin, waiting: &[Waiting], service: impl Fn(StreamId) -> Option<String>) -> Self {
        let marked: Vec<Marked> = waiting.iter().filter_map(Marked::of).filter(|marked| marked.evidence == Evidence::Marker).collect();
        let proving = marked.iter().filter_map(|marked| service(marked.stream)).collect();
        Self {
            dir: dir.clone(),
            origin,
            waiting: marked.into_iter().map(|marked| (marked.intent, marked)).collect(),
            decided: Decided::default(),
            committed: HashMap::new(),
            proving,
            collected: Vec::new(),
            streams: Streams::default(),
            shown: HashMap::new(),
            looked_at: None,
        }
    }

    /// Answers these services too as soon as they ask, also where the trail knows nothing of them.
    pub(crate) fn collect(&mut self, services: Vec<String>) {
        self.collected = services;
    }

    /// The services that were given to [`Answers::collect`].
    pub(crate) fn collected(&self) -> &[String] {
        &self.collected
    }

    /// What was decided of intents with markers.
    pub(crate) fn decided(&self) -> &Decided {
        &self.decided
    }

    /// Takes over what a batch has changed, after its commit.
    pub(crate) fn absorb(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Announced(marked, service) => {
                    self.waiting.insert(marked.intent, marked);
                    self.proving.insert(service);
                }
                Change::Drained(service) => {
                    self.proving.insert(service);
                }
                Change::Doubted(intent) => {
                    self.waiting.entry(intent).and_modify(|marked| marked.in_doubt = true);
                }
                Change::Decided(decision) => self.decide(decision),
                Change::Gap { stream, first, last } => self.streams.note_gap(stream, first, last),
            }
        }
    }

    fn decide(&mut self, decision: Decision) {
        self.waiting.remove(&decision.marked.intent);
        self.decided.add(decision.marked.intent, decision.resolution);
        if decision.resolution == Resolution::Committed {
            let service = &decision.service;
            let file = self.folder(service).join(COMMITTED);
            self.committed.entry(service.clone()).or_insert_with(|| Committed::load(&file)).push(&decision);
        }
    }

    /// Keeps what the open file leaves behind, as the next one is begun.
    pub(crate) fn keep(&mut self, left: impl Iterator<Item = (StreamId, StreamRow)>, now: Timestamp) {
        self.streams.keep(left, now);
    }

    /// What waits for a resolver in vain.
    pub(crate) fn unanswered(&self, now: Timestamp) -> Unanswered {
        let ages = self.waiting.values().filter(|marked| marked.in_doubt).map(|marked| marked.waits_since(now));
        let ages: Vec<i64> = ages.filter(|age| *age < UNRESOLVED_AGE_MAX).collect();
        Unanswered { intents: ages.len(), age: ages.into_iter().max().unwrap_or(0) }
    }

    /// Whether the last time is a second ago.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.looked_at.is_none_or(|at| now.micros() < at.micros() || now.micros() - at.micros() >= INTERVAL)
    }

    /// Writes what has changed since the last time. Who has never looked at the journals knows nothing of them.
    pub(crate) fn write_last(&mut self, view: &View<'_>, watch: &mut Watch, now: Timestamp) {
        if self.looked_at.is_some() {
            self.shown.values_mut().for_each(|shown| shown.committed_at = None);
            self.write(view, watch, now);
        }
    }

    /// Writes what has changed, for each service that wants it. What cannot be written is warned of once, and tried again: it is a hint.
    pub(crate) fn write(&mut self, view: &View<'_>, watch: &mut Watch, now: Timestamp) {
        self.looked_at = Some(now);
        self.streams.forget(view);
        let applications = view.streams.iter().filter(|(stream, _)| **stream != StreamId::AGENT);
        let known = applications.map(|(_, row)| row.service.as_str()).chain(self.proving.iter().map(String::as_str));
        let services: HashSet<&str> = known.chain(self.collected.iter().map(String::as_str)).collect();
        let wanting: Vec<String> = services.into_iter().filter(|service| self.is_wanted(service, view)).map(str::to_owned).collect();
        if wanting.is_empty() {
            return;
        }
        if let Err(error) = self.streams.recall(&self.dir, view, now) {
            // Without what older files know, a stream that has ended would look like one that never was.
            return self.warn_all(&wanting, &error);
        }
        for service in wanting {
            self.write_service(&service, view, watch, now);
        }
    }

    fn is_wanted(&self, service: &str, view: &View<'_>) -> bool {
        let folder = self.folder(service);
        let is_known = self.proving.contains(service) || self.shown.contains_key(service);
        let is_asked_for = || WANTED_BY.iter().chain([&ANSWERS]).any(|name| folder.join(name).symlink_metadata().is_ok());
        !view.unlisted.contains(&folder) && (is_known || is_asked_for())
    }

    fn write_service(&mut self, service: &str, view: &View<'_>, watch: &mut Watch, now: Timestamp) {
        let folder = self.folder(service);
        let content = self.content(service, view, now);
        let shown = self.shown.entry(service.to_owned()).or_default();
        let mut written = Ok(());
        if shown.answers != content || folder.join(ANSWERS).symlink_metadata().is_err() {
            let text = document::dated(&content, now);
            written = watch.excuse(&folder, || write_for_others(&folder.join(ANSWERS), text.as_bytes()));
            if written.is_ok() {
                shown.answers = content;
            }
        }
        if let Some(committed) = self.committed.get(service).filter(|committed| is_newer(committed, shown, now)) {
            let text = committed.render();
            let tried = watch.excuse(&folder, || write_for_others(&folder.join(COMMITTED), text.as_bytes()));
            shown.committed_at = Some(now);
            if tried.is_ok() {
                shown.committed = committed.version();
            }
            written = written.and(tried);
        }
        match written {
            Ok(()) => shown.warned = None,
            Err(error) => warn_once(shown, &folder, &error.to_string()),
        }
    }

    fn content(&self, service: &str, view: &View<'_>, now: Timestamp) -> String {
        let (streams, cut) = self.streams.answers(service, view, now);
        let has_ended = |stream: StreamId| streams.get(&stream).is_some_and(|answer| answer.ended);
        let listed = |marked: &&Marked| has_ended(marked.stream) && marked.waits_since(now) < UNRESOLVED_AGE_MAX;
        let mut unresolved: Vec<&Marked> = self.waiting.values().filter(listed).collect();
        unresolved.sort_by_key(|marked| (marked.ingested_at, marked.intent));
        let more = cut || unresolved.len() > UNRESOLVED_MAX;
        unresolved.truncate(UNRESOLVED_MAX);
        document::render(&self.origin, &streams, &unresolved, more)
    }

    fn folder(&self, service: &str) -> PathBuf {
        self.dir.journal().join(service)
    }

    fn warn_all(&mut self, services: &[String], error: &TrailError) {
        for service in services {
            let folder = self.folder(service);
            warn_once(self.shown.entry(service.clone()).or_default(), &folder, &error.to_string());
        }
    }
}

fn is_newer(committed: &Committed, shown: &Shown, now: Timestamp) -> bool {
    let is_due = shown.committed_at.is_none_or(|at| now.micros() < at.micros() || now.micros() - at.micros() >= COMMITTED_INTERVAL);
    is_due && committed.version() != shown.committed
}

fn warn_once(shown: &mut Shown, folder: &Path, error: &str) {
    if shown.warned.as_deref() != Some(error) {
        tracing::warn!(folder = %folder.display(), error, "the answers for a service cannot be written; its transactions in doubt stay so until they can");
        shown.warned = Some(error.to_owned());
    }
}
