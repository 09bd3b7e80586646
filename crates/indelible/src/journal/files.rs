//! The file operations of the journal, narrow enough to be replaced where a test needs a fault or a power loss that no disk produces on demand.
//!
//! Nothing else in this folder touches a file. `failpoints.rs` in the tests of this crate reads the source: each call of these has a
//! failpoint next to it.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

/// A file that this process has made: a segment, or the lock of its stream.
pub(crate) trait OpenFile: Send + Sync {
    /// One `write(2)` at the end; may write less than it is given.
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;
    /// Sets room aside, from one place in the file up to another, that nobody else can fill; the length stays. `false`: this file
    /// system cannot.
    fn reserve(&self, from: u64, to: u64) -> io::Result<bool>;
    /// Forces what was written to the disk.
    fn sync(&self) -> io::Result<()>;
    /// Length of the file.
    fn len(&self) -> io::Result<u64>;
    /// Takes the lock of the file, which ends with its last copy, and never waits for it.
    fn lock(&self) -> io::Result<()>;
}

/// What the journal asks of a file system.
pub(crate) trait Files: Send + Sync {
    /// Creates a file that must not exist yet with exactly this mode, opened for appending. On an error there is none.
    fn create(&self, path: &Path, mode: u32) -> io::Result<Arc<dyn OpenFile>>;
    /// Creates a folder that must not exist yet with exactly this mode. On an error there is none.
    fn create_folder(&self, path: &Path, mode: u32) -> io::Result<()>;
    /// Renames a file or folder.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty folder.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;
    /// Forces the entries of a folder to the disk.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
    /// The permission bits of a folder.
    fn folder_mode(&self, path: &Path) -> io::Result<u32>;
    /// The sum of the lengths of the files in a folder, as far as it can be known.
    fn bytes_in(&self, folder: &Path) -> u64;
    /// The number by which the file system says what it is (`statfs`).
    fn magic(&self, path: &Path) -> io::Result<u32>;
}

/// The operating system's files.
pub(crate) struct SystemFiles;

impl Files for SystemFiles {
    fn create(&self, path: &Path, mode: u32) -> io::Result<Arc<dyn OpenFile>> {
        let file = OpenOptions::new().append(true).create_new(true).mode(mode).open(path)?;
        // The umask may have taken the group's bits away.
        file.set_permissions(Permissions::from_mode(mode)).inspect_err(|_| drop(fs::remove_file(path)))?;
        Ok(Arc::new(file))
    }

    fn create_folder(&self, path: &Path, mode: u32) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(path)?;
        fs::set_permissions(path, Permissions::from_mode(mode)).inspect_err(|_| drop(fs::remove_dir(path)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn folder_mode(&self, path: &Path) -> io::Result<u32> {
        let metadata = fs::metadata(path)?;
        if metadata.is_dir() { Ok(metadata.permissions().mode() & 0o7777) } else { Err(io::ErrorKind::NotADirectory.into()) }
    }

    fn bytes_in(&self, folder: &Path) -> u64 {
        let Ok(entries) = fs::read_dir(folder) else { return 0 };
        entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
    }

    fn magic(&self, path: &Path) -> io::Result<u32> {
        Ok(rustix::fs::statfs(path)?.f_type as u32)
    }
}

impl OpenFile for File {
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match (&mut &*self).write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn reserve(&self, from: u64, to: u64) -> io::Result<bool> {
        match fallocate(self, FallocateFlags::KEEP_SIZE, from, to.saturating_sub(from)) {
            Ok(()) => Ok(true),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        self.metadata().map(|metadata| metadata.len())
    }

    fn lock(&self) -> io::Result<()> {
        self.try_lock().map_err(io::Error::from)
    }
}
