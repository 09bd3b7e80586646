//! Retention: which bodies may go, which must stay, and how they go (docs/retention.md).
//!
//! By default nothing expires. Rules of `config.toml` say how long what they match is kept; an event that several rules match is kept for the
//! longest of them. Legal holds keep what they match whatever the rules say; they are events of the trail and nothing else, so nobody can
//! drop one without a trace. A run first records which leaves it is about to erase, and then erases them: `verify` accepts a missing body
//! only where the trail says so.

mod hold;
mod job;
mod ledger;
mod offline;
mod plan;
mod record;
mod rule;
mod run;

use std::path::PathBuf;

pub(crate) use hold::{Hold, HoldOrder, HoldWord};
pub(crate) use job::{Retention, Started};
pub(crate) use ledger::{Ledger, Permits, Purge};
pub(crate) use offline::{hold_offline, run_offline};
pub(crate) use plan::{Plan, plan};
pub(crate) use rule::{CLASSES, Rule, Since, class_days};
pub(crate) use run::{BATCH_RECORDS, BATCH_RECORDS_MAX, Order, Progress};

use crate::search::SearchError;
use crate::trail::TrailError;

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// Why a run, a plan or a hold does not go on. What was erased by then is erased and recorded; running again goes on from there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RetentionError {
    /// The trail cannot be read or rewritten.
    #[error(transparent)]
    Trail(#[from] TrailError),
    /// The trail cannot be searched, or a rule or hold cannot be resolved at this time.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// The trail cannot be opened for writing.
    #[error(transparent)]
    Ingest(#[from] crate::ingest::IngestError),
    /// Recording did not work, so nothing is erased.
    #[error("the purge could not be recorded, so nothing more was erased; run it again")]
    NotRecorded,
    /// Stopped in order.
    #[error("stopped before the end; run it again")]
    Stopped,
    /// The open file holds what is to go, and could not be closed.
    #[error("the newest file could not be closed because somebody reads it; run it again")]
    Busy,
    /// A closed file holds what is to go, and is not sealed in time.
    #[error("{0} is not sealed yet; run `indelible doctor`, then run it again")]
    NotSealed(PathBuf),
    /// Another run, or the adding of a hold, goes on.
    #[error("a retention run or a hold is being carried out; try again when it has finished")]
    Running,
    /// A hold of this name is in force already.
    #[error("there is a hold `{0}` already; release it first, or choose another name")]
    HoldExists(String),
    /// No hold of this name is in force.
    #[error("there is no hold `{0}`; `indelible retention hold list` shows those that are in force")]
    NoHold(String),
    /// The agent works by another configuration than the one that lies there now.
    #[error("config.toml was changed after the agent had started: restart the agent, so that both mean the same rules")]
    ConfigChanged,
    /// The trail belongs to another user, whose agent could not go on with files of ours.
    #[error("the trail belongs to the user with uid {0}: start the agent, or run this as that user")]
    OtherUser(u32),
    /// An agent has the directory, or it cannot be locked.
    #[error(transparent)]
    Agent(#[from] Box<crate::agent::AgentError>),
}
