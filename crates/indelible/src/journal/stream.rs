//! The folder of one process's sequence: its lock and its segments.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indelible_core::StreamId;

use super::System;
use super::files::{Files, OpenFile};
use crate::clock;
use crate::config::Durability;
use crate::error::Error;

const GROUP: u32 = 0o070;
/// A stream's name is safe when the service's folder and these above it are: `journal`, the data directory, and what that lies in.
const FOLDERS_ABOVE: usize = 3;

/// A stream that this process owns for as long as its lock is open.
pub(super) struct Stream {
    pub(super) id: StreamId,
    pub(super) folder: PathBuf,
    segment_mode: u32,
    /// The service's folder, where a group reads what is in it.
    born_in: Option<PathBuf>,
}

impl Stream {
    /// Makes a stream in the service's folder and takes its lock; with [`Durability::Synced`] its name has reached the disk on return.
    ///
    /// The folder gets its name only when the lock is held: a stream that can be seen and whose lock is free is one whose owner is gone.
    pub(super) fn create(service_folder: &Path, durability: Durability, system: &System) -> Result<(Self, Arc<dyn OpenFile>), Error> {
        let files = &*system.files;
        let id = clock::stream_id(system.clock.now());
        let folder_mode = files.folder_mode(service_folder).map_err(Error::path(service_folder))?;
        let group_reads = folder_mode & GROUP != 0;
        let segment_mode = if group_reads { 0o640 } else { 0o600 };
        let born_in = group_reads.then(|| service_folder.to_owned());
        let stream = Self { id, folder: service_folder.join(id.to_string()), segment_mode, born_in };
        let unnamed = service_folder.join(format!(".{id}.new"));
        failpoint!("stream.before_folder");
        files.create_folder(&unnamed, folder_mode).map_err(Error::path(&unnamed))?;
        failpoint!("stream.after_folder");
        let lock = stream.lock_and_name(&unnamed, files).inspect_err(|_| undo_folder(files, &unnamed))?;
        if durability == Durability::Synced {
            // A stream whose name is not safe holds nothing, so nothing is lost with it; left behind, the agent removes it.
            sync_name(service_folder, files).inspect_err(|_| undo_folder(files, &stream.folder))?;
        }
        Ok((stream, lock))
    }

    fn lock_and_name(&self, unnamed: &Path, files: &dyn Files) -> Result<Arc<dyn OpenFile>, Error> {
        let path = unnamed.join("lock");
        let lock_mode = if self.born_in.is_some() { 0o660 } else { 0o600 };
        let lock = self.create_file(&path, lock_mode, files).map_err(Error::path(&path))?;
        lock.lock().map_err(Error::path(&path))?;
        failpoint!("stream.before_rename");
        files.rename(unnamed, &self.folder).map_err(Error::path(&self.folder))?;
        failpoint!("stream.after_rename");
        Ok(lock)
    }

    /// Creates a segment that must not exist yet.
    pub(super) fn create_segment(&self, path: &Path, files: &dyn Files) -> io::Result<Arc<dyn OpenFile>> {
        self.create_file(path, self.segment_mode, files)
    }

    /// Creates a file of this stream that must not exist yet.
    ///
    /// In `host` mode the service's folder gives its group to what is created in it. A folder that this process makes there cannot: its
    /// user is not in that group, so the kernel takes the bit away that would. What is created in the service's folder and then
    /// renamed keeps the group, which the agent reads by.
    fn create_file(&self, path: &Path, mode: u32, files: &dyn Files) -> io::Result<Arc<dyn OpenFile>> {
        let first = self
            .born_in
            .as_ref()
            .zip(path.file_name())
            .map(|(folder, name)| folder.join(format!(".{}.{}.new", self.id, name.to_string_lossy())));
        failpoint!("create.before_open");
        let file = files.create(first.as_deref().unwrap_or(path), mode).or_else(|error| match &first {
            // A step that failed has left it and could not remove it: nobody else uses this name, and nothing is in it.
            Some(left) if error.kind() == io::ErrorKind::AlreadyExists => undo_file(files, left).and_then(|()| files.create(left, mode)),
            _ => Err(error),
        })?;
        failpoint!("create.after_open");
        if let Some(first) = first {
            // Nothing is written over: the number of a segment is used once, and the folder is this process's own.
            failpoint!("create.before_rename");
            files.rename(&first, path).inspect_err(|_| drop(undo_file(files, &first)))?;
            failpoint!("create.after_rename");
        }
        Ok(file)
    }

    pub(super) fn segment_path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:08}.journal"))
    }

    /// Bytes in the segments that the agent has not deleted yet.
    pub(super) fn bytes(&self, files: &dyn Files) -> u64 {
        files.bytes_in(&self.folder)
    }
}

/// Forces the name of a new stream to the disk, and those of the folders that may be as new. What this user may not open, `init` has made.
fn sync_name(service_folder: &Path, files: &dyn Files) -> Result<(), Error> {
    for folder in service_folder.ancestors().take(1 + FOLDERS_ABOVE) {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        failpoint!("stream.before_sync");
        match files.sync_folder(folder) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && folder != service_folder => {}
            result => result.map_err(Error::path(folder))?,
        }
        failpoint!("stream.after_sync");
    }
    Ok(())
}

/// Makes the folders down to the service's, private to this user where they do not exist yet.
pub(super) fn create_service_folder(data_dir: &Path, service: &str, files: &dyn Files) -> Result<PathBuf, Error> {
    let service_folder = data_dir.join("journal").join(service);
    create_folders(&service_folder, files)?;
    Ok(service_folder)
}

fn create_folders(path: &Path, files: &dyn Files) -> Result<(), Error> {
    let Err(error) = files.folder_mode(path) else { return Ok(()) };
    if error.kind() != io::ErrorKind::NotFound {
        return Err(Error::path(path)(error));
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_folders(parent, files)?;
    }
    failpoint!("service.before_folder");
    let created = files.create_folder(path, 0o700);
    failpoint!("service.after_folder");
    match created {
        // Another process has come first.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result.map_err(Error::path(path)),
    }
}

/// Removes a file that a step has made which then failed.
pub(super) fn undo_file(files: &dyn Files, path: &Path) -> io::Result<()> {
    failpoint!("undo.before_file");
    let removed = files.remove(path);
    failpoint!("undo.after_file");
    removed
}

/// Removes a stream that could not be made. What stays of it is an empty stream without an owner.
fn undo_folder(files: &dyn Files, folder: &Path) {
    failpoint!("undo.before_folder");
    let _ = files.remove(&folder.join("lock"));
    let _ = files.remove_folder(folder);
    failpoint!("undo.after_folder");
}
