//! Faults that no disk produces on demand: short writes, failed writes, failed syncs.

mod reserve;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use indelible_core::{EventId, Frame, Item, SEGMENT_HEADER_BYTES, SegmentHeader, StreamId, Timestamp, read_frame};

use super::files::{Files, OpenFile, SystemFiles};
use super::{Journal, Settings, System};
use crate::clock::SystemClock;
use crate::config::{Durability, Limits};
use crate::error::Error;

/// What the next write to a segment does instead of writing everything.
#[derive(Clone, Copy)]
enum Fault {
    /// Writes this many bytes and says so.
    Short(usize),
    /// Writes this many bytes and then says that it failed.
    FailedAfter(usize),
}

/// Real files with faults on demand.
#[derive(Default)]
struct Faults {
    write: Mutex<Option<Fault>>,
    /// Only what was set aside can be written.
    disk_full: AtomicBool,
    /// The file system sets nothing aside.
    no_reserve: AtomicBool,
    /// The next write waits until it is let go.
    hangs: AtomicBool,
    failing_syncs: AtomicUsize,
    syncs: AtomicUsize,
    failing_folder_syncs: AtomicUsize,
    /// Nothing can be removed.
    stuck: AtomicBool,
    /// So many segments are created and then said not to be.
    half_created: AtomicUsize,
    failing_renames: AtomicUsize,
}

/// Takes one of those that are left.
fn takes_one(left: &AtomicUsize) -> bool {
    left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok()
}

struct FaultyFiles(Arc<Faults>);

struct FaultySegment {
    file: Arc<dyn OpenFile>,
    faults: Arc<Faults>,
    sync_failed: AtomicBool,
    reserved: AtomicU64,
}

impl Files for FaultyFiles {
    fn create(&self, path: &Path, mode: u32) -> io::Result<Arc<dyn OpenFile>> {
        let file = SystemFiles.create(path, mode)?;
        if path.extension().is_some_and(|extension| extension == "journal") && takes_one(&self.0.half_created) {
            return Err(io::Error::from_raw_os_error(5));
        }
        Ok(Arc::new(FaultySegment { file, faults: Arc::clone(&self.0), sync_failed: AtomicBool::new(false), reserved: AtomicU64::new(0) }))
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        if path.extension().is_none() && self.0.failing_folder_syncs.load(SeqCst) > 0 {
            self.0.failing_folder_syncs.fetch_sub(1, SeqCst);
            return Err(io::Error::from_raw_os_error(5));
        }
        SystemFiles.sync_folder(path)
    }

    fn create_folder(&self, path: &Path, mode: u32) -> io::Result<()> {
        SystemFiles.create_folder(path, mode)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if to.extension().is_some_and(|extension| extension == "journal") && takes_one(&self.0.failing_renames) {
            return Err(io::Error::from_raw_os_error(5));
        }
        SystemFiles.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if self.0.stuck.load(SeqCst) { Err(io::Error::from_raw_os_error(5)) } else { SystemFiles.remove(path) }
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        SystemFiles.remove_folder(path)
    }

    fn folder_mode(&self, path: &Path) -> io::Result<u32> {
        SystemFiles.folder_mode(path)
    }

    fn bytes_in(&self, folder: &Path) -> u64 {
        SystemFiles.bytes_in(folder)
    }

    fn magic(&self, path: &Path) -> io::Result<u32> {
        SystemFiles.magic(path)
    }
}

/// A test that fails ends all the same.
const HANGS_AT_MOST: Duration = Duration::from_secs(60);

impl OpenFile for FaultySegment {
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let since = std::time::Instant::now();
        while self.faults.hangs.load(SeqCst) && since.elapsed() < HANGS_AT_MOST {
            std::thread::sleep(Duration::from_millis(1));
        }
        let fits = || self.file.len().is_ok_and(|length| length + bytes.len() as u64 <= self.reserved.load(SeqCst));
        if self.faults.disk_full.load(SeqCst) && !fits() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let is_header = bytes.len() == SEGMENT_HEADER_BYTES;
        match if is_header { None } else { self.faults.write.lock().unwrap().take() } {
            None => self.file.write(bytes),
            Some(Fault::Short(count)) => self.file.write(&bytes[..count]),
            Some(Fault::FailedAfter(count)) => {
                self.file.write(&bytes[..count])?;
                Err(io::Error::from_raw_os_error(5))
            }
        }
    }

    fn reserve(&self, _from: u64, to: u64) -> io::Result<bool> {
        if self.faults.no_reserve.load(SeqCst) {
            return Ok(false);
        }
        if self.faults.disk_full.load(SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.reserved.store(to, SeqCst);
        Ok(true)
    }

    fn sync(&self) -> io::Result<()> {
        assert!(!self.sync_failed.load(SeqCst), "a failed sync is never repeated on the same file");
        self.faults.syncs.fetch_add(1, SeqCst);
        let left = self.faults.failing_syncs.load(SeqCst);
        if left > 0 {
            self.faults.failing_syncs.store(left - 1, SeqCst);
            self.sync_failed.store(true, SeqCst);
            return Err(io::Error::from_raw_os_error(5));
        }
        self.file.sync()
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn lock(&self) -> io::Result<()> {
        self.file.lock()
    }
}

struct Setup {
    folder: tempfile::TempDir,
    faults: Arc<Faults>,
    journal: Journal,
}

fn setup(durability: Durability) -> Setup {
    setup_with(durability, Limits::default())
}

fn setup_with(durability: Durability, limits: Limits) -> Setup {
    let folder = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    let settings = Settings { data_dir: folder.path().to_owned(), service: "clinic".to_owned(), durability, limits };
    let journal =
        Journal::open_with(settings, System { files: Arc::new(FaultyFiles(Arc::clone(&faults))), clock: Arc::new(SystemClock) }).unwrap();
    Setup { folder, faults, journal }
}

impl Setup {
    /// The position of a frame that is as safe as it was to be.
    fn try_append(&self, frame: &Frame<'_>, synced: bool, patience: Duration, insistent: bool) -> Result<super::Position, Error> {
        let (position, synced) = self.journal.append(frame, synced, patience, insistent)?;
        synced.map(|()| position)
    }

    fn append(&self, body: &[u8]) -> Result<u64, Error> {
        let item = Item { event: EventId::from_bytes([1; 16]), recorded_at: Timestamp::from_micros(0), body };
        self.try_append(&Frame::Event(item), true, Duration::ZERO, false).map(|position| position.sequence)
    }

    /// Sequences and bodies, segment by segment; LOSS frames are told by their count.
    fn segments(&self) -> Vec<Vec<(u64, String)>> {
        self.of(self.journal.health().stream.unwrap())
    }

    /// The same of a stream that may have ended.
    fn of(&self, stream: StreamId) -> Vec<Vec<(u64, String)>> {
        let stream_folder = self.folder.path().join("journal/clinic").join(stream.to_string());
        let mut paths: Vec<_> = fs::read_dir(stream_folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some());
        paths.sort();
        let frames = |path| {
            let bytes = fs::read(path).unwrap();
            let Ok(header) = SegmentHeader::decode(&bytes) else { return Vec::new() };
            let mut rest = &bytes[SEGMENT_HEADER_BYTES..];
            let mut frames = Vec::new();
            while let Ok((raw, consumed)) = read_frame(header.stream, rest) {
                rest = &rest[consumed..];
                let text = match raw.parse().unwrap() {
                    Frame::Event(item) => String::from_utf8_lossy(item.body).into_owned(),
                    Frame::Loss { count, .. } => format!("lost {count}"),
                    Frame::Intent { .. } => "intent".to_owned(),
                    Frame::Outcome { intent, .. } => format!("outcome {}", intent.as_bytes()[0]),
                    Frame::Close => "close".to_owned(),
                };
                frames.push((raw.sequence, text));
            }
            frames
        };
        paths.into_iter().map(frames).collect()
    }
}

fn frame(sequence: u64, text: &str) -> (u64, String) {
    (sequence, text.to_owned())
}

#[test]
fn a_torn_write_ends_its_segment_and_the_frame_is_whole_in_the_next_one_under_the_same_sequence() {
    for fault in [Fault::Short(0), Fault::Short(1), Fault::Short(21), Fault::FailedAfter(0), Fault::FailedAfter(30)] {
        let setup = setup(Durability::Buffered);
        assert_eq!(setup.append(b"one").unwrap(), 1);
        *setup.faults.write.lock().unwrap() = Some(fault);
        let first_try = setup.append(b"two");
        let torn = !matches!(fault, Fault::Short(0) | Fault::FailedAfter(0));
        assert_eq!(first_try.is_ok(), torn, "a write that left nothing behind is repeated by the caller");
        if torn {
            assert_eq!(setup.segments(), [vec![frame(1, "one")], vec![frame(2, "two")]]);
        } else {
            assert_eq!(setup.segments(), [vec![frame(1, "one")]]);
        }
    }
}

#[test]
fn a_full_disk_breeds_no_segments_and_its_losses_are_told_when_it_is_over() {
    let setup = setup(Durability::Buffered);
    setup.faults.no_reserve.store(true, SeqCst);
    setup.append(b"one").unwrap();
    setup.faults.disk_full.store(true, SeqCst);
    assert!(matches!(setup.append(b"lost"), Err(Error::Write(_))));
    setup.journal.count_losses(1);
    assert!(matches!(setup.append(b"lost too"), Err(Error::Degraded)), "the next event does not wait again");
    setup.journal.count_losses(1);
    setup.faults.disk_full.store(false, SeqCst);
    let item = Item { event: EventId::from_bytes([1; 16]), recorded_at: Timestamp::from_micros(0), body: b"two" };
    setup.try_append(&Frame::Event(item), true, Duration::from_secs(5), true).unwrap();
    assert_eq!(setup.segments(), [vec![frame(1, "one"), frame(2, "lost 2"), frame(3, "two")]]);
    assert_eq!(setup.journal.health().lost, 2);
}

#[test]
fn a_failed_sync_moves_what_is_not_safe_to_the_next_segment_under_the_same_sequences() {
    let setup = setup(Durability::Synced);
    setup.append(b"one").unwrap();
    setup.faults.failing_syncs.store(1, SeqCst);
    assert_eq!(setup.append(b"two").unwrap(), 2);
    assert_eq!(setup.append(b"three").unwrap(), 3);
    assert_eq!(setup.segments(), [vec![frame(1, "one"), frame(2, "two")], vec![frame(2, "two"), frame(3, "three")]]);
}

#[test]
fn a_disk_that_never_syncs_acknowledges_nothing_and_loses_nothing_when_it_does_again() {
    let setup = setup(Durability::Synced);
    setup.append(b"one").unwrap();
    setup.faults.failing_syncs.store(2, SeqCst);
    assert!(matches!(setup.append(b"two"), Err(Error::Sync(_))));
    setup.faults.failing_syncs.store(0, SeqCst);
    let item = Item { event: EventId::from_bytes([1; 16]), recorded_at: Timestamp::from_micros(0), body: b"three" };
    setup.try_append(&Frame::Event(item), true, Duration::from_secs(5), true).unwrap();
    let last = setup.segments().pop().unwrap();
    assert_eq!(last, [frame(2, "two"), frame(3, "three")], "what was never synced is repeated where the sync succeeds");
}

#[test]
fn an_event_whose_sync_fails_is_written_once() {
    let setup = setup(Durability::Synced);
    setup.faults.failing_syncs.store(2, SeqCst);
    let item = Item { event: EventId::from_bytes([1; 16]), recorded_at: Timestamp::from_micros(0), body: b"one" };
    assert!(setup.try_append(&Frame::Event(item), true, Duration::from_millis(20), true).is_err());
    assert_eq!(setup.append(b"two").unwrap_or(2), 2);
    let sequences: std::collections::BTreeMap<_, _> = setup.segments().concat().into_iter().collect();
    assert!(sequences.values().filter(|body| *body == "one").count() == 1, "{sequences:?}");
}

#[test]
fn a_segment_that_could_not_be_begun_stands_in_the_way_of_no_other() {
    for stuck in [false, true] {
        let setup = setup(Durability::Synced);
        setup.faults.stuck.store(stuck, SeqCst);
        setup.append(b"one").unwrap();
        setup.faults.failing_syncs.store(1, SeqCst);
        setup.faults.failing_folder_syncs.store(1, SeqCst);
        assert!(setup.append(b"two").is_err(), "the sync failed, and the folder of the next segment could not be synced");
        setup.faults.disk_full.store(true, SeqCst);
        let item = Item { event: EventId::from_bytes([1; 16]), recorded_at: Timestamp::from_micros(0), body: b"three" };
        assert!(setup.try_append(&Frame::Event(item), true, Duration::ZERO, true).is_err(), "no header could be written");
        setup.faults.disk_full.store(false, SeqCst);
        setup.try_append(&Frame::Event(item), true, Duration::ZERO, true).unwrap();
        let frames = setup.segments().pop().unwrap();
        assert_eq!(frames, [frame(2, "two"), frame(3, "three")], "{stuck}");
        assert_eq!(setup.segments().len(), if stuck { 4 } else { 2 }, "what could not be removed is left alone");
    }
}

/// A segment was created and could then neither be used nor removed. Its name was in the way of every later one: nothing more was recorded
/// until the process ended. In a folder that a group reads that is the name before the rename, and otherwise the last one.
#[test]
fn what_a_failed_step_has_left_and_could_not_remove_stands_in_the_way_for_no_longer_than_the_fault() {
    for group_reads in [false, true] {
        let setup = setup(Durability::Synced);
        let service = setup.folder.path().join("journal/clinic");
        if group_reads {
            fs::create_dir_all(&service).unwrap();
            fs::set_permissions(&service, fs::Permissions::from_mode(0o2770)).unwrap();
        }
        setup.faults.stuck.store(true, SeqCst);
        setup.faults.failing_renames.store(if group_reads { 1 } else { 0 }, SeqCst);
        setup.faults.half_created.store(if group_reads { 0 } else { 2 }, SeqCst);
        let item = Item { event: EventId::from_bytes([1; 16]), recorded_at: Timestamp::from_micros(0), body: b"one" };
        let record = || setup.try_append(&Frame::Event(item), true, Duration::ZERO, true);
        assert!(record().is_err(), "{group_reads}: no segment could be begun");
        assert!(record().is_err(), "{group_reads}: what is left cannot be removed, or another one is left");
        setup.faults.stuck.store(false, SeqCst);
        record().unwrap();
        assert_eq!(setup.segments().concat(), [frame(1, "one")], "{group_reads}");
        let hidden = fs::read_dir(&service).unwrap().filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with('.'));
        assert_eq!(hidden.count(), 0, "{group_reads}: nothing is left under a name that nobody reads");
    }
}

#[test]
fn a_stream_whose_name_could_not_be_synced_is_not_used_and_leaves_nothing() {
    let setup = setup(Durability::Synced);
    setup.faults.failing_folder_syncs.store(1, SeqCst);
    assert!(matches!(setup.append(b"one"), Err(Error::Path { .. })), "the frame is not in the journal, and nothing else is said");
    assert_eq!(fs::read_dir(setup.folder.path().join("journal/clinic")).unwrap().count(), 0);
    let item = Item { event: EventId::from_bytes([1; 16]), recorded_at: Timestamp::from_micros(0), body: b"one" };
    setup.try_append(&Frame::Event(item), true, Duration::ZERO, true).unwrap();
    assert_eq!(setup.segments(), [vec![frame(1, "one")]]);
}

#[test]
fn losses_that_are_counted_together_are_told_together() {
    let setup = setup(Durability::Buffered);
    setup.journal.count_losses(0);
    setup.append(b"one").unwrap();
    setup.journal.count_losses(3);
    setup.journal.count_losses(1);
    setup.append(b"two").unwrap();
    assert_eq!(setup.segments(), [vec![frame(1, "one"), frame(2, "lost 4"), frame(3, "two")]]);
}

#[test]
fn threads_that_wait_together_share_a_sync() {
    let setup = setup(Durability::Synced);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..25).for_each(|_| assert!(setup.append(b"one").is_ok())));
        }
    });
    assert_eq!(setup.segments().concat().len(), 200);
    assert!(setup.faults.syncs.load(SeqCst) <= 200);
}
