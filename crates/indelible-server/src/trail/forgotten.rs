//! Streams that a file of the trail has left behind: how far they had come stands in the files before it.

use std::collections::{HashMap, HashSet};

use indelible_core::{StreamId, Timestamp};
use rusqlite::OptionalExtension;

use super::file::TrailFile;
use super::files;
use super::writer::StreamRow;
use super::{FileState, TrailError, rows};
use crate::data_dir::DataDir;

/// How far the clock that named a stream may have been ahead of the agent's.
pub(crate) const CLOCK_SKEW_MS: i64 = 24 * 3_600_000;

/// Looks streams up that the open file does not know, newest file first. What is not in the answer was never ingested.
///
/// A stream's id holds the time of its birth, so files that were closed a day before it are not looked at. A file that cannot be read
/// is passed over and reported: it must not keep new processes from being heard.
///
/// # Errors
/// - [`TrailError::File`], [`TrailError::Unexpected`]: the files cannot be listed.
pub(crate) fn recall(dir: &DataDir, mut wanted: HashSet<StreamId>) -> Result<HashMap<StreamId, StreamRow>, TrailError> {
    let mut found = HashMap::new();
    let listed = files::list(dir)?;
    for pair in listed.windows(2).rev() {
        if wanted.is_empty() {
            break;
        }
        let file = TrailFile::new(pair[0].path.clone(), pair[0].first_index..pair[1].first_index, FileState::Closed);
        match look_up(&file, &mut wanted, &mut found) {
            Ok(()) => {}
            Err(error) => {
                tracing::error!(file = %file.path().display(), %error, "a file of the trail cannot be read: run `indelible verify`")
            }
        }
    }
    Ok(found)
}

/// Moves the streams that this file knows from `wanted` to `found`, and drops those that are younger than the file.
fn look_up(file: &TrailFile, wanted: &mut HashSet<StreamId>, found: &mut HashMap<StreamId, StreamRow>) -> Result<(), TrailError> {
    let closed_ms = last_received_at(file)?.micros() / 1000;
    wanted.retain(|stream| born_ms(*stream).saturating_sub(CLOCK_SKEW_MS) <= closed_ms);
    let mut statement = file.connection()?.prepare("SELECT service, next_sequence, next_stream_index FROM stream WHERE stream = ?1")?;
    for stream in wanted.iter().copied().collect::<Vec<_>>() {
        let row = statement.query_row([stream.as_bytes()], |row| {
            let service = row.get(0)?;
            Ok(rows::count(row, 1, "stream.next_sequence").and_then(|next_sequence| {
                let next_stream_index = rows::count(row, 2, "stream.next_stream_index")?;
                Ok(StreamRow { service, next_sequence, next_stream_index })
            }))
        });
        if let Some(row) = row.optional()? {
            found.insert(stream, row?);
            wanted.remove(&stream);
        }
    }
    Ok(())
}

/// When the process that made this id thought it was, in milliseconds (RFC 9562 §5.7).
pub(crate) fn born_ms(stream: StreamId) -> i64 {
    stream.as_bytes()[..6].iter().fold(0, |ms, byte| ms << 8 | i64::from(*byte))
}

/// Streams that files which were closed since this moment knew, as far as `most`, each with when its file was closed; of one that several
/// files knew, what the newest says.
///
/// # Errors
/// - [`TrailError::File`], [`TrailError::Unexpected`]: the files cannot be listed.
/// - [`TrailError::Sqlite`], [`TrailError::Damaged`]: one of them cannot be read.
pub(crate) fn left_since(dir: &DataDir, since: Timestamp, most: usize) -> Result<Vec<(StreamId, StreamRow, Timestamp)>, TrailError> {
    let mut known = HashSet::new();
    let mut left = Vec::new();
    for pair in files::list(dir)?.windows(2).rev() {
        let file = TrailFile::new(pair[0].path.clone(), pair[0].first_index..pair[1].first_index, FileState::Closed);
        let closed_at = last_received_at(&file)?;
        if closed_at < since || left.len() >= most {
            break;
        }
        for (stream, row) in file.streams()? {
            if known.insert(stream) {
                left.push((stream, row, closed_at));
            }
        }
    }
    Ok(left)
}

/// When the last record of a file was taken in.
pub(crate) fn last_received_at(file: &TrailFile) -> Result<Timestamp, TrailError> {
    let last = file.range().end.checked_sub(1).map(|last| file.record(last)).transpose()?.flatten();
    Ok(last.map_or(Timestamp::from_micros(i64::MAX), |leaf| leaf.entry.received_at))
}
