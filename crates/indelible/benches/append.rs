//! What one append costs: nanoseconds of wall time and of CPU for a typical event, by threads and durability.
//!
//! `cargo bench -p indelible --bench append`. The event is built outside the measured part; stamping, encoding, checksum and the `write(2)` are
//! inside. CPU time is the kernel's own account of each thread (`/proc/thread-self/schedstat`, Linux).

mod support;

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use indelible::{Durability, Event, Recorded, Recorder};

const THREADS: &[usize] = &[1, 8];
/// One append takes about a microsecond, one synced append about a millisecond.
const APPENDS: &[(Durability, usize)] = &[(Durability::Buffered, 100_000), (Durability::Synced, 500)];
const WARM_UP: usize = 1_000;

/// What one thread measured.
struct Measured {
    /// Wall time of each append, nanoseconds.
    walls: Vec<u64>,
    /// CPU time of all appends, nanoseconds.
    cpu: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    println!("journal append, one event of {} bytes", encoded_bytes(folder.path())?);
    println!("{:<10} {:>7} {:>12} {:>12} {:>12} {:>12}", "durability", "threads", "p50 ns", "p99 ns", "CPU ns", "events/s");
    for &(durability, appends) in APPENDS {
        for &threads in THREADS {
            measure(folder.path(), durability, threads, appends)?;
        }
    }
    Ok(())
}

/// Length of the event's frame on disk, header of the frame included.
fn encoded_bytes(data_dir: &Path) -> Result<u64, Box<dyn Error>> {
    let recorder = support::recorder(data_dir, Durability::Buffered)?;
    recorder.record(support::event());
    let before = recorder.health().bytes;
    recorder.record(support::event());
    Ok(recorder.health().bytes - before)
}

fn measure(data_dir: &Path, durability: Durability, threads: usize, appends: usize) -> Result<(), Box<dyn Error>> {
    let recorder = support::recorder(data_dir, durability)?;
    for _ in 0..WARM_UP.min(appends) {
        recorder.record(support::event());
    }
    let started = Instant::now();
    let measured: Vec<Measured> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(|| append(&recorder, appends / threads))).collect();
        running.into_iter().map(|thread| thread.join().expect("an append does not panic")).collect()
    });
    let elapsed = started.elapsed().as_secs_f64();
    let count = measured.iter().map(|thread| thread.walls.len()).sum::<usize>();
    let cpu = measured.iter().map(|thread| thread.cpu).sum::<u64>() / count as u64;
    let mut walls: Vec<u64> = measured.into_iter().flat_map(|thread| thread.walls).collect();
    walls.sort_unstable();
    let (p50, p99) = (walls[count / 2], walls[count * 99 / 100]);
    let name = format!("{durability:?}").to_lowercase();
    println!("{name:<10} {threads:>7} {p50:>12} {p99:>12} {cpu:>12} {:>12.0}", count as f64 / elapsed);
    let threads = format!("{threads} thread{}", if threads == 1 { "" } else { "s" });
    for (figure, value) in [("p50", p50), ("p99", p99), ("CPU", cpu)] {
        support::add_result(&format!("append, {name}, {threads}, {figure}"), value as f64, "ns")?;
    }
    Ok(())
}

fn append(recorder: &Recorder, appends: usize) -> Measured {
    let events: Vec<Event> = (0..appends).map(|_| support::event()).collect();
    let mut walls = Vec::with_capacity(appends);
    let cpu = support::thread_cpu();
    for event in events {
        let started = Instant::now();
        let recorded = recorder.record(event);
        walls.push(started.elapsed().as_nanos() as u64);
        assert!(matches!(recorded, Recorded::At(_)), "a lost event would make the figure too good");
    }
    Measured { walls, cpu: support::thread_cpu() - cpu }
}
