//! The seal of a file: one signature over all of its bytes, so that none of them needs to be understood to be trusted.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use indelible_core::{Hash, SealNote, VerifierKey};
use sha2::{Digest as _, Sha256};

use super::halt::Halt;
use super::report::FaultKind;
use super::trust;
use super::walk::Walk;
use crate::data_dir::{DataDir, open_regular};
use crate::trail::{TrailError, TrailFile, files};

/// Bytes read at a time.
const CHUNK_BYTES: usize = 1 << 18;

/// Checks that a sealed file is, to the last byte, the one that was sealed.
///
/// While bodies are being erased, the seal of the file without them lies beside the one of the file with them. Either file may be there.
pub(super) fn check_seal(dir: &DataDir, file: &TrailFile, key: &VerifierKey, walk: &Walk) -> Result<(), Halt> {
    let waiting = files::reseal_note(file.path());
    if waiting.exists() && check_note(dir, waiting, file, key, walk).is_ok() {
        return Ok(());
    }
    check_note(dir, files::seal_note(file.path()), file, key, walk)
}

fn check_note(dir: &DataDir, note: PathBuf, file: &TrailFile, key: &VerifierKey, walk: &Walk) -> Result<(), Halt> {
    let seal = trust::read_note(dir, note, key, FaultKind::Seal, SealNote::open)?;
    let digest = digest(file.path()).map_err(|error| TrailError::File { path: file.path().to_owned(), error })?;
    let is_this_file = seal.first_index == file.range().start && digest == Some(seal.digest);
    if is_this_file { Ok(()) } else { Err(walk.fault(FaultKind::Seal, None)) }
}

/// The digest of all bytes; `None` where the file is longer than its pages, which nobody needs to read in order to know that it is
/// another one: a hole of any length costs nothing to make.
fn digest(path: &Path) -> io::Result<Option<Hash>> {
    let mut file = open_regular(path, u64::MAX)?;
    let length = file.metadata()?.len();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut count = file.read(&mut chunk)?;
    if pages_bytes(&chunk[..count]).is_some_and(|pages| length > pages) {
        return Ok(None);
    }
    let mut digest = Sha256::new();
    while count > 0 {
        digest.update(&chunk[..count]);
        count = file.read(&mut chunk)?;
    }
    Ok(Some(Hash::from_bytes(digest.finalize().into())))
}

/// The length of a database by its header: the size of a page at byte 16, their number at byte 28, both big-endian. That pages of 64 KiB are
/// written as 1 does not matter: no file of ours has them, so a file that says so is another one.
fn pages_bytes(header: &[u8]) -> Option<u64> {
    let size = u16::from_be_bytes(header.get(16..18)?.try_into().ok()?);
    let count = u32::from_be_bytes(header.get(28..32)?.try_into().ok()?);
    Some(u64::from(size) * u64::from(count))
}
