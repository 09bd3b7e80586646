//! Bringing a file to where it should be: what it has, then the rest of what it should have, then a sync.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

use crate::data_dir::sync_dir;

/// One write. Tests kill between two of them, so theirs are shorter than a line.
const WRITE_BYTES: usize = if cfg!(debug_assertions) { 600 } else { 1 << 20 };

/// Why a file is not where it should be.
#[derive(Debug)]
pub(super) struct AppendError {
    pub(super) error: io::Error,
    /// Whether the sync failed, after which what the file seems to hold may not be on the disk.
    pub(super) in_sync: bool,
}

impl From<io::Error> for AppendError {
    fn from(error: io::Error) -> Self {
        Self { error, in_sync: false }
    }
}

/// Makes `lines` follow the first `covered` bytes of a file, and answers how many bytes are covered then.
///
/// On return they have reached the disk, and a new file's name with them. Bytes that are there already are not written again; bytes
/// that do not belong there are cut off. A file that is shorter than it should be was cut or exchanged by somebody else: the lines
/// then follow what it has.
///
/// # Errors
/// [`AppendError`]; a beginning of the lines may be in the file.
pub(super) fn append(path: &Path, covered: u64, lines: &[u8], mode: u32) -> Result<u64, AppendError> {
    let mut file = open(path, mode)?;
    failpoint!("sink.files.opened");
    let length = file.metadata()?.len();
    let begin = if length < covered { taken_over(path, &mut file, length)? } else { covered };
    let there = if length > begin { already_there(&mut file, begin, length, lines)? } else { 0 };
    if there < lines.len() {
        let keep = begin + there as u64;
        if length > keep {
            tracing::warn!(path = %path.display(), bytes = length - keep, "cut off what no delivery of this sink has finished");
            file.set_len(keep)?;
            failpoint!("sink.files.cut");
        }
        for part in lines[there..].chunks(WRITE_BYTES) {
            file.write_all(part)?;
            failpoint!("sink.files.write");
        }
    }
    file.sync_data().map_err(|error| AppendError { error, in_sync: true })?;
    failpoint!("sink.files.synced");
    Ok(begin + lines.len() as u64)
}

/// Opens the file for reading and appending, and creates it where there is none. Its name is then on the disk.
fn open(path: &Path, mode: u32) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut options = OpenOptions::new();
    options.read(true).append(true).custom_flags(flags);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let file = options.create_new(true).mode(mode).open(path)?;
            // Whatever the process's mask took away.
            file.set_permissions(fs::Permissions::from_mode(mode))?;
            failpoint!("sink.files.created");
            sync_dir(path.parent().unwrap_or(Path::new(".")))?;
            Ok(file)
        }
        Ok(file) if !file.metadata()?.is_file() => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
        opened => opened,
    }
}

/// How many of the lines' bytes the file has already, from `begin` on.
fn already_there(file: &mut File, begin: u64, length: u64, lines: &[u8]) -> io::Result<usize> {
    let beyond = usize::try_from(length - begin).unwrap_or(usize::MAX).min(lines.len());
    let mut found = Vec::with_capacity(beyond);
    file.seek(SeekFrom::Start(begin))?;
    file.take(beyond as u64).read_to_end(&mut found)?;
    Ok(found.iter().zip(lines).take_while(|(found, wanted)| found == wanted).count())
}

/// Where to go on in a file that somebody else has cut or put there: behind what it has, on a line of its own.
fn taken_over(path: &Path, file: &mut File, length: u64) -> io::Result<u64> {
    tracing::warn!(path = %path.display(), "the file is shorter than this sink left it; going on behind what it has");
    let Some(last) = length.checked_sub(1) else { return Ok(0) };
    let mut byte = [0];
    file.seek(SeekFrom::Start(last))?;
    file.read_exact(&mut byte)?;
    if byte == *b"\n" {
        return Ok(length);
    }
    failpoint!("sink.files.taken_over");
    file.write_all(b"\n")?;
    Ok(length + 1)
}
