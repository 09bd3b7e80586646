//! One stream, read from its high-water to its end.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use indelible_core::{FRAME_HEADER_BYTES, FrameError, RawFrame, SEGMENT_HEADER_BYTES, SegmentError, SegmentHeader, StreamId, read_frame};

use super::resync::{Behind, Effort, FRAME_BYTES_MAX, Search, announced_size, is_whole};
use super::round::QUIET_AFTER;
use super::{StreamFolder, segment};
use crate::data_dir::{is_locked, open_unlinked};

const CHUNK_BYTES: usize = 1 << 20;
/// Sequences are stored as signed 64-bit integers, with room for the two that follow; no process writes this many frames, so a
/// larger one is damage.
const SEQUENCE_MAX: u64 = i64::MAX as u64 - 2;
/// The most damaged bytes that are kept of one place; a corrupt record is not longer.
const KEPT_BYTES_MAX: usize = FRAME_BYTES_MAX;

/// What was found in a stream, in the order of its sequences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// A frame whose checksum holds.
    Frame { sequence: u64, kind: u8, payload: Vec<u8> },
    /// Sequences that are not there, and will not come.
    Gap { first: u64, last: u64, cause: Cause },
    /// So many bytes that are no frame, and the first of them: all, unless there are more in a row than the longest frame has.
    Damage { segment: u64, offset: u64, length: u64, kept: Vec<u8> },
    /// The rest of a segment that ends in a half-written frame.
    TornTail { segment: u64, offset: u64, bytes: u64 },
}

/// Why sequences are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Nothing stands in their place: a segment was deleted, or a counter jumped.
    Missing,
    /// Damaged bytes stand in their place; they were reported just before.
    Corrupt,
    /// The process ended while it wrote them.
    TornTail,
}

/// How much may be read in one batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    pub(crate) frames: usize,
    pub(crate) bytes: usize,
}

impl Budget {
    /// Whether nothing more may be read.
    pub(crate) fn is_spent(&self) -> bool {
        self.frames == 0 || self.bytes == 0
    }
}

/// Why a stream cannot be read for now. Its segments stay.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TailError {
    #[error("{path}: {error}")]
    File { path: PathBuf, error: io::Error },
    #[error("{path}: {error}")]
    Version { path: PathBuf, error: SegmentError },
}

/// The reader of one stream.
#[derive(Debug)]
pub(crate) struct Tail {
    folder: StreamFolder,
    /// The first sequence that has not been handed out.
    next_sequence: u64,
    /// The last sequence that was read, handed out or not.
    last_seen: u64,
    /// The segment that is being read, 0 before the first.
    segment: u64,
    /// Where to read on in it.
    offset: u64,
    /// Bytes before the next frame that were damaged.
    damaged: u64,
    /// What was checksummed in vain in the current segment.
    effort: Effort,
    /// Length of the current segment when more was waited for: before it grows there is nothing to look at.
    waited_at: Option<u64>,
    live: bool,
    /// Whether the budget ended before the stream did.
    behind: bool,
    ended: bool,
    /// Segments in the folder when it was last listed.
    segments: usize,
    /// Segments below this number have been deleted.
    deleted_below: u64,
    /// Whether its folder has been deleted.
    gone: bool,
    /// The error that was last warned of.
    warned: Option<String>,
    /// Something in the folder that is not ours and was warned of.
    stray: Option<PathBuf>,
    /// Whether it could not be read the last time.
    unreadable: bool,
    /// How often in a row nothing new was found.
    idle_reads: u32,
    /// Whether it could not be deleted since it was last read.
    undeletable: bool,
}

/// A part of a segment in memory.
struct Window {
    /// The bytes from [`Tail::offset`] on.
    bytes: Vec<u8>,
    /// How many there are up to the end of the segment.
    rest: usize,
    /// Whether nothing can be added to the segment any more.
    is_final: bool,
}

/// What of a window has not been read yet.
#[derive(Clone, Copy)]
struct Part<'a> {
    bytes: &'a [u8],
    rest: usize,
    is_final: bool,
}

impl Window {
    fn part(&self) -> Part<'_> {
        Part { bytes: &self.bytes, rest: self.rest, is_final: self.is_final }
    }
}

impl Part<'_> {
    fn behind(self, size: usize) -> Self {
        Self { bytes: &self.bytes[size..], rest: self.rest - size, is_final: self.is_final }
    }
}

/// What stands at a place in a segment.
enum Next<'a> {
    /// A frame, and its size.
    Frame(RawFrame<'a>, usize),
    /// So many bytes that are no frame, with one behind them.
    Damage(usize),
    /// The header of the segment, and its size.
    Header(usize),
    /// Nothing to go on with.
    Stop(Stop),
}

/// Why reading does not go on.
enum Stop {
    /// There may be more later, or the budget is spent.
    Here,
    /// The segment has no more.
    End,
    /// It ends in a half-written frame that nobody will complete.
    Torn,
    /// This many bytes are needed in memory.
    Need(usize),
}

impl Tail {
    /// Begins at the oldest segment; frames below `next_sequence` are passed over.
    pub(crate) fn new(folder: StreamFolder, next_sequence: u64) -> Self {
        Self {
            folder,
            next_sequence,
            last_seen: 0,
            segment: 0,
            offset: 0,
            damaged: 0,
            effort: Effort::default(),
            waited_at: None,
            live: true,
            behind: true,
            ended: false,
            segments: 0,
            deleted_below: 0,
            gone: false,
            warned: None,
            stray: None,
            unreadable: false,
            idle_reads: 0,
            undeletable: false,
        }
    }

    /// The stream.
    pub(crate) fn stream(&self) -> StreamId {
        self.folder.stream
    }

    /// Its folder.
    pub(crate) fn path(&self) -> &Path {
        &self.folder.path
    }

    /// Its service.
    pub(crate) fn service(&self) -> &str {
        &self.folder.service
    }

    /// Whether its process was alive when it was last read.
    pub(crate) fn is_live(&self) -> bool {
        self.live
    }

    /// Whether more can be read at once: an outcome may be among what has not been read.
    pub(crate) fn is_behind(&self) -> bool {
        self.behind
    }

    /// Whether its process is gone and everything has been read.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether it holds something that could not be read the last time.
    pub(crate) fn is_unreadable(&self) -> bool {
        self.unreadable
    }

    /// Something in its folder that is no file of a journal, if there is such a thing.
    pub(crate) fn stray(&self) -> Option<PathBuf> {
        self.stray.clone()
    }

    /// Whether nothing new has come for a while.
    pub(super) fn is_quiet(&self) -> bool {
        self.idle_reads >= QUIET_AFTER
    }

    /// Whether its newest segment is longer than it was, or has a successor. What else may have happened, only [`Tail::read`] tells.
    pub(super) fn has_grown(&self) -> bool {
        let length = |number| fs::symlink_metadata(segment::path(&self.folder.path, number)).map(|metadata| metadata.len());
        let read = self.waited_at.unwrap_or(self.offset);
        length(self.segment).is_ok_and(|length| length != read) || length(self.segment + 1).is_ok()
    }

    /// Whether nothing is left of it.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone
    }

    /// Segments that were there when the stream was last read.
    pub(crate) fn segments(&self) -> usize {
        self.segments
    }

    /// Appends what is new to `found`, as far as the budget reaches.
    ///
    /// # Errors
    /// [`TailError`]: a file cannot be read or was written by another version. What was found until then is good.
    pub(crate) fn read(&mut self, found: &mut Vec<Found>, budget: &mut Budget) -> Result<(), TailError> {
        self.behind = true;
        if budget.is_spent() {
            return Ok(());
        }
        self.undeletable = false;
        let found_before = found.len();
        let read = self.read_segments(found, budget);
        self.unreadable = read.is_err();
        self.idle_reads = if found.len() > found_before || budget.is_spent() { 0 } else { self.idle_reads.saturating_add(1) };
        // A stream that cannot be read is not behind: nothing more will be read of it at once.
        self.behind = read.is_ok() && budget.is_spent() && !self.ended;
        read
    }

    fn read_segments(&mut self, found: &mut Vec<Found>, budget: &mut Budget) -> Result<(), TailError> {
        // Looked at before the segments: when the lock is free, all that was ever written is there to be seen.
        self.live = self.live && self.is_locked()?;
        let numbers = self.segment_numbers()?;
        self.segments = numbers.len();
        let first_unread = numbers.partition_point(|&number| number < self.segment);
        for &number in &numbers[first_unread..] {
            if number > self.segment {
                (self.segment, self.offset, self.effort, self.waited_at) = (number, 0, Effort::default(), None);
            }
            let is_last = Some(&number) == numbers.last();
            if !self.read_segment(is_last, found, budget)? {
                return Ok(());
            }
        }
        self.ended = !self.live;
        if self.ended && std::mem::take(&mut self.damaged) > 0 {
            self.lose_next(Cause::Corrupt, found);
        }
        Ok(())
    }

    /// Deletes the segments that were read to their end, and the folder of a stream that has ended. The caller has made
    /// durable everything that [`Tail::read`] handed out. After a failure nothing is tried before the next reading.
    ///
    /// # Errors
    /// [`TailError::File`]: something could not be deleted. Deleting again is harmless.
    pub(crate) fn delete_consumed(&mut self) -> Result<(), TailError> {
        if self.undeletable || (self.deleted_below == self.segment && !self.ended) {
            return Ok(());
        }
        let deleted = self.delete();
        self.undeletable = deleted.is_err();
        deleted
    }

    fn delete(&mut self) -> Result<(), TailError> {
        let consumed = self.segment_numbers()?.into_iter().filter(|&number| number < self.segment || self.ended);
        for path in consumed.map(|number| segment::path(&self.folder.path, number)) {
            failpoint!("journal.before_unlink");
            fs::remove_file(&path).map_err(|error| TailError::File { path, error })?;
            failpoint!("journal.after_unlink");
        }
        self.deleted_below = self.segment;
        if self.ended {
            self.delete_folder().map_err(|error| TailError::File { path: self.folder.path.clone(), error })?;
            self.gone = true;
        }
        Ok(())
    }

    /// Logs an error of this stream, unless it is the one that was logged last.
    pub(crate) fn warn_once(&mut self, error: &TailError) {
        let text = error.to_string();
        if self.warned.as_ref() != Some(&text) {
            tracing::warn!(stream = %self.folder.stream, service = self.folder.service, "{text}");
            self.warned = Some(text);
        }
    }

    fn delete_folder(&self) -> io::Result<()> {
        failpoint!("journal.before_lock");
        unless_missing(fs::remove_file(self.lock_path()))?;
        failpoint!("journal.after_lock");
        unless_missing(fs::remove_dir(&self.folder.path))?;
        failpoint!("journal.after_folder");
        Ok(())
    }

    fn lock_path(&self) -> PathBuf {
        self.folder.path.join(segment::LOCK)
    }

    /// Whether its process is alive. A lock that is not a regular file is nobody's: no process has it, or ever lets go of it.
    fn is_locked(&mut self) -> Result<bool, TailError> {
        let path = self.lock_path();
        let is_foreign = fs::symlink_metadata(&path).is_ok_and(|metadata| !metadata.is_file());
        if is_foreign {
            self.warn_of_stray(&path);
            return Ok(false);
        }
        is_locked(&path).map_err(|error| TailError::File { path, error })
    }

    fn segment_numbers(&mut self) -> Result<Vec<u64>, TailError> {
        let listing = segment::list(&self.folder.path).map_err(|error| TailError::File { path: self.folder.path.clone(), error })?;
        if let Some(name) = listing.stray {
            self.warn_of_stray(&self.folder.path.join(name));
        }
        Ok(listing.numbers)
    }

    fn warn_of_stray(&mut self, path: &Path) {
        if self.stray.replace(path.to_owned()).is_none() {
            tracing::warn!(path = %path.display(), "this is no regular file of a journal: it is not read, and its folder may stay");
        }
    }

    /// Reads on in the current segment; `true` when it was read to an end that is final.
    fn read_segment(&mut self, is_last: bool, found: &mut Vec<Found>, budget: &mut Budget) -> Result<bool, TailError> {
        let is_final = !(self.live && is_last);
        let path = segment::path(&self.folder.path, self.segment);
        let failed = |error| TailError::File { path: path.clone(), error };
        let length = fs::symlink_metadata(&path).map_err(failed)?.len();
        if length <= self.offset {
            return Ok(is_final);
        }
        if !is_final && self.waited_at == Some(length) {
            return Ok(false);
        }
        let file = open_unlinked(&path).map_err(failed)?;
        let mut need = CHUNK_BYTES;
        loop {
            let rest = usize::try_from(length - self.offset).unwrap_or(usize::MAX);
            let bytes = segment::read(&file, self.offset, rest.min(need)).map_err(failed)?;
            // Somebody may have shortened it meanwhile.
            let rest = if bytes.len() < need { bytes.len() } else { rest };
            let window = Window { bytes, rest, is_final };
            match self.read_window(&window, found, budget).map_err(|error| TailError::Version { path: path.clone(), error })? {
                Stop::Here => {
                    self.waited_at = (!budget.is_spent()).then_some(length);
                    return Ok(false);
                }
                Stop::End => return Ok(true),
                Stop::Torn => {
                    self.tear(length, is_last, found);
                    return Ok(true);
                }
                Stop::Need(bytes) => need = bytes.max(CHUNK_BYTES),
            }
        }
    }

    fn read_window(&mut self, window: &Window, found: &mut Vec<Found>, budget: &mut Budget) -> Result<Stop, SegmentError> {
        let mut part = window.part();
        while !part.bytes.is_empty() {
            if budget.is_spent() {
                return Ok(Stop::Here);
            }
            let next = if self.offset == 0 { self.header(part)? } else { self.frame(part) };
            let size = match next {
                Next::Frame(frame, size) => {
                    // Passing over what was ingested before costs reading, but no batch.
                    budget.frames -= usize::from(self.take(&frame, found));
                    size
                }
                Next::Header(size) => size,
                Next::Damage(size) => {
                    found.push(self.damage(&part.bytes[..size]));
                    size
                }
                Next::Stop(stop) => return Ok(stop),
            };
            budget.bytes = budget.bytes.saturating_sub(size);
            self.offset += size as u64;
            part = part.behind(size);
        }
        Ok(match part {
            Part { rest: 1.., .. } => Stop::Need(CHUNK_BYTES),
            Part { is_final: true, .. } => Stop::End,
            _ => Stop::Here,
        })
    }

    /// The header of the segment. A damaged one is passed over: its frames say themselves what they are.
    fn header<'a>(&mut self, part: Part<'a>) -> Result<Next<'a>, SegmentError> {
        match SegmentHeader::decode(part.bytes) {
            Ok(header) if header.stream == self.folder.stream && header.number == self.segment => {
                self.last_seen = self.last_seen.max(header.first_sequence.saturating_sub(1)).min(SEQUENCE_MAX);
                Ok(Next::Header(SEGMENT_HEADER_BYTES))
            }
            Err(error @ SegmentError::Version(_)) => Err(error),
            Err(SegmentError::Incomplete) => Ok(Next::Stop(if part.is_final { Stop::Torn } else { Stop::Here })),
            Ok(_) | Err(_) => Ok(match self.resync(part, self.effort) {
                Next::Stop(Stop::Torn) => Next::Damage(part.bytes.len()),
                next => next,
            }),
        }
    }

    fn frame<'a>(&mut self, part: Part<'a>) -> Next<'a> {
        let mut effort = self.effort;
        let Some(size) = announced_size(part.bytes).filter(|&size| effort.affords(size, self.offset)) else {
            return self.resync(part, effort);
        };
        match read_frame(self.folder.stream, part.bytes) {
            Ok((frame, size)) if (1..=SEQUENCE_MAX).contains(&frame.sequence) => return Next::Frame(frame, size),
            Ok((_, size)) => return Next::Damage(size),
            Err(FrameError::Incomplete) if size <= part.rest => return Next::Stop(Stop::Need(size)),
            Err(FrameError::Incomplete) if !part.is_final => return Next::Stop(Stop::Here),
            Err(FrameError::Crc { length }) => effort.spend(length),
            Err(_) => {}
        }
        self.resync(part, effort)
    }

    /// Looks for a frame behind bytes that are none. With one behind them they are damaged; without, they are a torn tail, or
    /// a write that is still under way. No write is longer than a frame, so what is longer is damaged in any case.
    fn resync<'a>(&mut self, part: Part<'_>, mut effort: Effort) -> Next<'a> {
        let Part { bytes, rest, is_final } = part;
        let sequences = (self.last_seen + 1, SEQUENCE_MAX);
        let search = Search { stream: self.folder.stream, bytes, offset: self.offset, rest, sequences };
        let damaged = match search.next_frame(&mut effort) {
            Behind::Frame(size) => size,
            _ if bytes.len() == rest && !is_final => return Next::Stop(Stop::Here),
            // The rest of a longer damage; or a frame that was written to its end, which no crash of its writer has torn.
            _ if bytes.len() == rest && (self.damaged > 0 || is_whole(bytes)) => rest,
            _ if bytes.len() == rest => return Next::Stop(Stop::Torn),
            _ if bytes.len() < FRAME_BYTES_MAX => return Next::Stop(Stop::Need(FRAME_BYTES_MAX.min(bytes.len() * 2))),
            Behind::Candidate(size) => size,
            Behind::Nothing => bytes.len() + 1 - FRAME_HEADER_BYTES,
        };
        self.effort = effort;
        Next::Damage(damaged)
    }

    /// Hands out damaged bytes, as many as are kept.
    fn damage(&mut self, bytes: &[u8]) -> Found {
        let kept_before = usize::try_from(self.damaged).unwrap_or(usize::MAX);
        let kept = bytes.len().min(KEPT_BYTES_MAX.saturating_sub(kept_before));
        self.damaged = self.damaged.saturating_add(bytes.len() as u64);
        Found::Damage { segment: self.segment, offset: self.offset, length: bytes.len() as u64, kept: bytes[..kept].to_vec() }
    }

    /// Hands out a frame, unless it was handed out before.
    fn take(&mut self, frame: &RawFrame<'_>, found: &mut Vec<Found>) -> bool {
        let sequence = frame.sequence;
        self.last_seen = self.last_seen.max(sequence);
        let damaged = std::mem::take(&mut self.damaged) > 0;
        if sequence < self.next_sequence {
            return false;
        }
        if sequence > self.next_sequence {
            let cause = if damaged { Cause::Corrupt } else { Cause::Missing };
            found.push(Found::Gap { first: self.next_sequence, last: sequence - 1, cause });
        }
        found.push(Found::Frame { sequence, kind: frame.kind, payload: frame.payload.to_vec() });
        self.next_sequence = sequence + 1;
        true
    }

    /// Ends a segment of `length` bytes at a half-written frame. Its writer has repeated the frame in the next segment, unless it died over it.
    fn tear(&mut self, length: u64, is_last: bool, found: &mut Vec<Found>) {
        found.push(Found::TornTail { segment: self.segment, offset: self.offset, bytes: length - self.offset });
        self.offset = length;
        if is_last {
            self.lose_next(Cause::TornTail, found);
        }
    }

    /// Gives up the frame that would come next in a stream that has ended, unless that was done before.
    fn lose_next(&mut self, cause: Cause, found: &mut Vec<Found>) {
        let lost = self.last_seen + 1;
        if lost >= self.next_sequence {
            found.push(Found::Gap { first: self.next_sequence, last: lost, cause });
            self.next_sequence = lost + 1;
        }
    }
}

/// Takes a file that was not there for one that was removed.
fn unless_missing(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}
