//! Loss of power at every moment: what a synced journal acknowledged is there, what is torn is no record, and the agent's small files are
//! old or new and nothing between.
//!
//! A real worker and a real agent run once; every change they make to their files is recorded and made again on a disk in memory
//! (`faulty/disk.rs` says what power may leave of it), of which every state is looked at (`faulty/states.rs`) as long as no more than
//! [`SUBSETS_OF`] changes are pending; of older ones all or none. `INDELIBLE_FAULTS=all` is that for the agent too, and more runs. The trail
//! itself is in `power/trail.rs`, and that no state is left out in `power/model.rs`.
#![allow(clippy::unwrap_used, reason = "tests")]

mod faulty;
mod power;
mod random;
mod seed;

use std::collections::{BTreeSet, HashMap};
use std::env;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use faulty::agent;
use faulty::disk::{Disk, Tree};
use faulty::states::{Image, Looked, Names, States};
use faulty::trace::Op;
use faulty::worker::{self, Manner, REQUIRED, STANDARD};
use indelible::{Frame, StreamId, read_frame};
use random::Random;
use seed::Seed;
use serde_json::Value;

const BUFFERED: Manner = Manner { policy: "standard", durability: "buffered", host: false };
/// States of the journal that a real agent is given.
const INGESTED: usize = 6;
/// Every subset of so many pending changes is tried; `make test` tries fewer of the agent's, which are many.
const SUBSETS_OF: usize = 10;
const SUBSETS_OF_AGENT: usize = 6;

#[test]
#[ignore = "started as a process of its own by the other tests"]
fn worker() {
    worker::run();
}

fn is_full() -> bool {
    env::var("INDELIBLE_FAULTS").is_ok_and(|value| value == "all")
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
/// A set of events, a bit for each in the order of their numbers.
type Events = u128;

/// What all states of a journal are checked against.
#[derive(Default)]
struct Journals {
    /// Every write to a segment, headers and frames, and the events in it.
    written: HashMap<Vec<u8>, Events>,
    /// The numbers of all events.
    numbers: Vec<i64>,
    acknowledged: Events,
    /// What segments hold, by stream and content.
    known: HashMap<(StreamId, usize), Events>,
    /// Where under which names segments lie.
    segments: HashMap<usize, Rc<Vec<(usize, StreamId)>>>,
}

impl Journals {
    fn of(ops: &[Op]) -> Self {
        let mut journals = Self::default();
        let writes = || {
            ops.iter().filter_map(|op| match op {
                Op::Write { path, bytes, .. } => stream_of(path).map(|stream| (bytes, numbers_in(stream, bytes))),
                _ => None,
            })
        };
        let numbers: BTreeSet<i64> = writes().flat_map(|(_, numbers)| numbers).collect();
        journals.numbers = numbers.into_iter().collect();
        journals.written = writes().map(|(bytes, numbers)| (bytes.clone(), journals.events(&numbers))).collect();
        journals
    }

    fn events(&self, numbers: &[i64]) -> Events {
        numbers
            .iter()
            .map(|number| 1 << self.numbers.binary_search(number).expect("an event that was written"))
            .fold(0, |all, one: Events| all | one)
    }

    /// Every acknowledged event is in a frame that a reader accepts, and every frame that it accepts was written.
    fn check(&mut self, image: Image<'_>) -> Result<(), String> {
        let mut found = 0;
        for &(at, stream) in self.segments_in(image.names).iter() {
            let content = image.held[at];
            found |= match self.known.get(&(stream, content.number)) {
                Some(known) => *known,
                None => {
                    let events = self.read_segment(stream, &content.bytes);
                    let events = events.map_err(|what| format!("{}: {what}", image.names.files[at].0.display()))?;
                    self.known.insert((stream, content.number), events);
                    events
                }
            };
        }
        match self.acknowledged & !found {
            0 => Ok(()),
            lost => Err(format!("{} was acknowledged and is lost", self.numbers[lost.trailing_zeros() as usize])),
        }
    }

    fn segments_in(&mut self, names: &Names) -> Rc<Vec<(usize, StreamId)>> {
        let find = || names.files.iter().enumerate().filter_map(|(at, (path, _))| Some((at, stream_of(path)?))).collect();
        Rc::clone(self.segments.entry(names.number).or_insert_with(|| Rc::new(find())))
    }

    /// Accepts what any reader could: at every byte where a checksum holds.
    fn read_segment(&self, stream: StreamId, mut bytes: &[u8]) -> Result<Events, String> {
        let mut found = 0;
        while !bytes.is_empty() {
            let Ok((frame, size)) = read_frame(stream, bytes) else {
                bytes = &bytes[1..];
                continue;
            };
            let events = self.written.get(&bytes[..size]);
            found |= events.ok_or_else(|| format!("frame {} was accepted and never written", frame.sequence))?;
            bytes = &bytes[size..];
        }
        Ok(found)
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

/// Loses power after every change of a journal's trace.
fn lose_power(ops: &[Op], synced: bool) -> Result<Looked, String> {
    let mut journals = Journals::of(ops);
    let (mut disk, mut states) = (Disk::new(), States::new(SUBSETS_OF));
    for op in ops {
        if op.path() == Path::new("said") {
            if synced {
                journals.acknowledged |= journals.events(&acknowledged(op));
                states.require_more();
            }
        } else {
            disk.apply(op);
        }
        states.crash(&disk, &mut |image| journals.check(image)).map_err(|what| format!("{what}, after {op:?}"))?;
    }
    let count = journals.acknowledged.count_ones();
    assert!(!synced || count >= 12, "the worker acknowledged {count} events");
    Ok(states.looked)
}

#[test]
fn what_a_synced_journal_acknowledged_survives_the_loss_of_power_and_what_is_torn_is_no_record() {
    let runs = if is_full() { 10 } else { 1 };
    for manner in [REQUIRED, STANDARD].into_iter().cycle().take(runs) {
        let looked = lose_power(&worker::journal_trace(manner), true).unwrap();
        looked.print(&format!("journal, {}", manner.policy));
        assert!(looked.images > 500);
    }
}

#[test]
fn a_torn_record_of_a_buffered_journal_is_no_record() {
    let mut ops = worker::journal_trace(BUFFERED);
    // Nothing is ever synced, so the states only multiply.
    ops.truncate(if is_full() { 48 } else { 24 });
    lose_power(&ops, false).unwrap().print("journal, buffered");
}

/// Each line is a defect: the changes that it leaves out of a trace that is without fault.
#[test]
fn a_journal_that_leaves_out_a_sync_is_found() {
    let ops = worker::journal_trace(STANDARD);
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
    let ops = worker::journal_trace(STANDARD);
    let step = ops.len() / INGESTED;
    let (mut disk, mut known, mut ingested) = (Disk::new(), BTreeSet::new(), 0);
    let mut random = Random::new(random::seed());
    for (at, op) in ops.iter().enumerate() {
        if op.path() == Path::new("said") {
            known.extend(acknowledged(op));
        } else {
            disk.apply(op);
        }
        if at % step == step - 1 {
            ingest(&power::chance(&disk, &mut random), &known, at);
            ingested += 1;
        }
    }
    assert!(ingested >= INGESTED);
}

fn ingest(tree: &Tree, known: &BTreeSet<i64>, at: usize) {
    let seed = Seed::empty();
    tree.store(seed.path());
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

/// What each replaced file has held, by the numbers of contents, and which of it is safe.
#[derive(Default)]
struct Versions {
    held: [Vec<usize>; REPLACED.len()],
    safe_from: [Option<usize>; REPLACED.len()],
    /// Where under which names the replaced files and those of the sink lie.
    places: HashMap<usize, Rc<Places>>,
    /// What cursors cover, by the number of their contents.
    cursors: HashMap<usize, Rc<Vec<(PathBuf, u64)>>>,
}

/// Where the files lie that matter, as places among the files of an image.
struct Places {
    replaced: [Option<usize>; REPLACED.len()],
    of_sink: HashMap<PathBuf, usize>,
}

impl Places {
    fn of(names: &Names) -> Self {
        let by_path: HashMap<&Path, usize> = names.files.iter().enumerate().map(|(at, (path, _))| (path.as_path(), at)).collect();
        let of_sink = by_path.iter().filter_map(|(path, at)| Some((path.strip_prefix("sinks/s/files").ok()?.to_owned(), *at)));
        Self { replaced: REPLACED.map(|path| by_path.get(Path::new(path)).copied()), of_sink: of_sink.collect() }
    }
}

fn replaced(path: &str) -> usize {
    REPLACED.iter().position(|replaced| *replaced == path).unwrap()
}

impl Versions {
    /// After a change: a rename gives a file its next content, a sync of the folder makes that safe. Whether more must hold than before.
    fn follow(&mut self, op: &Op, now: &Tree, states: &mut States) -> bool {
        let mut requires_more = false;
        for (at, path) in REPLACED.iter().map(Path::new).enumerate() {
            match op {
                Op::Rename { to, .. } if to == path => self.held[at].push(states.number_of(now.read(to).unwrap())),
                Op::Sync { path: folder } if path.parent() == Some(folder) && !self.held[at].is_empty() => {
                    requires_more |= self.safe_from[at].replace(self.held[at].len() - 1) != Some(self.held[at].len() - 1);
                }
                _ => {}
            }
        }
        requires_more
    }

    fn check(&mut self, image: Image<'_>) -> Result<(), String> {
        let places = Rc::clone(self.places.entry(image.names.number).or_insert_with(|| Rc::new(Places::of(image.names))));
        for (at, name) in REPLACED.iter().enumerate() {
            let content = places.replaced[at].map(|place| image.held[place]);
            match (content, self.safe_from[at]) {
                (None, None) => {}
                (None, Some(_)) => return Err(format!("{name} is missing")),
                (Some(_), _) if self.held[at].is_empty() => return Err(format!("{name} is there before it was named")),
                (Some(content), safe_from) => {
                    let version = self.held[at].iter().rposition(|version| *version == content.number);
                    let version =
                        version.ok_or_else(|| format!("{name} has {} bytes that nobody wrote as a whole", content.bytes.len()))?;
                    if safe_from.is_some_and(|safe| version < safe) {
                        return Err(format!("{name} is older than the one that was safe"));
                    }
                }
            }
        }
        self.check_order(&places, image)
    }

    /// What rests on something else is never there without it.
    fn check_order(&mut self, places: &Places, image: Image<'_>) -> Result<(), String> {
        let place = |path: &str| places.replaced[replaced(path)];
        for (follower, leader) in [("trail/checkpoint", "keys/trail.key"), ("trail/checkpoint", "trail/verifier")] {
            if place(follower).is_some() && place(leader).is_none() {
                return Err(format!("{follower} is there without {leader}"));
            }
        }
        let Some(cursor) = place("sinks/s/cursor").map(|place| image.held[place]) else { return Ok(()) };
        let covered = self.cursors.entry(cursor.number).or_insert_with(|| Rc::new(covered_by(&cursor.bytes)));
        for (name, covered) in covered.iter() {
            let there = places.of_sink.get(name).map_or(0, |place| image.held[*place].bytes.len() as u64);
            if *covered > there {
                return Err(format!("the cursor covers {covered} bytes of {}, which has {there}", name.display()));
            }
        }
        Ok(())
    }
}

/// Files of a sink and how many of their bytes its cursor covers.
fn covered_by(cursor: &[u8]) -> Vec<(PathBuf, u64)> {
    let cursor: Value = serde_json::from_slice(cursor).expect("a cursor that was written as a whole");
    let files = cursor["position"]["files"].as_object().into_iter().flatten();
    files.map(|(name, file)| (name.into(), file["bytes"].as_u64().unwrap_or(0))).collect()
}

fn lose_power_of_agent(ops: &[Op]) -> Result<Looked, String> {
    let (mut disk, mut versions) = (Disk::new(), Versions::default());
    let mut states = States::new(if is_full() { SUBSETS_OF } else { SUBSETS_OF_AGENT });
    for op in ops {
        disk.apply(op);
        if versions.follow(op, &disk.now, &mut states) {
            states.require_more();
        }
        states.crash(&disk, &mut |image| versions.check(image)).map_err(|what| format!("{what}, after {op:?}"))?;
    }
    assert!(versions.held.iter().all(|held| !held.is_empty()), "{:?}", versions.held);
    Ok(states.looked)
}

#[test]
fn what_the_agent_replaces_is_old_or_new_after_the_loss_of_power_and_no_cursor_is_ahead_of_its_file() {
    let looked = lose_power_of_agent(&agent::small_trace()).unwrap();
    looked.print("cursors, checkpoint, state and keys");
    assert!(looked.images > 500);
}

#[test]
fn an_agent_that_leaves_out_a_sync_is_found() {
    let ops = agent::small_trace();
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
