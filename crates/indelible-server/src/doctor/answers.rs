//! What the agent answers to applications: there, the agent's own, and for the application to read.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use serde::Deserialize;

use super::host::services;
use super::{Check, quoted};
use crate::answers::{ANSWERS, ANSWERS_BYTES_MAX, WANTED_BY};
use crate::data_dir::{DataDir, read_unlinked};

pub(super) const IDS: &[&str] = &["journal.answers"];

/// Write bits of a folder for its owner, its group, and everybody.
pub(super) const WRITES: [u32; 3] = [0o200, 0o020, 0o002];
/// Read bits in the same order.
const READS: [u32; 3] = [0o400, 0o040, 0o004];

#[derive(Deserialize)]
struct Document {
    v: u64,
}

pub(super) fn checks(dir: &DataDir) -> Vec<Check> {
    vec![check(dir)]
}

fn check(dir: &DataDir) -> Check {
    let id = IDS[0];
    let Ok(trail) = fs::metadata(dir.trail()) else { return Check::skipped(id, "there is no trail yet") };
    let asking: Vec<_> = services(dir).into_iter().filter(|folder| asks(folder)).collect();
    match asking.iter().find_map(|folder| fault(folder, &trail)) {
        Some((finding, fix)) => Check::warn(id, format!("{finding}: transactions in doubt stay so"), fix),
        None => Check::ok(id, format!("services that ask for answers: {}", asking.len())),
    }
}

/// Whether a service has a resolver or an outbox, or had one.
fn asks(folder: &Path) -> bool {
    WANTED_BY.iter().chain([&ANSWERS]).any(|name| folder.join(name).symlink_metadata().is_ok())
}

/// What keeps the agent from answering or the application from reading it, and the command that mends it.
fn fault(folder: &Path, trail: &fs::Metadata) -> Option<(String, String)> {
    let owner = fs::metadata(folder).ok()?;
    if !may(&owner, WRITES, trail.uid(), trail.gid()) {
        let finding = format!("the agent (user {}) cannot write into {}", trail.uid(), folder.display());
        let right = if owner.uid() == trail.uid() { "u+rwx" } else { "g+rwx" };
        return Some((finding, format!("chmod {right} {}", quoted(folder))));
    }
    let path = folder.join(ANSWERS);
    let file = match path.symlink_metadata() {
        Ok(file) if file.is_file() => file,
        // The agent writes it when there is something to say. What is no file is a stray.
        Ok(_) | Err(_) => return None,
    };
    let (shown, quoted) = (path.display(), quoted(&path));
    if file.uid() != trail.uid() {
        return Some((format!("{shown} belongs to user {}, and is not the agent's", file.uid()), format!("rm {quoted}")));
    }
    if !may(&file, READS, owner.uid(), owner.uid()) {
        let finding = format!("{shown} has mode {:04o}: the application (user {}) cannot read it", file.mode() & 0o7777, owner.uid());
        return Some((finding, format!("chmod 0644 {quoted}")));
    }
    let document = match read_unlinked(&path, ANSWERS_BYTES_MAX, |_| true) {
        // Who asks is neither of the two.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return None,
        read => read.ok().and_then(|text| serde_json::from_slice::<Document>(&text).ok()),
    };
    let is_known = document.is_some_and(|document| document.v == 1);
    (!is_known).then(|| (format!("{shown} cannot be understood"), format!("rm {quoted}")))
}

/// Whether a user may what these bits allow, by the mode alone: root may everything, and tells nothing of others.
pub(super) fn may(metadata: &fs::Metadata, bits: [u32; 3], uid: u32, gid: u32) -> bool {
    let [owner, group, others] = bits;
    let bit = if metadata.uid() == uid {
        owner
    } else if metadata.gid() == gid {
        group
    } else {
        others
    };
    metadata.permissions().mode() & bit != 0
}
