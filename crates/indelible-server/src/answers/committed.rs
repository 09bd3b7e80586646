//! `committed.json`: the newest intents with markers of which the trail says that they were committed.
//!
//! A database that was restored, or that lost its last moments, has no marker for some of them: that is for the application to find,
//! which compares both.

use std::collections::VecDeque;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Decision;
use crate::data_dir::read_unlinked;

/// The most intents in a file.
pub(crate) const COMMITTED_MAX: usize = 10_000;
/// The most bytes of a file that is read again: many times what the most intents take.
const BYTES_MAX: u64 = 16 << 20;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    intent: String,
    alias: String,
    stream: String,
    sequence: u64,
    at: String,
}

#[derive(Serialize, Deserialize)]
struct Document {
    v: u64,
    intents: VecDeque<Entry>,
}

/// Committed intents of one service, the oldest first.
#[derive(Debug)]
pub(super) struct Committed {
    intents: VecDeque<Entry>,
    /// Counts what was added.
    version: u64,
}

impl Committed {
    /// Begins with what the agent wrote before it was started the last time. A file that is not the agent's own, or that cannot be read,
    /// says nothing.
    pub(super) fn load(path: &Path) -> Self {
        let own = |metadata: &std::fs::Metadata| metadata.uid() == rustix::process::geteuid().as_raw();
        let text = read_unlinked(path, BYTES_MAX, own).unwrap_or_default();
        let document = serde_json::from_slice::<Document>(&text).ok().filter(|document| document.v == 1);
        let mut intents = document.map(|document| document.intents).unwrap_or_default();
        intents.drain(..intents.len().saturating_sub(COMMITTED_MAX));
        Self { intents, version: 0 }
    }

    pub(super) fn push(&mut self, decision: &Decision) {
        let marked = &decision.marked;
        self.intents.push_back(Entry {
            intent: marked.intent.to_string(),
            alias: marked.alias.clone(),
            stream: marked.stream.to_string(),
            sequence: marked.sequence,
            at: decision.at.to_string(),
        });
        if self.intents.len() > COMMITTED_MAX {
            self.intents.pop_front();
        }
        self.version += 1;
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn render(&self) -> String {
        let document = Document { v: 1, intents: self.intents.clone() };
        let mut text = serde_json::to_string(&document).expect("texts and numbers are JSON");
        text.push('\n');
        text
    }
}
