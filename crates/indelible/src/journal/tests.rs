//! Faults that no disk produces on demand: short writes, failed writes, failed syncs.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use indelible_core::{EventId, Frame, Item, SEGMENT_HEADER_BYTES, SegmentHeader, Timestamp, read_frame};

use super::files::{Files, Segment, SystemFiles};
use super::{Journal, Settings};
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
    disk_full: AtomicBool,
    failing_syncs: AtomicUsize,
    syncs: AtomicUsize,
}

struct FaultyFiles(Arc<Faults>);

struct FaultySegment {
    file: Arc<dyn Segment>,
    faults: Arc<Faults>,
    sync_failed: AtomicBool,
}

impl Files for FaultyFiles {
    fn create(&self, path: &Path, mode: u32, born_in: Option<&Path>) -> io::Result<Arc<dyn Segment>> {
        let file = SystemFiles.create(path, mode, born_in)?;
        Ok(Arc::new(FaultySegment { file, faults: Arc::clone(&self.0), sync_failed: AtomicBool::new(false) }))
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        SystemFiles.sync_folder(path)
    }
}

impl Segment for FaultySegment {
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        if self.faults.disk_full.load(SeqCst) {
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
}

struct Setup {
    folder: tempfile::TempDir,
    faults: Arc<Faults>,
    journal: Journal,
}

fn setup(durability: Durability) -> Setup {
    let folder = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    let settings = Settings { data_dir: folder.path().to_owned(), service: "clinic".to_owned(), durability, limits: Limits::default() };
    let journal = Journal::open_with(settings, Arc::new(FaultyFiles(Arc::clone(&faults)))).unwrap();
    Setup { folder, faults, journal }
}

impl Setup {
    fn append(&self, body: &[u8]) -> Result<u64, Error> {
        let item = Item { event: EventId::from_bytes([1; 16]), recorded_at: Timestamp::from_micros(0), body };
        self.journal.append(&Frame::Event(item), true, Duration::ZERO, false).map(|position| position.sequence)
    }

    /// Sequences and bodies, segment by segment; LOSS frames are told by their count.
    fn segments(&self) -> Vec<Vec<(u64, String)>> {
        let stream = self.journal.health().stream.unwrap();
        let stream_folder = self.folder.path().join("journal/clinic").join(stream.to_string());
        let mut paths: Vec<_> = fs::read_dir(stream_folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some());
        paths.sort();
        let frames = |path| {
            let bytes = fs::read(path).unwrap();
            let header = SegmentHeader::decode(&bytes).unwrap();
            let mut rest = &bytes[SEGMENT_HEADER_BYTES..];
            let mut frames = Vec::new();
            while let Ok((raw, consumed)) = read_frame(header.stream, rest) {
                rest = &rest[consumed..];
                let text = match raw.parse().unwrap() {
                    Frame::Event(item) => String::from_utf8_lossy(item.body).into_owned(),
                    Frame::Loss { count, .. } => format!("lost {count}"),
                    other => panic!("{other:?}"),
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
    setup.append(b"one").unwrap();
    setup.faults.disk_full.store(true, SeqCst);
    assert!(matches!(setup.append(b"lost"), Err(Error::Write(_))));
    setup.journal.count_loss();
    assert!(matches!(setup.append(b"lost too"), Err(Error::Degraded)), "the next event does not wait again");
    setup.journal.count_loss();
    setup.faults.disk_full.store(false, SeqCst);
    let item = Item { event: EventId::from_bytes([1; 16]), recorded_at: Timestamp::from_micros(0), body: b"two" };
    setup.journal.append(&Frame::Event(item), true, Duration::from_secs(5), true).unwrap();
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
    setup.journal.append(&Frame::Event(item), true, Duration::from_secs(5), true).unwrap();
    let last = setup.segments().pop().unwrap();
    assert_eq!(last, [frame(2, "two"), frame(3, "three")], "what was never synced is repeated where the sync succeeds");
}

#[test]
fn an_event_whose_sync_fails_is_written_once() {
    let setup = setup(Durability::Synced);
    setup.faults.failing_syncs.store(2, SeqCst);
    let item = Item { event: EventId::from_bytes([1; 16]), recorded_at: Timestamp::from_micros(0), body: b"one" };
    assert!(setup.journal.append(&Frame::Event(item), true, Duration::from_millis(20), true).is_err());
    assert_eq!(setup.append(b"two").unwrap_or(2), 2);
    let sequences: std::collections::BTreeMap<_, _> = setup.segments().concat().into_iter().collect();
    assert!(sequences.values().filter(|body| *body == "one").count() == 1, "{sequences:?}");
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
