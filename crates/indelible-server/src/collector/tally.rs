//! What the collector did, by service and kind: counted for `/metrics` and the doctor, and logged at most once a minute of each.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// How often the same is logged at most.
const TELL_INTERVAL: Duration = Duration::from_secs(60);

/// Refusals of one service for one reason, since the agent started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refused {
    /// Empty where the request named none of the configuration's.
    pub(crate) service: String,
    pub(crate) reason: String,
    pub(crate) count: u64,
    /// Since the last one.
    pub(crate) seconds_ago: u64,
}

#[derive(Debug)]
struct Kind {
    count: u64,
    untold: u64,
    last_at: Instant,
    told_at: Option<Instant>,
}

/// Counts of what is done often. The caller bounds it: both names come from short lists.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<BTreeMap<(String, &'static str), Kind>>);

impl Tally {
    /// Counts one. How many there were since this was last logged, where it is time to do so again.
    pub(super) fn note(&self, service: &str, reason: &'static str, now: Instant) -> Option<u64> {
        let mut kinds = self.kinds();
        let kind = kinds.entry((service.to_owned(), reason)).or_insert(Kind { count: 0, untold: 0, last_at: now, told_at: None });
        kind.count += 1;
        kind.untold += 1;
        kind.last_at = now;
        if kind.told_at.is_some_and(|at| now.saturating_duration_since(at) < TELL_INTERVAL) {
            return None;
        }
        kind.told_at = Some(now);
        Some(std::mem::take(&mut kind.untold))
    }

    pub(super) fn refused(&self, now: Instant) -> Vec<Refused> {
        let kinds = self.kinds();
        let refused = kinds.iter().map(|((service, reason), kind)| Refused {
            service: service.clone(),
            reason: (*reason).to_owned(),
            count: kind.count,
            seconds_ago: now.saturating_duration_since(kind.last_at).as_secs(),
        });
        refused.collect()
    }

    fn kinds(&self) -> MutexGuard<'_, BTreeMap<(String, &'static str), Kind>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_of_each_service_is_told_once_a_minute_and_counted_every_time() {
        let (tally, start) = (Tally::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(tally.note("clinic", "token", start), Some(1));
        assert_eq!(tally.note("clinic", "token", after(1)), None);
        assert_eq!(tally.note("clinic", "busy", after(2)), Some(1), "another reason");
        assert_eq!(tally.note("lab", "token", after(3)), Some(1), "another service");
        assert_eq!(tally.note("clinic", "token", after(59)), None);
        assert_eq!(tally.note("clinic", "token", after(60)), Some(3), "as many as were not told of");
        let refused = tally.refused(after(70));
        assert_eq!(refused.iter().map(|refused| refused.count).collect::<Vec<_>>(), [1, 4, 1]);
        let token = Refused { service: "clinic".to_owned(), reason: "token".to_owned(), count: 4, seconds_ago: 10 };
        assert_eq!(refused[1], token);
    }
}
