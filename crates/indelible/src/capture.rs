//! Events of a process that records nowhere: kept in memory, so that a test of the application can look at them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What has become of a captured event until now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Its transaction is open; nobody knows whether it will be committed.
    Pending,
    /// It waits for nothing: it would be in the trail.
    Recorded,
    /// Its transaction was committed.
    Committed,
    /// Its transaction was rolled back, or its statement did nothing: it would not be in the trail.
    RolledBack,
    /// Its COMMIT was not answered.
    InDoubt,
}

impl Fate {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Recorded => "recorded",
            Self::Committed => "committed",
            Self::RolledBack => "rolled_back",
            Self::InDoubt => "in_doubt",
        }
    }
}

/// One event as it would have been written, and what has become of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// Its place among all events of this capture, from 0.
    pub number: u64,
    /// What has become of it until now.
    pub fate: Fate,
    /// The body: docs/format.md, "Body".
    pub body: String,
}

/// The last events of a process whose recorder was opened with it ([`crate::Config::capture`]); nothing of them reaches a file.
///
/// Clones share the events; any thread may ask. Beyond the bounds the oldest are dropped, and counted. A forked child captures
/// nothing: its memory is its own, and nobody would look at it.
#[derive(Debug, Clone)]
pub struct Capture {
    process: u32,
    events_max: usize,
    bytes_max: usize,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Number of the first of `events`.
    first: u64,
    bytes: usize,
    events: VecDeque<Captured>,
}

impl Capture {
    /// Keeps at most `events_max` events with `bytes_max` bytes of bodies; with 0 nothing at all.
    #[must_use]
    pub fn new(events_max: usize, bytes_max: usize) -> Self {
        Self { process: std::process::id(), events_max, bytes_max, kept: Arc::default() }
    }

    /// Most events that are kept.
    #[must_use]
    pub fn events_max(&self) -> usize {
        self.events_max
    }

    /// The number that the next event will have.
    #[must_use]
    pub fn mark(&self) -> u64 {
        self.kept().map_or(0, |kept| kept.next())
    }

    /// Events from this number on, in the order in which they were recorded or held; the oldest may have been dropped.
    #[must_use]
    pub fn since(&self, number: u64) -> Vec<Captured> {
        self.kept().map_or_else(Vec::new, |kept| kept.events.iter().skip(kept.place(number)).cloned().collect())
    }

    /// How many events from this number on have been dropped.
    #[must_use]
    pub fn dropped(&self, number: u64) -> u64 {
        self.kept().map_or(0, |kept| kept.first.saturating_sub(number))
    }

    /// Forgets all events before this number.
    pub fn forget_before(&self, number: u64) {
        if let Some(mut kept) = self.kept() {
            while kept.first < number && kept.drop_oldest() {}
        }
    }

    /// Keeps an event and returns its number.
    pub(crate) fn keep(&self, fate: Fate, body: String) -> u64 {
        let Some(mut kept) = self.kept() else { return 0 };
        let number = kept.next();
        kept.bytes += body.len();
        kept.events.push_back(Captured { number, fate, body });
        while (kept.events.len() > self.events_max || kept.bytes > self.bytes_max) && kept.drop_oldest() {}
        number
    }

    /// Says what has become of these events.
    pub(crate) fn settle(&self, numbers: &[u64], fate: Fate) {
        if let Some(mut kept) = self.kept() {
            for &number in numbers {
                if let Some(event) = kept.find(number) {
                    event.fate = fate;
                }
            }
        }
    }

    /// Replaces what was announced by what it has become.
    pub(crate) fn replace(&self, number: u64, body: String) {
        if let Some(mut kept) = self.kept()
            && let Some(event) = kept.find(number)
        {
            let before = std::mem::replace(&mut event.body, body).len();
            let after = event.body.len();
            kept.bytes = kept.bytes - before + after;
        }
    }

    /// `None` in a forked child, where another thread of the parent may have held the lock at the fork.
    fn kept(&self) -> Option<MutexGuard<'_, Kept>> {
        // Every change of it is one that cannot panic half-way.
        (self.process == std::process::id()).then(|| self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Kept {
    fn next(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    fn place(&self, number: u64) -> usize {
        usize::try_from(number.saturating_sub(self.first)).unwrap_or(usize::MAX)
    }

    fn find(&mut self, number: u64) -> Option<&mut Captured> {
        let place = (number >= self.first).then(|| self.place(number))?;
        self.events.get_mut(place)
    }

    fn drop_oldest(&mut self) -> bool {
        let Some(oldest) = self.events.pop_front() else { return false };
        self.first += 1;
        self.bytes -= oldest.body.len();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_beyond_the_bounds_and_are_counted() {
        let capture = Capture::new(2, 100);
        for body in ["a", "b", "c"] {
            capture.keep(Fate::Recorded, body.to_owned());
        }
        let bodies: Vec<_> = capture.since(0).into_iter().map(|event| (event.number, event.body)).collect();
        assert_eq!(bodies, [(1, "b".to_owned()), (2, "c".to_owned())]);
        assert_eq!((capture.dropped(0), capture.dropped(1), capture.mark()), (1, 0, 3));
        capture.keep(Fate::Recorded, "x".repeat(99));
        assert_eq!(capture.since(0).len(), 2, "c and the long one are 100 bytes");
        capture.replace(3, "y".repeat(100));
        capture.keep(Fate::Recorded, String::new());
        assert_eq!(capture.dropped(0), 3, "a replaced body counts with its new length");
    }

    #[test]
    fn a_dropped_event_is_settled_without_harm_and_no_other_in_its_place() {
        let capture = Capture::new(1, 100);
        let dropped = capture.keep(Fate::Pending, "a".to_owned());
        let kept = capture.keep(Fate::Pending, "b".to_owned());
        capture.settle(&[dropped], Fate::Committed);
        assert_eq!(capture.since(0)[0].fate, Fate::Pending);
        capture.settle(&[kept], Fate::RolledBack);
        assert_eq!(capture.since(kept)[0].fate, Fate::RolledBack);
        capture.forget_before(capture.mark());
        assert_eq!((capture.since(0), capture.mark()), (Vec::new(), 2));
    }
}
