//! Which files there are: what a trail has, no more and no less.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use super::halt::Halt;
use crate::data_dir::DataDir;
use crate::trail::{FileState, Reader, TrailError, TrailFile, files};

/// The files of a trail by name and inode, and whether an agent runs: what must not change while they are read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Names {
    files: Vec<(OsString, u64)>,
    agent_runs: bool,
}

impl Names {
    /// Those that are there now.
    pub(super) fn of(dir: &DataDir) -> Self {
        let entries = fs::read_dir(dir.trail()).into_iter().flatten().flatten();
        let files = entries.filter(|entry| is_lasting(&entry.file_name()));
        let mut files: Vec<_> = files.map(|entry| (entry.file_name(), entry.metadata().map_or(0, |of| of.ino()))).collect();
        files.sort();
        Self { files, agent_runs: dir.agent_is_running().unwrap_or(false) }
    }
}

/// Whether a file is there for more than a moment. Notes are replaced all the time, and read on their own.
fn is_lasting(name: &OsString) -> bool {
    [".trail", ".seal", ".reseal"].iter().any(|suffix| name.as_encoded_bytes().ends_with(suffix.as_bytes()))
}

/// Checks that every seal is that of a file which is sealed or about to be, and every second one that of a file which is sealed.
pub(super) fn check_names(dir: &DataDir, reader: &Reader) -> Result<(), Halt> {
    let failed = |error| TrailError::File { path: dir.trail(), error };
    for entry in fs::read_dir(dir.trail()).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let ends_in = |wanted: &str| path.extension().is_some_and(|extension| extension == wanted);
        let is_ours = |file: &TrailFile| match file.state() {
            FileState::Open => false,
            FileState::Closed => files::seal_note(file.path()) == path,
            FileState::Sealed => [files::seal_note(file.path()), files::reseal_note(file.path())].contains(&path),
        };
        if (ends_in("seal") || ends_in("reseal")) && !reader.files().iter().any(is_ours) {
            return Err(TrailError::Unexpected { path }.into());
        }
    }
    Ok(())
}

/// The name of a file, for a report.
pub(super) fn name_of(file: &TrailFile) -> String {
    file.path().file_name().unwrap_or_default().to_string_lossy().into_owned()
}
