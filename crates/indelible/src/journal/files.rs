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
    /// Creates a segment that must not exist yet; in the folder `born_in` first, where that is given, whose group it then has.
    fn create(&self, path: &Path, mode: u32, born_in: Option<&Path>) -> io::Result<Arc<dyn Segment>>;
    /// Forces the entries of a folder to the disk.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
}

/// The operating system's files.
pub(crate) struct SystemFiles;

impl Files for SystemFiles {
    fn create(&self, path: &Path, mode: u32, born_in: Option<&Path>) -> io::Result<Arc<dyn Segment>> {
        create_file(path, mode, born_in).map(|file| Arc::new(file) as Arc<dyn Segment>)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

/// Creates a file that must not exist yet, opened for appending.
///
/// In `host` mode the service's folder gives its group to what is created in it. A folder that this process makes there cannot: its
/// user is not in that group, so the kernel takes the bit away that would. What is created in the service's folder and then
/// renamed keeps the group, which the agent reads by.
pub(super) fn create_file(path: &Path, mode: u32, born_in: Option<&Path>) -> io::Result<File> {
    let first = born_in.zip(path.file_name()).map(|(folder, name)| {
        let stream = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        folder.join(format!(".{}.{}.new", stream.trim_matches('.'), name.to_string_lossy()))
    });
    let file = OpenOptions::new().append(true).create_new(true).mode(mode).open(first.as_deref().unwrap_or(path))?;
    // The umask may have taken the group's bits away.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    if let Some(first) = first {
        // Nothing is written over: the number of a segment is used once, and the folder is this process's own.
        fs::rename(&first, path).inspect_err(|_| drop(fs::remove_file(&first)))?;
    }
    Ok(file)
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
