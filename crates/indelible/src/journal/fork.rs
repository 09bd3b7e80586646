//! No fork at a moment at which another thread opens or closes what a child must not keep.
//!
//! A child closes its copy of the stream's lock, which it finds in the journal. A lock that a thread of the parent had opened and not yet
//! put there would stay open in the child for as long as it lives, and its parent would look alive for as long.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a fork waits for others, and others for a fork: opening a stream takes milliseconds, forking as well.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Default)]
struct State {
    inside: usize,
    forks: usize,
}

/// Lets forks and sections exclude each other, in the threads of one process.
#[derive(Default)]
pub(super) struct ForkGate {
    state: Mutex<State>,
    changed: Condvar,
}

/// A part of the code that no fork may fall into; ends with its drop.
pub(super) struct Section<'a>(&'a ForkGate);

impl ForkGate {
    /// Begins a section, after the forks that are under way.
    pub(super) fn enter(&self) -> Section<'_> {
        let mut state = self.wait_while(self.state(), |state| state.forks > 0);
        state.inside += 1;
        Section(self)
    }

    /// Waits until no section is under way, and lets none begin until [`ForkGate::after_fork`].
    pub(super) fn before_fork(&self) {
        let mut state = self.state();
        state.forks += 1;
        drop(self.wait_while(state, |state| state.inside > 0));
    }

    /// Ends what [`ForkGate::before_fork`] began, in the parent. A child has a gate of its own.
    pub(super) fn after_fork(&self) {
        let mut state = self.state();
        state.forks = state.forks.saturating_sub(1);
        drop(state);
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while<'a>(&self, state: MutexGuard<'a, State>, condition: impl FnMut(&mut State) -> bool) -> MutexGuard<'a, State> {
        self.changed.wait_timeout_while(state, PATIENCE, condition).unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        self.0.state().inside -= 1;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{RecvTimeoutError, channel};
    use std::thread;

    use super::*;

    #[test]
    fn a_fork_waits_for_the_section_and_the_next_section_for_the_fork() {
        let gate = Arc::new(ForkGate::default());
        let section = gate.enter();
        let (forked, forks) = channel();
        let forking = thread::spawn({
            let gate = Arc::clone(&gate);
            move || {
                gate.before_fork();
                forked.send(()).unwrap();
            }
        });
        assert_eq!(forks.recv_timeout(Duration::from_millis(50)), Err(RecvTimeoutError::Timeout));
        drop(section);
        forks.recv().unwrap();
        forking.join().unwrap();
        let (entered, enters) = channel();
        let entering = thread::spawn({
            let gate = Arc::clone(&gate);
            move || {
                drop(gate.enter());
                entered.send(()).unwrap();
            }
        });
        assert_eq!(enters.recv_timeout(Duration::from_millis(50)), Err(RecvTimeoutError::Timeout));
        gate.after_fork();
        enters.recv().unwrap();
        entering.join().unwrap();
    }

    #[test]
    fn nobody_waits_for_ever() {
        let gate = ForkGate::default();
        let section = gate.enter();
        gate.before_fork();
        drop(gate.enter());
        drop(section);
        gate.after_fork();
        drop(gate.enter());
    }
}
