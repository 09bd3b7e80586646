//! Time and identifiers, taken from the system.

use std::cell::RefCell;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use indelible_core::{EventId, IntentId, StreamId, Timestamp};

const POOL_BYTES: usize = 640;
const DRAW_BYTES: usize = 10;

/// The time as the journal asks for it, so that a test can turn it.
pub(crate) trait Clock: Send + Sync {
    /// The current time, which may be turned back.
    fn now(&self) -> Timestamp;
    /// A time that only goes forward, for deadlines.
    fn instant(&self) -> Instant;
    /// Lets time pass.
    fn sleep(&self, time: Duration);
}

/// The operating system's clock.
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        now()
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// The current time.
pub(crate) fn now() -> Timestamp {
    let micros = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros),
    };
    Timestamp::from_micros(micros)
}

fn unix_ms(at: Timestamp) -> u64 {
    u64::try_from(at.micros() / 1000).unwrap_or(0)
}

pub(crate) fn event_id(at: Timestamp) -> EventId {
    EventId::from_parts(unix_ms(at), draw())
}

pub(crate) fn intent_id(at: Timestamp) -> IntentId {
    IntentId::from_parts(unix_ms(at), draw())
}

pub(crate) fn stream_id(at: Timestamp) -> StreamId {
    StreamId::from_parts(unix_ms(at), draw())
}

/// Random bytes fetched in advance, since a system call for each event costs more than the rest of its identifier.
struct Pool {
    process: u32,
    used: usize,
    bytes: [u8; POOL_BYTES],
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { process: 0, used: POOL_BYTES, bytes: [0; POOL_BYTES] }) };
}

fn draw() -> [u8; DRAW_BYTES] {
    POOL.with_borrow_mut(|pool| {
        let process = std::process::id();
        // A forked child inherits its parent's pool and must not draw the same identifiers from it.
        if pool.used + DRAW_BYTES > POOL_BYTES || pool.process != process {
            getrandom::fill(&mut pool.bytes).expect("the operating system has a source of randomness");
            pool.process = process;
            pool.used = 0;
        }
        let mut drawn = [0; DRAW_BYTES];
        drawn.copy_from_slice(&pool.bytes[pool.used..pool.used + DRAW_BYTES]);
        pool.used += DRAW_BYTES;
        drawn
    })
}
