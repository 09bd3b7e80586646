//! One changed byte, anywhere: `verify` says *tampered*, or *could not check*, or the trail still says exactly what it said.
//!
//! `make test` tries a sample of each trail, `INDELIBLE_FLIPS=all` (make torture) every byte, `INDELIBLE_FLIPS=500` so many. `INDELIBLE_SEED` repeats a sample. The counts are
//! written to `target/tmp/flips-*.txt`.
#![allow(clippy::unwrap_used, reason = "tests")]

mod dump;
mod files;
mod seed;

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use dump::{copy_folder, dump, fast_folder, files_of};
use files::{fill, trail_files};
use indelible::{Actor, Event, Json, Kind, Resource};
use indelible_server::{DataDir, Order, Reader, Report, StoredLeaf, Trust, verify};
use seed::{Seed, eventually};
use tempfile::TempDir;

/// Flips of each of the two trails in `make test`.
const SAMPLE: usize = 6_000;
/// A file up to this long is a note, a key or the like, and its every byte is tried.
const SMALL_FILE_BYTES: u64 = 2_048;
/// The longest write-ahead log that a kill may leave for its every byte to be tried.
const LOG_BYTES_MAX: u64 = 64 << 10;
const EVENTS: u64 = 300;
const WORKERS: usize = 2;

/// A small generator (xorshift64*), so that a seed repeats a run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % bound
    }
}

/// One byte of one file, and the bits of it to change.
#[derive(Debug, Clone)]
struct Flip {
    file: PathBuf,
    place: u64,
    mask: u8,
}

/// What `verify` answered, by file.
type Counts = BTreeMap<(String, &'static str), usize>;

fn event(number: u64) -> Event {
    let mut event = Event::new(Kind::Change, "visit.update");
    event.actor = Actor::user((number % 7).to_string(), "ana").into();
    event.resource = Some(Resource::new("clinic.Visit", number.to_string()));
    event.meta = Some(Json::from_text(format!(r#"{{"number":{number}}}"#)));
    event
}

/// Every byte of every file, or every byte of the small ones and a sample of the others.
fn flips(root: &Path) -> Vec<Flip> {
    let mut random = Random(env::var("INDELIBLE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x9e37_79b9_7f4a_7c15));
    let (mut small, mut flips) = (Vec::new(), Vec::new());
    for file in files_of(root) {
        let length = fs::metadata(&file).unwrap().len();
        let file = file.strip_prefix(root).unwrap().to_owned();
        let of_its_kind = if length <= SMALL_FILE_BYTES { &mut small } else { &mut flips };
        of_its_kind.extend((0..length).map(|place| Flip { file: file.clone(), place, mask: u8::try_from(1 + random.below(255)).unwrap() }));
    }
    let sample = match env::var("INDELIBLE_FLIPS").as_deref() {
        Ok("all") => return [small, flips].concat(),
        Ok(count) => count.parse().unwrap(),
        Err(_) => SAMPLE,
    };
    for chosen in 0..sample.min(flips.len()) {
        let other = chosen + random.below(flips.len() - chosen);
        flips.swap(chosen, other);
    }
    flips.truncate(sample.saturating_sub(small.len()));
    [small, flips].concat()
}

/// Tries flips on a copy of its own until none is left, and says what it found.
fn work(original: &Path, before: &str, flips: &[Flip], next: &AtomicUsize) -> (Counts, Vec<String>) {
    let folder = fast_folder();
    copy_folder(original, folder.path());
    let (mut counts, mut wrong) = (Counts::new(), Vec::new());
    while let Some(flip) = flips.get(next.fetch_add(1, Ordering::Relaxed)) {
        let path = folder.path().join(&flip.file);
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, flip.place).unwrap();
        file.write_all_at(&[byte[0] ^ flip.mask], flip.place).unwrap();
        let answer = match verify(&DataDir::new(folder.path()), &Trust::default()) {
            Report::Tampered(_) => "tampered",
            Report::CouldNotCheck(_) => "could not check",
            Report::Intact(_) => {
                if dump(folder.path()).as_deref() != Some(before) {
                    wrong.push(format!("intact, and says something else: {flip:?}"));
                }
                "intact"
            }
        };
        file.write_all_at(&byte, flip.place).unwrap();
        *counts.entry((flip.file.display().to_string(), answer)).or_default() += 1;
    }
    (counts, wrong)
}

/// Flips bytes of a trail, checks every answer and writes down the counts.
fn check(name: &str, original: &Path) {
    assert!(matches!(verify(&DataDir::new(original), &Trust::default()), Report::Intact(_)), "the trail is intact to begin with");
    let before = dump(original).unwrap();
    let flips = flips(original);
    let next = AtomicUsize::new(0);
    let found: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(|| work(original, &before, &flips, &next))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    let (mut counts, mut wrong) = (Counts::new(), Vec::new());
    for (part, faults) in found {
        part.into_iter().for_each(|(key, count)| *counts.entry(key).or_default() += count);
        wrong.extend(faults);
    }
    let report = report(name, flips.len(), &counts);
    print!("{report}");
    fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("flips-{name}.txt")), &report).unwrap();
    assert!(wrong.is_empty(), "{} of {}: {:#?}", wrong.len(), flips.len(), &wrong[..wrong.len().min(20)]);
    let found = counts.iter().filter(|((_, answer), _)| *answer == "tampered").map(|(_, count)| count).sum::<usize>();
    assert!(found > flips.len() / 4, "only {found} of {} flips were found:\n{report}", flips.len());
}

fn report(name: &str, flips: usize, counts: &Counts) -> String {
    let total = |answer| counts.iter().filter(|((_, found), _)| *found == answer).map(|(_, count)| count).sum::<usize>();
    let [tampered, could_not, intact] = ["tampered", "could not check", "intact"].map(total);
    let mut text = format!("{name}: {flips} flips: {tampered} tampered, {could_not} could not check, {intact} intact and unchanged\n");
    for ((file, answer), count) in counts {
        writeln!(text, "  {file}: {count} {answer}").unwrap();
    }
    text
}

/// Erases what actor 3 did, as far as it is sealed.
const RULE: &str = "[[retention]]\nname = \"three\"\nmatch = \"actor:3 action:visit.update\"\ndays = 0\n";

/// A trail of 300 events in two sealed files, a closed one and the open one, with a pending intent, whose agent has stopped in order. Bodies
/// of the first file were erased.
fn stopped() -> Seed {
    let seed = Seed::empty();
    let mut numbers = 0..EVENTS;
    let rounds: Vec<Vec<Event>> = [100, 80, 70, 50].map(|count| numbers.by_ref().take(count).map(event).collect()).to_vec();
    assert!(numbers.is_empty());
    seed.leave_in_doubt("clinic", vec![event(EVENTS)]);
    let (first, others) = rounds.split_first().unwrap();
    seed.record("clinic", first.clone());
    seed.ingest_in_files_of(100);
    fs::write(seed.path().join("config.toml"), RULE).unwrap();
    let run = seed.indelible(&["retention", "run", "--yes"]);
    assert!(run.status.success(), "{run:?}");
    assert_eq!(erased(&seed), 14, "numbers from 3 to 94, each seventh");
    fill(&seed, others.to_vec());
    fs::write(seed.path().join("config.toml"), "# Nothing differs from the defaults.\n").unwrap();
    assert_eq!(trail_files(seed.path()).len(), 4);
    seed
}

fn erased(seed: &Seed) -> usize {
    let mut count = 0;
    let each = |leaf: StoredLeaf| {
        count += usize::from(leaf.is_erased());
        ControlFlow::Continue(())
    };
    Reader::open(&seed.dir()).unwrap().records(0..u64::MAX, Order::OldestFirst, each).unwrap();
    count
}

#[test]
fn no_changed_byte_of_a_trail_that_was_stopped_makes_it_say_something_else() {
    let seed = stopped();
    check("stopped", seed.path());
}

#[test]
fn no_changed_byte_of_a_trail_whose_agent_was_killed_makes_it_say_something_else() {
    let killed = killed();
    check("killed", killed.path());
}

/// A copy of the same trail after a few more events and a kill, with the log that it leaves.
fn killed() -> TempDir {
    let seed = stopped();
    let before = Reader::open(&seed.dir()).unwrap().tree_size();
    let mut agent = seed.command(&["serve", "--listen", "127.0.0.1:0"]).stderr(Stdio::null()).spawn().unwrap();
    seed.record("clinic", vec![event(1)]);
    let log = PathBuf::from(format!("{}-wal", trail_files(seed.path()).pop().unwrap().display()));
    let size = || match verify(&seed.dir(), &Trust::default()) {
        Report::Intact(intact) => Some(intact.tree_size),
        _ => None,
    };
    eventually("the last event is under a checkpoint", || {
        let reader = Reader::open(&seed.dir()).unwrap();
        let is_ours = |leaf| reader.record(leaf).unwrap().is_some_and(|found| found.body.windows(12).any(|part| part == b"visit.update"));
        (before..size()?.min(reader.tree_size())).any(is_ours).then_some(())
    });
    agent.kill().unwrap();
    agent.wait().unwrap();
    let length = fs::metadata(&log).unwrap().len();
    assert!(length > 0 && length <= LOG_BYTES_MAX, "a log of {length} bytes");
    let copy = fast_folder();
    copy_folder(seed.path(), copy.path());
    copy
}
