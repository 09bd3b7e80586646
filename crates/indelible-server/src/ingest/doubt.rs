//! How long an intent may wait for its outcome.

use indelible_core::{Evidence, Timestamp};

use crate::trail::Unresolved;

/// When waiting ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// After the end of a process, for evidence `ack`; milliseconds. With `outbox` there is nothing to wait for.
    pub stream_dead_ms: i64,
    /// After the end of a process, for evidence `marker`, which a resolver can look up; milliseconds.
    pub stream_dead_marker_ms: i64,
    /// After an intent was ingested, whatever its process does; milliseconds.
    pub transaction_deadline_ms: i64,
    /// How long an outcome waits for its intent; milliseconds.
    pub orphan_ms: i64,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { stream_dead_ms: 2_000, stream_dead_marker_ms: 60_000, transaction_deadline_ms: 60_000, orphan_ms: 24 * 3_600_000 }
    }
}

impl Deadlines {
    /// Whether an intent has waited long enough. `dead_since`: when its stream was first seen dead and read to its end.
    pub(crate) fn is_overdue(&self, intent: &Unresolved, dead_since: Option<Timestamp>, now: Timestamp) -> bool {
        let dead_ms = match intent.evidence {
            Evidence::Ack => self.stream_dead_ms,
            Evidence::Marker => self.stream_dead_marker_ms,
            Evidence::Outbox => 0,
        };
        let passed = |since: Timestamp, ms: i64| now.micros().saturating_sub(since.micros()) >= ms.saturating_mul(1000);
        passed(intent.ingested_at, self.transaction_deadline_ms) || dead_since.is_some_and(|since| passed(since, dead_ms))
    }

    /// Outcomes that were ingested before this moment have waited in vain.
    pub(crate) fn orphans_before(&self, now: Timestamp) -> Timestamp {
        Timestamp::from_micros(now.micros().saturating_sub(self.orphan_ms.saturating_mul(1000)))
    }
}

#[cfg(test)]
mod tests {
    use indelible_core::{IntentId, StreamId};

    use super::*;

    fn intent(evidence: Evidence) -> Unresolved {
        let (intent, stream) = (IntentId::from_bytes([1; 16]), StreamId::from_bytes([2; 16]));
        Unresolved { intent, stream, ingested_at: Timestamp::from_micros(0), evidence }
    }

    #[test]
    fn an_intent_waits_two_seconds_for_a_dead_process_sixty_with_a_marker_none_with_an_outbox_and_sixty_at_most() {
        let deadlines = Deadlines::default();
        let at = |ms: i64| Timestamp::from_micros(ms * 1000);
        for (evidence, dead_since, now, overdue) in [
            (Evidence::Ack, None, 59_999, false),
            (Evidence::Ack, None, 60_000, true),
            (Evidence::Ack, Some(1_000), 2_999, false),
            (Evidence::Ack, Some(1_000), 3_000, true),
            (Evidence::Marker, Some(1_000), 3_000, false),
            (Evidence::Marker, Some(0), 60_000, true),
            (Evidence::Outbox, None, 59_999, false),
            (Evidence::Outbox, Some(1_000), 1_000, true),
        ] {
            let dead_since = dead_since.map(at);
            assert_eq!(deadlines.is_overdue(&intent(evidence), dead_since, at(now)), overdue, "{evidence:?} {dead_since:?} {now}");
        }
    }
}
