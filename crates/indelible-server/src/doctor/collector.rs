//! The collector: the agent can write what others may post to it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use super::answers::{WRITES, may};
use super::{Check, quoted};
use crate::config::{Config, ConfigError};
use crate::data_dir::DataDir;

pub(super) const IDS: &[&str] = &["collector.journals"];

pub(super) fn checks(dir: &DataDir, config: &Result<Config, ConfigError>) -> Vec<Check> {
    vec![check(dir, config)]
}

fn check(dir: &DataDir, config: &Result<Config, ConfigError>) -> Check {
    let id = IDS[0];
    let Ok(config) = config else { return Check::skipped(id, "the configuration cannot be read") };
    let services: BTreeSet<&str> = config.senders().iter().map(|permit| permit.service.as_str()).collect();
    if services.is_empty() {
        return Check::ok(id, "no other host posts its outbox here");
    }
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
