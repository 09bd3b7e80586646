//! Loss of power at every moment: what a synced journal acknowledged is there, what is torn is no record, and the agent's small files are
//! old or new and nothing between.
//!
//! A real worker and a real agent run once; every change they make to their files is recorded and made again on a disk in memory
//! (`faulty/disk.rs`), which shows all states that the loss of power may leave. `INDELIBLE_FAULTS=all` adds buffered journals and more runs.
#![allow(clippy::unwrap_used, reason = "tests")]

mod faulty;
mod seed;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::{env, fs};

use faulty::agent;
use faulty::disk::{Disk, Op, Tree, read_trace};
use faulty::worker::{self, Manner, REQUIRED, STANDARD, World};
use indelible::{Frame, StreamId, read_frame};
use seed::Seed;
use serde_json::Value;

const BUFFERED: Manner = Manner { policy: "standard", durability: "buffered", host: false };
/// States of the journal that a real agent is given.
const INGESTED: usize = 6;

#[test]
#[ignore = "started as a process of its own by the other tests"]
fn worker() {
    worker::run();
}

fn is_full() -> bool {
    env::var("INDELIBLE_FAULTS").is_ok_and(|value| value == "all")
}

/// What a worker did to its journal, and what it said meanwhile, in the one order.
fn worker_trace(manner: Manner) -> Vec<Op> {
    let world = World::new(manner);
    let root = world.seed.path().canonicalize().unwrap();
    let said = world.trace();
    assert_eq!(said.lost, Some(0));
    let text = fs::read_to_string(world.signs.log()).unwrap();
    let mut ops = read_trace(&text, &root);
    // What was told once is a hint and never synced: it would always be pending.
    let is_ours =
        |path: &Path| (path.starts_with("journal") && !path.ends_with("told")) || [Path::new("said"), Path::new("")].contains(&path);
    ops.retain(|op| is_ours(op.path()));
    if manner.host {
        // Made by `init`, long ago.
        let made = ["journal", "journal/notes"].map(|path| Op::MakeFolder { path: path.into() });
        ops = made.into_iter().chain(["", "journal"].map(|path| Op::Sync { path: path.into() })).chain(ops).collect();
    }
    ops
}

/// Events that a write of the worker's to `said` acknowledges.
fn acknowledged(op: &Op) -> Vec<i64> {
    let Op::Write { path, bytes, .. } = op else { return Vec::new() };
    if path != Path::new("said") {
        return Vec::new();
    }
    let text = String::from_utf8_lossy(bytes);
    let words: Vec<&str> = text.split_whitespace().collect();
    let is_safe = |fact: &str| ["recorded", "held"].contains(&fact);
    words.chunks(2).filter(|pair| is_safe(pair[1])).map(|pair| pair[0].parse().unwrap()).collect()
}

/// A defect and the syncs that it leaves out.
type Defect<'a> = (&'a str, &'a dyn Fn(&Path) -> bool);
/// What a segment holds, with its bytes, so that their place stays theirs.
type Known = HashMap<*const Vec<u8>, (Rc<Vec<u8>>, BTreeSet<i64>)>;

/// What all states of a journal are checked against.
struct Journals {
    /// Every write to a segment, headers and frames, and the numbers of the events in it.
    written: HashMap<Vec<u8>, Vec<i64>>,
    acknowledged: BTreeSet<i64>,
    /// What segments hold that several states share, by the place of their bytes, which stay there.
    known: RefCell<Known>,
}

impl Journals {
    /// Every acknowledged event is in a frame that a reader accepts, and every frame that it accepts was written.
    fn check(&self, tree: &Tree) -> Result<(), String> {
        let mut found = BTreeSet::new();
        for (path, bytes) in tree.files() {
            if let (Some(bytes), Some(stream)) = (bytes, stream_of(&path)) {
                found.extend(self.look_up(stream, bytes).map_err(|what| format!("{}: {what}", path.display()))?);
            }
        }
        match self.acknowledged.difference(&found).next() {
            Some(number) => Err(format!("{number} was acknowledged and is lost")),
            None => Ok(()),
        }
    }

    fn look_up(&self, stream: StreamId, bytes: &Rc<Vec<u8>>) -> Result<BTreeSet<i64>, String> {
        if let Some((_, found)) = self.known.borrow().get(&Rc::as_ptr(bytes)) {
            return Ok(found.clone());
        }
        let mut found = BTreeSet::new();
        self.read_segment(stream, bytes, &mut found)?;
        if Rc::strong_count(bytes) > 1 {
            self.known.borrow_mut().insert(Rc::as_ptr(bytes), (Rc::clone(bytes), found.clone()));
        }
        Ok(found)
    }

    /// Accepts what any reader could: at every byte where a checksum holds.
    fn read_segment(&self, stream: StreamId, mut bytes: &[u8], found: &mut BTreeSet<i64>) -> Result<(), String> {
        while !bytes.is_empty() {
            let Ok((frame, size)) = read_frame(stream, bytes) else {
                bytes = &bytes[1..];
                continue;
            };
            let numbers = self.written.get(&bytes[..size]);
            found.extend(numbers.ok_or_else(|| format!("frame {} was accepted and never written", frame.sequence))?);
            bytes = &bytes[size..];
        }
        Ok(())
    }
}

/// The stream of a segment that an agent would look at.
fn stream_of(path: &Path) -> Option<StreamId> {
    let folder = path.parent()?.file_name()?.to_str()?;
    path.extension().filter(|extension| *extension == "journal").and(folder.parse().ok())
}

/// Numbers of the events in one write to a segment; none in its header.
fn numbers_in(stream: StreamId, bytes: &[u8]) -> Vec<i64> {
    let Ok((frame, _)) = read_frame(stream, bytes) else { return Vec::new() };
    match frame.parse() {
        Ok(Frame::Event(item)) => number_of(item.body).into_iter().collect(),
        Ok(Frame::Intent { items, .. }) => items.iter().filter_map(|item| number_of(item.body)).collect(),
        _ => Vec::new(),
    }
}

fn number_of(body: &[u8]) -> Option<i64> {
    serde_json::from_slice::<Value>(body).ok()?["meta"]["number"].as_i64()
}

/// What was looked at.
#[derive(Debug, Default)]
struct Looked {
    states: usize,
    moments: usize,
    pending_most: usize,
}

impl Looked {
    fn of(disk: &Disk, moments: usize) -> Self {
        Self { states: disk.states, moments, pending_most: disk.pending_most }
    }

    fn print(&self, of: &str) {
        let Self { states, moments, pending_most } = self;
        eprintln!("{of}: power lost at {moments} moments, {states} states, at most {pending_most} pending");
    }
}

/// Loses power after every change of a journal's trace.
fn lose_power(ops: &[Op], synced: bool) -> Result<Looked, String> {
    let written = ops.iter().filter_map(|op| match op {
        Op::Write { path, bytes, .. } => stream_of(path).map(|stream| (bytes.clone(), numbers_in(stream, bytes))),
        _ => None,
    });
    let mut journals = Journals { written: written.collect(), acknowledged: BTreeSet::new(), known: RefCell::default() };
    let mut disk = Disk::new(if is_full() { 10 } else { 6 });
    for op in ops {
        if op.path() == Path::new("said") {
            journals.acknowledged.extend(acknowledged(op).iter().filter(|_| synced));
        } else {
            disk.apply(op);
        }
        disk.crash(&mut |tree| journals.check(tree)).map_err(|what| format!("{what}, after {op:?}"))?;
    }
    assert!(!synced || journals.acknowledged.len() >= 12, "the worker acknowledged {:?}", journals.acknowledged);
    Ok(Looked::of(&disk, ops.len()))
}

#[test]
fn what_a_synced_journal_acknowledged_survives_the_loss_of_power_and_what_is_torn_is_no_record() {
    let runs = if is_full() { 10 } else { 1 };
    for manner in [REQUIRED, STANDARD].into_iter().cycle().take(runs) {
        let looked = lose_power(&worker_trace(manner), true).unwrap();
        looked.print(&format!("journal, {}", manner.policy));
        assert!(looked.states > 500);
    }
}

#[test]
fn a_torn_record_of_a_buffered_journal_is_no_record() {
    let mut ops = worker_trace(BUFFERED);
    // Nothing is ever synced, so the states only multiply.
    ops.truncate(if is_full() { 48 } else { 24 });
    lose_power(&ops, false).unwrap().print("journal, buffered");
}

/// Each line is a defect: the changes that it leaves out of a trace that is without fault.
#[test]
fn a_journal_that_leaves_out_a_sync_is_found() {
    let ops = worker_trace(STANDARD);
    let is_segment = |path: &Path| path.extension().is_some_and(|extension| extension == "journal");
    let defects: [Defect<'_>; 4] = [
        ("no segment is synced", &is_segment),
        ("no stream's folder is synced", &|path| !is_segment(path) && path.components().count() == 3),
        ("no service's folder is synced", &|path| path == Path::new("journal/notes")),
        ("no folder above is synced", &|path| path == Path::new("journal") || path == Path::new("")),
    ];
    for (defect, is_left_out) in defects {
        let defective: Vec<Op> = ops.iter().filter(|op| !matches!(op, Op::Sync { path } if is_left_out(path))).cloned().collect();
        assert!(defective.len() < ops.len(), "{defect}: nothing was left out");
        let found = lose_power(&defective, true).expect_err(defect);
        assert!(found.contains("was acknowledged and is lost"), "{defect}: {found}");
    }
}

/// The states of one moment in ten, given to a real agent.
#[test]
fn an_agent_ingests_what_the_loss_of_power_left_and_its_trail_is_intact() {
    let ops = worker_trace(STANDARD);
    let step = ops.len() / INGESTED;
    let (mut disk, mut known, mut ingested) = (Disk::new(6), BTreeSet::new(), 0);
    for (at, op) in ops.iter().enumerate() {
        if op.path() == Path::new("said") {
            known.extend(acknowledged(op));
        } else {
            disk.apply(op);
        }
        if at % step == step - 1 {
            let mut last = None;
            disk.crash(&mut |tree| {
                last = Some(tree.clone());
                Ok(())
            })
            .unwrap();
            ingest(&last.unwrap(), &known, at);
            ingested += 1;
        }
    }
    assert!(ingested >= INGESTED);
}

fn ingest(tree: &Tree, known: &BTreeSet<i64>, at: usize) {
    let seed = Seed::empty();
    for (path, bytes) in tree.files() {
        let path = seed.path().join(path);
        match bytes {
            Some(bytes) => fs::write(path, bytes.as_slice()).unwrap(),
            None => fs::create_dir_all(path).unwrap(),
        }
    }
    seed.ingest();
    assert_eq!(seed.indelible(&["verify"]).status.code(), Some(0), "moment {at}");
    let numbers: Vec<i64> = seed.records("note.create").iter().map(|(body, _)| body["meta"]["number"].as_i64().unwrap()).collect();
    let distinct: BTreeSet<i64> = numbers.iter().copied().collect();
    assert_eq!(distinct.len(), numbers.len(), "moment {at}: each once");
    assert!(known.is_subset(&distinct), "moment {at}: {known:?} were acknowledged, {distinct:?} are in the trail");
}

/// The agent's files that are replaced as a whole.
const REPLACED: [&str; 7] =
    ["trail/checkpoint", "trail/state", "trail/verifier", "keys/trail.key", "sinks/config.recorded", "sinks/s/cursor", ".gitignore"];

/// What each replaced file has held, and which of it is safe.
#[derive(Default)]
struct Versions {
    held: BTreeMap<PathBuf, Vec<Vec<u8>>>,
    safe_from: BTreeMap<PathBuf, usize>,
}

impl Versions {
    /// After a change: a rename gives a file its next content, a sync of the folder makes that safe.
    fn follow(&mut self, op: &Op, now: &Tree) {
        for path in REPLACED.map(PathBuf::from) {
            match op {
                Op::Rename { to, .. } if *to == path => self.held.entry(path).or_default().push(now.read(to).unwrap().to_vec()),
                Op::Sync { path: folder } if path.parent() == Some(folder) => {
                    if let Some(held) = self.held.get(&path) {
                        self.safe_from.insert(path, held.len() - 1);
                    }
                }
                _ => {}
            }
        }
    }

    fn check(&self, tree: &Tree) -> Result<(), String> {
        for path in REPLACED.map(PathBuf::from) {
            let (safe_from, name) = (self.safe_from.get(&path), path.display());
            match (tree.read(&path), self.held.get(&path)) {
                (None, _) if safe_from.is_none() => {}
                (None, _) => return Err(format!("{name} is missing")),
                (Some(_), None) => return Err(format!("{name} is there before it was named")),
                (Some(content), Some(held)) => {
                    let place = held.iter().rposition(|version| version == content);
                    let place = place.ok_or_else(|| format!("{name} has {} bytes that nobody wrote as a whole", content.len()))?;
                    if safe_from.is_some_and(|safe| place < *safe) {
                        return Err(format!("{name} is older than the one that was safe"));
                    }
                }
            }
        }
        self.check_order(tree)
    }

    /// What rests on something else is never there without it.
    fn check_order(&self, tree: &Tree) -> Result<(), String> {
        let is_there = |path: &str| tree.read(Path::new(path)).is_some();
        for (follower, leader) in [("trail/checkpoint", "keys/trail.key"), ("trail/checkpoint", "trail/verifier")] {
            if is_there(follower) && !is_there(leader) {
                return Err(format!("{follower} is there without {leader}"));
            }
        }
        let Some(cursor) = tree.read(Path::new("sinks/s/cursor")) else { return Ok(()) };
        let cursor: Value = serde_json::from_slice(cursor).map_err(|error| format!("the cursor: {error}"))?;
        for (name, file) in cursor["position"]["files"].as_object().into_iter().flatten() {
            let covered = file["bytes"].as_u64().unwrap_or(0);
            let there = tree.read(&Path::new("sinks/s/files").join(name)).map_or(0, <[u8]>::len) as u64;
            if covered > there {
                return Err(format!("the cursor covers {covered} bytes of {name}, which has {there}"));
            }
        }
        Ok(())
    }
}

fn agent_trace() -> Vec<Op> {
    let world = agent::World::new();
    let root = world.seed.path().canonicalize().unwrap();
    let mut ops = vec![Op::MakeFolder { path: "journal".into() }];
    ops.extend(read_trace(&world.trace(), &root));
    // SQLite knows itself how to survive, and journals are read only; the rest is ours.
    let is_of_sqlite = |path: &Path| path.starts_with("trail") && path.to_string_lossy().contains(".trail");
    let is_ours = |path: &Path| !is_of_sqlite(path) && !path.starts_with("journal");
    ops.retain(|op| is_ours(op.path()));
    ops
}

fn lose_power_of_agent(ops: &[Op]) -> Result<Looked, String> {
    let (mut disk, mut versions) = (Disk::new(if is_full() { 10 } else { 4 }), Versions::default());
    for op in ops {
        disk.apply(op);
        versions.follow(op, &disk.now);
        disk.crash(&mut |tree| versions.check(tree)).map_err(|what| format!("{what}, after {op:?}"))?;
    }
    assert!(REPLACED.iter().all(|path| versions.held.contains_key(Path::new(path))), "{:?}", versions.held.keys());
    Ok(Looked::of(&disk, ops.len()))
}

#[test]
fn what_the_agent_replaces_is_old_or_new_after_the_loss_of_power_and_no_cursor_is_ahead_of_its_file() {
    let looked = lose_power_of_agent(&agent_trace()).unwrap();
    looked.print("cursors, checkpoint, state and keys");
    assert!(looked.states > 500);
}

#[test]
fn an_agent_that_leaves_out_a_sync_is_found() {
    let ops = agent_trace();
    let is_folder = |path: &Path| [".", "trail", "keys", "sinks", "sinks/s", "sinks/s/files", ""].contains(&&*path.to_string_lossy());
    let is_new = |path: &Path| path.extension().is_some_and(|extension| extension == "new");
    let defects: [Defect<'_>; 3] = [
        ("no new content is synced", &is_new),
        ("no folder is synced", &is_folder),
        ("no file of a sink is synced", &|path| path.starts_with("sinks/s/files") && !is_folder(path)),
    ];
    for (defect, is_left_out) in defects {
        let defective: Vec<Op> = ops.iter().filter(|op| !matches!(op, Op::Sync { path } if is_left_out(path))).cloned().collect();
        assert!(defective.len() < ops.len(), "{defect}: nothing was left out");
        // Without the sync of a folder nothing is ever promised, so what is missed there is the order.
        lose_power_of_agent(&defective).expect_err(defect);
    }
}
