//! How the agent is, in one word: what `/healthz` answers and the health page says.

use super::Api;
use super::sinks;
use crate::sink::Health as SinkHealth;

/// The agent's condition, and why it is not the best one.
pub(super) struct Condition {
    /// `ok`, `degraded` (everything is ingested and signed, something beside that is in trouble) or `failing` (nothing is ingested).
    pub(super) state: &'static str,
    /// What ingesting or sealing ran into. A sink says for itself what it ran into.
    pub(super) problem: Option<String>,
    pub(super) sinks: Vec<SinkHealth>,
}

impl Condition {
    pub(super) fn of(api: &Api) -> Self {
        let sinks = sinks::health(api);
        let (state, problem) = match (api.status.trouble(), api.status.seal_trouble()) {
            (Some(trouble), _) => ("failing", Some(trouble)),
            // An agent that cannot seal still ingests.
            (None, Some(trouble)) => ("degraded", Some(format!("sealing: {trouble}"))),
            // What a sink cannot deliver stays in the trail: the agent itself is well.
            (None, None) if sinks.iter().any(|sink| sink.state.is_trouble()) => ("degraded", None),
            (None, None) => ("ok", None),
        };
        Self { state, problem, sinks }
    }

    pub(super) fn is_failing(&self) -> bool {
        self.state == "failing"
    }
}
