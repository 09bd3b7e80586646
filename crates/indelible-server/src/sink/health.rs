//! How a sink is, for `/healthz`, the metrics and `indelible sink list`.

use std::time::Duration;

use indelible_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::control::Progress;

/// In one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// It is not known yet how far the trail and the sink are.
    Starting,
    /// Everything that is signed has been delivered.
    CaughtUp,
    /// Records are on their way.
    Delivering,
    /// The last attempt failed; there is another one after a pause.
    Retrying,
    /// A call has not returned by its deadline.
    Hanging,
    /// Somebody told it to wait.
    Paused,
    /// It cannot go on without somebody's help.
    Blocked,
    /// Its thread has ended although the agent runs.
    Ended,
}

impl State {
    /// Every state.
    pub(crate) const ALL: [Self; 8] =
        [Self::Starting, Self::CaughtUp, Self::Delivering, Self::Retrying, Self::Hanging, Self::Paused, Self::Blocked, Self::Ended];

    /// Its name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::CaughtUp => "caught_up",
            Self::Delivering => "delivering",
            Self::Retrying => "retrying",
            Self::Hanging => "hanging",
            Self::Paused => "paused",
            Self::Blocked => "blocked",
            Self::Ended => "ended",
        }
    }

    /// Whether somebody should look.
    pub(crate) fn is_trouble(self) -> bool {
        matches!(self, Self::Retrying | Self::Hanging | Self::Blocked | Self::Ended)
    }
}

/// How one sink is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Health {
    /// Its name in the configuration.
    pub(crate) name: String,
    /// `files` or `stdout`.
    pub(crate) r#type: String,
    /// The form of what it delivers.
    pub(crate) shape: String,
    pub(crate) state: State,
    /// The first leaf that has not been dealt with.
    pub(crate) next_leaf: u64,
    /// Signed records that have not been dealt with.
    pub(crate) lag_records: u64,
    /// For how long the oldest of them has been in the trail, in seconds.
    pub(crate) lag_seconds: f64,
    /// Records delivered since the agent started.
    pub(crate) delivered: u64,
    /// Records that the shape has no line for, since the agent started.
    pub(crate) skipped: u64,
    /// Failed attempts since the agent started.
    pub(crate) retries: u64,
    /// Records that the destination refused and nobody has replayed or discarded.
    pub(crate) dead_letters: usize,
    pub(crate) last_success_at: Option<String>,
    pub(crate) last_error: Option<String>,
    pub(crate) last_error_at: Option<String>,
}

impl Health {
    /// Judges what is known. `signed`: records under the newest checkpoint.
    pub(super) fn of(names: [&str; 3], progress: &Progress, signed: u64, call_timeout: Duration, now: Timestamp) -> Self {
        let [name, r#type, shape] = names.map(str::to_owned);
        let lag_records = signed.saturating_sub(progress.next_leaf);
        let waiting = progress.waiting_since.filter(|_| lag_records > 0);
        let (last_error, last_error_at) = progress.last_error.clone().unzip();
        Self {
            name,
            r#type,
            shape,
            state: state(progress, signed, call_timeout),
            next_leaf: progress.next_leaf,
            lag_records,
            lag_seconds: waiting.map_or(0.0, |since| (now.micros() - since.micros()).max(0) as f64 / 1e6),
            delivered: progress.delivered,
            skipped: progress.skipped,
            retries: progress.retries,
            dead_letters: progress.dead.len(),
            last_success_at: progress.last_success.map(|at| at.to_string()),
            last_error,
            last_error_at: last_error_at.map(|at| at.to_string()),
        }
    }
}

fn state(progress: &Progress, signed: u64, call_timeout: Duration) -> State {
    let hangs = progress.in_call_since.is_some_and(|since| since.elapsed() > call_timeout);
    match () {
        () if progress.has_ended => State::Ended,
        () if hangs => State::Hanging,
        () if progress.is_paused => State::Paused,
        () if progress.blocked.is_some() => State::Blocked,
        () if progress.is_retrying => State::Retrying,
        // A trail has a record as soon as an agent has begun.
        () if !progress.has_begun || signed == 0 => State::Starting,
        () if progress.next_leaf < signed => State::Delivering,
        () => State::CaughtUp,
    }
}
