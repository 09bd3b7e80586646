//! What could not be written and is not forgotten: losses that were counted, and OUTCOMEs of intents that stand in the journal.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use indelible_core::{FRAME_HEADER_BYTES, Frame, OUTCOME_KIND, StreamId, Timestamp, encode_frame};

/// The most OUTCOMEs that are kept, and their bytes. What is more stays unknown: in doubt, or asked of its marker when this process ends.
const OUTCOMES_MAX: usize = 1_000;
const OUTCOME_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Events that could not be recorded since the last one that could.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Loss {
    pub(super) count: u64,
    pub(super) first_at: Timestamp,
    pub(super) last_at: Timestamp,
}

impl Loss {
    pub(super) fn frame(&self) -> Frame<'static> {
        Frame::Loss { count: self.count, first_at: self.first_at, last_at: self.last_at }
    }
}

/// The payload of an OUTCOME, which any stream may hold.
pub(super) struct KeptOutcome(Vec<u8>);

impl KeptOutcome {
    fn of(frame: &Frame<'_>) -> Self {
        let mut bytes = Vec::new();
        encode_frame(StreamId::from_bytes([0; 16]), 1, frame, &mut bytes);
        Self(bytes.split_off(FRAME_HEADER_BYTES))
    }

    pub(super) fn frame(&self) -> Frame<'_> {
        Frame::parse(OUTCOME_KIND, &self.0).expect("it is the payload of an OUTCOME that was encoded here")
    }
}

#[derive(Default)]
struct State {
    loss: Option<Loss>,
    outcomes: VecDeque<KeptOutcome>,
    outcome_bytes: usize,
}

/// What the next frame that can be written is preceded by. Its lock is held for moments only: never while something is written.
#[derive(Default)]
pub(super) struct Waiting {
    is_any: AtomicBool,
    state: Mutex<State>,
}

impl Waiting {
    /// Whether there is anything. All that a healthy journal asks.
    pub(super) fn is_any(&self) -> bool {
        self.is_any.load(Ordering::Acquire)
    }

    /// Counts events that could not be recorded.
    pub(super) fn count_losses(&self, count: u64, at: Timestamp) {
        if count == 0 {
            return;
        }
        let mut state = self.state();
        let loss = state.loss.get_or_insert(Loss { count: 0, first_at: at, last_at: at });
        loss.count = loss.count.saturating_add(count);
        loss.last_at = at;
        self.is_any.store(true, Ordering::Release);
    }

    /// Keeps an OUTCOME, unless there are too many.
    pub(super) fn keep_outcome(&self, frame: &Frame<'_>) {
        let outcome = KeptOutcome::of(frame);
        let mut state = self.state();
        if state.outcomes.len() < OUTCOMES_MAX && state.outcome_bytes + outcome.0.len() <= OUTCOME_BYTES_MAX {
            state.outcome_bytes += outcome.0.len();
            state.outcomes.push_back(outcome);
            self.is_any.store(true, Ordering::Release);
        }
    }

    /// Takes the oldest OUTCOME out, to be written or given back.
    pub(super) fn take_outcome(&self) -> Option<KeptOutcome> {
        let mut state = self.state();
        let outcome = state.outcomes.pop_front()?;
        state.outcome_bytes -= outcome.0.len();
        self.note(&state);
        Some(outcome)
    }

    /// Puts an OUTCOME that could not be written where it was.
    pub(super) fn give_back(&self, outcome: KeptOutcome) {
        let mut state = self.state();
        state.outcome_bytes += outcome.0.len();
        state.outcomes.push_front(outcome);
        self.is_any.store(true, Ordering::Release);
    }

    /// What was lost and no LOSS frame tells of yet.
    pub(super) fn loss(&self) -> Option<Loss> {
        self.state().loss
    }

    /// A LOSS frame told of this; what was counted meanwhile is left.
    pub(super) fn told(&self, told: &Loss) {
        let mut state = self.state();
        state.loss = state.loss.and_then(|loss| {
            let count = loss.count.saturating_sub(told.count);
            (count > 0).then_some(Loss { count, first_at: told.last_at, last_at: loss.last_at })
        });
        self.note(&state);
    }

    fn note(&self, state: &State) {
        self.is_any.store(state.loss.is_some() || !state.outcomes.is_empty(), Ordering::Release);
    }

    /// Nothing in here can fail half-way, so what a panic elsewhere left is whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use indelible_core::{Evidence, IntentId, Resolution};

    use super::*;

    fn outcome(number: u8) -> Frame<'static> {
        let intent = IntentId::from_bytes([number; 16]);
        Frame::Outcome { intent, resolution: Resolution::Committed, by: Evidence::Ack, items: Vec::new() }
    }

    #[test]
    fn outcomes_are_kept_in_their_order_and_no_more_than_so_many() {
        let waiting = Waiting::default();
        (0..=OUTCOMES_MAX).for_each(|number| waiting.keep_outcome(&outcome(number as u8)));
        let first = waiting.take_outcome().unwrap();
        assert_eq!(first.frame(), outcome(0));
        waiting.give_back(first);
        let taken = std::iter::from_fn(|| waiting.take_outcome()).count();
        assert_eq!((taken, waiting.is_any()), (OUTCOMES_MAX, false));
        assert_eq!(waiting.state().outcome_bytes, 0);
    }

    #[test]
    fn losses_that_are_counted_while_others_are_told_are_left() {
        let waiting = Waiting::default();
        let at = Timestamp::from_micros;
        waiting.count_losses(2, at(1));
        let told = waiting.loss().unwrap();
        waiting.count_losses(3, at(5));
        waiting.told(&told);
        assert_eq!(waiting.loss(), Some(Loss { count: 3, first_at: at(1), last_at: at(5) }));
        waiting.told(&waiting.loss().unwrap());
        assert_eq!((waiting.loss(), waiting.is_any()), (None, false));
    }
}
