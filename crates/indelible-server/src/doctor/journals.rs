//! The journals: readable, nothing beside them, and taken in soon.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use indelible_core::{Frame, StreamId, Timestamp};

use super::agent::Agent;
use super::{Check, command, quoted};
use crate::clock::now;
use crate::data_dir::DataDir;
use crate::journal::{Budget, Found, Stray, StreamFolder, Tail, TailError, discover};
use crate::trail::Reader;

pub(super) const IDS: &[&str] = &["journal.access", "journal.version", "journal.strays", "journal.lag", "journal.size"];

/// An agent that works takes in everything within this time, in microseconds.
const LAG_MAX: i64 = 30_000_000;
/// Segments of one stream above which nobody can be fetching them; one has 16 MiB.
const SEGMENTS_MAX: usize = 32;
/// The most bytes of one stream that are read to find what is not in the trail.
const READ_BYTES_MAX: usize = 64 << 20;

/// Kind of the last frame of a process that ends in order (docs/format.md, "Frame").
const CLOSE_KIND: u8 = 5;

/// What lies in the journals.
pub(super) struct Journals {
    dir: DataDir,
    streams: usize,
    /// Streams that hold something that is not in the trail.
    waiting: usize,
    /// When the oldest event of those was recorded.
    oldest: Option<Timestamp>,
    largest: Option<(PathBuf, usize)>,
    strays: Vec<Stray>,
    unreadable: Vec<(PathBuf, io::Error)>,
    foreign: Vec<String>,
}

impl Journals {
    pub(super) fn of(dir: &DataDir, reader: Option<&Reader>) -> Self {
        let mut journals = Self {
            dir: dir.clone(),
            streams: 0,
            waiting: 0,
            oldest: None,
            largest: None,
            strays: Vec::new(),
            unreadable: Vec::new(),
            foreign: Vec::new(),
        };
        match discover(&dir.journal()) {
            Ok(found) => {
                journals.strays = found.strays;
                let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
                journals.unreadable.extend(found.unlisted.into_iter().map(|path| (path, denied())));
                let ingested = high_waters(reader);
                for folder in found.folders {
                    let next_sequence = ingested.get(&folder.stream).copied().unwrap_or(1);
                    journals.look_at(folder, next_sequence);
                }
            }
            Err(error) => journals.unreadable.push((dir.journal(), error)),
        }
        journals
    }

    /// Streams that hold something that is not in the trail.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    fn look_at(&mut self, folder: StreamFolder, next_sequence: u64) {
        self.streams += 1;
        let path = folder.path.clone();
        let mut tail = Tail::new(folder, next_sequence);
        let mut found = Vec::new();
        let read = tail.read(&mut found, &mut Budget { frames: 1, bytes: READ_BYTES_MAX });
        // A process that ended after its agent leaves only its farewell, which says nothing that is not known.
        found.retain(|found| !matches!(found, Found::Frame { kind: CLOSE_KIND, .. }));
        match read {
            // The agent may just have deleted it.
            Err(TailError::File { error, .. }) if error.kind() == io::ErrorKind::NotFound => {}
            Err(TailError::File { path, error }) => self.unreadable.push((path, error)),
            Err(error @ TailError::Version { .. }) => self.foreign.push(error.to_string()),
            Ok(()) => {}
        }
        self.strays.extend(tail.stray().map(|path| Stray { path, reason: "it is no regular file of a journal" }));
        if !found.is_empty() {
            self.waiting += 1;
            let recorded_at = found.iter().find_map(recorded_at);
            self.oldest = [self.oldest, recorded_at].into_iter().flatten().min();
        }
        if self.largest.as_ref().is_none_or(|(_, segments)| *segments < tail.segments()) {
            self.largest = Some((path, tail.segments()));
        }
    }

    pub(super) fn checks(&self, agent: &Agent) -> Vec<Check> {
        vec![self.access(), self.version(), self.strays(), self.lag(agent), self.size()]
    }

    fn access(&self) -> Check {
        let id = "journal.access";
        match self.unreadable.first() {
            None => Check::ok(id, format!("streams: {}, with something that is not in the trail: {}", self.streams, self.waiting)),
            Some((path, error)) => {
                let finding = format!("{}: {error}: what it holds is not recorded ({} such places)", path.display(), self.unreadable.len());
                Check::fail(id, finding, format!("ls -la {0}; chmod u+rwX {0}", quoted(path)))
            }
        }
    }

    fn version(&self) -> Check {
        let id = "journal.version";
        match self.foreign.first() {
            None => Check::ok(id, "all segments are of version 1"),
            Some(first) => Check::fail(id, first.clone(), "pip install --upgrade indelible indelible-server"),
        }
    }

    fn strays(&self) -> Check {
        let id = "journal.strays";
        match self.strays.first() {
            None => Check::ok(id, "nothing lies beside the streams"),
            Some(Stray { path, reason }) => {
                let finding = format!("{} is not read: {reason} ({} such things)", path.display(), self.strays.len());
                Check::warn(id, finding, format!("mv {} /tmp/", quoted(path)))
            }
        }
    }

    fn lag(&self, agent: &Agent) -> Check {
        let id = "journal.lag";
        if !agent.works() {
            return Check::skipped(id, "no agent works");
        }
        let Some(oldest) = self.oldest else { return Check::ok(id, "nothing waits") };
        let age = now().micros().saturating_sub(oldest.micros());
        if age <= LAG_MAX {
            return Check::ok(id, format!("the oldest event waits for {} ms", age / 1000));
        }
        let finding = format!("an event waits for {} s although the agent works", age / 1_000_000);
        Check::warn(id, finding, "journalctl -u indelible -n 20")
    }

    fn size(&self) -> Check {
        let id = "journal.size";
        match &self.largest {
            Some((path, segments)) if *segments > SEGMENTS_MAX => {
                let finding = format!("{} holds {segments} segments: recording stops at journal_bytes", path.display());
                Check::warn(id, finding, command(&self.dir, "serve"))
            }
            Some((_, segments)) => Check::ok(id, format!("most segments in a stream: {segments}")),
            None => Check::ok(id, "no stream"),
        }
    }
}

fn high_waters(reader: Option<&Reader>) -> HashMap<StreamId, u64> {
    let files = reader.map(Reader::files).unwrap_or_default();
    // Newer files come later and say more.
    let rows = files.iter().filter_map(|file| file.streams().ok()).flatten();
    rows.map(|(stream, row)| (stream, row.next_sequence)).collect()
}

/// When the first event of a frame was recorded.
fn recorded_at(found: &Found) -> Option<Timestamp> {
    let Found::Frame { kind, payload, .. } = found else { return None };
    match Frame::parse(*kind, payload).ok()? {
        Frame::Event(item) => Some(item.recorded_at),
        Frame::Intent { items, .. } => items.first().map(|item| item.recorded_at),
        Frame::Outcome { .. } | Frame::Loss { .. } | Frame::Close => None,
    }
}

/// Paths of quarantined records.
pub(super) fn quarantined(dir: &DataDir) -> usize {
    fs::read_dir(dir.quarantine())
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
        .count()
}
