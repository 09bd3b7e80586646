//! Finding streams: `journal/SERVICE/STREAM/`.

use std::collections::HashSet;
use std::fs::{self, DirEntry};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

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
    /// Folders of services that this user cannot list. Those of the others are read all the same.
    pub(crate) unlisted: Vec<PathBuf>,
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

/// How old a folder's last change must be before its listing is relied on: file systems keep times in steps of up to two seconds.
const SETTLED_AFTER: Duration = Duration::from_secs(2);
/// How long a listing is relied on in any case.
const LISTING_AGE_MAX: Duration = Duration::from_secs(10);

/// What tells that nothing was added to a folder and nothing removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Signature {
    device: u64,
    inode: u64,
    /// Grows with each folder in it, on most file systems.
    links: u64,
    changed_at: (i64, i64),
}

/// Looks for streams again and again, and lists folders only when something in them has changed: thousands of streams cost
/// as much as there are services.
#[derive(Debug)]
pub(crate) struct Watch {
    journal: PathBuf,
    /// The folders of the last listing as they were before it; empty when that says nothing.
    seen: Vec<(PathBuf, Signature)>,
    listed_at: Option<Instant>,
    /// Those of them whose last change was the agent's own.
    excused: HashSet<PathBuf>,
}

impl Watch {
    /// Watches the journals of all services.
    pub(crate) fn new(journal: PathBuf) -> Self {
        Self { journal, seen: Vec::new(), listed_at: None, excused: HashSet::new() }
    }

    /// What is there, or nothing when that is what was there the last time.
    ///
    /// # Errors
    /// When a folder cannot be listed.
    pub(crate) fn look(&mut self) -> io::Result<Option<Discovery>> {
        if self.is_unchanged() {
            return Ok(None);
        }
        self.seen = signatures(&self.journal);
        self.excused.clear();
        self.listed_at = Some(Instant::now());
        let found = discover(&self.journal);
        // That a folder can be listed again does not show in its time.
        if found.as_ref().map_or(true, |found| !found.unlisted.is_empty()) {
            self.seen.clear();
        }
        found.map(Some)
    }

    fn is_unchanged(&self) -> bool {
        let is_recent = self.listed_at.is_some_and(|at| at.elapsed() < LISTING_AGE_MAX);
        is_recent && !self.seen.is_empty() && self.seen.iter().all(|(path, seen)| self.known(path) == Some(*seen))
    }

    /// The signature of a folder, as far as it can be relied on.
    fn known(&self, path: &Path) -> Option<Signature> {
        if self.excused.contains(path) { signature(path).map(|(signature, _)| signature) } else { settled(path) }
    }

    /// Does something in a folder that is no news. What somebody else does there in the same moment shows by its links, or with the next listing.
    pub(crate) fn excuse<T>(&mut self, folder: &Path, change: impl FnOnce() -> T) -> T {
        let before = self.known(folder);
        let done = change();
        let after = signature(folder).map(|(signature, _)| signature);
        if let (Some(before), Some(after)) = (before, after)
            && let Some((path, seen)) = self.seen.iter_mut().find(|(path, seen)| path == folder && *seen == before)
            && after.links == before.links
        {
            *seen = after;
            self.excused.insert(path.clone());
        }
        done
    }
}

/// Signatures of the journal folder and of each service's.
fn signatures(journal: &Path) -> Vec<(PathBuf, Signature)> {
    let services = fs::read_dir(journal).into_iter().flatten().flatten().map(|entry| entry.path());
    let folders = std::iter::once(journal.to_owned()).chain(services);
    folders.filter_map(|path| signature(&path).map(|(signature, _)| (path, signature))).collect()
}

fn signature(path: &Path) -> Option<(Signature, SystemTime)> {
    let metadata = fs::symlink_metadata(path).ok()?;
    let changed_at = (metadata.mtime(), metadata.mtime_nsec());
    Some((Signature { device: metadata.dev(), inode: metadata.ino(), links: metadata.nlink(), changed_at }, metadata.modified().ok()?))
}

/// The signature of a folder whose last change is so old that a later one has another time.
fn settled(path: &Path) -> Option<Signature> {
    let (signature, modified) = signature(path)?;
    modified.elapsed().is_ok_and(|age| age >= SETTLED_AFTER).then_some(signature)
}

/// Looks through all services. Names that begin with a dot are not streams yet, and files of a service are not journals.
///
/// # Errors
/// When the folder of all journals cannot be listed; one that is not there holds nothing.
pub(crate) fn discover(journal: &Path) -> io::Result<Discovery> {
    let mut discovery = Discovery::default();
    for (service, path) in folders(journal, &mut discovery.strays)? {
        let Ok(streams) = folders(&path, &mut discovery.strays) else {
            discovery.unlisted.push(path);
            continue;
        };
        for (name, path) in streams {
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

#[cfg(test)]
mod tests {
    use std::fs::{File, FileTimes};

    use super::*;
    use crate::journal::testing::TestStream;

    /// Makes a folder look as if nothing had happened in it for a while.
    fn settle(path: &Path) {
        let times = FileTimes::new().set_modified(SystemTime::now() - Duration::from_secs(60));
        File::open(path).unwrap().set_times(times).unwrap();
    }

    #[test]
    fn folders_are_listed_again_only_when_something_was_added_or_removed() {
        let journal = tempfile::tempdir().unwrap();
        let stream = TestStream::new(journal.path(), 1);
        let service = stream.path().parent().unwrap().to_owned();
        let mut watch = Watch::new(journal.path().to_owned());
        let look = |watch: &mut Watch| watch.look().unwrap().map(|discovery| discovery.folders.len());
        let settled = || [journal.path(), &service].into_iter().for_each(settle);
        assert_eq!(look(&mut watch), Some(1));
        assert_eq!(look(&mut watch), Some(1), "a change in the same moment would not show");
        settled();
        assert_eq!([look(&mut watch), look(&mut watch)], [Some(1), None]);
        stream.append_bytes(b"x");
        assert_eq!(look(&mut watch), None, "what happens in a stream is none of its business");
        let _second = TestStream::new(journal.path(), 2);
        assert_eq!(look(&mut watch), Some(2));
        settled();
        assert_eq!([look(&mut watch), look(&mut watch)], [Some(2), None]);
        fs::create_dir_all(journal.path().join("other").join(stream.stream.to_string())).unwrap();
        assert_eq!(look(&mut watch), Some(3), "another service");
        fs::remove_dir_all(&service).unwrap();
        assert_eq!(look(&mut watch), Some(1));
    }

    /// `answers.json` is written there each second, and listing thousands of streams each time would cost more than reading them.
    #[test]
    fn what_the_agent_does_in_a_folder_itself_is_no_news_and_what_others_do_meanwhile_is() {
        let journal = tempfile::tempdir().unwrap();
        let stream = TestStream::new(journal.path(), 1);
        let service = stream.path().parent().unwrap().to_owned();
        let mut watch = Watch::new(journal.path().to_owned());
        let settled = || [journal.path(), &service].into_iter().for_each(settle);
        settled();
        assert!(watch.look().unwrap().is_some());
        for _ in 0..2 {
            watch.excuse(&service, || fs::write(service.join("answers.json"), "").unwrap());
            fs::remove_file(service.join("answers.json")).unwrap();
            watch.excuse(&service, || fs::write(service.join("answers.json"), "").unwrap());
        }
        assert!(watch.look().unwrap().is_some(), "somebody removed a file");
        settled();
        assert!(watch.look().unwrap().is_some(), "the time was turned back");
        watch.excuse(&service, || fs::write(service.join("committed.json"), "").unwrap());
        assert_eq!(watch.look().unwrap(), None);
        watch.excuse(&service, || fs::write(service.join("answers.json.new"), "").unwrap());
        assert_eq!(watch.look().unwrap(), None);
        watch.excuse(&service, || drop(TestStream::new(journal.path(), 2)));
        assert_eq!(watch.look().unwrap().map(|found| found.folders.len()), Some(2));
    }
}
