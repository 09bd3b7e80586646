//! The file operations of the journal, narrow enough to be replaced where a test needs a fault that no disk produces on demand.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;

/// An open segment.
pub(crate) trait Segment: Send + Sync {
    /// One `write(2)` at the end; may write less than it is given.
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;
    /// Forces what was written to the disk.
    fn sync(&self) -> io::Result<()>;
    /// Length of the file.
    fn len(&self) -> io::Result<u64>;
}

/// Where segments come from.
pub(crate) trait Files: Send + Sync {
    /// Creates a segment that must not exist yet.
    fn create(&self, path: &Path, mode: u32) -> io::Result<Arc<dyn Segment>>;
    /// Forces the entries of a folder to the disk.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
}

/// The operating system's files.
pub(crate) struct SystemFiles;

impl Files for SystemFiles {
    fn create(&self, path: &Path, mode: u32) -> io::Result<Arc<dyn Segment>> {
        let file = OpenOptions::new().append(true).create_new(true).mode(mode).open(path)?;
        // The umask may have taken the group's bit away, which the agent in `host` mode reads by.
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        Ok(Arc::new(file))
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

impl Segment for File {
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match (&mut &*self).write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        self.metadata().map(|metadata| metadata.len())
    }
}
