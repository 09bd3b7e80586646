//! The keys: there, whole, of one pair, and nobody else's.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::{fs, io};

use indelible_core::VerifierKey;

use super::{Check, quoted};
use crate::data_dir::DataDir;
use crate::keys::{KeysError, read_signing_key, read_verifier};

pub(super) const IDS: &[&str] = &["key.signing", "key.permissions", "key.verifier", "key.pair"];

/// Both halves, as far as they can be read.
pub(super) struct Keys {
    /// The public half of the signing key.
    signing: Result<VerifierKey, KeysError>,
    verifier: Result<VerifierKey, KeysError>,
    /// Whether there is anything that was signed.
    is_needed: bool,
}

impl Keys {
    pub(super) fn of(dir: &DataDir) -> Self {
        let is_needed = dir.checkpoint().exists() || dir.signing_key().exists();
        let signing = read_signing_key(&dir.signing_key()).map(|key| key.verifier());
        Self { signing, verifier: read_verifier(&dir.verifier()), is_needed }
    }

    /// The key that notes are checked with; `None` when there is doubt which one that is.
    pub(super) fn trusted(&self) -> Option<&VerifierKey> {
        let verifier = self.verifier.as_ref().ok()?;
        let contradicted = self.signing.as_ref().is_ok_and(|signing| !same(signing, verifier));
        (!contradicted).then_some(verifier)
    }

    pub(super) fn checks(&self, dir: &DataDir) -> Vec<Check> {
        if !self.is_needed {
            return IDS.iter().map(|id| Check::skipped(id, "no agent has run on this directory yet")).collect();
        }
        vec![self.signing(dir), permissions(&dir.signing_key()), self.verifier(dir), self.pair(dir)]
    }

    fn signing(&self, dir: &DataDir) -> Check {
        let id = "key.signing";
        match &self.signing {
            Ok(key) => Check::ok(id, format!("signs as {}", key.name())),
            Err(KeysError::File { error, .. }) if error.kind() == io::ErrorKind::PermissionDenied => {
                Check::skipped(id, "run doctor as the user of the agent")
            }
            Err(error) => Check::fail(id, format!("{error}: no agent can go on with this trail"), restore(&dir.signing_key())),
        }
    }

    fn verifier(&self, dir: &DataDir) -> Check {
        let id = "key.verifier";
        match &self.verifier {
            Ok(key) => Check::ok(id, format!("verifies {}", key.name())),
            Err(error) => Check::fail(id, format!("{error}: nothing can be verified without it"), restore(&dir.verifier())),
        }
    }

    fn pair(&self, dir: &DataDir) -> Check {
        let id = "key.pair";
        match (&self.signing, &self.verifier) {
            (Ok(signing), Ok(verifier)) if same(signing, verifier) => Check::ok(id, "both keys belong together"),
            (Ok(_), Ok(_)) => {
                let finding = format!("{} is not the other half of the signing key: one of them was replaced", dir.verifier().display());
                Check::fail(id, finding, restore(&dir.verifier()))
            }
            _ => Check::skipped(id, "a key is missing"),
        }
    }
}

fn same(one: &VerifierKey, other: &VerifierKey) -> bool {
    one.to_string() == other.to_string()
}

fn permissions(key: &Path) -> Check {
    let id = "key.permissions";
    let (Ok(file), Some(Ok(folder))) = (fs::symlink_metadata(key), key.parent().map(fs::metadata)) else {
        return Check::skipped(id, "there is no signing key that can be seen");
    };
    let mode = file.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let finding = format!("{} has mode {mode:03o}: whoever reads it can sign another history", key.display());
        return Check::fail(id, finding, format!("chmod 600 {}", quoted(key)));
    }
    if file.uid() != folder.uid() {
        let finding = format!("{} belongs to user {}, its folder to user {}", key.display(), file.uid(), folder.uid());
        return Check::fail(id, finding, format!("chown {} {}", folder.uid(), quoted(key)));
    }
    Check::ok(id, format!("mode {mode:03o}"))
}

/// The command that puts a file back; where the backup is, only its owner knows.
fn restore(path: &Path) -> String {
    format!("cp -p BACKUP/{} {}", path.file_name().unwrap_or_default().to_string_lossy(), quoted(path))
}
