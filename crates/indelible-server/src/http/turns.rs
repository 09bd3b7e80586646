//! Turns of those who post rows: how many bodies are in memory, and that nobody who sends slowly keeps another service from its turn.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::collector::STREAMS_PER_SERVICE;

/// Longest body that has a turn of its own service alone, in bytes: twice as many as a drainer sends at once where no single row is longer.
const SMALL_BYTES_MAX: u64 = 1 << 20;
/// Small bodies of one service that are read at the same time. Of all services there are as many as connections.
const SMALL_AT_ONCE: usize = 4;
/// Large bodies of all services that are read at the same time; of one service one.
const LARGE_AT_ONCE: usize = 2;

/// The turns of all services that may post.
#[derive(Debug)]
pub(super) struct Turns {
    of: HashMap<String, Own>,
    large: Arc<Semaphore>,
}

/// Those of one service.
#[derive(Debug)]
struct Own {
    /// Requests that are read, written, or wait for that.
    under_way: Arc<Semaphore>,
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

/// A turn, for as long as it is held.
#[derive(Debug)]
pub(super) struct Turn {
    _permits: Vec<OwnedSemaphorePermit>,
}

impl Turns {
    pub(super) fn new(services: &BTreeSet<&str>) -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        let own = || Own { under_way: semaphore(STREAMS_PER_SERVICE), small: semaphore(SMALL_AT_ONCE), large: semaphore(1) };
        Self { of: services.iter().map(|service| ((*service).to_owned(), own())).collect(), large: semaphore(LARGE_AT_ONCE) }
    }

    /// Waits for a turn to read a body of `length` bytes, which is not known where the request does not say it. `None`: as many requests of the
    /// service as it may have are under way.
    pub(super) async fn turn(&self, service: &str, length: Option<u64>) -> Option<Turn> {
        let own = self.of.get(service)?;
        let mut permits = vec![Arc::clone(&own.under_way).try_acquire_owned().ok()?];
        let is_small = length.is_some_and(|length| length <= SMALL_BYTES_MAX);
        // That of its service first: whoever waits there waits for nobody else, and keeps no turn from others.
        let waited_for = if is_small { vec![&own.small] } else { vec![&own.large, &self.large] };
        for semaphore in waited_for {
            permits.push(Arc::clone(semaphore).acquire_owned().await.ok()?);
        }
        Some(Turn { _permits: permits })
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::task::{Context, Poll, Waker};

    use super::*;

    const LARGE: Option<u64> = None;
    const SMALL: Option<u64> = Some(SMALL_BYTES_MAX);

    /// What comes at once.
    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    #[test]
    fn who_sends_slowly_keeps_no_other_service_waiting() {
        let turns = Turns::new(&BTreeSet::from(["clinic", "lab", "web"]));
        let small: Vec<_> = (0..SMALL_AT_ONCE).map(|_| now(turns.turn("clinic", SMALL)).flatten().unwrap()).collect();
        assert!(now(turns.turn("clinic", SMALL)).is_none(), "it waits for its own");
        let large = now(turns.turn("clinic", LARGE)).flatten().unwrap();
        assert!(now(turns.turn("clinic", Some(SMALL_BYTES_MAX + 1))).is_none());
        let other = now(turns.turn("lab", LARGE)).flatten().unwrap();
        assert!(now(turns.turn("web", LARGE)).is_none(), "two of these are in memory");
        assert!(now(turns.turn("web", SMALL)).flatten().is_some());
        drop((large, small));
        assert!(now(turns.turn("web", LARGE)).flatten().is_some());
        assert!(now(turns.turn("clinic", SMALL)).flatten().is_some());
        drop(other);
    }

    #[test]
    fn requests_of_a_service_that_are_under_way_have_a_bound() {
        let turns = Turns::new(&BTreeSet::from(["clinic", "lab"]));
        let mut waiting: Vec<_> = (0..STREAMS_PER_SERVICE).map(|_| Box::pin(turns.turn("clinic", SMALL))).collect();
        let mut held: Vec<_> = waiting.iter_mut().map(|turn| turn.as_mut().poll(&mut Context::from_waker(Waker::noop()))).collect();
        assert!(now(turns.turn("clinic", SMALL)).unwrap().is_none(), "it is told at once");
        assert!(now(turns.turn("lab", SMALL)).flatten().is_some());
        assert!(now(turns.turn("of nobody", SMALL)).unwrap().is_none());
        held.clear();
        drop(waiting);
        assert!(now(turns.turn("clinic", SMALL)).flatten().is_some());
    }
}
