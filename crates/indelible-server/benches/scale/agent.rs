//! The agent as a process of its own, and what the kernel says about it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// The agent's binary, of the same build.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_indelible");
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How long one command may run: it may verify ten million records on a busy machine.
const RUN_DEADLINE: Duration = Duration::from_secs(3600);
/// Ticks of a second in `/proc/PID/stat`; Linux has had no other number on the machines that we run on.
const TICKS: f64 = 100.0;

/// What the kernel counted for a process.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Account {
    /// Seconds of CPU time of all threads.
    pub(crate) cpu: f64,
    /// Of the thread that ingests.
    pub(crate) ingest_cpu: f64,
    /// The most memory it ever had, in MiB.
    pub(crate) memory_peak_mib: f64,
    /// Bytes that it caused to be written to the disk.
    pub(crate) written: u64,
}

pub(crate) struct Agent {
    process: Child,
    data_dir: PathBuf,
}

impl Agent {
    /// Starts an agent on a data directory.
    ///
    /// # Errors
    /// When the binary cannot be started.
    pub(crate) fn start(data_dir: &Path, leaves_per_file: Option<u64>) -> io::Result<Self> {
        let mut command = Command::new(BINARY);
        command.arg("--data").arg(data_dir).args(["serve", "--listen", "127.0.0.1:0"]);
        if let Some(leaves) = leaves_per_file {
            command.args(["--leaves-per-file", &leaves.to_string()]);
        }
        let log = fs::File::create(data_dir.join("agent.log"))?;
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
        Ok(Self { process, data_dir: data_dir.to_owned() })
    }

    /// Looks until something is so.
    ///
    /// # Errors
    /// When it is not in time, or the agent ends.
    pub(crate) fn wait<T>(&mut self, what: &str, deadline: Duration, mut look: impl FnMut(&Self) -> Option<T>) -> io::Result<T> {
        let since = Instant::now();
        loop {
            if let Some(found) = look(self) {
                return Ok(found);
            }
            if let Some(status) = self.process.try_wait()? {
                return Err(io::Error::other(format!("the agent ended with {status}, see {}", self.data_dir.join("agent.log").display())));
            }
            if since.elapsed() > deadline {
                return Err(io::Error::other(format!("waited in vain for {deadline:?}: {what}")));
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Address and token of the running agent, once it has announced them.
    pub(crate) fn announced(&self) -> Option<(String, String)> {
        let announced: Value = serde_json::from_slice(&fs::read(self.data_dir.join("agent.json")).ok()?).ok()?;
        if announced["pid"].as_u64()? != u64::from(self.process.id()) {
            return None;
        }
        Some((announced["address"].as_str()?.to_owned(), announced["token"].as_str()?.to_owned()))
    }

    /// What the kernel has counted until now.
    pub(crate) fn account(&self) -> Account {
        account(self.process.id())
    }

    /// Asks it to end and waits for it.
    ///
    /// # Errors
    /// When it does not end well.
    pub(crate) fn stop(mut self) -> io::Result<()> {
        Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status()?;
        let status = self.process.wait()?;
        if status.success() { Ok(()) } else { Err(io::Error::other(format!("the agent ended with {status}"))) }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It has ended, unless the benchmark failed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Size of the tree under the newest checkpoint.
pub(crate) fn tree_size(data_dir: &Path) -> Option<u64> {
    fs::read_to_string(data_dir.join("trail/checkpoint")).ok()?.lines().nth(1)?.parse().ok()
}

/// Runs a command to its end: seconds of wall and of CPU time, and what it printed.
///
/// # Errors
/// When it cannot be run or fails.
pub(crate) fn run(command: &mut Command) -> io::Result<(f64, Account, String)> {
    let started = Instant::now();
    let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut last = Account::default();
    while process.try_wait()?.is_none() {
        if started.elapsed() > RUN_DEADLINE {
            process.kill()?;
            process.wait()?;
            return Err(io::Error::other(format!("{command:?} has not ended after {RUN_DEADLINE:?}")));
        }
        let seen = account(process.id());
        // A process that has ended but was not waited for has no memory and no threads any more.
        if seen.memory_peak_mib > 0.0 {
            last = seen;
        }
        thread::sleep(Duration::from_millis(10));
    }
    let wall = started.elapsed().as_secs_f64();
    let output = process.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok((wall, last, text)) } else { Err(io::Error::other(format!("{}: {text}", output.status))) }
}

fn account(pid: u32) -> Account {
    let folder = PathBuf::from(format!("/proc/{pid}"));
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    let threads = fs::read_dir(folder.join("task")).into_iter().flatten().flatten().map(|entry| entry.path());
    let ingest = threads.filter(|path| fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == "ingest"));
    Account {
        cpu: cpu_seconds(&read("stat")),
        ingest_cpu: ingest.map(|path| cpu_seconds(&fs::read_to_string(path.join("stat")).unwrap_or_default())).sum(),
        memory_peak_mib: number_after(&read("status"), "VmHWM:") / 1024.0,
        written: number_after(&read("io"), "write_bytes:") as u64,
    }
}

/// The fields `utime` and `stime`, which stand 12th and 13th behind the name in brackets.
fn cpu_seconds(stat: &str) -> f64 {
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / TICKS
}

fn number_after(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or(0.0)
}
