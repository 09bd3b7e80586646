//! What the agent tells Prometheus.

use std::sync::atomic::AtomicU64;

use indelible_core::Timestamp;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::ingest::Step;
use crate::sink::SinkMetrics;
use crate::trail::seal::Sealed;

type Seconds = Gauge<f64, AtomicU64>;

/// The agent's metrics, shared by the thread that ingests and the one that answers.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    records: Counter,
    signed: Gauge,
    pending: Gauge,
    pending_age: Seconds,
    unanswered: Gauge,
    unanswered_age: Seconds,
    in_doubt: Counter,
    gaps: Counter,
    lost: Counter,
    corrupt: Counter,
    torn: Counter,
    lag: Seconds,
    streams: Gauge,
    segments: Gauge,
    checkpoint_time: Seconds,
    errors: Counter,
    sinks: SinkMetrics,
    unsealed: Gauge,
    sealed: Counter,
    sealed_leaves: Counter,
    sealed_bytes: Counter,
    seal_errors: Counter,
}

impl Metrics {
    /// Metrics that all stand at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("indelible");
        let mut metrics = Self {
            sinks: SinkMetrics::register(&mut registry),
            registry,
            records: Counter::default(),
            signed: Gauge::default(),
            pending: Gauge::default(),
            pending_age: Seconds::default(),
            unanswered: Gauge::default(),
            unanswered_age: Seconds::default(),
            in_doubt: Counter::default(),
            gaps: Counter::default(),
            lost: Counter::default(),
            corrupt: Counter::default(),
            torn: Counter::default(),
            lag: Seconds::default(),
            streams: Gauge::default(),
            segments: Gauge::default(),
            checkpoint_time: Seconds::default(),
            errors: Counter::default(),
            unsealed: Gauge::default(),
            sealed: Counter::default(),
            sealed_leaves: Counter::default(),
            sealed_bytes: Counter::default(),
            seal_errors: Counter::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("records", "Records ingested since the agent started", metrics.records.clone());
        registry.register("tree_size", "Records under the newest checkpoint", metrics.signed.clone());
        registry.register("pending_intents", "Intents without outcome and without leaves", metrics.pending.clone());
        registry.register("pending_intent_age_seconds", "Age of the oldest of them", metrics.pending_age.clone());
        registry.register(
            "unanswered_intents",
            "Intents with a marker that are in doubt and could be answered",
            metrics.unanswered.clone(),
        );
        registry.register("unanswered_intent_age_seconds", "Age of the oldest of them", metrics.unanswered_age.clone());
        registry.register("in_doubt_intents", "Intents that got leaves in doubt", metrics.in_doubt.clone());
        registry.register("gaps", "Gaps in the sequences of journals", metrics.gaps.clone());
        registry.register("lost_events", "Events that applications counted as lost", metrics.lost.clone());
        registry.register("corrupt_records", "Corrupt journal records in quarantine", metrics.corrupt.clone());
        registry.register("torn_tails", "Journal segments that ended in a half-written frame", metrics.torn.clone());
        registry.register("ingest_lag_seconds", "Longest time from recording to ingesting in the newest batch", metrics.lag.clone());
        registry.register("live_streams", "Recording processes that are alive", metrics.streams.clone());
        registry.register("journal_segments", "Journal segments on disk", metrics.segments.clone());
        registry.register(
            "checkpoint_timestamp_seconds",
            "When the newest checkpoint was signed, Unix time",
            metrics.checkpoint_time.clone(),
        );
        registry.register("ingest_errors", "Failures to ingest that were tried again", metrics.errors.clone());
        registry.register("unsealed_files", "Closed files of the trail that wait to be sealed", metrics.unsealed.clone());
        registry.register("sealed_files", "Files of the trail sealed since the agent started", metrics.sealed.clone());
        registry.register("sealed_records", "Records in them", metrics.sealed_leaves.clone());
        registry.register("sealed_bytes", "Bytes of them", metrics.sealed_bytes.clone());
        registry.register("seal_errors", "Failures to seal that were tried again", metrics.seal_errors.clone());
        metrics
    }

    /// Takes over what one step of ingesting did.
    pub(crate) fn observe(&self, step: &Step, now: Timestamp) {
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let seconds = |micros: i64| micros as f64 / 1e6;
        if step.worked {
            self.records.inc_by(step.counts.records);
            self.in_doubt.inc_by(step.counts.in_doubt);
            self.gaps.inc_by(step.counts.gaps);
            self.lost.inc_by(step.counts.lost);
            self.corrupt.inc_by(step.counts.corrupt);
            self.torn.inc_by(step.counts.torn);
            self.lag.set(seconds(step.counts.lag));
            self.checkpoint_time.set(seconds(now.micros()));
        }
        self.signed.set(gauge(step.signed));
        self.pending.set(gauge(step.unresolved as u64));
        self.pending_age.set(seconds(step.unresolved_age));
        self.unanswered.set(gauge(step.unanswered.intents as u64));
        self.unanswered_age.set(seconds(step.unanswered.age));
        self.streams.set(gauge(step.live_streams as u64));
        self.segments.set(gauge(step.segments as u64));
    }

    /// Counts a failure that will be tried again.
    pub(crate) fn count_error(&self) {
        self.errors.inc();
    }

    /// Takes over how many records are under the newest checkpoint.
    pub(crate) fn set_tree_size(&self, signed: u64) {
        self.signed.set(i64::try_from(signed).unwrap_or(i64::MAX));
    }

    /// Tells, at any time, how many records are under the newest checkpoint.
    pub(crate) fn signed(&self) -> impl Fn() -> u64 + Send + Sync + 'static {
        let signed = self.signed.clone();
        move || signed.get().unsigned_abs()
    }

    /// The metrics of sinks.
    pub(crate) fn sinks(&self) -> &SinkMetrics {
        &self.sinks
    }

    /// Says how many closed files wait to be sealed.
    pub(crate) fn set_unsealed(&self, files: usize) {
        self.unsealed.set(i64::try_from(files).unwrap_or(i64::MAX));
    }

    /// Takes over that a file was sealed, and how many are left.
    pub(crate) fn observe_seal(&self, sealed: Sealed, left: usize) {
        self.sealed.inc();
        self.sealed_leaves.inc_by(sealed.leaves);
        self.sealed_bytes.inc_by(sealed.bytes);
        self.set_unsealed(left);
    }

    /// Counts a failure to seal that will be tried again.
    pub(crate) fn count_seal_error(&self) {
        self.seal_errors.inc();
    }

    /// Records under the newest checkpoint.
    pub(crate) fn tree_size(&self) -> i64 {
        self.signed.get()
    }

    /// Recording processes that are alive.
    pub(crate) fn live_streams(&self) -> i64 {
        self.streams.get()
    }

    /// Journal segments on disk.
    pub(crate) fn journal_segments(&self) -> i64 {
        self.segments.get()
    }

    /// Intents without outcome and without leaves.
    pub(crate) fn unresolved_intents(&self) -> i64 {
        self.pending.get()
    }

    /// Age of the oldest of them, in seconds.
    pub(crate) fn unresolved_age_seconds(&self) -> f64 {
        self.pending_age.get()
    }

    /// Intents with a marker that are in doubt and could be answered.
    pub(crate) fn unanswered_intents(&self) -> i64 {
        self.unanswered.get()
    }

    /// Age of the oldest of them, in seconds.
    pub(crate) fn unanswered_age_seconds(&self) -> f64 {
        self.unanswered_age.get()
    }

    /// Longest time from recording to ingesting in the newest batch, in seconds.
    pub(crate) fn lag_seconds(&self) -> f64 {
        self.lag.get()
    }

    /// The text that Prometheus reads (OpenMetrics 1.0).
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string does not fail");
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
