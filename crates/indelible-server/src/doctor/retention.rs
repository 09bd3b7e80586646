//! Retention: rules that cannot run, and events that should be gone by now.

use std::time::Duration;

use super::{Check, command};
use crate::clock::now;
use crate::config::{Config, ConfigError};
use crate::data_dir::DataDir;
use crate::retention::{Plan, plan};
use crate::trail::{FileState, Reader};

pub(super) const IDS: &[&str] = &["retention.space", "retention.unfinished", "retention.overdue"];

/// How long looking for what is overdue may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// Days that an event may be there after the end of its time: runs are daily or weekly.
const GRACE_DAYS: u32 = 8;

pub(super) fn checks(dir: &DataDir, config: &Result<Config, ConfigError>, reader: Option<&Reader>) -> Vec<Check> {
    let skipped = |why: &str| IDS.iter().map(|id| Check::skipped(id, why)).collect();
    let (Ok(config), Some(reader)) = (config, reader) else { return skipped("the configuration or the trail cannot be read") };
    if config.rules().is_empty() {
        return skipped("no rule of retention: nothing expires");
    }
    // A rule with so many days more is about what should have been erased by one of the runs since.
    let mut late: Vec<_> = config.rules().to_vec();
    late.iter_mut().for_each(|rule| rule.days = rule.days.map(|days| days.saturating_add(GRACE_DAYS)));
    let plan = match plan(reader, &late, now(), Some(DEADLINE)) {
        Ok(plan) => plan,
        Err(error) => return skipped(&error.to_string()),
    };
    vec![space(dir, reader), unfinished(dir, &plan), overdue(dir, &plan)]
}

/// A file is built anew beside the old one.
fn space(dir: &DataDir, reader: &Reader) -> Check {
    let id = "retention.space";
    let sealed = reader.files().iter().filter(|file| file.state() == FileState::Sealed);
    let largest = sealed.filter_map(|file| std::fs::metadata(file.path()).ok()).map(|found| found.len()).max().unwrap_or_default();
    let Ok(system) = rustix::fs::statvfs(dir.trail()) else { return Check::skipped(id, "the file system cannot be asked") };
    let free = system.f_bavail.saturating_mul(system.f_frsize);
    if free > largest {
        return Check::ok(id, format!("{free} bytes free, the largest sealed file has {largest}"));
    }
    let finding = format!("{free} bytes are free, and a file of {largest} bytes must be built anew in order to erase something of it");
    Check::warn(id, finding, "df -h; free some space on this file system")
}

fn unfinished(dir: &DataDir, plan: &Plan) -> Check {
    let id = "retention.unfinished";
    match plan.unfinished {
        0 => Check::ok(id, "none"),
        count => {
            let finding = format!("{count} events were to be erased and are there: a run was interrupted, or a file was restored");
            Check::warn(id, finding, command(dir, "retention run --yes"))
        }
    }
}

fn overdue(dir: &DataDir, plan: &Plan) -> Check {
    let id = "retention.overdue";
    match (plan.eligible(), plan.oldest()) {
        (0, _) | (_, None) => Check::ok(id, format!("nothing is there {GRACE_DAYS} days after its time")),
        (count, Some(oldest)) => {
            let at_least = if plan.partial { "at least " } else { "" };
            let finding = format!("{at_least}{count} events are there {GRACE_DAYS} days after their time, the oldest of {oldest}");
            Check::warn(id, finding, command(dir, "retention run --yes"))
        }
    }
}
