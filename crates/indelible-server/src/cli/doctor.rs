//! `indelible doctor`: what is wrong with this data directory, and what to do about it.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use indelible_core::Checkpoint;
use serde::Serialize;

use super::{Exit, Failure, Format, Globals};
use crate::agent::Announced;
use crate::clock::now;
use crate::data_dir::{DataDir, is_locked};
use crate::keys::read_verifier;
use crate::trail::Reader;

/// A checkpoint older than this while journals wait means that nobody ingests, in seconds.
const CHECKPOINT_AGE_MAX: u64 = 60;
/// Free space below this is worth a warning, in bytes.
const FREE_BYTES_MIN: u64 = 1 << 30;

/// Check the data directory, the agent, the journals and the disk
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Exit with 7 when there is a warning
    #[arg(long)]
    strict: bool,
}

/// How one check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warning,
    Error,
}

/// One check.
#[derive(Debug, Serialize)]
struct Check {
    id: &'static str,
    verdict: Verdict,
    finding: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

impl Check {
    fn ok(id: &'static str, finding: impl Into<String>) -> Self {
        Self { id, verdict: Verdict::Ok, finding: finding.into(), fix: None }
    }

    fn warning(id: &'static str, finding: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { id, verdict: Verdict::Warning, finding: finding.into(), fix: Some(fix.into()) }
    }

    fn error(id: &'static str, finding: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { id, verdict: Verdict::Error, finding: finding.into(), fix: Some(fix.into()) }
    }
}

pub(crate) fn run(args: &Args, globals: &Globals) -> Result<Exit, Failure> {
    let dir = globals.data_dir()?;
    let checks = checks(&dir);
    print(&checks, globals.format())?;
    let worst = |verdict| checks.iter().any(|check| check.verdict == verdict);
    Ok(match (worst(Verdict::Error), worst(Verdict::Warning) && args.strict) {
        (true, _) => Exit::Failed,
        (false, true) => Exit::Degraded,
        (false, false) => Exit::Success,
    })
}

fn print(checks: &[Check], format: Format) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match format {
        Format::Json => writeln!(out, "{}", serde_json::to_string(checks).map_err(io::Error::from)?),
        Format::Ndjson => checks.iter().try_for_each(|check| writeln!(out, "{}", serde_json::to_string(check).map_err(io::Error::from)?)),
        Format::Table | Format::Csv => checks.iter().try_for_each(|check| {
            let mark = match check.verdict {
                Verdict::Ok => "ok",
                Verdict::Warning => "warning",
                Verdict::Error => "ERROR",
            };
            writeln!(out, "{mark:<8} {:<12} {}", check.id, check.finding)?;
            check.fix.iter().try_for_each(|fix| writeln!(out, "{:<21} → {fix}", ""))
        }),
    }
}

fn checks(dir: &DataDir) -> Vec<Check> {
    if !dir.root().is_dir() {
        let fix = "name the directory with --data, or start an agent with `indelible up`";
        return vec![Check::error("data_dir", format!("{} is not there", dir.root().display()), fix)];
    }
    let mut checks = vec![Check::ok("data_dir", dir.root().display().to_string()), mode(dir), agent(dir), key(dir)];
    let backlog = Backlog::of(dir);
    checks.push(journal(&backlog));
    checks.push(checkpoint(dir, &backlog));
    checks.push(unfinished(dir));
    checks.push(quarantine(dir));
    checks.push(disk(dir.root()));
    checks
}

fn mode(dir: &DataDir) -> Check {
    use std::os::unix::fs::MetadataExt as _;
    let owner = |path: &Path| fs::metadata(path).map(|metadata| metadata.uid()).ok();
    let trail = owner(&dir.trail());
    let services = fs::read_dir(dir.journal()).into_iter().flatten().flatten();
    let foreign = services.filter_map(|service| owner(&service.path())).any(|service| trail.is_some_and(|trail| trail != service));
    if foreign {
        Check::ok("mode", "host: applications and the agent run under different users")
    } else {
        Check::ok("mode", "self-attested: whoever can write the journals can also write the trail and use its key")
    }
}

fn agent(dir: &DataDir) -> Check {
    match dir.agent_is_running() {
        Ok(true) => {
            let announced =
                Announced::read(dir).map(|agent| format!(": pid {}, version {}, http://{}", agent.pid, agent.version, agent.address));
            Check::ok("agent", format!("runs{}", announced.unwrap_or_default()))
        }
        Ok(false) => Check::warning("agent", "none runs: nothing is ingested", "start one with `indelible serve`"),
        Err(error) => Check::error("agent", format!("{}: {error}", dir.agent_lock().display()), "run doctor as the user of the agent"),
    }
}

fn key(dir: &DataDir) -> Check {
    let secret = fs::read(dir.signing_key());
    match (read_verifier(&dir.verifier()), secret) {
        (Ok(verifier), Ok(_)) => Check::ok("key", format!("signs and verifies {}", verifier.name())),
        (Ok(verifier), Err(error)) => {
            let fix = "run doctor as the user of the agent, or restore the key from a backup";
            Check::warning("key", format!("{} can be verified; {}: {error}", verifier.name(), dir.signing_key().display()), fix)
        }
        (Err(error), _) => Check::error("key", error.to_string(), "restore trail/verifier from a backup; it is public"),
    }
}

/// What lies in the journals.
#[derive(Debug, Default)]
struct Backlog {
    streams: u64,
    live: u64,
    segments: u64,
    bytes: u64,
    trouble: Option<String>,
}

impl Backlog {
    fn of(dir: &DataDir) -> Self {
        let mut backlog = Self::default();
        match crate::journal::discover(&dir.journal()) {
            Ok(found) => found.folders.iter().for_each(|folder| backlog.add(&folder.path)),
            Err(error) => backlog.trouble = Some(error.to_string()),
        }
        backlog
    }

    fn add(&mut self, stream: &Path) {
        self.streams += 1;
        self.live += u64::from(is_locked(&stream.join("lock")).unwrap_or(false));
        for entry in fs::read_dir(stream).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "journal") {
                self.segments += 1;
                self.bytes += entry.metadata().map(|metadata| metadata.len()).unwrap_or(0);
            }
        }
    }

    /// Whether there are journals that only wait for an agent: their process is gone.
    fn waits(&self) -> bool {
        self.streams > self.live
    }
}

fn journal(backlog: &Backlog) -> Check {
    if let Some(trouble) = &backlog.trouble {
        return Check::error("journal", trouble.clone(), "run doctor as the user of the agent");
    }
    let finding = format!(
        "{} streams, {} of living processes; {} segments, {} bytes",
        backlog.streams, backlog.live, backlog.segments, backlog.bytes
    );
    Check::ok("journal", finding)
}

fn checkpoint(dir: &DataDir, backlog: &Backlog) -> Check {
    let path = dir.checkpoint();
    let Ok(note) = fs::read(&path) else {
        return Check::warning(
            "checkpoint",
            format!("{} cannot be read", path.display()),
            "start an agent; if there was one, run `indelible verify`",
        );
    };
    let opened = read_verifier(&dir.verifier()).ok().map(|key| Checkpoint::open(&note, &key));
    let Some(Ok(checkpoint)) = opened else {
        return Check::error("checkpoint", format!("{} is not signed by the trail's key", path.display()), "run `indelible verify`");
    };
    let written = fs::metadata(&path).and_then(|metadata| metadata.modified()).ok();
    let age = written.and_then(|written| written.elapsed().ok()).map_or(0, |age| age.as_secs());
    let finding = format!("{} records, signed {age} s ago", checkpoint.tree_size);
    if backlog.waits() && age > CHECKPOINT_AGE_MAX {
        return Check::warning("checkpoint", format!("{finding}, and journals wait"), "start an agent with `indelible serve`");
    }
    Check::ok("checkpoint", finding)
}

fn unfinished(dir: &DataDir) -> Check {
    let fix = "start an agent with `indelible serve`; if it refuses, run `indelible verify`";
    let reader = match Reader::open(dir) {
        Ok(reader) => reader,
        Err(error) => return Check::warning("pending", error.to_string(), fix),
    };
    let counts = reader.connection().query_row(
        "SELECT count(*) FILTER (WHERE in_doubt = 0), count(*) FILTER (WHERE in_doubt = 1), min(ingested_at) FILTER (WHERE in_doubt = 0) FROM pending",
        [],
        |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, Option<i64>>(2)?)),
    );
    match counts {
        Ok((waiting, in_doubt, oldest)) => {
            let age = oldest.map_or(0, |oldest| (now().micros() - oldest) / 1_000_000);
            Check::ok("pending", format!("{waiting} intents wait for their outcome, the oldest for {age} s; {in_doubt} are in doubt"))
        }
        Err(error) => Check::error("pending", error.to_string(), "run `indelible verify`"),
    }
}

fn quarantine(dir: &DataDir) -> Check {
    let records = fs::read_dir(dir.quarantine()).into_iter().flatten().count();
    match records {
        0 => Check::ok("quarantine", "empty"),
        _ => Check::warning(
            "quarantine",
            format!("{records} corrupt records in {}", dir.quarantine().display()),
            "look for `action:audit.gap` and check the disk; the trail itself says what is missing",
        ),
    }
}

fn disk(root: &Path) -> Check {
    match rustix::fs::statvfs(root) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let finding = format!("{} MiB free", free >> 20);
            if free < FREE_BYTES_MIN {
                Check::warning("disk", finding, "make room: recording stops when the disk is full")
            } else {
                Check::ok("disk", finding)
            }
        }
        Err(error) => Check::error("disk", error.to_string(), "check the file system"),
    }
}
