//! The segments of one stream.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Name of the file that the process of a stream holds locked.
pub(crate) const LOCK: &str = "lock";

/// What lies in a stream's folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    /// Numbers of the segments, ascending.
    pub(crate) numbers: Vec<u64>,
    /// Something that is neither a segment nor the lock, if there is such a thing.
    pub(crate) stray: Option<OsString>,
}

/// Lists a stream's folder. One that somebody has deleted is empty. A segment is a regular file under its own name: a link
/// could lead to any file of this user, the signing key among them.
///
/// # Errors
/// When the folder cannot be listed.
pub(crate) fn list(folder: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(listing),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        match number(&name.to_string_lossy()) {
            Some(number) if entry.file_type()?.is_file() => listing.numbers.push(number),
            _ if name == LOCK => {}
            _ => listing.stray = Some(name),
        }
    }
    listing.numbers.sort_unstable();
    Ok(listing)
}

/// The number that a segment of this name has.
fn number(name: &str) -> Option<u64> {
    let number = name.strip_suffix(".journal")?.parse().ok()?;
    (number > 0 && file_name(number) == name).then_some(number)
}

fn file_name(number: u64) -> String {
    format!("{number:08}.journal")
}

/// Path of one segment.
pub(crate) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(file_name(number))
}

/// Reads `length` bytes at `offset`, or fewer where the segment ends.
///
/// # Errors
/// When the segment cannot be read.
pub(crate) fn read(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_has_exactly_the_name_of_its_number() {
        assert_eq!(number("00000007.journal"), Some(7));
        assert_eq!(number("123456789.journal"), Some(123_456_789));
        for name in ["7.journal", "+0000002.journal", "000000007.journal", "00000000.journal", "0000000a.journal", "00000007", ".journal"] {
            assert_eq!(number(name), None, "{name}");
        }
    }
}
