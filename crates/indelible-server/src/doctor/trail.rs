//! The trail as it lies there: files, notes, and what waits in it. Whether its records are the ones that were signed, only `verify` tells.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use indelible_core::{Checkpoint, StateDigest};

use super::agent::Agent;
use super::keys::Keys;
use super::{Check, command, quoted};
use crate::clock::now;
use crate::data_dir::{DataDir, read_small};
use crate::trail::{Reader, TrailError, schema};

pub(super) const IDS: &[&str] = &[
    "trail.version",
    "trail.files",
    "trail.checkpoint",
    "trail.state",
    "trail.head",
    "trail.sealing",
    "trail.in_doubt",
    "trail.unanswered",
];

/// A resolver that works has answered by then, in microseconds.
const ANSWERED_AFTER: i64 = 60_000_000;
/// An older transaction cannot be answered any more, in microseconds.
const ANSWERABLE_FOR: i64 = 24 * 3_600_000_000;
/// Closed files that may wait to be sealed; sealing is slower than closing for a while.
const UNSEALED_MAX: usize = 3;
/// SQLite's `user_version` and `application_id` in the first 72 bytes of a file, big-endian.
const HEADER_BYTES: usize = 72;
const USER_VERSION: usize = 60;
const APPLICATION_ID: usize = 68;

/// What is known of the trail.
pub(super) struct Trail<'a> {
    dir: &'a DataDir,
    keys: &'a Keys,
    /// Trail files and what their headers say, oldest first.
    files: Vec<(PathBuf, io::Result<Header>)>,
    reader: Result<Reader, TrailError>,
}

struct Header {
    application_id: u32,
    version: u32,
}

impl<'a> Trail<'a> {
    pub(super) fn of(dir: &'a DataDir, keys: &'a Keys) -> Self {
        let entries = fs::read_dir(dir.trail()).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut paths: Vec<_> = entries.filter(|path| path.extension().is_some_and(|extension| extension == "trail")).collect();
        paths.sort();
        let files = paths.into_iter().map(|path| (path.clone(), header(&path))).collect();
        Self { dir, keys, files, reader: Reader::open(dir) }
    }

    /// The trail, where it can be read.
    pub(super) fn reader(&self) -> Option<&Reader> {
        self.reader.as_ref().ok()
    }

    /// The same, for a search.
    pub(super) fn reader_mut(&mut self) -> Option<&mut Reader> {
        self.reader.as_mut().ok()
    }

    pub(super) fn checks(&self, agent: &Agent) -> Vec<Check> {
        if self.files.is_empty() && !self.dir.checkpoint().exists() {
            return IDS.iter().map(|id| Check::skipped(id, "no agent has run on this directory yet")).collect();
        }
        let version = self.version();
        let files = match (version.is_ok(), agent.lock_can_be_tried()) {
            (true, true) => self.files(),
            (false, _) => Check::skipped("trail.files", "another version wrote them"),
            (_, false) => Check::skipped("trail.files", "the agent's lock cannot be tried"),
        };
        let checkpoint = self.checkpoint();
        let head = if checkpoint.is_ok() { self.head() } else { Check::skipped("trail.head", "there is no checkpoint to compare with") };
        vec![version, files, checkpoint, self.state(), head, self.sealing(), self.in_doubt(), self.unanswered()]
    }

    fn version(&self) -> Check {
        let id = "trail.version";
        let ours = schema::FORMAT_VERSION;
        let is_foreign = |header: &Header| header.application_id == schema::APPLICATION_ID as u32 && i64::from(header.version) != ours;
        let foreign = self.files.iter().find_map(|(path, header)| Some((path, header.as_ref().ok().filter(|header| is_foreign(header))?)));
        match foreign {
            None => Check::ok(id, format!("version {ours}, files: {}", self.files.len())),
            Some((path, header)) => {
                let finding = format!("{} has version {}, this program writes version {ours}", path.display(), header.version);
                Check::fail(id, finding, "pip install --upgrade indelible-server")
            }
        }
    }

    fn files(&self) -> Check {
        let id = "trail.files";
        match &self.reader {
            Ok(reader) => Check::ok(id, format!("{} records", reader.tree_size())),
            Err(TrailError::File { error, .. }) if error.kind() == io::ErrorKind::PermissionDenied => {
                Check::skipped(id, "run doctor as the user of the agent")
            }
            Err(error) => Check::fail(id, error.to_string(), command(self.dir, "verify")),
        }
    }

    fn checkpoint(&self) -> Check {
        let id = "trail.checkpoint";
        let path = self.dir.checkpoint();
        self.note(id, &path, |note| {
            let key = self.keys.trusted()?;
            Some(
                Checkpoint::open(note, key)
                    .map(|checkpoint| format!("{} records", checkpoint.tree_size))
                    .map_err(|error| error.to_string()),
            )
        })
    }

    fn state(&self) -> Check {
        let path = self.dir.state();
        self.note("trail.state", &path, |note| {
            let key = self.keys.trusted()?;
            Some(StateDigest::open(note, key).map(|_| "signed".to_owned()).map_err(|error| error.to_string()))
        })
    }

    /// A signed note: there and signed by the trail's key. `open` answers nothing when there is no key to trust.
    fn note(&self, id: &'static str, path: &Path, open: impl FnOnce(&[u8]) -> Option<Result<String, String>>) -> Check {
        let fix = || command(self.dir, "verify");
        let note = match read_small(path) {
            Ok(note) => note,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Check::skipped(id, "run doctor as the user of the agent");
            }
            Err(error) => return Check::fail(id, format!("{}: {error}: the agent does not go on without it", path.display()), fix()),
        };
        match open(&note) {
            None => Check::skipped(id, "the keys are in doubt"),
            Some(Ok(finding)) => Check::ok(id, finding),
            Some(Err(error)) => Check::fail(id, format!("{}: {error}", path.display()), fix()),
        }
    }

    /// Whether the trail holds what its checkpoint says.
    fn head(&self) -> Check {
        let id = "trail.head";
        let (Ok(reader), Some(key), Ok(note)) = (&self.reader, self.keys.trusted(), read_small(&self.dir.checkpoint())) else {
            return Check::skipped(id, "the trail cannot be read");
        };
        let Ok(checkpoint) = Checkpoint::open(&note, key) else { return Check::skipped(id, "the checkpoint cannot be read") };
        // The checkpoint is read after the reader was opened, so a running agent may have signed more meanwhile.
        let is_behind = reader.tree_size() < checkpoint.tree_size;
        let newer = if is_behind { Reader::open(self.dir).ok() } else { None };
        let held = newer.as_ref().unwrap_or(reader).tree_size();
        if held < checkpoint.tree_size {
            let finding = format!("the trail holds {held} records, its checkpoint {}: it was rolled back", checkpoint.tree_size);
            return Check::fail(id, finding, command(self.dir, "verify"));
        }
        Check::ok(id, format!("{held} records, {} signed", checkpoint.tree_size))
    }

    fn sealing(&self) -> Check {
        let id = "trail.sealing";
        let closed = self.files.len().saturating_sub(1);
        let unsealed = self.files.iter().take(closed).filter(|(path, _)| !path.with_extension("seal").exists()).count();
        match unsealed {
            0..=UNSEALED_MAX => Check::ok(id, format!("{closed} closed files, {unsealed} of them not sealed yet")),
            _ => {
                let finding = format!("{unsealed} closed files are not sealed: sealing does not keep up, or nobody seals");
                Check::warn(id, finding, format!("journalctl -u indelible -n 20; ls -la {}", quoted(&self.dir.trail())))
            }
        }
    }

    /// Transactions whose markers would say how they ended, and nobody asks.
    fn unanswered(&self) -> Check {
        let id = "trail.unanswered";
        let Ok(reader) = &self.reader else { return Check::skipped(id, "the trail cannot be read") };
        let micros = now().micros();
        // The byte after the intent's id says how its commit can be proved (docs/format.md, "Frame"): 1 by a marker.
        let select =
            "SELECT count(*), min(ingested_at) FROM pending WHERE substr(payload, 17, 1) = x'01' AND ingested_at BETWEEN ?1 AND ?2";
        let limits = [micros.saturating_sub(ANSWERABLE_FOR), micros.saturating_sub(ANSWERED_AFTER)];
        let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?));
        match reader.open_file().connection().map(|connection| connection.query_row(select, limits, row)) {
            Ok(Ok((0, _))) => Check::ok(id, "no transaction with a marker waits for a resolver"),
            Ok(Ok((count, oldest))) => {
                let seconds = micros.saturating_sub(oldest.unwrap_or(micros)) / 1_000_000;
                let finding = format!(
                    "{count} transactions have a marker and no answer, the oldest for {seconds} s: no resolver asks their database"
                );
                Check::warn(id, finding, "python manage.py indelible resolve")
            }
            Ok(Err(error)) => Check::fail(id, error.to_string(), command(self.dir, "verify")),
            Err(error) => Check::fail(id, error.to_string(), command(self.dir, "verify")),
        }
    }

    fn in_doubt(&self) -> Check {
        let id = "trail.in_doubt";
        let Ok(reader) = &self.reader else { return Check::skipped(id, "the trail cannot be read") };
        let select = "SELECT count(*) FILTER (WHERE in_doubt = 0), count(*) FILTER (WHERE in_doubt = 1), min(ingested_at) FROM pending";
        let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, Option<i64>>(2)?));
        let age = |oldest: i64| now().micros().saturating_sub(oldest) / 1_000_000;
        match reader.open_file().connection().map(|connection| connection.query_row(select, [], row)) {
            Ok(Ok((_, _, None))) => Check::ok(id, "no intent waits for its outcome, none is in doubt"),
            Ok(Ok((waiting, 0, Some(oldest)))) => {
                Check::ok(id, format!("{waiting} intents wait for their outcome, the oldest for {} s; none is in doubt", age(oldest)))
            }
            Ok(Ok((_, doubted, Some(oldest)))) => {
                let finding = format!(
                    "{doubted} transactions ended without saying how: their records say in_doubt until somebody knows; the oldest unresolved is {} s old",
                    age(oldest)
                );
                Check::warn(id, finding, command(self.dir, "search outcome:unknown"))
            }
            Ok(Err(error)) => Check::fail(id, error.to_string(), command(self.dir, "verify")),
            Err(error) => Check::fail(id, error.to_string(), command(self.dir, "verify")),
        }
    }
}

fn header(path: &Path) -> io::Result<Header> {
    let mut bytes = [0; HEADER_BYTES];
    File::open(path)?.read_exact(&mut bytes)?;
    let number = |offset: usize| bytes[offset..].first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    Ok(Header { application_id: number(APPLICATION_ID), version: number(USER_VERSION) })
}
