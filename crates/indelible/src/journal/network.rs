//! File systems on which a free lock does not mean that its owner is gone.

use std::path::Path;

use indelible_core::FileSystem;

use crate::error::Error;

/// Refuses a data directory on a network file system.
pub(super) fn refuse(data_dir: &Path) -> Result<(), Error> {
    let system = rustix::fs::statfs(data_dir).map_err(|error| Error::Path { path: data_dir.to_owned(), source: error.into() })?;
    match FileSystem::from_magic(system.f_type as u32) {
        FileSystem::Network(kind) => Err(Error::NetworkFileSystem { path: data_dir.to_owned(), kind }),
        FileSystem::Local | FileSystem::Overlay | FileSystem::Memory(_) => Ok(()),
    }
}
