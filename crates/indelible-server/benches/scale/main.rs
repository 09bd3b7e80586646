//! What a large trail costs: ingest, bytes, memory, search and verify, of a trail of a million events or as many as asked for.
//!
//! `cargo bench -p indelible-server --bench scale -- --events 1000000`. Journals are seeded first, then the agent of this build ingests
//! them as a process of its own while the kernel counts; nothing is simulated. With `BENCH_RESULTS=FILE` each figure is also appended to
//! that file as a line of JSON, for the table of `make bench`.

mod agent;
mod searches;
mod seed;

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use agent::Agent;
use searches::Client;

const INGEST_DEADLINE: Duration = Duration::from_secs(3600);
const SEAL_DEADLINE: Duration = Duration::from_secs(1800);
/// An agent that has sealed nothing after so long does not seal.
const SEAL_PATIENCE: Duration = Duration::from_secs(30);

struct Arguments {
    events: u64,
    seed: u64,
    folder: Option<PathBuf>,
    leaves_per_file: Option<u64>,
    keep: bool,
}

impl Arguments {
    fn parse() -> Result<Self, Box<dyn Error>> {
        let mut arguments = Self { events: 1_000_000, seed: 1, folder: None, leaves_per_file: None, keep: false };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                "--events" => arguments.events = value()?.parse()?,
                "--seed" => arguments.seed = value()?.parse()?,
                "--folder" => arguments.folder = Some(value()?.into()),
                "--leaves-per-file" => arguments.leaves_per_file = Some(value()?.parse()?),
                "--keep" => arguments.keep = true,
                // Said by cargo bench.
                "--bench" => {}
                other => return Err(format!("{other}: there are --events, --seed, --folder, --leaves-per-file and --keep").into()),
            }
        }
        Ok(arguments)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse()?;
    let temporary =
        tempfile::Builder::new().prefix("indelible-scale-").tempdir_in(arguments.folder.clone().unwrap_or_else(std::env::temp_dir))?;
    let data_dir = temporary.path().to_owned();
    let result = bench(&data_dir, &arguments);
    if arguments.keep {
        println!("kept: {}", temporary.keep().display());
    }
    result
}

fn bench(data_dir: &Path, arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let scale = scale_name(arguments.events);
    let started = Instant::now();
    let seeded = seed::write(data_dir, arguments.events, arguments.seed)?;
    let events = seeded.events as f64;
    println!(
        "{} events in {} MiB of journals, {:.0} bytes a body, seed {}, written in {:.1} s",
        seeded.events,
        seeded.journal_bytes >> 20,
        seeded.body_bytes as f64 / events,
        arguments.seed,
        started.elapsed().as_secs_f64()
    );
    let report = Report { scale };
    let mut agent = Agent::start(data_dir, arguments.leaves_per_file)?;
    ingest(&report, &mut agent, data_dir, seeded.events)?;
    let (address, token) = agent.wait("the agent announces itself", Duration::from_secs(5), Agent::announced)?;
    let client = Client::new(&address, token);
    search(&report, &client, &seeded)?;
    report.add("agent memory at the end", agent.account().memory_peak_mib, "MiB")?;
    agent.stop()?;
    verify(&report, data_dir, events)
}

fn ingest(report: &Report, agent: &mut Agent, data_dir: &Path, events: u64) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    agent.wait("everything is under a checkpoint", INGEST_DEADLINE, |_| agent::tree_size(data_dir).filter(|&size| size >= events))?;
    let wall = started.elapsed().as_secs_f64();
    let account = agent.account();
    let stored = trail_bytes(data_dir, |_| true)?;
    report.add("ingest to checkpoint", events as f64 / wall, "events/s")?;
    report.add("ingest to checkpoint, per CPU second of its thread", events as f64 / account.ingest_cpu, "events/s")?;
    report.add("agent memory with the backlog", account.memory_peak_mib, "MiB")?;
    report.add("bytes per event as ingested", stored as f64 / events as f64, "bytes")?;
    seal(agent, data_dir)?;
    let (account, stored) = (agent.account(), trail_bytes(data_dir, |_| true)?);
    let sealed = Sealed::read(data_dir)?;
    if sealed.events > 0 {
        report.add("all sealed after", started.elapsed().as_secs_f64(), "s")?;
        report.add("bytes per event, sealed", sealed.bytes as f64 / sealed.events as f64, "bytes")?;
    }
    report.add("bytes per event, whole trail", stored as f64 / events as f64, "bytes")?;
    report.add("bytes written per byte stored", account.written as f64 / stored as f64, "")?;
    report.add("bytes written per event", account.written as f64 / events as f64, "bytes")?;
    report.add("CPU of the agent per event, sealing included", account.cpu / events as f64 * 1e6, "µs")?;
    Ok(())
}

/// Waits until every file but the open one is sealed, if this agent seals at all.
fn seal(agent: &mut Agent, data_dir: &Path) -> io::Result<()> {
    let started = Instant::now();
    agent.wait("every file but the open one is sealed", SEAL_DEADLINE, |_| {
        let (files, seals) = (count(data_dir, ".trail").ok()?, count(data_dir, ".seal").ok()?);
        let never = seals == 0 && started.elapsed() > SEAL_PATIENCE;
        (seals + 1 >= files || never).then_some(())
    })
}

/// The sealed files and the leaves in them: each name is a first leaf index, and the next name is where it ends.
struct Sealed {
    events: u64,
    bytes: u64,
}

impl Sealed {
    fn read(data_dir: &Path) -> io::Result<Self> {
        let mut starts = Vec::new();
        for entry in fs::read_dir(data_dir.join("trail"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "trail") {
                let first: u64 =
                    path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
                starts.push((first, path));
            }
        }
        starts.sort();
        let mut sealed = Self { events: 0, bytes: 0 };
        for pair in starts.windows(2).filter(|pair| pair[0].1.with_extension("seal").exists()) {
            sealed.events += pair[1].0 - pair[0].0;
            sealed.bytes += fs::metadata(&pair[0].1)?.len() + fs::metadata(pair[0].1.with_extension("seal"))?.len();
        }
        Ok(sealed)
    }
}

fn count(data_dir: &Path, extension: &str) -> io::Result<usize> {
    let names =
        fs::read_dir(data_dir.join("trail"))?.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().ends_with(extension)));
    names.filter(|matches| !matches.as_ref().is_ok_and(|matches| !matches)).map(|found| found.map(|_| 1)).sum()
}

fn trail_bytes(data_dir: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(data_dir.join("trail"))? {
        let entry = entry?;
        // A log that is folded away meanwhile counts nothing.
        if wanted(&entry.file_name().to_string_lossy()) {
            bytes += entry.metadata().map_or(0, |metadata| metadata.len());
        }
    }
    Ok(bytes)
}

fn search(report: &Report, client: &Client, seeded: &seed::Seeded) -> Result<(), Box<dyn Error>> {
    for (name, times) in client.measure(seeded, &mut seed::Random(7))? {
        report.add(&format!("search, {name}, p50"), times.at(0.5), "ms")?;
        report.add(&format!("search, {name}, p95"), times.at(0.95), "ms")?;
    }
    for query in ["", "kind:change"] {
        let (first, far) = client.deep(query)?;
        let title = if query.is_empty() { "everything" } else { query };
        report.add(&format!("search, {title}, pages 1 to 10, p50"), first.at(0.5), "ms")?;
        report.add(&format!("search, {title}, pages 991 to 1,000, p50"), far.at(0.5), "ms")?;
        report.add(&format!("search, page 1,000 of {title}, times page 1"), far.at(0.5) / first.at(0.5), "")?;
    }
    Ok(())
}

fn verify(report: &Report, data_dir: &Path, events: f64) -> Result<(), Box<dyn Error>> {
    let (wall, account, said) = agent::run(Command::new(agent::BINARY).arg("--data").arg(data_dir).arg("verify"))?;
    report.add("verify", events / wall, "leaves/s")?;
    report.add("verify, per CPU second", events / account.cpu, "leaves/s")?;
    report.add("memory of verify", account.memory_peak_mib, "MiB")?;
    println!("{}", said.lines().next().unwrap_or_default());
    Ok(())
}

/// Where figures go.
struct Report {
    scale: String,
}

impl Report {
    fn add(&self, name: &str, value: f64, unit: &str) -> io::Result<()> {
        println!("{name:<60} {value:>14.2} {unit}");
        let Some(path) = std::env::var_os("BENCH_RESULTS") else { return Ok(()) };
        let line = serde_json::json!({"scale": self.scale, "name": name, "value": value, "unit": unit});
        writeln!(OpenOptions::new().append(true).create(true).open(path)?, "{line}")
    }
}

/// `1 M` for a million.
fn scale_name(events: u64) -> String {
    if events.is_multiple_of(1_000_000) { format!("{} M", events / 1_000_000) } else { events.to_string() }
}
