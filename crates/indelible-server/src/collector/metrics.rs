//! The metrics of the collector.

use std::sync::atomic::AtomicI64;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Health;

type Number = Gauge<i64, AtomicI64>;

/// Taken over from the collector whenever the metrics are asked for.
#[derive(Debug, Default)]
pub(crate) struct CollectorMetrics {
    streams: Number,
    lent: Number,
    rows: Number,
    refused: Family<Vec<(&'static str, String)>, Number>,
}

impl CollectorMetrics {
    /// Metrics that are part of this registry.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("collector_streams", "Drainers of other hosts that have a stream", metrics.streams.clone());
        registry.register("collector_lent_streams", "Streams that drainers were given since the agent started", metrics.lent.clone());
        registry.register("collector_rows", "Rows of outboxes journaled for other hosts since the agent started", metrics.rows.clone());
        registry.register("collector_refused_requests", "Requests of drainers refused since the agent started", metrics.refused.clone());
        metrics
    }

    /// Takes over how the collector is.
    pub(crate) fn observe(&self, health: &Health) {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.streams.set(number(health.streams as u64));
        self.lent.set(number(health.lent));
        self.rows.set(number(health.rows));
        for refused in &health.refused {
            let labels = vec![("service", refused.service.clone()), ("reason", refused.reason.clone())];
            self.refused.get_or_create(&labels).set(number(refused.count));
        }
    }
}
