//! The folder of one process's sequence: its lock and its segments.

use std::fs::{self, DirBuilder, File, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use indelible_core::StreamId;

use super::files::create_file;
use crate::clock;
use crate::error::Error;

const GROUP: u32 = 0o070;

/// A stream that this process owns for as long as its lock is open.
pub(super) struct Stream {
    pub(super) id: StreamId,
    pub(super) folder: PathBuf,
    pub(super) segment_mode: u32,
    /// The service's folder, where a group reads what is in it.
    pub(super) born_in: Option<PathBuf>,
}

impl Stream {
    /// Makes a stream in the service's folder and takes its lock.
    ///
    /// The folder gets its name only when the lock is held: a stream that can be seen and whose lock is free is one whose owner is gone.
    pub(super) fn create(service_folder: &Path) -> Result<(Self, File), Error> {
        let id = clock::stream_id(clock::now());
        let folder_mode = service_mode(service_folder)?;
        let unnamed = service_folder.join(format!(".{id}.new"));
        DirBuilder::new().mode(0o700).create(&unnamed).map_err(Error::path(&unnamed))?;
        fs::set_permissions(&unnamed, Permissions::from_mode(folder_mode)).map_err(Error::path(&unnamed))?;
        let group_reads = folder_mode & GROUP != 0;
        let lock_path = unnamed.join("lock");
        let born_in = group_reads.then(|| service_folder.to_owned());
        let lock_mode = if group_reads { 0o660 } else { 0o600 };
        let lock = create_file(&lock_path, lock_mode, born_in.as_deref()).map_err(Error::path(&lock_path))?;
        lock.try_lock().map_err(|error| Error::Path { path: lock_path, source: error.into() })?;
        let folder = service_folder.join(id.to_string());
        fs::rename(&unnamed, &folder).map_err(Error::path(&folder))?;
        Ok((Self { id, folder, segment_mode: if group_reads { 0o640 } else { 0o600 }, born_in }, lock))
    }

    pub(super) fn segment_path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:08}.journal"))
    }

    /// Bytes in the segments that the agent has not deleted yet.
    pub(super) fn bytes(&self) -> u64 {
        let Ok(entries) = fs::read_dir(&self.folder) else { return 0 };
        entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
    }
}

/// Permissions for what is made in the service's folder: its own, so that an agent of another user keeps its access.
fn service_mode(service_folder: &Path) -> Result<u32, Error> {
    let metadata = fs::metadata(service_folder).map_err(Error::path(service_folder))?;
    Ok(metadata.permissions().mode() & 0o7777)
}

/// Makes the folders down to the service's, private to this user where they do not exist yet.
pub(super) fn create_service_folder(data_dir: &Path, service: &str) -> Result<PathBuf, Error> {
    let service_folder = data_dir.join("journal").join(service);
    if !service_folder.is_dir() {
        DirBuilder::new().recursive(true).mode(0o700).create(&service_folder).map_err(Error::path(&service_folder))?;
    }
    Ok(service_folder)
}
