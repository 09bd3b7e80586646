//! What the two promises cost that a plain log does not make: a record before COMMIT, and a sync before the answer.
//!
//! `cargo bench -p indelible --bench promises`. Each is measured against what the same machine takes for the same bytes without us, in turns
//! within one run, and told as the ratio of a round: a disk that others keep busy is slow for both.
//!
//! - before COMMIT: what a transaction of one event adds to recording that event: INTENT before and OUTCOME after instead of one frame,
//!   which is one `write(2)` more.
//! - before the answer: 64 threads that each wait for the disk. Ours; the same bytes behind a group commit of thirty lines; and
//!   an `fdatasync` for every record.

mod support;

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::Instant;

use indelible::{Durability, Recorded, Recorder};

const TRANSACTIONS: usize = 20_000;
const WRITERS: usize = 64;
/// Of each writer in each round.
const RECORDS: usize = 20;
const ROUNDS: usize = 7;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    before_commit(folder.path())?;
    before_answer(folder.path())
}

fn plain_file(folder: &Path, name: &str) -> Result<File, Box<dyn Error>> {
    Ok(OpenOptions::new().append(true).create_new(true).open(folder.join(name))?)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn tell(name: &str, value: f64, unit: &str) -> Result<(), Box<dyn Error>> {
    println!("{name}: {value:.2} {unit}");
    Ok(support::add_result(name, value, unit)?)
}

/// Records one event in a transaction, and answers the nanoseconds before COMMIT and after it.
fn transact(recorder: &Recorder) -> Result<(f64, f64), Box<dyn Error>> {
    let mut transaction = recorder.transaction("default");
    transaction.record(support::event());
    let began = Instant::now();
    let intent = transaction.prepare()?.ok_or("a transaction with an event has an intent")?;
    let before = began.elapsed();
    let began = Instant::now();
    intent.committed();
    Ok((before.as_nanos() as f64, began.elapsed().as_nanos() as f64))
}

fn before_commit(folder: &Path) -> Result<(), Box<dyn Error>> {
    let recorder = support::recorder(folder, Durability::Buffered)?;
    let (mut before, mut both, mut alone) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TRANSACTIONS {
        let (intent, outcome) = transact(&recorder)?;
        before.push(intent);
        both.push(intent + outcome);
        let event = support::event();
        let began = Instant::now();
        let recorded = recorder.record(event);
        alone.push(began.elapsed().as_nanos() as f64);
        assert!(matches!(recorded, Recorded::At(_)), "a lost event would make the figure too good");
    }
    let (before, both, alone) = (median(before) / 1e3, median(both) / 1e3, median(alone) / 1e3);
    tell("before COMMIT, INTENT of one event, p50", before, "µs")?;
    tell("before COMMIT, INTENT and OUTCOME beyond recording the event, p50", both - alone, "µs")
}

/// One `fdatasync` for all who wait for one, and nothing else.
struct Group {
    file: Mutex<(File, u64)>,
    syncing: File,
    state: Mutex<(u64, bool)>,
    woken: Condvar,
}

impl Group {
    fn append(&self, bytes: &[u8]) {
        let sequence = {
            let mut file = self.file.lock().expect("no writer panics");
            file.0.write_all(bytes).expect("the disk has space");
            file.1 += 1;
            file.1
        };
        let mut state = self.state.lock().expect("no writer panics");
        while state.0 < sequence {
            if state.1 {
                state = self.woken.wait(state).expect("no writer panics");
                continue;
            }
            state.1 = true;
            drop(state);
            let written = self.file.lock().expect("no writer panics").1;
            self.syncing.sync_data().expect("the disk syncs");
            state = self.state.lock().expect("no writer panics");
            *state = (written, false);
            self.woken.notify_all();
        }
    }
}

/// Microseconds by the clock and of CPU that one record took when all writers append at once.
fn together(append: &(impl Fn() + Sync)) -> (f64, f64) {
    let began = Instant::now();
    let cpu: u64 = thread::scope(|scope| {
        let writer = || {
            let before = support::thread_cpu();
            (0..RECORDS).for_each(|_| append());
            support::thread_cpu() - before
        };
        let writers: Vec<_> = (0..WRITERS).map(|_| scope.spawn(writer)).collect();
        writers.into_iter().map(|writer| writer.join().expect("no writer panics")).sum()
    });
    let records = (WRITERS * RECORDS) as f64;
    (began.elapsed().as_secs_f64() * 1e6 / records, cpu as f64 / 1e3 / records)
}

fn before_answer(folder: &Path) -> Result<(), Box<dyn Error>> {
    let recorder = support::recorder(&folder.join("synced"), Durability::Synced)?;
    let before = recorder.health().bytes;
    recorder.record(support::event());
    let bytes = vec![0x20; (recorder.health().bytes - before) as usize];
    let file = plain_file(folder, "group")?;
    let group = Group { syncing: file.try_clone()?, file: Mutex::new((file, 0)), state: Mutex::new((0, false)), woken: Condvar::new() };
    let alone = plain_file(folder, "alone")?;
    let ours = || {
        let recorded = recorder.record(support::event());
        assert!(matches!(recorded, Recorded::At(_)), "a lost event would make the figure too good");
    };
    let theirs = || group.append(&bytes);
    let each_alone = || {
        (&alone).write_all(&bytes).expect("the disk has space");
        alone.sync_data().expect("the disk syncs");
    };
    together(&ours);
    together(&theirs);
    let (mut times, mut of_group, mut of_alone, mut group_of_alone) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (ours, theirs, alone) = (together(&ours), together(&theirs), together(&each_alone));
        times.push(ours.0);
        of_group.push(ours.0 / theirs.0);
        of_alone.push(ours.1 / alone.1);
        group_of_alone.push(theirs.1 / alone.1);
    }
    tell("before the answer, 64 writers, a record", median(times), "µs")?;
    tell("before the answer, 64 writers, time of the machine's own group commit", median(of_group), "×")?;
    tell("before the answer, 64 writers, CPU of an fdatasync for each", median(of_alone), "×")?;
    tell("the same of the machine's own group commit", median(group_of_alone), "×")
}
