//! Loss of power under a whole agent: its trail, which is SQLite's, the journals that it deletes, and everything else, as one.
//!
//! A real agent ingests, seals, signs and delivers once, and its trace is made again on a disk in memory that begins with the real files. So
//! much is pending at once that subsets are chosen by chance. On each state, made of real files, real agents go on where the power was lost. `INDELIBLE_LOSSES` is the
//! number of states, `INDELIBLE_SEED` repeats a run.
//!
//! What SQLite writes through memory, the index of a log (`-shm`), passes no call and is junk in every state: whoever opens a database first
//! makes it anew.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{Digest, chance, digest_of_tree};
use crate::faulty::agent::World;
use crate::faulty::disk::{Disk, Tree};
use crate::faulty::trace::Op;
use crate::random::{self, Random, from_env};

/// States that agents are started on.
const LOSSES: u64 = 24;
/// The same of a trace with a defect, at most, before it must have been found.
const LOSSES_UNTIL_FOUND: u64 = 40;

/// An agent's data directory, a disk with what was in it before the agent, and all that the agent did.
struct Run {
    world: World,
    before: Disk,
    ops: Vec<Op>,
}

impl Run {
    fn new() -> Self {
        let world = World::new();
        let before = Disk::of(world.seed.path());
        let ops = world.trace();
        let mut again = before.clone();
        ops.iter().for_each(|op| again.apply(op));
        assert_same(&again.now, &Disk::of(world.seed.path()).now);
        Self { world, before, ops }
    }

    fn pending_most(&self) -> usize {
        let mut disk = self.before.clone();
        let pending = self.ops.iter().map(|op| {
            disk.apply(op);
            disk.pending.len()
        });
        pending.max().unwrap()
    }

    /// Loses power at so many moments, spread over the whole run, each time in another state. Answers how many states there were.
    ///
    /// # Errors
    /// What the first one has found, with the moment.
    fn lose_power(&self, losses: u64, random: &mut Random) -> Result<usize, String> {
        let changes = self.ops.len() as u64;
        let moments: Vec<u64> = (0..losses).map(|loss| (loss * changes + random.below(changes)) / losses).collect();
        let (mut disk, mut seen) = (self.before.clone(), BTreeSet::<Digest>::new());
        for (at, op) in (0..).zip(&self.ops) {
            disk.apply(op);
            for _ in moments.iter().filter(|moment| **moment == at) {
                let small = |path: &str| disk.now.read(Path::new(path)).map(<[u8]>::to_vec);
                let published = small("trail/checkpoint").zip(small("trail/verifier"));
                let left = chance(&disk, random);
                if seen.insert(digest_of_tree(&left)) {
                    let pending = disk.pending.len();
                    let went_on = self.go_on(&left, published);
                    went_on.map_err(|what| format!("change {at} of {changes}, {pending} pending: {what}"))?;
                }
            }
        }
        Ok(seen.len())
    }

    /// Starts agents on what is left, under the path that it had, which cursors know. `published`: the checkpoint that others may have seen
    /// before, and the key that signed it.
    fn go_on(&self, left: &Tree, published: Option<(Vec<u8>, Vec<u8>)>) -> Result<(), String> {
        let root = self.world.seed.path();
        for entry in fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() { fs::remove_dir_all(entry).unwrap() } else { fs::remove_file(entry).unwrap() }
        }
        left.store(root);
        for (path, _) in left.files().iter().filter(|(path, _)| is_index_of_log(path)) {
            fs::write(root.join(path), [0xa5; 32 << 10]).unwrap();
        }
        let kept = tempfile::tempdir().unwrap();
        let [checkpoint, key] = ["checkpoint", "verifier"].map(|name| kept.path().join(name));
        let mut arguments = Vec::new();
        if let Some((published, signed_by)) = published {
            fs::write(&checkpoint, published).unwrap();
            fs::write(&key, signed_by).unwrap();
            arguments = vec!["--against", checkpoint.to_str().unwrap(), "--key", key.to_str().unwrap()];
        }
        self.world.serve_on()?;
        self.world.look(&arguments)
    }
}

fn is_index_of_log(path: &Path) -> bool {
    path.to_string_lossy().ends_with("-shm")
}

/// Nothing has passed the trace by, or the disk in memory would not hold what the real one holds.
fn assert_same(again: &Tree, real: &Tree) {
    let files = |tree: &Tree| {
        let mut files = tree.files();
        files.retain(|path, _| !is_index_of_log(path));
        files
    };
    let (again, real) = (files(again), files(real));
    let (names, real_names): (Vec<_>, Vec<_>) = (again.keys().collect(), real.keys().collect());
    assert_eq!(names, real_names);
    let other = again.iter().find(|(path, bytes)| real[*path] != **bytes);
    assert!(other.is_none(), "{:?} is another", other.unwrap().0);
}

#[test]
fn an_agent_goes_on_after_the_loss_of_power_with_each_event_once_and_no_checkpoint_taken_back() {
    let losses = from_env("INDELIBLE_LOSSES").unwrap_or(LOSSES);
    let seed = random::seed();
    let run = Run::new();
    let states = run.lose_power(losses, &mut Random::new(seed)).unwrap_or_else(|what| panic!("INDELIBLE_SEED={seed}: {what}"));
    let (changes, pending_most) = (run.ops.len(), run.pending_most());
    eprintln!(
        "INDELIBLE_SEED={seed} INDELIBLE_LOSSES={losses}: trail and all, {changes} changes, at most {pending_most} pending, {states} different \
         states that agents went on from"
    );
    assert!(states as u64 * 4 > losses, "{states} different states");
}

/// A defect and the syncs that it leaves out.
type Defect = (&'static str, fn(&str) -> bool);

/// Each line is a defect of an agent that is without fault.
const DEFECTS: [Defect; 2] =
    [("no log is synced", |path| path.ends_with("-wal")), ("no sealed file is synced", |path| path.ends_with(".sealed.new"))];

#[test]
fn an_agent_whose_trail_is_not_synced_is_found() {
    let seed = random::seed();
    let mut run = Run::new();
    let without_fault = run.ops.clone();
    for (defect, is_left_out) in DEFECTS {
        let is_kept = |op: &&Op| !matches!(op, Op::Sync { path } if is_left_out(&path.to_string_lossy()));
        run.ops = without_fault.iter().filter(is_kept).cloned().collect();
        assert!(run.ops.len() < without_fault.len(), "{defect}: nothing was left out");
        let found = run.lose_power(LOSSES_UNTIL_FOUND, &mut Random::new(seed)).expect_err(defect);
        eprintln!("INDELIBLE_SEED={seed}: {defect}: found at {}", found.lines().next().unwrap_or_default());
    }
}
