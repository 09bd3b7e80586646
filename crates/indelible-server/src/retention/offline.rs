//! The same without an agent: the command takes the directory for itself for as long as it works.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::AtomicBool;

use super::hold::{HoldOrder, hold_event};
use super::run::{Order, Owner, Progress, Run, unsealed};
use super::{RetentionError, Rule};
use crate::agent;
use crate::clock::now;
use crate::data_dir::DataDir;
use crate::http::stated_by;
use crate::ingest::{Deadlines, Ingester, OwnEvent};
use crate::trail::{Reader, TrailError, seal};

/// Erases what may go by these rules.
///
/// # Errors
/// - [`RetentionError::Agent`]: an agent has the directory meanwhile.
/// - [`RetentionError::OtherUser`]: the trail belongs to another user.
/// - the others: as a run by the agent.
pub(crate) fn run_offline(dir: &DataDir, rules: &[Rule], order: &Order, told: impl FnMut(&Progress)) -> Result<Progress, RetentionError> {
    alone(dir, |ingester| {
        let key = ingester.key();
        let never = AtomicBool::new(false);
        let run = Run { dir, key: &key, rules, order, actor: stated_by(order.uid), stop: &never };
        run.all(&mut Alone { dir, ingester }, now(), told)
    })
}

/// Adds or ends a hold.
///
/// # Errors
/// As [`run_offline`], and those of [`hold_event`].
pub(crate) fn hold_offline(dir: &DataDir, order: &HoldOrder) -> Result<(), RetentionError> {
    alone(dir, |ingester| {
        let event = hold_event(&Reader::open(dir)?, order, stated_by(order.uid), now())?;
        Ok(ingester.record_own(&[event], now())?)
    })
}

fn alone<T>(dir: &DataDir, work: impl FnOnce(&mut Ingester) -> Result<T, RetentionError>) -> Result<T, RetentionError> {
    // There must be a trail, and what is written to it must stay the agent's.
    let owner = fs::metadata(Reader::open(dir)?.path()).map_err(|error| TrailError::File { path: dir.trail(), error })?.uid();
    if owner != rustix::process::getuid().as_raw() {
        return Err(RetentionError::OtherUser(owner));
    }
    let _lock = agent::lock(dir).map_err(Box::new)?;
    let mut ingester = Ingester::open(dir, Deadlines::default())?;
    let result = work(&mut ingester);
    ingester.close()?;
    result
}

struct Alone<'a> {
    dir: &'a DataDir,
    ingester: &'a mut Ingester,
}

impl Owner for Alone<'_> {
    fn record(&mut self, event: OwnEvent) -> Result<(), RetentionError> {
        Ok(self.ingester.record_own(&[event], now())?)
    }

    fn close_and_seal(&mut self, close: bool) -> Result<(), RetentionError> {
        if close && !self.ingester.roll_over_now()? {
            return Err(RetentionError::Busy);
        }
        for file in unsealed(self.dir)? {
            seal::seal(&file, &self.ingester.key(), &AtomicBool::new(false))?;
        }
        Ok(())
    }
}
