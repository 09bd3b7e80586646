//! The collector: the agent can write what others may post to it, and need not refuse it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use super::agent::Agent;
use super::answers::{WRITES, may};
use super::{Check, command, quoted};
use crate::collector::{Health, Reason};
use crate::config::{Config, ConfigError};
use crate::data_dir::DataDir;

pub(super) const IDS: &[&str] = &["collector.journals", "collector.refusals"];

/// For how long a refusal is told, in seconds.
const TOLD_FOR: u64 = 3_600;

pub(super) fn checks(dir: &DataDir, config: &Result<Config, ConfigError>, agent: &Agent) -> Vec<Check> {
    let Ok(config) = config else {
        return IDS.iter().map(|id| Check::skipped(id, "the configuration cannot be read")).collect();
    };
    let services: BTreeSet<&str> = config.senders().iter().map(|permit| permit.service.as_str()).collect();
    if services.is_empty() {
        return IDS.iter().map(|id| Check::ok(id, "no other host posts its outbox here")).collect();
    }
    vec![journals(dir, &services), refusals(dir, agent)]
}

/// What the agent refused lately. A drainer whose stream has ended, or whose request came twice, helps itself.
fn refusals(dir: &DataDir, agent: &Agent) -> Check {
    let id = IDS[1];
    let health: Health = match agent.ask("/v1/collector") {
        None => return Check::skipped(id, "no agent answers"),
        Some(Err(error)) => return Check::skipped(id, error),
        Some(Ok(health)) => health,
    };
    let matters = |reason: &str| reason != Reason::Ended.as_str() && reason != Reason::Moved.as_str();
    let newest = health.refused.iter().filter(|refused| matters(&refused.reason) && refused.seconds_ago < TOLD_FOR);
    match newest.min_by_key(|refused| refused.seconds_ago) {
        None => Check::ok(id, format!("{} streams are lent, {} rows came since the agent started", health.streams, health.rows)),
        Some(refused) => {
            let service = if refused.service.is_empty() { "a service that may not post here" } else { &refused.service };
            let finding = format!(
                "{} requests about {service} were refused ({}), the last one {} s ago: the agent's log says why",
                refused.count, refused.reason, refused.seconds_ago
            );
            Check::warn(id, finding, command(dir, "config show"))
        }
    }
}

fn journals(dir: &DataDir, services: &BTreeSet<&str>) -> Check {
    let id = IDS[0];
    let Ok(trail) = fs::metadata(dir.trail()) else { return Check::skipped(id, "there is no trail yet") };
    let barred = services.iter().map(|service| dir.journal().join(service)).find(|folder| {
        // One that is not there is made, by the agent and for it.
        fs::metadata(folder).is_ok_and(|folder| !may(&folder, WRITES, trail.uid(), trail.gid()))
    });
    match barred {
        None => Check::ok(id, format!("{} services may be posted here", services.len())),
        Some(folder) => {
            let finding = format!("the agent (user {}) cannot write into {}, so no drainer can post there", trail.uid(), folder.display());
            Check::warn(id, finding, format!("chmod g+rwx {}", quoted(&folder)))
        }
    }
}
