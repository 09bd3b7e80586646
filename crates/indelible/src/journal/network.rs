//! File systems on which a free lock does not mean that its owner is gone.

use std::path::Path;

use indelible_core::FileSystem;

use super::files::Files;
use crate::error::Error;

/// Refuses a data directory on a network file system.
pub(super) fn refuse(data_dir: &Path, files: &dyn Files) -> Result<(), Error> {
    match FileSystem::from_magic(files.magic(data_dir).map_err(Error::path(data_dir))?) {
        FileSystem::Network(kind) => Err(Error::NetworkFileSystem { path: data_dir.to_owned(), kind }),
        FileSystem::Local | FileSystem::Overlay | FileSystem::Memory(_) => Ok(()),
    }
}
