//! Faults of files for real processes: `tests/faults/faults.c`, compiled once for each run of the tests, and what a process shall meet.
#![allow(clippy::unwrap_used, dead_code, reason = "each test file uses a part of it")]

pub(crate) mod agent;
pub(crate) mod disk;
pub(crate) mod states;
pub(crate) mod threads;
pub(crate) mod trace;
pub(crate) mod worker;

use std::collections::BTreeSet;
use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

/// From the end of a fault to everything working again.
pub(crate) const HEALS_WITHIN: Duration = Duration::from_secs(5);

pub(crate) const EIO: i32 = 5;
pub(crate) const EMFILE: i32 = 24;
pub(crate) const ENOSPC: i32 = 28;
pub(crate) const EROFS: i32 = 30;

/// An error that a disk gives, and the calls that it gives it to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) error: i32,
    pub(crate) calls: &'static str,
}

/// The errors at each call that can give them.
pub(crate) const KINDS: [Kind; 5] = [
    Kind { name: "ENOSPC", error: ENOSPC, calls: "write,pwrite,create,rename,truncate,mkdir" },
    Kind { name: "EIO", error: EIO, calls: "write,pwrite,open,openw,create,rename,unlink,truncate,mkdir" },
    Kind { name: "EMFILE", error: EMFILE, calls: "open,openw,create" },
    Kind { name: "failed fsync", error: EIO, calls: "fsync" },
    Kind { name: "EROFS", error: EROFS, calls: "openw,create,rename,unlink,truncate,mkdir" },
];

/// What a process meets: the `at`-th call of the kind, on paths that begin with `under`, and all later ones until `lifted` where `and_on`.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    pub(crate) at: usize,
    pub(crate) and_on: bool,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} at call {}{}", self.kind.name, self.at, if self.and_on { " and from then on" } else { "" })
    }
}

/// The paths by which test and process talk.
pub(crate) struct Signs {
    folder: tempfile::TempDir,
}

impl Signs {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn lifted(&self) -> PathBuf {
        self.folder.path().join("lifted")
    }

    pub(crate) fn struck(&self) -> PathBuf {
        self.folder.path().join("struck")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// The calls that a counting run made, in their order: call and path.
    pub(crate) fn calls(&self) -> Vec<(String, String)> {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        text.lines().map(|line| line.split_once(' ').unwrap()).map(|(call, path)| (call.to_owned(), path.to_owned())).collect()
    }
}

/// Lets a process meet a fault under a path; with none, counts the calls of the kind.
pub(crate) fn arm(command: &mut Command, under: &Path, kind: Kind, fault: Option<&Fault>, signs: &Signs) {
    command.env("LD_PRELOAD", library()).env("FAULT_PATH", format!("{}*", under.display())).env("FAULT_CALLS", kind.calls);
    command.env("FAULT_LIFTED", signs.lifted()).env("FAULT_STRUCK", signs.struck()).env("FAULT_ERROR", kind.error.to_string());
    match fault {
        None => drop(command.env("FAULT_LOG", signs.log())),
        Some(fault) => {
            command.env("FAULT_AT", fault.at.to_string());
            if fault.and_on {
                command.env("FAULT_AND_ON", "1");
            }
        }
    }
}

/// Lets a process leave a trace of every change it makes below a folder.
pub(crate) fn arm_trace(command: &mut Command, root: &Path, signs: &Signs) {
    let root = root.canonicalize().unwrap();
    command.env("LD_PRELOAD", library()).env("FAULT_PATH", format!("{}*", root.display())).env("FAULT_TRACE", signs.log());
}

/// The place of a call without what differs from run to run, so that calls of one place in the source are told from others.
pub(crate) fn site(call: &str, path: &str, under: &Path) -> String {
    let path = path.strip_prefix(&*under.to_string_lossy()).unwrap_or(path);
    let mut site = format!("{call} ");
    for part in path.split('/') {
        let is_stream = |text: &str| text.len() >= 36 && text.matches('-').count() >= 4;
        site += if is_stream(part) { "STREAM" } else { part };
        site.push('/');
    }
    site.chars().filter(|letter| !letter.is_ascii_digit()).collect()
}

/// One call of each place in the source, as their numbers from 1, or all.
pub(crate) fn places(calls: &[(String, String)], under: &Path, all: bool) -> Vec<usize> {
    let mut seen = BTreeSet::new();
    let is_new = |(call, path): &(String, String)| seen.insert(site(call, path, under)) || all;
    let new: Vec<bool> = calls.iter().map(is_new).collect();
    (1..=calls.len()).filter(|at| new[at - 1]).collect()
}

/// The library, compiled by the C compiler that Rust links with.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/faults/faults.c");
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("libfaults.so");
        // Several test processes may compile it at once: each renames a whole one.
        let new = library.with_extension(format!("so.{}", std::process::id()));
        let compiler = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let made =
            Command::new(compiler).args(["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"]).arg(&new).arg(source).status();
        assert!(made.unwrap().success(), "tests/faults/faults.c does not compile");
        fs::rename(new, &library).unwrap();
        library
    })
}
