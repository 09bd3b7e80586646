//! The metrics of sinks, each with the label `sink`.

use std::sync::atomic::{AtomicI64, AtomicU64};

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Health, State};

type Labels = Vec<(&'static str, String)>;
type Numbers = Family<Labels, Gauge<i64, AtomicI64>>;

/// Taken over from the health of all sinks whenever the metrics are asked for.
#[derive(Debug, Default)]
pub(crate) struct SinkMetrics {
    delivered: Numbers,
    skipped: Numbers,
    retries: Numbers,
    dead: Numbers,
    lag: Numbers,
    lag_seconds: Family<Labels, Gauge<f64, AtomicU64>>,
    state: Numbers,
}

impl SinkMetrics {
    /// Metrics that are part of this registry.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let mut add = |name: &str, help: &str, family: &Numbers| registry.register(name, help, family.clone());
        add("sink_delivered_records", "Records delivered since the agent started", &metrics.delivered);
        add("sink_skipped_records", "Records that the sink's shape has no line for, since the agent started", &metrics.skipped);
        add("sink_retries", "Failed attempts to deliver since the agent started", &metrics.retries);
        add("sink_dead_letters", "Records that the destination refused", &metrics.dead);
        add("sink_lag_records", "Signed records that have not been delivered", &metrics.lag);
        add("sink_state", "1 for the state that the sink is in", &metrics.state);
        registry.register("sink_lag_seconds", "Age of the oldest record that has not been delivered", metrics.lag_seconds.clone());
        metrics
    }

    /// Takes over how the sinks are.
    pub(crate) fn observe(&self, sinks: &[Health]) {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        for sink in sinks {
            let labels = vec![("sink", sink.name.clone())];
            let values = [
                (&self.delivered, sink.delivered),
                (&self.skipped, sink.skipped),
                (&self.retries, sink.retries),
                (&self.dead, sink.dead_letters as u64),
                (&self.lag, sink.lag_records),
            ];
            for (family, value) in values {
                family.get_or_create(&labels).set(number(value));
            }
            self.lag_seconds.get_or_create(&labels).set(sink.lag_seconds);
            for state in State::ALL {
                let labels = vec![("sink", sink.name.clone()), ("state", state.as_str().to_owned())];
                self.state.get_or_create(&labels).set(i64::from(state == sink.state));
            }
        }
    }
}
