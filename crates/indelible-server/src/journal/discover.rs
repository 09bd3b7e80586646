//! Finding streams: `journal/SERVICE/STREAM/`.

use std::collections::HashSet;
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use indelible_core::StreamId;

/// The folder of one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamFolder {
    pub(crate) service: String,
    pub(crate) stream: StreamId,
    pub(crate) path: PathBuf,
}

/// What was found in the journals.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Discovery {
    /// Every stream that can be seen, by path. The same stream may be there under several services.
    pub(crate) folders: Vec<StreamFolder>,
    /// What is there beside them and is not read.
    pub(crate) strays: Vec<Stray>,
}

/// Something among the journals that is not read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Stray {
    pub(crate) path: PathBuf,
    /// Why not.
    pub(crate) reason: &'static str,
}

/// What was warned of already, so that each stray is named once for as long as it stays.
#[derive(Debug, Default)]
pub(crate) struct Strays {
    warned: HashSet<Stray>,
}

impl Strays {
    /// Logs those that were not there the last time.
    pub(crate) fn warn(&mut self, strays: Vec<Stray>) {
        let now: HashSet<Stray> = strays.into_iter().collect();
        for Stray { path, reason } in now.difference(&self.warned) {
            tracing::warn!(path = %path.display(), reason, "this is among the journals and is not read");
        }
        self.warned = now;
    }
}

/// Looks through all services. Names that begin with a dot are not streams yet, and files of a service are not journals.
///
/// # Errors
/// When a folder cannot be listed; one that is not there holds nothing.
pub(crate) fn discover(journal: &Path) -> io::Result<Discovery> {
    let mut discovery = Discovery::default();
    for (service, path) in folders(journal, &mut discovery.strays)? {
        for (name, path) in folders(&path, &mut discovery.strays)? {
            match stream_of(&name) {
                Some(stream) => discovery.folders.push(StreamFolder { service: service.clone(), stream, path }),
                None => discovery.strays.push(Stray { path, reason: "its name is not that of a stream: 36 characters, lower case" }),
            }
        }
    }
    discovery.folders.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    Ok(discovery)
}

/// The stream whose folder has this name. One stream has one name, or it would be read twice.
fn stream_of(name: &str) -> Option<StreamId> {
    let stream: StreamId = name.parse().ok()?;
    (stream != StreamId::AGENT && stream.to_string() == name).then_some(stream)
}

fn folders(path: &Path, strays: &mut Vec<Stray>) -> io::Result<Vec<(String, PathBuf)>> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        match folder_name(&entry)? {
            Ok(name) if !name.starts_with('.') => found.push((name, entry.path())),
            Ok(_) => {}
            Err(reason) => strays.push(Stray { path: entry.path(), reason }),
        }
    }
    Ok(found)
}

/// Name of a folder, or why it is none; an empty name for a plain file.
fn folder_name(entry: &DirEntry) -> io::Result<Result<String, &'static str>> {
    let kind = entry.file_type()?;
    Ok(match entry.file_name().into_string() {
        Ok(name) if kind.is_dir() => Ok(name),
        _ if kind.is_file() => Ok(".".to_owned()),
        Err(_) => Err("its name is not UTF-8"),
        Ok(_) => Err("it is no folder"),
    })
}
