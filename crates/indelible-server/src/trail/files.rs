//! The files of a trail by their names (docs/format.md, "Trail file"): the one catalogue there is, so none can lie.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{FileState, TrailError};
use crate::data_dir::{DataDir, open_regular};

/// What SQLite writes beside a database, by the end of the name.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];
/// Where a database says whether it is written with a write-ahead log (2) or without (1) (SQLite "Database File Format" §1.3).
const WRITE_VERSION_OFFSET: usize = 18;
const WITHOUT_LOG: u8 = 1;

/// A file of the trail that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) path: PathBuf,
    /// The leaf that its name names.
    pub(crate) first_index: u64,
}

/// Name of the trail file that begins with this leaf.
pub(crate) fn file_name(first_index: u64) -> String {
    format!("{first_index:012}.trail")
}

/// The name that a file has until it is complete.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    path.with_extension("trail.new")
}

/// The name that the sealed form of a file has until it is complete.
pub(super) fn unfinished_seal(path: &Path) -> PathBuf {
    path.with_extension("sealed.new")
}

/// The seal note of a file.
pub(crate) fn seal_note(path: &Path) -> PathBuf {
    path.with_extension("seal")
}

/// The seal of a sealed file that is about to take the place of the one that is there.
pub(crate) fn reseal_note(path: &Path) -> PathBuf {
    path.with_extension("reseal")
}

/// The leaf that a name names.
fn first_index_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let first_index = name.strip_suffix(".trail")?.parse().ok()?;
    // SQLite counts no further.
    (file_name(first_index) == name && i64::try_from(first_index).is_ok()).then_some(first_index)
}

/// The files of a trail, oldest first; none where there is no trail. The last one is the open one.
///
/// # Errors
/// - [`TrailError::File`]: the folder cannot be listed, or a file of the trail, or its log, is no regular file.
/// - [`TrailError::Unexpected`]: another file named `.trail`, or a rollback journal, which SQLite would write back into a file.
pub(crate) fn list(dir: &DataDir) -> Result<Vec<Listed>, TrailError> {
    let failed = |error| TrailError::File { path: dir.trail(), error };
    let entries = match fs::read_dir(dir.trail()) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if is_named(&path, ".trail") {
            let Some(first_index) = first_index_of(&path) else { return Err(TrailError::Unexpected { path }) };
            check_regular(&path)?;
            files.push(Listed { path, first_index });
        } else if is_named(&path, ".trail-journal") {
            return Err(TrailError::Unexpected { path });
        } else if is_named(&path, ".trail-wal") || is_named(&path, ".trail-shm") {
            check_regular(&path)?;
        }
    }
    files.sort_unstable_by_key(|file| file.first_index);
    Ok(files)
}

/// Whether a file that is not the open one is sealed, by its own header. A false header shows when its tables are looked at.
///
/// # Errors
/// - [`TrailError::File`]: it cannot be read.
pub(crate) fn state_of(path: &Path) -> Result<FileState, TrailError> {
    let failed = |error| TrailError::File { path: path.to_owned(), error };
    let mut header = Vec::new();
    let file = open_regular(path, u64::MAX).map_err(failed)?;
    file.take(WRITE_VERSION_OFFSET as u64 + 1).read_to_end(&mut header).map_err(failed)?;
    Ok(if header.get(WRITE_VERSION_OFFSET) == Some(&WITHOUT_LOG) { FileState::Sealed } else { FileState::Closed })
}

/// Deletes what was not finished when the agent ended. The caller holds the agent's lock.
///
/// # Errors
/// - [`TrailError::File`]: the folder cannot be listed, or a file not be deleted.
pub(crate) fn remove_unfinished(dir: &DataDir) -> Result<(), TrailError> {
    let failed = |error| TrailError::File { path: dir.trail(), error };
    for entry in fs::read_dir(dir.trail()).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_unfinished = |suffix: &str| [".trail.new", ".sealed.new"].iter().any(|new| is_named(&path, &format!("{new}{suffix}")));
        if is_unfinished("") || BESIDE.into_iter().any(is_unfinished) {
            remove(&path)?;
        }
    }
    Ok(())
}

/// Deletes what SQLite left beside a file.
pub(super) fn remove_beside(path: &Path) -> Result<(), TrailError> {
    BESIDE.iter().try_for_each(|suffix| remove(&super::view::beside(path, suffix)))
}

/// Deletes the log that a crash left beside a file after it was sealed; what it holds is in the file.
///
/// # Errors
/// - [`TrailError::File`]: it cannot be deleted.
pub(crate) fn remove_log_of_sealed(path: &Path) -> Result<(), TrailError> {
    remove_beside(path)
}

/// Deletes a file that may be gone.
pub(super) fn remove(path: &Path) -> Result<(), TrailError> {
    failpoint!("trail.before_unlink");
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(TrailError::File { path: path.to_owned(), error }),
        _ => Ok(()),
    }
}

fn is_named(path: &Path, suffix: &str) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(suffix.as_bytes())
}

/// Refuses what SQLite would wait for, or read without end.
///
/// It is looked at and not opened: where this process has the file open in SQLite, closing another descriptor of it would drop the locks
/// that SQLite holds (fcntl(2), "Advisory record locking"), and the next reader would take the log's index for abandoned.
fn check_regular(path: &Path) -> Result<(), TrailError> {
    let failed = |error| TrailError::File { path: path.to_owned(), error };
    match fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(()),
        Ok(_) => Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))),
        // SQLite removes its log when the last connection ends.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(error)),
    }
}
