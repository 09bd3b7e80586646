//! The directory itself: there, private, on a good disk with room.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;

use indelible_core::FileSystem;

use super::{Check, command, host, quoted};
use crate::data_dir::DataDir;

pub(super) const IDS: &[&str] = &["data.directory", "data.file_system", "data.space", "data.permissions"];

/// Free space below this deserves a look, in bytes.
const FREE_BYTES_WARN: u64 = 512 << 20;
/// Free space below this is as good as none, in bytes.
const FREE_BYTES_FAIL: u64 = 32 << 20;
/// Free inodes below this deserve a look; each stream takes three.
const FREE_INODES_WARN: u64 = 1000;
const OTHERS: u32 = 0o077;

/// Whether there is a directory that can be read at all.
pub(super) fn check(dir: &DataDir) -> Check {
    let id = "data.directory";
    let root = dir.root();
    match fs::read_dir(root) {
        Ok(_) => Check::ok(id, format!("{}, {}", root.display(), host::mode(dir))),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let owner = fs::metadata(root).map(|metadata| metadata.uid()).unwrap_or_default();
            let fix = format!("sudo setpriv --reuid {owner} --clear-groups {}", command(dir, "doctor"));
            Check::fail(id, format!("{}: {error}: run doctor as the user of the agent", root.display()), fix)
        }
        Err(error) => Check::fail(id, format!("{}: {error}", root.display()), command(dir, "serve")),
    }
}

pub(super) fn checks(dir: &DataDir) -> Vec<Check> {
    vec![file_system(dir), space(dir), permissions(dir)]
}

fn file_system(dir: &DataDir) -> Check {
    let id = "data.file_system";
    let system = match rustix::fs::statfs(dir.root()) {
        Ok(system) => system,
        Err(error) => return Check::fail(id, format!("{}: {error}", dir.root().display()), format!("df {}", quoted(dir.root()))),
    };
    let move_it = format!("cp -a {} /var/lib/indelible", quoted(dir.root()));
    match FileSystem::from_magic(system.f_type as u32) {
        FileSystem::Local => Check::ok(id, "a disk of this host"),
        FileSystem::Network(kind) => {
            Check::fail(id, format!("a network file system ({kind}): locks do not tell who lives, nothing is recorded"), move_it)
        }
        FileSystem::Overlay => Check::warn(id, "the upper layer of a container: the trail goes when the container goes", move_it),
        FileSystem::Memory(kind) => {
            Check::warn(id, format!("memory ({kind}): nothing survives the machine, `synced` promises nothing"), move_it)
        }
    }
}

fn space(dir: &DataDir) -> Check {
    let id = "data.space";
    let fix = format!("df -h {0} && df -i {0}", quoted(dir.root()));
    let disk = match rustix::fs::statvfs(dir.root()) {
        Ok(disk) => disk,
        Err(error) => return Check::fail(id, format!("{}: {error}", dir.root().display()), fix),
    };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    // Some file systems count no inodes and say 0 of 0.
    let few_inodes = disk.f_files > 0 && disk.f_favail < FREE_INODES_WARN;
    let finding = format!("{} MiB free", free >> 20);
    if free < FREE_BYTES_FAIL {
        Check::fail(id, format!("{finding}: recording stops when the disk is full"), fix)
    } else if free < FREE_BYTES_WARN {
        Check::warn(id, format!("{finding}: recording stops when the disk is full"), fix)
    } else if few_inodes {
        Check::warn(id, format!("{finding}, but only {} more files", disk.f_favail), fix)
    } else {
        Check::ok(id, finding)
    }
}

/// Where application and agent are one user, everything is for that user alone.
fn permissions(dir: &DataDir) -> Check {
    let id = "data.permissions";
    if host::is_host_mode(dir) {
        return Check::skipped(id, "host mode: see host.permissions");
    }
    let private = [dir.journal(), dir.trail(), dir.keys(), dir.quarantine()];
    let files = fs::read_dir(dir.trail()).into_iter().flatten().flatten().map(|entry| entry.path());
    let open: Vec<PathBuf> = private.into_iter().chain(files).filter(|path| is_open_to_others(path)).collect();
    match open.first() {
        None => Check::ok(id, "for its user alone"),
        Some(first) => {
            let finding = format!("{} and {} more can be entered or read by others", first.display(), open.len() - 1);
            let list: Vec<_> = open.iter().map(|path| quoted(path)).collect();
            Check::warn(id, finding, format!("chmod go-rwx {}", list.join(" ")))
        }
    }
}

fn is_open_to_others(path: &std::path::Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| !metadata.is_symlink() && metadata.permissions().mode() & OTHERS != 0)
}
