//! Sealed files that stay open between the readers of one process.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::file::{FileState, Opened};
use super::{TrailError, files};

/// Most files that are kept open while no reader has them.
const IDLE_MAX: usize = 128;
/// Memory that SQLite may take for the pages of a kept file, in KiB.
const PAGES_KIB: i64 = 256;

/// Sealed files that were opened and that no reader has at the moment; at most 128 of them, with 256 KiB of pages each.
///
/// A sealed file never changes, but its name may come to mean another file: it is the same one only while inode, size and time of change
/// are. What a reader has is its own until it is dropped, so a file that two readers have at a time is open twice.
#[derive(Debug, Default)]
pub(crate) struct SealedFiles {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<(PathBuf, Identity, Opened)>,
    /// What is known to be sealed.
    known: HashMap<PathBuf, Identity>,
}

/// What a name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl Identity {
    /// Looks at a file without opening it.
    ///
    /// # Errors
    /// - [`TrailError::File`]: it is not there, or cannot be looked at.
    pub(super) fn of(path: &Path) -> Result<Self, TrailError> {
        let found = fs::metadata(path).map_err(|error| TrailError::File { path: path.to_owned(), error })?;
        Ok(Self { device: found.dev(), inode: found.ino(), bytes: found.len(), changed: (found.ctime(), found.ctime_nsec()) })
    }
}

impl SealedFiles {
    /// What a file is that is not the open one, and its identity where it is sealed. Nothing of a file is read that is known.
    ///
    /// # Errors
    /// - [`TrailError::File`]: it cannot be read.
    pub(super) fn state_of(&self, path: &Path) -> Result<(FileState, Option<Identity>), TrailError> {
        let identity = Identity::of(path)?;
        if self.state().known.get(path) == Some(&identity) {
            return Ok((FileState::Sealed, Some(identity)));
        }
        self.state().idle.retain(|(idle, of, _)| idle != path || *of == identity);
        let found = files::state_of(path)?;
        if found != FileState::Sealed || Identity::of(path)? != identity {
            return Ok((found, None));
        }
        self.state().known.insert(path.to_owned(), identity);
        Ok((found, Some(identity)))
    }

    /// Closes what does not belong to these files any more. `exists`: whether a file of the trail has this path.
    pub(super) fn forget_others(&self, files: usize, exists: impl Fn(&Path) -> bool) {
        let mut state = self.state();
        if state.known.len() > files {
            state.known.retain(|path, _| exists(path));
            state.idle.retain(|(path, ..)| exists(path));
        }
    }

    /// A file that was opened before, if there is one that nobody has.
    pub(super) fn take(&self, path: &Path, identity: Identity) -> Option<Opened> {
        let mut state = self.state();
        let place = state.idle.iter().position(|(idle, of, _)| idle == path && *of == identity)?;
        Some(state.idle.swap_remove(place).2)
    }

    /// Keeps a file. When there are too many, the oldest records are given up: the newest are read most.
    pub(super) fn give(&self, path: &Path, identity: Identity, opened: Opened) {
        // Between its identity and its connection the name may have come to mean another file.
        let is_same = Identity::of(path).is_ok_and(|now| now == identity) && opened.keeps_pages(PAGES_KIB);
        let mut state = self.state();
        if !is_same || state.known.get(path) != Some(&identity) {
            return;
        }
        state.idle.push((path.to_owned(), identity, opened));
        if state.idle.len() > IDLE_MAX {
            let oldest = state.idle.iter().enumerate().min_by(|(_, one), (_, other)| one.0.cmp(&other.0)).map(|(place, _)| place);
            oldest.map(|place| state.idle.swap_remove(place));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many files are open and in nobody's hands.
    #[cfg(test)]
    pub(crate) fn idle(&self) -> usize {
        self.state().idle.len()
    }
}
