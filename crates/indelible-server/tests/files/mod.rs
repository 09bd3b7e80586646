//! Trails of several files: sealed ones, a closed one and the open one, as an agent leaves them.
#![allow(clippy::unwrap_used, dead_code, reason = "each test file uses a part of it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use indelible::Event;

use crate::seed::{Seed, eventually};

/// The trail files of a data directory, oldest first.
pub(crate) fn trail_files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("trail")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|extension| extension == "trail")).collect();
    files.sort();
    files
}

/// The seal of a file.
pub(crate) fn seal_of(file: &Path) -> PathBuf {
    file.with_extension("seal")
}

/// Records each round of events into a file of its own. Every file is sealed but the last one, which is open, and the one before it,
/// which is closed as it is between roll-over and seal.
pub(crate) fn fill(seed: &Seed, rounds: Vec<Vec<Event>>) {
    let count = rounds.len();
    let mut closed = None;
    for (place, round) in rounds.into_iter().enumerate() {
        let leaves_per_file = u64::try_from(round.len()).unwrap();
        seed.record("clinic", round);
        match count - place {
            1 => seed.ingest(),
            2 => closed = Some(close(seed, leaves_per_file)),
            _ => seed.ingest_in_files_of(leaves_per_file),
        }
    }
    if let Some((file, content)) = closed {
        seed.ingest();
        assert!(content != fs::read(&file).unwrap(), "the next agent has sealed it");
        fs::remove_file(seal_of(&file)).unwrap();
        fs::write(&file, content).unwrap();
    }
}

/// Ingests until the open file is full and the agent is about to seal it, and returns it as it is then.
fn close(seed: &Seed, leaves_per_file: u64) -> (PathBuf, Vec<u8>) {
    let file = trail_files(seed.path()).pop().unwrap_or_else(|| seed.path().join("trail/000000000000.trail"));
    let mut command = seed.command(&["serve", "--listen", "127.0.0.1:0", "--leaves-per-file", &leaves_per_file.to_string()]);
    let mut agent = command.env("INDELIBLE_FAILPOINT", "seal.after_sync").stderr(Stdio::null()).spawn().unwrap();
    let killed = eventually("the agent dies at its failpoint, which only a debug build has", || agent.try_wait().unwrap());
    assert!(!killed.success(), "an agent is killed while it seals");
    let content = fs::read(&file).unwrap();
    (file, content)
}
