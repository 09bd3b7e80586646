//! What was told already: the last identifiers that were made of what happened, shared by all processes of a service.
//!
//! One file of fixed size in the service's folder: buckets of eight identifiers, found by the last bytes of an identifier, the oldest
//! of a bucket first. It is a hint: whoever deletes it lets an event be recorded a second time, under the same identifier.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use indelible_core::EventId;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::recorder::Recorded;

const ID_BYTES: usize = 16;
const BUCKET_BYTES: usize = 8 * ID_BYTES;
/// With eight identifiers each: 512 KiB.
const BUCKETS: u64 = 4096;
/// How long another process may hold the file. Recording takes microseconds; more means that it was stopped in between.
const PATIENCE: Duration = Duration::from_millis(50);
const PAUSE: Duration = Duration::from_millis(1);

/// Calls `record` unless `id` was told before, and remembers it unless the event was lost. Only an event that is certainly in the journal
/// keeps a second one out; a fault of the file keeps out none.
pub(crate) fn once(folder: &Path, id: EventId, record: impl FnOnce() -> Recorded) -> Option<Recorded> {
    let Ok(file) = open_locked(folder).map(Locked) else { return Some(record()) };
    let Locked(file) = &file;
    let Ok(mut bucket) = read_bucket(file, id) else { return Some(record()) };
    if bucket.chunks_exact(ID_BYTES).any(|known| known == id.as_bytes()) {
        return None;
    }
    let recorded = record();
    if recorded != Recorded::Lost {
        bucket.copy_within(ID_BYTES.., 0);
        bucket[BUCKET_BYTES - ID_BYTES..].copy_from_slice(id.as_bytes());
        // Without it the event may be recorded again, under the same identifier.
        failpoint!("told.before_write");
        let _ = file.write_all_at(&bucket, place(id));
        failpoint!("told.after_write");
    }
    Some(recorded)
}

/// The file while nobody else uses it.
///
/// Unlocked, and not only closed: a child that was forked meanwhile has the file open as well, and would keep the lock for its life.
struct Locked(File);

impl Drop for Locked {
    fn drop(&mut self) {
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

/// Opens the file, alone. A file of its own for each call, so that threads and forked children exclude each other too.
fn open_locked(folder: &Path) -> io::Result<File> {
    failpoint!("told.before_open");
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(folder.join("told"))?;
    failpoint!("told.after_open");
    let deadline = Instant::now() + PATIENCE;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK | Errno::INTR) if Instant::now() < deadline => thread::sleep(PAUSE),
            result => return result.map(|()| file).map_err(Into::into),
        }
    }
}

fn read_bucket(file: &File, id: EventId) -> io::Result<[u8; BUCKET_BYTES]> {
    let mut bucket = [0; BUCKET_BYTES];
    match file.read_exact_at(&mut bucket, place(id)) {
        // The file grows as it is used; what it does not reach yet is empty.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok([0; BUCKET_BYTES]),
        result => result.map(|()| bucket),
    }
}

fn place(id: EventId) -> u64 {
    let [.., high, low] = *id.as_bytes();
    u64::from(u16::from_be_bytes([high, low])) % BUCKETS * BUCKET_BYTES as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> EventId {
        let mut bytes = [7; ID_BYTES];
        bytes[0] = number;
        EventId::from_bytes(bytes)
    }

    #[test]
    fn what_was_told_is_not_told_again_and_what_was_lost_is() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(once(folder.path(), id(1), || Recorded::Lost), Some(Recorded::Lost));
        assert_eq!(once(folder.path(), id(1), || Recorded::Held), Some(Recorded::Held));
        assert_eq!(once(folder.path(), id(1), || unreachable!("it was told")), None);
        assert_eq!(once(folder.path(), id(2), || Recorded::Held), Some(Recorded::Held));
    }

    #[test]
    fn a_bucket_forgets_its_oldest_and_stays_as_large_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        for number in 1..=9 {
            assert_eq!(once(folder.path(), id(number), || Recorded::Held), Some(Recorded::Held));
        }
        assert_eq!(once(folder.path(), id(2), || unreachable!("it is among the last eight")), None);
        assert_eq!(once(folder.path(), id(1), || Recorded::Held), Some(Recorded::Held));
        assert!(folder.path().join("told").metadata().unwrap().len() <= BUCKETS * BUCKET_BYTES as u64);
    }

    #[test]
    fn a_file_that_cannot_be_used_keeps_no_event_out() {
        let folder = tempfile::tempdir().unwrap();
        let held = open_locked(folder.path()).unwrap();
        assert_eq!(once(folder.path(), id(1), || Recorded::Held), Some(Recorded::Held));
        drop(held);
        assert_eq!(once(&folder.path().join("missing"), id(1), || Recorded::Held), Some(Recorded::Held));
    }
}
