//! Appending frames to the newest segment of this process's stream.

use std::io;
use std::sync::Arc;

use indelible_core::{Frame, SEGMENT_HEADER_BYTES, SegmentHeader, StreamId, encode_frame};

use super::files::OpenFile;
use super::stream::{Stream, undo_file};
use super::waiting::Loss;
use super::{Position, Settings, System};
use crate::config::Durability;
use crate::error::Error;

/// Frames that wait for a sync are forced out when they reach this many bytes.
const UNSYNCED_BYTES_MAX: usize = 32 * 1024 * 1024;
/// What is set aside behind the last frame, for what is still to be said when the disk is full.
const RESERVE_BYTES: u64 = 64 * 1024;
/// Room is set aside by so much at once, or by an eighth of what the segment holds, up to a bound, so that few frames pay for it.
const RESERVE_STEP_MIN: u64 = 16 * 1024;
const RESERVE_STEP_MAX: u64 = 1024 * 1024;

/// The segment that frames are appended to.
struct OpenSegment {
    file: Arc<dyn OpenFile>,
    bytes: u64,
    /// Up to where room is set aside; everywhere, where the file system cannot do that.
    reserved: u64,
}

impl OpenSegment {
    /// Whether the frame fits in and leaves the reserve whole.
    fn has_room(&self, frame_bytes: u64) -> bool {
        self.bytes.saturating_add(frame_bytes).saturating_add(RESERVE_BYTES) <= self.reserved
    }

    /// Sets room aside for a frame and the reserve behind it.
    ///
    /// # Errors
    /// The disk is full. Any other fault is none of the reserve's: writing will meet it, or not.
    fn make_room(&mut self, frame_bytes: u64) -> io::Result<()> {
        let step = (self.bytes / 8).clamp(RESERVE_STEP_MIN, RESERVE_STEP_MAX);
        let to = self.bytes.saturating_add(frame_bytes).saturating_add(RESERVE_BYTES + step);
        failpoint!("reserve.before");
        let reserved = self.file.reserve(self.reserved, to);
        failpoint!("reserve.after");
        match reserved {
            Ok(true) => self.reserved = to,
            Err(error) if is_full(&error) => return Err(error),
            Ok(false) | Err(_) => self.reserved = u64::MAX,
        }
        Ok(())
    }
}

/// Which room a frame may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// What leaves the reserve whole.
    Ordinary,
    /// The reserve as well: the frame says what became of something that is in the journal, or of what is not.
    Reserve,
}

/// A frame that was written and has not been synced: it is written again when the sync fails.
struct Unsynced {
    sequence: u64,
    frame: Vec<u8>,
}

/// What a sync has to force to disk, and up to which sequence that goes.
pub(super) struct SyncWork {
    pub(super) segments: Vec<Arc<dyn OpenFile>>,
    pub(super) sequence: u64,
}

impl SyncWork {
    /// Forces the segments to disk. The writer is free meanwhile, so that the next group can gather.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.segments.iter().try_for_each(|segment| {
            failpoint!("sync.before");
            let synced = segment.sync();
            failpoint!("sync.after");
            synced
        })
    }
}

/// The state behind the journal's lock.
pub(super) struct Writer {
    stream: Option<Stream>,
    segment: Option<OpenSegment>,
    number: u64,
    next_sequence: u64,
    /// Bytes in closed segments, as of the last look at the folder.
    closed_bytes: u64,
    scratch: Vec<u8>,
    unsynced: Vec<Unsynced>,
    unsynced_bytes: usize,
    /// Whether a sync failed since `unsynced` was last written: then the next segment begins with it.
    poisoned: bool,
    /// Closed segments with frames that have not been synced.
    dirty: Vec<Arc<dyn OpenFile>>,
    /// Whether a LOSS frame was written since the last event: the next one takes nothing of the reserve before the end of the stream.
    has_told_loss: bool,
}

impl Writer {
    pub(super) fn new() -> Self {
        Self {
            stream: None,
            segment: None,
            number: 0,
            next_sequence: 1,
            closed_bytes: 0,
            scratch: Vec::new(),
            unsynced: Vec::new(),
            unsynced_bytes: 0,
            poisoned: false,
            dirty: Vec::new(),
            has_told_loss: false,
        }
    }

    pub(super) fn stream(&self) -> Option<StreamId> {
        self.stream.as_ref().map(|stream| stream.id)
    }

    pub(super) fn set_stream(&mut self, stream: Stream) {
        self.stream = Some(stream);
    }

    pub(super) fn last_sequence(&self) -> u64 {
        self.next_sequence - 1
    }

    pub(super) fn bytes(&self) -> u64 {
        self.closed_bytes + self.segment.as_ref().map_or(0, |segment| segment.bytes)
    }

    /// Appends a LOSS frame. When the disk is full the first one takes of the reserve, so that the trail tells of it even if this process is
    /// killed; the others wait until there is room, or until the stream ends.
    pub(super) fn append_loss(&mut self, loss: &Loss, at_end: bool, settings: &Settings, system: &System) -> Result<(), Error> {
        let room = if at_end || !self.has_told_loss { Room::Reserve } else { Room::Ordinary };
        self.append(&loss.frame(), room, settings, system)?;
        self.has_told_loss = true;
        Ok(())
    }

    /// Whether the next frame that is appended will be at this position.
    pub(super) fn is_next(&self, position: Position) -> bool {
        self.stream() == Some(position.stream) && self.next_sequence == position.sequence
    }

    /// Appends one frame and returns its sequence. On an error nothing was appended and the sequence is used again.
    pub(super) fn append(&mut self, frame: &Frame<'_>, room: Room, settings: &Settings, system: &System) -> Result<u64, Error> {
        let sequence = self.next_sequence;
        let stream = self.stream_id();
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        encode_frame(stream, sequence, frame, &mut bytes);
        let result = self.refuse_when_unsynced(bytes.len()).and_then(|()| self.write(&bytes, room, settings, system));
        if result.is_ok() {
            self.next_sequence += 1;
            self.has_told_loss &= room == Room::Reserve;
            if settings.durability == Durability::Synced {
                self.unsynced_bytes += bytes.len();
                self.unsynced.push(Unsynced { sequence, frame: bytes.clone() });
            }
        }
        self.scratch = bytes;
        result.map(|()| sequence)
    }

    /// Frames that no sync has covered are kept in memory, which a disk that never syncs must not fill.
    fn refuse_when_unsynced(&self, frame_bytes: usize) -> Result<(), Error> {
        if self.unsynced.is_empty() || self.unsynced_bytes + frame_bytes <= 2 * UNSYNCED_BYTES_MAX {
            return Ok(());
        }
        Err(Error::Write(io::Error::other(format!("{} bytes wait for a sync", self.unsynced_bytes))))
    }

    fn stream_id(&self) -> StreamId {
        self.stream.as_ref().expect("the journal opens its stream before it appends").id
    }

    /// Writes one frame by one `write(2)`, in a new segment when the open one is full or did not take it whole.
    fn write(&mut self, frame: &[u8], room: Room, settings: &Settings, system: &System) -> Result<(), Error> {
        self.refuse_when_full(frame.len(), room, settings, system)?;
        if self.segment.as_ref().is_some_and(|segment| segment.bytes >= settings.limits.segment_bytes) {
            match self.follow_segment(settings, system) {
                Err(error) if room == Room::Ordinary => return Err(error),
                // What may use the reserve goes where it is.
                _ => {}
            }
        }
        let mut last_error = None;
        for _ in 0..2 {
            let segment = self.open_segment(settings, system)?;
            make_room(segment, frame.len() as u64, room)?;
            failpoint!("frame.before_write");
            let written = segment.file.write(frame);
            failpoint!("frame.after_write");
            match written {
                Ok(written) if written == frame.len() => {
                    segment.bytes += frame.len() as u64;
                    return Ok(());
                }
                Ok(written) => {
                    last_error = Some(io::Error::new(io::ErrorKind::WriteZero, format!("{written} of {} bytes were written", frame.len())));
                }
                Err(error) => last_error = Some(error),
            }
            // A segment that took nothing has no torn tail and goes on being used: a full disk must not breed empty segments.
            if segment.file.len().is_ok_and(|length| length == segment.bytes) {
                break;
            }
            self.close_segment(settings);
        }
        Err(Error::Write(last_error.unwrap_or_else(|| io::ErrorKind::Other.into())))
    }

    fn refuse_when_full(&mut self, frame_bytes: usize, room: Room, settings: &Settings, system: &System) -> Result<(), Error> {
        let more = if room == Room::Reserve { RESERVE_BYTES } else { 0 };
        let limit = settings.limits.journal_bytes.saturating_add(more);
        if self.bytes() + frame_bytes as u64 <= limit {
            return Ok(());
        }
        // The agent deletes what it has ingested, and tells nobody: look before saying no.
        let on_disk = self.stream.as_ref().map_or(0, |stream| stream.bytes(&*system.files));
        self.closed_bytes = on_disk.saturating_sub(self.segment.as_ref().map_or(0, |segment| segment.bytes));
        let bytes = self.bytes();
        if bytes + frame_bytes as u64 > limit { Err(Error::Full { bytes, limit: settings.limits.journal_bytes }) } else { Ok(()) }
    }

    /// Begins the next segment, and only then closes this one: as long as there is no next one, its reserve is needed.
    fn follow_segment(&mut self, settings: &Settings, system: &System) -> Result<(), Error> {
        let next = self.create_segment(self.next_sequence, settings, system)?;
        self.close_segment(settings);
        self.segment = Some(next);
        Ok(())
    }

    fn close_segment(&mut self, settings: &Settings) {
        let Some(segment) = self.segment.take() else { return };
        self.closed_bytes += segment.file.len().unwrap_or(segment.bytes);
        if settings.durability == Durability::Synced && !self.unsynced.is_empty() {
            self.dirty.push(segment.file);
        }
    }

    fn open_segment(&mut self, settings: &Settings, system: &System) -> Result<&mut OpenSegment, Error> {
        if self.segment.is_none() {
            let repeated = if self.poisoned { &self.unsynced[..] } else { &[] };
            let first_sequence = repeated.first().map_or(self.next_sequence, |unsynced| unsynced.sequence);
            let opened = self.create_segment(first_sequence, settings, system)?;
            self.segment = Some(self.repeat_unsynced(opened)?);
            self.poisoned = false;
        }
        Ok(self.segment.as_mut().expect("it was opened above"))
    }

    /// Writes every frame that is not known to be on disk again, under its own sequence.
    fn repeat_unsynced(&self, mut segment: OpenSegment) -> Result<OpenSegment, Error> {
        if self.poisoned {
            for unsynced in &self.unsynced {
                failpoint!("repeat.before_write");
                write_whole(&*segment.file, &unsynced.frame).map_err(Error::Write)?;
                failpoint!("repeat.after_write");
                segment.bytes += unsynced.frame.len() as u64;
            }
        }
        Ok(segment)
    }

    /// Begins the next segment. On an error there is none, or one without frames, whose number is not used again.
    fn create_segment(&mut self, first_sequence: u64, settings: &Settings, system: &System) -> Result<OpenSegment, Error> {
        let stream = self.stream.as_ref().expect("the journal opens its stream before it appends");
        let files = &*system.files;
        let mut number = self.number + 1;
        let mut path = stream.segment_path(number);
        let mut created = stream.create_segment(&path, files);
        if created.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists) {
            // A step that failed has left it and could not remove it: its number is taken, and would be for as long as this process lives.
            self.number = number;
            number += 1;
            path = stream.segment_path(number);
            created = stream.create_segment(&path, files);
        }
        let file = created.map_err(Error::path(&path))?;
        let mut segment = OpenSegment { file, bytes: SEGMENT_HEADER_BYTES as u64, reserved: 0 };
        let header = SegmentHeader { stream: stream.id, number, first_sequence, created_at: system.clock.now() }.encode();
        let mut begun = segment.make_room(0).map_err(Error::Write);
        if begun.is_ok() {
            failpoint!("segment.before_header");
            begun = write_whole(&*segment.file, &header).map_err(Error::Write);
            failpoint!("segment.after_header");
        }
        if begun.is_ok() && settings.durability == Durability::Synced {
            failpoint!("segment.before_sync");
            begun = files.sync_folder(&stream.folder).map_err(Error::path(&stream.folder));
            failpoint!("segment.after_sync");
        }
        // It holds no frame yet, so nothing is lost with it. Where it cannot be removed its number is taken: the agent reads it as a
        // segment without frames.
        let removed = begun.is_err() && undo_file(files, &path).is_ok();
        self.number = if removed { self.number } else { number };
        begun.map(|()| segment)
    }

    /// What has to be forced to disk so that every frame written until now is safe. After a failed sync that begins with repeating
    /// what is not safe in a new segment.
    pub(super) fn sync_work(&mut self, settings: &Settings, system: &System) -> Result<SyncWork, Error> {
        if self.poisoned {
            self.open_segment(settings, system)?;
        }
        let mut segments = self.dirty.clone();
        segments.extend(self.segment.as_ref().map(|segment| Arc::clone(&segment.file)));
        Ok(SyncWork { segments, sequence: self.last_sequence() })
    }

    pub(super) fn must_sync(&self) -> bool {
        self.unsynced_bytes > UNSYNCED_BYTES_MAX
    }

    /// Forgets the frames up to `sequence`, which are on disk now, and the closed segments among `segments`.
    pub(super) fn synced(&mut self, work: &SyncWork) {
        self.unsynced.retain(|unsynced| unsynced.sequence > work.sequence);
        self.unsynced_bytes = self.unsynced.iter().map(|unsynced| unsynced.frame.len()).sum();
        self.dirty.retain(|dirty| !work.segments.iter().any(|segment| Arc::ptr_eq(segment, dirty)));
    }

    /// Gives up the segments whose sync failed; the next one begins with what they held that is not safe.
    ///
    /// A failed sync is never repeated on the same file: the kernel may have dropped the pages and report success the next time.
    pub(super) fn poison(&mut self, system: &System) {
        self.segment = None;
        self.dirty.clear();
        self.closed_bytes = self.stream.as_ref().map_or(0, |stream| stream.bytes(&*system.files));
        self.poisoned = !self.unsynced.is_empty();
    }
}

/// Sets room aside for a frame, where there is not enough.
///
/// # Errors
/// [`Error::Write`]: the disk is full and the frame may not use the reserve, or is larger.
fn make_room(segment: &mut OpenSegment, frame_bytes: u64, room: Room) -> Result<(), Error> {
    if segment.has_room(frame_bytes) {
        return Ok(());
    }
    match segment.make_room(frame_bytes) {
        Err(_) if room == Room::Reserve && segment.bytes + frame_bytes <= segment.reserved => Ok(()),
        result => result.map_err(Error::Write),
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn write_whole(file: &dyn OpenFile, bytes: &[u8]) -> io::Result<()> {
    let written = file.write(bytes)?;
    if written == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}
