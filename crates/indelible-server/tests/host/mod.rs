//! What a host does to an agent and to applications: other users, small disks.
#![allow(clippy::unwrap_used, dead_code, reason = "each test file uses a part of it")]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// Nobody's user, who owns nothing.
pub(crate) const NOBODY: u32 = 65_534;

/// Whether this process may become other users and mount.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Gives a folder and all in it to a user.
pub(crate) fn give_to(path: &Path, user: u32) {
    chown(path, Some(user), Some(user)).unwrap();
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| give_to(&entry.unwrap().path(), user));
    }
}

/// A program that every user can run, wherever it was built.
pub(crate) struct Program {
    folder: TempDir,
}

impl Program {
    /// The `indelible` command.
    pub(crate) fn indelible() -> Self {
        Self::copy(Path::new(env!("CARGO_BIN_EXE_indelible")))
    }

    /// The tests of this file.
    pub(crate) fn these_tests() -> Self {
        Self::copy(&std::env::current_exe().unwrap())
    }

    fn copy(program: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        set_mode(folder.path(), 0o755);
        let copy = folder.path().join("program");
        // By a process of its own: a file that this one had open for writing while another thread forks cannot be run (ETXTBSY).
        assert!(Command::new("cp").arg(program).arg(&copy).status().unwrap().success());
        set_mode(&copy, 0o755);
        Self { folder }
    }

    /// Runs it as this user, who is in no other group than its own.
    pub(crate) fn run_as(&self, user: u32) -> Command {
        self.run_as_in(user, user)
    }

    /// Runs it as this user in this group alone.
    pub(crate) fn run_as_in(&self, user: u32, group: u32) -> Command {
        let mut command = Command::new(self.folder.path().join("program"));
        command.env_remove("INDELIBLE_DATA_DIR").env("TZ", "UTC").stdin(Stdio::null()).current_dir("/");
        if is_root() {
            command.uid(user).gid(group);
        }
        command
    }
}

/// A file system in memory, unmounted with the test.
pub(crate) struct Tmpfs {
    path: PathBuf,
}

impl Tmpfs {
    /// Mounts one over a folder. Only root can; the test says so and is not run.
    pub(crate) fn mount(path: &Path, options: &str) -> Option<Self> {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(path).stderr(Stdio::null()).status();
        let mounted = mounted.is_ok_and(|status| status.success());
        eprintln!("{}", if mounted { format!("on a tmpfs, {options}") } else { "not run: only root can mount a tmpfs".to_owned() });
        mounted.then(|| Self { path: path.to_owned() })
    }

    /// Mounts it again with other options.
    pub(crate) fn remount(&self, options: &str) {
        let remounted = Command::new("mount").arg("-o").arg(format!("remount,{options}")).arg(&self.path).status().unwrap();
        assert!(remounted.success(), "{options}");
    }

    /// Fills it to the last byte, and answers what to delete to make room again.
    pub(crate) fn fill(&self) -> PathBuf {
        let path = self.path.join("filler");
        let mut file = fs::File::create(&path).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            let chunk = vec![0; size];
            while std::io::Write::write_all(&mut file, &chunk).is_ok() {}
        }
        path
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}
