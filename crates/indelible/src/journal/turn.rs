//! A lock that nobody waits for longer than he wants to: who holds it may be in a system call that does not come back.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use crate::error::Error;

/// The lock is held for about a microsecond: it is free again before a thread could be put to sleep.
const SPINS: usize = 100;
/// A waiter that was not woken looks again after this time.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A value that one thread has at a time.
pub(super) struct Turn<T> {
    value: Mutex<T>,
    waiters: AtomicUsize,
    gate: Mutex<()>,
    freed: Condvar,
}

/// The value, for as long as this lives. Fields are dropped in this order: the lock is free when the next one is woken.
pub(super) struct Taken<'a, T> {
    value: MutexGuard<'a, T>,
    _wakes: Wakes<'a>,
}

struct Wakes<'a> {
    waiters: &'a AtomicUsize,
    gate: &'a Mutex<()>,
    freed: &'a Condvar,
}

impl<T> Turn<T> {
    pub(super) fn new(value: T) -> Self {
        Self { value: Mutex::new(value), waiters: AtomicUsize::new(0), gate: Mutex::new(()), freed: Condvar::new() }
    }

    /// Takes the value when it is free, waiting up to `patience`.
    ///
    /// # Errors
    /// - [`Error::Busy`]: another thread has it all the time.
    /// - [`Error::Poisoned`]: a thread panicked while it had it.
    pub(super) fn take(&self, patience: Duration) -> Result<Taken<'_, T>, Error> {
        match self.try_take()? {
            Some(taken) => Ok(taken),
            None => self.wait(patience),
        }
    }

    fn try_take(&self) -> Result<Option<Taken<'_, T>>, Error> {
        match self.value.try_lock() {
            Ok(value) => Ok(Some(Taken { value, _wakes: Wakes { waiters: &self.waiters, gate: &self.gate, freed: &self.freed } })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Poisoned(_)) => Err(Error::Poisoned),
        }
    }

    #[cold]
    fn wait(&self, patience: Duration) -> Result<Taken<'_, T>, Error> {
        for _ in 0..SPINS {
            std::hint::spin_loop();
            if let Some(taken) = self.try_take()? {
                return Ok(taken);
            }
        }
        self.waiters.fetch_add(1, Ordering::SeqCst);
        let taken = self.sleep(patience);
        self.waiters.fetch_sub(1, Ordering::SeqCst);
        taken
    }

    fn sleep(&self, patience: Duration) -> Result<Taken<'_, T>, Error> {
        let deadline = Instant::now() + patience;
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(taken) = self.try_take()? {
                return Ok(taken);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::Busy(patience.as_millis()));
            }
            gate = self.freed.wait_timeout(gate, left.min(LOOK_AGAIN)).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Wakes<'_> {
    fn drop(&mut self) {
        if self.waiters.load(Ordering::SeqCst) > 0 {
            // Who has the gate has not gone to sleep yet, or has seen that the lock is free.
            drop(self.gate.lock().unwrap_or_else(PoisonError::into_inner));
            self.freed.notify_one();
        }
    }
}

impl<T> Deref for Taken<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Taken<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn nobody_waits_longer_than_he_wants_to_and_who_does_gets_it() {
        let turn = Turn::new(1);
        let taken = turn.take(Duration::ZERO).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| assert!(matches!(turn.take(Duration::from_millis(20)), Err(Error::Busy(20))))).join().unwrap();
            let waiting = scope.spawn(|| *turn.take(Duration::from_secs(60)).unwrap());
            drop(taken);
            assert_eq!(waiting.join().unwrap(), 1);
        });
    }

    #[test]
    fn one_has_it_at_a_time() {
        let turn = Turn::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..2_000).for_each(|_| *turn.take(Duration::from_secs(60)).unwrap() += 1));
            }
        });
        assert_eq!(*turn.take(Duration::ZERO).unwrap(), 16_000);
    }
}
