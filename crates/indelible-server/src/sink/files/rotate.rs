//! Putting a full file away under a number of its own: `events.jsonl` becomes `events.000017.jsonl`.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::position::FilePosition;
use crate::config::FilesConfig;
use crate::data_dir::{rename_durably, sync_dir};

/// The greatest number of a rotated file. A greater one was never counted to: it is somebody else's, in a name or in the cursor.
const NUMBER_MAX: u64 = 1_000_000_000_000_000;

/// The number, when a rotated file can have it.
///
/// # Errors
/// Otherwise, with what to do.
pub(super) fn checked(number: u64) -> io::Result<u64> {
    if number <= NUMBER_MAX {
        return Ok(number);
    }
    let help = "end the agent and delete the cursor of this sink, which then begins anew";
    Err(io::Error::other(format!("a rotated file would have the number {number}, more than {NUMBER_MAX}: {help}")))
}

/// Does what `rotate_to` says, wherever a crash left it, and makes the position that of a new file.
///
/// Only what the cursor covers is put away: the rest, which comes again, is cut off first. Afterwards the oldest rotated files are
/// deleted that are too many.
///
/// # Errors
/// Whatever the file system says, or a number that no file can have; it can be called again.
pub(super) fn rotate(config: &FilesConfig, name: &str, file: &mut FilePosition) -> io::Result<()> {
    let Some(number) = file.rotate_to else { return Ok(()) };
    let number = checked(number)?;
    let (current, target) = (config.folder.join(name), rotated(&config.folder, name, number));
    let is_done = exists(&target)?;
    if !is_done && exists(&current)? {
        put_away(&current, &target, file.bytes)?;
    }
    *file = FilePosition { next_number: number + 1, ..FilePosition::default() };
    prune(config, name)
}

fn put_away(current: &Path, target: &Path, covered: u64) -> io::Result<()> {
    if covered == 0 {
        failpoint!("sink.files.rotate.empty");
        fs::remove_file(current)?;
        return sync_dir(current.parent().unwrap_or(Path::new(".")));
    }
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new().write(true).custom_flags(flags.bits().cast_signed()).open(current)?;
    if file.metadata()?.len() > covered {
        file.set_len(covered)?;
        failpoint!("sink.files.rotate.cut");
        file.sync_all()?;
    }
    failpoint!("sink.files.rotate.before");
    rename_durably(current, target)?;
    failpoint!("sink.files.rotate.renamed");
    Ok(())
}

/// A number that no rotated file of this name has, above all that there are.
pub(super) fn free_number(folder: &Path, name: &str) -> io::Result<u64> {
    Ok(numbers(folder, name)?.last().map_or(1, |last| last + 1))
}

fn prune(config: &FilesConfig, name: &str) -> io::Result<()> {
    let numbers = numbers(&config.folder, name)?;
    let keep = usize::try_from(config.rotated_files_max).unwrap_or(usize::MAX);
    for &number in &numbers[..numbers.len().saturating_sub(keep)] {
        fs::remove_file(rotated(&config.folder, name, number))?;
        failpoint!("sink.files.rotate.deleted");
    }
    Ok(())
}

/// The numbers of the rotated files of this name, ascending.
fn numbers(folder: &Path, name: &str) -> io::Result<Vec<u64>> {
    let (stem, extension) = split(name);
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?.file_name();
        let number =
            entry.to_str().and_then(|entry| entry.strip_prefix(stem)?.strip_prefix('.')?.strip_suffix(extension)?.strip_suffix('.'));
        numbers.extend(
            number
                .filter(|number| number.bytes().all(|digit| digit.is_ascii_digit()))
                .and_then(|number| number.parse::<u64>().ok())
                .filter(|&number| number < NUMBER_MAX),
        );
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn rotated(folder: &Path, name: &str, number: u64) -> PathBuf {
    let (stem, extension) = split(name);
    folder.join(format!("{stem}.{number:06}.{extension}"))
}

fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or((name, ""))
}

fn exists(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
