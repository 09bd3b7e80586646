//! Keeping corrupt records as they were found.

use std::path::{Path, PathBuf};

use super::IngestError;
use crate::data_dir::{create_private_dir, write_atomically};

/// Writes `bytes` under a name that says where they were found, and returns the path. Finding them again writes them again.
///
/// # Errors
/// - [`IngestError::Quarantine`]: they could not be kept, so what they stood for must not be passed over.
pub(crate) fn keep(folder: &Path, place: &str, bytes: &[u8]) -> Result<PathBuf, IngestError> {
    let path = folder.join(format!("{place}.corrupt"));
    let kept = create_private_dir(folder).and_then(|()| write_atomically(&path, bytes));
    kept.map_err(|error| IngestError::Quarantine { path: path.clone(), error })?;
    Ok(path)
}
