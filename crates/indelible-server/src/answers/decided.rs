//! What was decided of late, so that an OUTCOME that comes twice is known, and one that says the contrary.

use std::collections::{HashMap, VecDeque};

use indelible_core::{IntentId, Resolution};

/// The most decisions that are remembered.
const DECIDED_MAX: usize = 10_000;

/// The newest decisions of intents with markers. A hint: after a start of the agent it is empty.
#[derive(Debug, Default)]
pub(crate) struct Decided {
    by_intent: HashMap<IntentId, Resolution>,
    order: VecDeque<IntentId>,
}

impl Decided {
    /// What was decided of an intent.
    pub(crate) fn get(&self, intent: IntentId) -> Option<Resolution> {
        self.by_intent.get(&intent).copied()
    }

    /// Remembers the first decision of an intent, and forgets the oldest of too many.
    pub(crate) fn add(&mut self, intent: IntentId, resolution: Resolution) {
        if self.by_intent.contains_key(&intent) {
            return;
        }
        self.by_intent.insert(intent, resolution);
        self.order.push_back(intent);
        if self.order.len() > DECIDED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_intent.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_decision_stays_and_the_oldest_go() {
        let intent = |number: u64| {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&number.to_be_bytes());
            IntentId::from_bytes(id)
        };
        let mut decided = Decided::default();
        for number in 0..=DECIDED_MAX as u64 {
            decided.add(intent(number), Resolution::Committed);
            decided.add(intent(number), Resolution::RolledBack);
        }
        assert_eq!([decided.get(intent(0)), decided.get(intent(1))], [None, Some(Resolution::Committed)]);
        assert_eq!(decided.order.len(), DECIDED_MAX);
    }
}
