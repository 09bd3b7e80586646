//! What the agent tells Prometheus.

use std::sync::atomic::AtomicU64;

use indelible_core::Timestamp;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Metric, Registry};

use crate::collector::CollectorMetrics;
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
    collector: CollectorMetrics,
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
        let to = &mut registry;
        Self {
            sinks: SinkMetrics::register(to),
            collector: CollectorMetrics::register(to),
            records: add(to, "records", "Records ingested since the agent started"),
            signed: add(to, "tree_size", "Records under the newest checkpoint"),
            pending: add(to, "pending_intents", "Intents without outcome and without leaves"),
            pending_age: add(to, "pending_intent_age_seconds", "Age of the oldest of them"),
            unanswered: add(to, "unanswered_intents", "Intents with a marker that are in doubt and could be answered"),
            unanswered_age: add(to, "unanswered_intent_age_seconds", "Age of the oldest of them"),
            in_doubt: add(to, "in_doubt_intents", "Intents that got leaves in doubt"),
            gaps: add(to, "gaps", "Gaps in the sequences of journals"),
            lost: add(to, "lost_events", "Events that applications counted as lost"),
            corrupt: add(to, "corrupt_records", "Corrupt journal records in quarantine"),
            torn: add(to, "torn_tails", "Journal segments that ended in a half-written frame"),
            lag: add(to, "ingest_lag_seconds", "Longest time from recording to ingesting in the newest batch"),
            streams: add(to, "live_streams", "Recording processes that are alive"),
            segments: add(to, "journal_segments", "Journal segments on disk"),
            checkpoint_time: add(to, "checkpoint_timestamp_seconds", "When the newest checkpoint was signed, Unix time"),
            errors: add(to, "ingest_errors", "Failures to ingest that were tried again"),
            unsealed: add(to, "unsealed_files", "Closed files of the trail that wait to be sealed"),
            sealed: add(to, "sealed_files", "Files of the trail sealed since the agent started"),
            sealed_leaves: add(to, "sealed_records", "Records in them"),
            sealed_bytes: add(to, "sealed_bytes", "Bytes of them"),
            seal_errors: add(to, "seal_errors", "Failures to seal that were tried again"),
            registry,
        }
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

    /// The metrics of the collector.
    pub(crate) fn collector(&self) -> &CollectorMetrics {
        &self.collector
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

/// A metric that stands at zero and is part of this registry.
fn add<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_documented_under_the_name_that_is_scraped() {
        let docs = [include_str!("../../../docs/operations.md"), include_str!("../../../docs/sinks.md")].concat();
        let text = Metrics::new().render();
        let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).filter_map(|line| line.split_once(' '));
        let names: Vec<_> = kinds.map(|(name, kind)| if kind == "counter" { format!("{name}_total") } else { name.to_owned() }).collect();
        assert!(names.len() > 20, "{text}");
        for name in names {
            assert!(docs.contains(&format!("`{name}`")), "{name} is in neither docs/operations.md nor docs/sinks.md");
        }
    }
}
