//! What one batch brought, for metrics.

use indelible_core::Timestamp;

/// Counted while a batch is applied; of no consequence when the batch is dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Records that were made, the agent's own included.
    pub(crate) records: u64,
    /// Intents that got leaves in doubt.
    pub(crate) in_doubt: u64,
    /// Gaps in sequences.
    pub(crate) gaps: u64,
    /// Events that applications counted as lost.
    pub(crate) lost: u64,
    /// Corrupt records that were put into quarantine.
    pub(crate) corrupt: u64,
    /// Segments that ended in a half-written frame.
    pub(crate) torn: u64,
    /// The longest time from recording to ingesting, in microseconds.
    pub(crate) lag: i64,
}

impl Counts {
    /// Counts one event of an application.
    pub(crate) fn see_event(&mut self, recorded_at: Timestamp, now: Timestamp) {
        self.records += 1;
        self.lag = self.lag.max(now.micros().saturating_sub(recorded_at.micros()));
    }
}
