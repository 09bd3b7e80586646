//! The data directory: where everything lies, and how files are created and replaced in it (docs/format.md, "Files").

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// The most bytes in a key, a signed note or the agent's announcement; all are far smaller.
pub(crate) const SMALL_FILE_BYTES_MAX: u64 = 64 << 10;
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// Of what the agent writes for an application, in a folder that only the two may enter.
const OTHERS_MODE: u32 = 0o644;

/// The paths of one data directory. Making one touches nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDir {
    root: PathBuf,
}

impl DataDir {
    /// Names a data directory, which need not exist.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Journals of every service, one folder for each stream.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }

    /// Corrupt records, as they were found.
    #[must_use]
    pub fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    /// The trail: its files, the verifier key and the signed notes.
    #[must_use]
    pub fn trail(&self) -> PathBuf {
        self.root.join("trail")
    }

    /// The newest signed tree head.
    #[must_use]
    pub fn checkpoint(&self) -> PathBuf {
        self.trail().join("checkpoint")
    }

    /// The newest signed digest of the unfinished work.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.trail().join("state")
    }

    /// The verifier key, one line.
    #[must_use]
    pub fn verifier(&self) -> PathBuf {
        self.trail().join("verifier")
    }

    /// What only the agent may read.
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// The signing key, one line, readable by the agent only.
    #[must_use]
    pub fn signing_key(&self) -> PathBuf {
        self.keys().join("trail.key")
    }

    /// The file that a running agent holds locked.
    #[must_use]
    pub fn agent_lock(&self) -> PathBuf {
        self.root.join("agent.lock")
    }

    /// Process id, version and address of the running agent.
    #[must_use]
    pub fn agent_json(&self) -> PathBuf {
        self.root.join("agent.json")
    }

    /// What the agent is told to do, where its operator has written such a file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.root.join("config.toml")
    }

    /// How far each sink is, one folder for each.
    #[must_use]
    pub fn sinks(&self) -> PathBuf {
        self.root.join("sinks")
    }

    /// The folder of one sink.
    #[must_use]
    pub fn sink(&self, name: &str) -> PathBuf {
        self.sinks().join(name)
    }

    /// The digest of the configuration that was recorded last.
    #[must_use]
    pub(crate) fn config_recorded(&self) -> PathBuf {
        self.sinks().join("config.recorded")
    }

    /// Creates what is missing of the directory, for this user alone. An application may have come first.
    ///
    /// # Errors
    /// When a folder or the ignore file can neither be found nor made.
    pub fn create(&self) -> io::Result<()> {
        for folder in [self.root.clone(), self.journal(), self.trail(), self.keys()] {
            create_private_dir(&folder)?;
        }
        let ignore = self.root.join(".gitignore");
        if !ignore.exists() {
            write_atomically(&ignore, b"*\n")?;
        }
        Ok(())
    }

    /// Whether an agent runs on this directory, that is, holds [`DataDir::agent_lock`].
    ///
    /// # Errors
    /// When the lock file is there and cannot be opened or tried.
    pub fn agent_is_running(&self) -> io::Result<bool> {
        is_locked(&self.agent_lock())
    }
}

/// Creates a folder and its parent for this user alone, unless it is there. The names of new ones have reached the disk on return.
pub(crate) fn create_private_dir(path: &Path) -> io::Result<()> {
    let is_new = !path.is_dir();
    failpoint!("folder.before_create");
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path)?;
    failpoint!("folder.after_create");
    if is_new { sync_names(path) } else { Ok(()) }
}

/// Waits until the names of a folder and of the one that it lies in have reached the disk. What this user may not open, it has not made.
fn sync_names(path: &Path) -> io::Result<()> {
    for folder in path.ancestors().skip(1).take(2) {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        match sync_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            result => result?,
        }
    }
    Ok(())
}

/// Whether some process holds an exclusive lock on this file; a file that is not there is not locked.
///
/// The lock is tried shared, so that several who ask at once do not see each other.
pub(crate) fn is_locked(path: &Path) -> io::Result<bool> {
    let file = match open_unlinked(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Opens a regular file of at most `bytes_max` for reading, and never waits for it as for the other end of a pipe.
///
/// # Errors
/// - [`io::ErrorKind::InvalidInput`]: a folder, pipe, socket or device, under its own name or behind a symbolic link.
/// - [`io::ErrorKind::FileTooLarge`]: the file is longer.
/// - whatever opening it gives.
pub(crate) fn open_regular(path: &Path, bytes_max: u64) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    let file = regular(file)?;
    let length = file.metadata()?.len();
    if length > bytes_max {
        let error = format!("{length} bytes long, and at most {bytes_max} are expected");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, error));
    }
    Ok(file)
}

/// Opens a regular file of any length for reading that lies under this very name. Where others may write, a symbolic link could
/// lead to any file of this user.
///
/// # Errors
/// - [`io::ErrorKind::InvalidInput`]: a folder, pipe, socket or device.
/// - whatever opening it gives, for a symbolic link too.
pub(crate) fn open_unlinked(path: &Path) -> io::Result<File> {
    regular(OpenOptions::new().read(true).custom_flags(unlinked()).open(path)?)
}

/// Opens a file for locking, and creates it for this user alone where there is none. What is not a regular file is refused.
///
/// # Errors
/// As [`open_unlinked`].
pub(crate) fn open_lock(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(FILE_MODE).custom_flags(unlinked());
    let file = regular(options.open(path)?)?;
    failpoint!("lock.after_create");
    Ok(file)
}

/// Flags of open(2): no symbolic link, and no waiting for the other end of a pipe.
fn unlinked() -> i32 {
    (OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().cast_signed()
}

fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")) }
}

/// Reads a key, a note or another file of at most [`SMALL_FILE_BYTES_MAX`].
///
/// # Errors
/// As [`open_regular`], and whatever reading gives.
pub(crate) fn read_small(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    // What grows meanwhile is cut off, and then is no note and no key.
    open_regular(path, SMALL_FILE_BYTES_MAX)?.take(SMALL_FILE_BYTES_MAX).read_to_end(&mut content)?;
    Ok(content)
}

/// Replaces a file so that a reader, or a crash at any moment, sees the old content or the new one and nothing between.
///
/// On return the content and its name have reached the disk. The file belongs to this user alone.
///
/// # Errors
/// When writing, syncing or renaming fails; the old file is then still there.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> io::Result<()> {
    let new = beside(path)?;
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(&new)?;
    failpoint!("replace.before_write");
    file.write_all(content)?;
    failpoint!("replace.after_write");
    file.sync_all()?;
    failpoint!("replace.after_sync");
    rename_durably(&new, path)
}

/// Replaces a file in a folder that another user owns, so that whoever may enter the folder can read it, and sees the old content or the new
/// one and nothing between. It does not wait for the disk.
///
/// # Errors
/// When writing or renaming fails, or something lies under the temporary name that cannot be removed; the old file is then still there.
pub(crate) fn write_for_others(path: &Path, content: &[u8]) -> io::Result<()> {
    let new = beside(path)?;
    // Whoever owns the folder could leave a link there that leads to a file of this user. It is removed, and never followed.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => failpoint!("answers.before_create"),
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&new)?;
    file.write_all(content)?;
    failpoint!("answers.after_write");
    // Whatever the umask is: the folder is for its owner and its group alone.
    file.set_permissions(fs::Permissions::from_mode(OTHERS_MODE))?;
    failpoint!("answers.before_rename");
    fs::rename(&new, path)?;
    failpoint!("answers.after_rename");
    Ok(())
}

/// Reads a regular file of at most `bytes_max` that lies under this very name and that `is_wanted`.
///
/// # Errors
/// As [`open_unlinked`]; [`io::ErrorKind::InvalidInput`] for one that is longer or not wanted.
pub(crate) fn read_unlinked(path: &Path, bytes_max: u64, is_wanted: impl FnOnce(&fs::Metadata) -> bool) -> io::Result<Vec<u8>> {
    let file = open_unlinked(path)?;
    let metadata = file.metadata()?;
    if metadata.len() > bytes_max || !is_wanted(&metadata) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut content = Vec::new();
    file.take(bytes_max).read_to_end(&mut content)?;
    Ok(content)
}

/// Renames a file and waits until the new name has reached the disk.
pub(crate) fn rename_durably(from: &Path, to: &Path) -> io::Result<()> {
    failpoint!("rename.before");
    fs::rename(from, to)?;
    failpoint!("rename.before_sync");
    sync_dir(to.parent().unwrap_or(Path::new(".")))
}

/// Waits until the content of a file has reached the disk.
pub(crate) fn sync_file(path: &Path) -> io::Result<()> {
    failpoint!("file.before_sync");
    File::open(path)?.sync_all()
}

/// Waits until the names in a folder have reached the disk.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    failpoint!("folder.before_sync");
    File::open(path)?.sync_all()
}

/// The temporary name that a file has until it is complete.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut new = std::ffi::OsString::from(".");
    new.push(name);
    new.push(".new");
    Ok(path.with_file_name(new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_created_is_for_its_owner_alone() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = DataDir::new(temporary.path().join("data"));
        dir.create().unwrap();
        write_atomically(&dir.checkpoint(), b"first").unwrap();
        write_atomically(&dir.checkpoint(), b"second").unwrap();
        assert_eq!(fs::read(dir.checkpoint()).unwrap(), b"second");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!([mode(dir.root()), mode(&dir.trail()), mode(&dir.checkpoint())], [0o700, 0o700, 0o600]);
        assert_eq!(fs::read_dir(dir.trail()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn what_is_no_small_regular_file_is_refused_at_once() {
        let temporary = tempfile::tempdir().unwrap();
        let path = |name: &str| temporary.path().join(name);
        let made = std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap();
        assert!(made.success());
        std::os::unix::fs::symlink("/dev/zero", path("zero")).unwrap();
        File::create(path("long")).unwrap().set_len(SMALL_FILE_BYTES_MAX + 1).unwrap();
        fs::write(path("note"), b"note").unwrap();
        let kind = |name| read_small(&path(name)).unwrap_err().kind();
        assert_eq!([kind("pipe"), kind("zero"), kind(".")], [io::ErrorKind::InvalidInput; 3]);
        assert_eq!(kind("long"), io::ErrorKind::FileTooLarge);
        assert_eq!(read_small(&path("note")).unwrap(), b"note");
    }

    #[test]
    fn a_lock_is_seen_only_while_it_is_held() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = DataDir::new(temporary.path());
        assert!(!dir.agent_is_running().unwrap(), "no file");
        let file = File::create(dir.agent_lock()).unwrap();
        assert!(!dir.agent_is_running().unwrap(), "nobody holds it");
        file.try_lock().unwrap();
        assert!(dir.agent_is_running().unwrap());
        file.unlock().unwrap();
        assert!(!dir.agent_is_running().unwrap());
    }
}
