//! Modes of a data directory, and the permissions of `host` mode.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::layout::{self, Folder};
use super::{Check, command, quoted};
use crate::data_dir::DataDir;

pub(super) const IDS: &[&str] = &["host.permissions", "host.access"];

/// `host` where applications and the agent run under different users, else `self-attested`.
pub(super) fn mode(dir: &DataDir) -> &'static str {
    if is_host_mode(dir) {
        "host: applications and the agent run under different users"
    } else {
        "self-attested: whoever can write the journals can also write the trail and use its key"
    }
}

/// Whether some service's journal belongs to another user than the trail.
pub(super) fn is_host_mode(dir: &DataDir) -> bool {
    let owner = |path: &Path| fs::metadata(path).map(|metadata| metadata.uid()).ok();
    let Some(agent) = owner(&dir.trail()) else { return false };
    services(dir).iter().filter_map(|service| owner(service)).any(|application| application != agent)
}

/// Folders of services.
pub(super) fn services(dir: &DataDir) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.journal()).into_iter().flatten().flatten();
    let is_service = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir()) && !is_hidden(&entry.path());
    entries.filter(is_service).map(|entry| entry.path()).collect()
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

pub(super) fn checks(dir: &DataDir) -> Vec<Check> {
    if !is_host_mode(dir) {
        return IDS.iter().map(|id| Check::skipped(id, "self-attested mode")).collect();
    }
    let permissions = permissions(dir);
    let access = if permissions.is_ok() { access(dir) } else { Check::skipped("host.access", "permissions are wrong") };
    vec![permissions, access]
}

fn permissions(dir: &DataDir) -> Check {
    let id = "host.permissions";
    let trail = match fs::metadata(dir.trail()) {
        Ok(trail) => trail,
        Err(error) => return Check::skipped(id, format!("{}: {error}", dir.trail().display())),
    };
    let services = services(dir);
    let mut expected = layout::folders(dir, trail.uid(), trail.gid());
    expected.extend(services.iter().filter_map(|path| {
        let metadata = fs::metadata(path).ok()?;
        let name = path.file_name()?.to_str()?;
        // Who the application is, only its folder tells.
        Some(layout::service(dir, name, metadata.uid(), trail.gid()))
    }));
    match expected.iter().find_map(difference) {
        None => Check::ok(id, format!("as `indelible init` makes them, {} services", services.len())),
        Some((finding, fix)) => Check::fail(id, finding, fix),
    }
}

/// What is wrong with a folder, and the command that mends it.
fn difference(folder: &Folder) -> Option<(String, String)> {
    let Folder { path, uid, gid, mode } = folder;
    let metadata = fs::metadata(path).ok()?;
    let (shown, quoted) = (path.display(), quoted(path));
    let found = metadata.permissions().mode() & 0o7777;
    if (metadata.uid(), metadata.gid()) != (*uid, *gid) {
        let finding = format!("{shown} belongs to {}:{}, expected {uid}:{gid}", metadata.uid(), metadata.gid());
        return Some((finding, format!("chown {uid}:{gid} {quoted} && chmod {mode:04o} {quoted}")));
    }
    (found != *mode).then(|| (format!("{shown} has mode {found:04o}, expected {mode:04o}"), format!("chmod {mode:04o} {quoted}")))
}

/// Tries as each application's user what it must be able to do, and what it must not.
fn access(dir: &DataDir) -> Check {
    let id = "host.access";
    if !rustix::process::geteuid().is_root() {
        return Check::skipped(id, "only root can try as the application's user: sudo indelible doctor");
    }
    for service in services(dir) {
        let Ok(metadata) = fs::metadata(&service) else { continue };
        match probe_as(dir, &service, metadata.uid()) {
            Err(error) => return Check::skipped(id, format!("cannot run as user {}: {error}", metadata.uid())),
            Ok(faults) if faults.is_empty() => {}
            Ok(faults) => return Check::fail(id, format!("user {}: {faults}", metadata.uid()), command(dir, "init --app-user USER")),
        }
    }
    Check::ok(id, "applications can append to their journals, and read neither trail nor keys")
}

/// Runs this program as another user, who is in no group but its own, and answers what it complains of.
fn probe_as(dir: &DataDir, service: &Path, uid: u32) -> io::Result<String> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--data").arg(dir.root()).args(["doctor", "--probe"]).arg(service.file_name().unwrap_or_default());
    let output = command.uid(uid).gid(uid).current_dir("/").stdin(Stdio::null()).output()?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().replace('\n', "; "))
}

/// What this process, run as an application's user, can do that it must not, or cannot do that it must.
pub(crate) fn probe(dir: &DataDir, service: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let folder = dir.journal().join(service).join(format!(".probe-{}", std::process::id()));
    if let Err(error) = fs::create_dir(&folder).and_then(|()| fs::remove_dir(&folder)) {
        faults.push(format!("it cannot write its journal: {}: {error}", folder.display()));
    }
    for path in [dir.root().to_owned(), dir.journal(), dir.trail(), dir.keys(), dir.quarantine()] {
        if fs::read_dir(&path).is_ok() {
            faults.push(format!("it can list {}", path.display()));
        }
        let file = path.join(format!(".probe-{}", std::process::id()));
        if OpenOptions::new().write(true).create_new(true).open(&file).and_then(|_| fs::remove_file(&file)).is_ok() {
            faults.push(format!("it can write into {}", path.display()));
        }
    }
    for path in [dir.signing_key(), dir.checkpoint(), dir.agent_json(), dir.agent_lock()] {
        if fs::File::open(&path).is_ok() {
            faults.push(format!("it can read {}", path.display()));
        }
    }
    faults
}
