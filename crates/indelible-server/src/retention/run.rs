//! A run: batch after batch, each announced in the trail before a byte of it disappears.
//!
//! A process that dies between the announcement and the erasing leaves bodies that are announced and still there. The next run finds them by
//! the announcement and erases them first, as it does with those that come back with a restored file; so it needs no memory of its own.

use std::sync::atomic::{AtomicBool, Ordering as Atomic};

use indelible_core::{Actor, Timestamp};
use serde::{Deserialize, Serialize};

use super::RetentionError;
use super::ledger::Ledger;
use super::plan::{Batch, Judgement};
use super::record::{Place, begin, done};
use super::rule::Rule;
use crate::data_dir::DataDir;
use crate::ingest::OwnEvent;
use crate::keys::TrailKey;
use crate::trail::erase::{erase, settle_all};
use crate::trail::files::{self, Listed};
use crate::trail::{FileState, Reader};

/// Events of one batch, unless somebody says otherwise: as many as a file holds.
pub(crate) const BATCH_RECORDS: u64 = crate::trail::LEAVES_PER_FILE;
/// The most events of one batch.
pub(crate) const BATCH_RECORDS_MAX: u64 = 1 << 20;

/// What somebody orders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    /// The most events that are erased at once.
    pub(crate) batch: u64,
    /// Why.
    #[serde(default)]
    pub(crate) reason: String,
    /// Numeric id of the user who orders, as the ordering process states it.
    #[serde(default)]
    pub(crate) uid: Option<u32>,
    /// SHA-256 of the configuration that the order is meant by; nothing where there is no file.
    #[serde(default)]
    pub(crate) config: Option<String>,
}

/// How far a run has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Names the run; empty before the first.
    pub(crate) run: String,
    /// Batches that are done.
    pub(crate) batches: u64,
    /// Bodies that are erased.
    pub(crate) erased: u64,
    /// Bytes by which the trail is shorter.
    pub(crate) bytes_freed: u64,
}

/// What a run needs of whoever owns the trail.
pub(super) trait Owner {
    /// Records an event; on return it is under a checkpoint.
    fn record(&mut self, event: OwnEvent) -> Result<(), RetentionError>;
    /// Closes the open file and waits until every closed one is sealed.
    fn close_and_seal(&mut self, close: bool) -> Result<(), RetentionError>;
}

/// A run and what it goes by.
pub(super) struct Run<'a> {
    pub(super) dir: &'a DataDir,
    pub(super) key: &'a TrailKey,
    pub(super) rules: &'a [Rule],
    pub(super) order: &'a Order,
    pub(super) actor: Actor,
    pub(super) stop: &'a AtomicBool,
}

impl Run<'_> {
    /// Erases everything that may go now. `told` hears of every batch.
    ///
    /// # Errors
    /// [`RetentionError`]: what was done by then is done; another run goes on from there.
    pub(super) fn all(&self, owner: &mut dyn Owner, now: Timestamp, mut told: impl FnMut(&Progress)) -> Result<Progress, RetentionError> {
        let mut progress = Progress { run: name()?, ..Progress::default() };
        told(&progress);
        settle_all(self.dir, &self.key.signing.verifier())?;
        owner.close_and_seal(self.is_due_in_open_file(now)?)?;
        for file in self.sealed()? {
            while self.batch(owner, &file, now, &mut progress)? {
                told(&progress);
            }
        }
        Ok(progress)
    }

    fn is_due_in_open_file(&self, now: Timestamp) -> Result<bool, RetentionError> {
        let reader = Reader::open(self.dir)?;
        let ledger = Ledger::read(&reader)?;
        Ok(Judgement::new(self.rules, &ledger, now)?.any(&reader, &reader.open_file().range())?)
    }

    fn sealed(&self) -> Result<Vec<Listed>, RetentionError> {
        let reader = Reader::open(self.dir)?;
        let sealed = reader.files().iter().filter(|file| file.state() == FileState::Sealed);
        Ok(sealed.map(|file| Listed { path: file.path().to_owned(), first_index: file.range().start }).collect())
    }

    /// One batch of a file; `false` when nothing of it is to go any more.
    fn batch(&self, owner: &mut dyn Owner, file: &Listed, now: Timestamp, progress: &mut Progress) -> Result<bool, RetentionError> {
        if self.stop.load(Atomic::Relaxed) {
            return Err(RetentionError::Stopped);
        }
        let Some(batch) = self.next(file, now)? else { return Ok(false) };
        let place =
            Place { run: progress.run.clone(), batch: progress.batches + 1, actor: self.actor.clone(), reason: self.order.reason.clone() };
        failpoint!("purge.before_begin");
        owner.record(begin(&place, &batch, self.rules))?;
        failpoint!("purge.after_begin");
        let erased = erase(file, &batch.leaves, self.key, self.stop)?.ok_or(RetentionError::Stopped)?;
        failpoint!("purge.before_done");
        owner.record(done(&place, &batch, &erased))?;
        failpoint!("purge.after_done");
        progress.batches += 1;
        progress.erased += erased.bodies;
        progress.bytes_freed += erased.bytes_before.saturating_sub(erased.bytes);
        Ok(true)
    }

    /// What was announced before and is still there, then what may go by now. Holds are read anew each time.
    fn next(&self, file: &Listed, now: Timestamp) -> Result<Option<Batch>, RetentionError> {
        let reader = Reader::open(self.dir)?;
        let ledger = Ledger::read(&reader)?;
        let judgement = Judgement::new(self.rules, &ledger, now)?;
        let file = reader.file_of(file.first_index);
        let announced = ledger.permits.announced(reader.tree_size());
        let left_over = judgement.left_over(&reader, file, &announced, self.order.batch)?;
        let batch = if left_over.leaves.is_empty() { judgement.next(&reader, &file.range(), self.order.batch)? } else { left_over };
        Ok(Some(batch).filter(|batch| !batch.leaves.is_empty()))
    }
}

/// A name for a run that no other has.
fn name() -> Result<String, RetentionError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(crate::trail::TrailError::Random)?;
    Ok(format!("{:032x}", u128::from_be_bytes(random)))
}

/// The closed files that are not sealed.
pub(super) fn unsealed(dir: &DataDir) -> Result<Vec<Listed>, RetentionError> {
    let mut closed = files::list(dir)?;
    closed.pop();
    let mut found = Vec::new();
    for file in closed {
        if files::state_of(&file.path)? != FileState::Sealed {
            found.push(file);
        }
    }
    Ok(found)
}
