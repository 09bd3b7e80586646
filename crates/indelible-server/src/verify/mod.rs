//! Verification: recomputes a trail from its stored bytes and compares it with what was signed (docs/format.md).
//!
//! It writes nothing, needs no agent and trusts only the verifier key, and an outside checkpoint where one is given.

mod blocks;
mod file;
mod halt;
mod index;
mod names;
mod offline;
mod proof;
mod range;
mod report;
mod seal;
#[cfg(test)]
mod tests;
mod trust;
mod walk;

use std::ops::Range;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use indelible_core::{BatchNote, Hash, VerifierKey};

use self::file::{Expected, check_file};
use self::halt::Halt;
use self::names::{Names, check_names, name_of};
pub use self::offline::{Proved, check_receipt};
pub use self::proof::{Growth, NoProof, growth, receipt};
use self::range::check_range;
pub use self::report::{Fault, FaultKind, Intact, Report, StateCheck};
use self::trust::{Kept, Signed};
use self::walk::Walk;
use crate::data_dir::DataDir;
use crate::trail::{Reader, state_digest};

/// How long to look for a moment at which a running agent has signed all that it has committed.
const SETTLE_DEADLINE: Duration = Duration::from_secs(5);
const SETTLE_INTERVAL: Duration = Duration::from_millis(5);
/// How often to begin again because the agent began, sealed or replaced a file meanwhile.
const ATTEMPTS: usize = 5;
const ALWAYS_WRITING: &str = "the agent was writing all the time: try again, or verify a copy";

/// What to verify against, and how much of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// A file with the verifier key; the trail's own `verifier` when absent.
    pub key: Option<PathBuf>,
    /// A file with a checkpoint that was kept outside the trail.
    pub against: Option<PathBuf>,
    /// Whether to build the index of sealed files again, too, which their seals vouch for otherwise.
    pub deep: bool,
    /// Leaves to check alone; all when absent.
    pub range: Option<Range<u64>>,
}

/// Verifies the trail of a data directory. Nothing is changed, also when an agent is running.
#[must_use]
pub fn verify(dir: &DataDir, trust: &Trust) -> Report {
    while_nothing_moves(|| Names::of(dir), || attempt(dir, trust))
}

/// Files that nobody writes are read without locks. Had an agent begun, sealed or replaced one just then, a finding would be worth nothing;
/// a trail that is intact all the same is.
fn while_nothing_moves<N: PartialEq>(names: impl Fn() -> N, attempt: impl Fn() -> Report) -> Report {
    for _ in 0..ATTEMPTS {
        let before = names();
        let report = attempt();
        if matches!(report, Report::Intact(_)) || before == names() {
            return report;
        }
    }
    Report::CouldNotCheck(ALWAYS_WRITING.to_owned())
}

fn attempt(dir: &DataDir, trust: &Trust) -> Report {
    check(dir, trust).map_or_else(|halt| halt.judged().into(), Report::Intact)
}

fn check(dir: &DataDir, trust: &Trust) -> Result<Intact, Halt> {
    let key = trust::trusted_key(dir, trust.key.as_deref())?;
    let named = trust.key.is_some().then_some(&key);
    let kept = trust.against.as_deref().map(|path| trust::read_kept(path, named).map_err(Halt::CouldNotCheck)).transpose()?;
    if let Some(range) = &trust.range {
        return check_range(dir, &key, kept.as_ref(), range);
    }
    let (signed, reader) = settle(dir, &key)?;
    compare(&Expected { dir, key: &key, signed: &signed, deep: trust.deep }, kept.as_ref(), &reader).map_err(|halt| excused(halt, dir))
}

/// An agent that always has more to commit may be any number of batches ahead of what was read as signed.
fn excused(halt: Halt, dir: &DataDir) -> Halt {
    match halt {
        Halt::Fault(Fault { kind: FaultKind::State, .. }) if runs(dir) => Halt::CouldNotCheck(ALWAYS_WRITING.to_owned()),
        halt => halt,
    }
}

fn runs(dir: &DataDir) -> bool {
    dir.agent_is_running().unwrap_or(false)
}

/// Reads what is signed, then a view of the trail that is at least as new: equal to it if a moment can be found where it is.
fn settle(dir: &DataDir, key: &VerifierKey) -> Result<(Signed, Reader), Halt> {
    let look = || {
        let signed = trust::read_signed(dir, key)?;
        // Opened anew each time, since the agent may have gone on to the next file.
        let reader = Reader::open(dir)?;
        reader.connection().execute_batch("BEGIN")?;
        let committed = state_digest(reader.connection()).ok();
        Ok(((signed.state.digest, committed), (signed, reader)))
    };
    settled(SETTLE_DEADLINE, || runs(dir), look)
}

/// Looks until what is committed is what is signed, nobody is there who could sign it, or patience ends; then what is found is taken as it
/// is.
fn settled<T>(
    patience: Duration,
    agent_runs: impl Fn() -> bool,
    mut look: impl FnMut() -> Result<((Hash, Option<Hash>), T), Halt>,
) -> Result<T, Halt> {
    let deadline = Instant::now() + patience;
    loop {
        let ((signed, committed), found) = look()?;
        if committed == Some(signed) || Instant::now() > deadline || !agent_runs() {
            return Ok(found);
        }
        drop(found);
        thread::sleep(SETTLE_INTERVAL);
    }
}

fn compare(expected: &Expected<'_>, kept: Option<&Kept>, reader: &Reader) -> Result<Intact, Halt> {
    let checkpoint = &expected.signed.checkpoint;
    let sizes = [Some(checkpoint.tree_size), kept.map(|kept| kept.checkpoint.tree_size)];
    let mut walk = Walk::new(sizes.into_iter().flatten().collect());
    let mut newest = None;
    for file in reader.files() {
        newest = Some(check_file(&mut walk, file, expected).map_err(|halt| halt.in_file(&name_of(file)))?);
    }
    let newest = newest.expect("a reader has an open file");
    check_names(expected.dir, reader)?;
    check_erased(&walk, reader, checkpoint.tree_size)?;
    let state = check_state(&walk, &newest, expected.signed)?;
    if let Some(kept) = kept {
        check_kept(&walk, expected, kept)?;
    }
    Ok(Intact {
        origin: checkpoint.origin.to_string(),
        tree_size: checkpoint.tree_size,
        root_hash: checkpoint.root_hash,
        unsigned: walk.size() - checkpoint.tree_size,
        state,
        against: kept.map(|kept| kept.checkpoint.tree_size),
        range: None,
    })
}

/// Checks that every body that is gone was to go: by a purge that the agent recorded, under the checkpoint, and beside every legal hold.
fn check_erased(walk: &Walk, reader: &Reader, signed: u64) -> Result<(), Halt> {
    let unaccounted = walk.permits.unaccounted(&walk.erased, signed);
    let Some(first) = unaccounted.ranges().first().cloned() else { return Ok(()) };
    let kind = if walk.permits.is_held(&first.clone().into()) { FaultKind::Held } else { FaultKind::Erased };
    Err(walk.fault(kind, Some(first.clone())).in_file(&name_of(reader.file_of(first.start))))
}

fn check_kept(walk: &Walk, expected: &Expected<'_>, kept: &Kept) -> Result<(), Halt> {
    let is_same_trail = kept.checkpoint.origin == expected.signed.checkpoint.origin;
    if is_same_trail && kept.key != *expected.key {
        return Err(walk.fault(FaultKind::Verifier, None));
    }
    let kept = &kept.checkpoint;
    let found = walk.size();
    if is_same_trail && kept.tree_size > found {
        return Err(walk.fault(FaultKind::KeptCheckpoint, Some(found..kept.tree_size)));
    }
    let is_same_root = walk.trees.get(&kept.tree_size).is_some_and(|tree| tree.root() == kept.root_hash);
    if !is_same_trail || !is_same_root {
        return Err(walk.fault(FaultKind::KeptCheckpoint, (kept.tree_size > 0).then_some(0..kept.tree_size)));
    }
    Ok(())
}

/// Compares the unfinished work, as the newest batch left it, with what was signed. A batch is committed before it is signed, so it
/// may be one batch ahead.
fn check_state(walk: &Walk, newest: &BatchNote, signed: &Signed) -> Result<StateCheck, Halt> {
    let Signed { checkpoint, state } = signed;
    if state.tree_size > checkpoint.tree_size {
        return Err(walk.fault(FaultKind::Checkpoint, None));
    }
    if state.digest == newest.state {
        return Ok(StateCheck::Signed);
    }
    if state.digest != newest.previous_state {
        return Err(walk.fault(FaultKind::State, None));
    }
    Ok(StateCheck::OneBatchAhead)
}
