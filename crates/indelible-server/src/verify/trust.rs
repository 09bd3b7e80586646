//! What verification trusts, and what is signed: keys and notes from files.

use std::io;
use std::path::{Path, PathBuf};

use indelible_core::{Checkpoint, CheckpointError, Note, StateDigest, VerifierKey};

use super::halt::Halt;
use super::report::{Fault, FaultKind};
use crate::data_dir::{DataDir, read_small};
use crate::keys::read_verifier;

/// The key, and what it signed.
pub(super) struct Signed {
    pub(super) checkpoint: Checkpoint,
    pub(super) state: StateDigest,
}

/// A checkpoint that was kept outside the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) checkpoint: Checkpoint,
    pub(super) key: VerifierKey,
}

/// The key to trust: the one in the file that was named, else the trail's own.
pub(super) fn trusted_key(dir: &DataDir, named: Option<&Path>) -> Result<VerifierKey, Halt> {
    if let Err(error) = dir.trail().metadata() {
        return Err(Halt::CouldNotCheck(format!("no trail at {}: {error}; name its data directory with --data", dir.trail().display())));
    }
    let path = named.map_or_else(|| dir.verifier(), Path::to_owned);
    read_verifier(&path).map_err(|error| Halt::CouldNotCheck(error.to_string()))
}

/// Reads state and checkpoint. The agent writes the checkpoint first; read the other way round, it is never the older of the two.
pub(super) fn read_signed(dir: &DataDir, key: &VerifierKey) -> Result<Signed, Halt> {
    let state = read_note(dir, dir.state(), key, FaultKind::State, StateDigest::open)?;
    let checkpoint = read_checkpoint(dir, key)?;
    Ok(Signed { checkpoint, state })
}

/// Reads the newest checkpoint.
pub(super) fn read_checkpoint(dir: &DataDir, key: &VerifierKey) -> Result<Checkpoint, Halt> {
    read_note(dir, dir.checkpoint(), key, FaultKind::Checkpoint, Checkpoint::open)
}

pub(super) type Open<T> = fn(&[u8], &VerifierKey) -> Result<T, CheckpointError>;

/// Opens a note that `key` must have signed; one that it did not sign is a fault of this kind.
pub(super) fn read_note<T>(dir: &DataDir, path: PathBuf, key: &VerifierKey, kind: FaultKind, open: Open<T>) -> Result<T, Halt> {
    let bytes = read_small(&path).map_err(|error| unreadable(&path, &error))?;
    match open(&bytes, key) {
        Ok(note) => Ok(note),
        Err(error) if is_anothers(dir, &bytes, key, open) => {
            let key = key.name();
            Err(Halt::CouldNotCheck(format!("{} is not signed by the key that was to be trusted ({key}): {error}", path.display())))
        }
        Err(_) => Err(Halt::Fault(Fault { kind, leaves: None, event: None, verified: 0, file: None })),
    }
}

/// Whether a note was made by another key, rather than changed after `key` made it.
///
/// Each note names its key twice, in its text and in its signature line, so no change of one place makes it another key's.
fn is_anothers<T>(dir: &DataDir, bytes: &[u8], key: &VerifierKey, open: Open<T>) -> bool {
    let is_a_foreign_note = Note::parse(bytes).is_ok_and(|note| !note.to_string().contains(key.name()));
    is_a_foreign_note || read_verifier(&dir.verifier()).is_ok_and(|own| open(bytes, &own).is_ok())
}

/// Reads what `indelible checkpoint` printed: a note, and the verifier key on the last line.
///
/// `named`: a key that was given by hand and takes the place of that line. The error is a sentence.
pub(super) fn read_kept(path: &Path, named: Option<&VerifierKey>) -> Result<Kept, String> {
    let bytes = read_small(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let text = String::from_utf8_lossy(&bytes);
    let damaged = |error: &dyn std::fmt::Display| format!("{} is no checkpoint: {error}", path.display());
    let lines = text.trim_end().rsplit_once('\n');
    let own = lines.and_then(|(note, last)| Some((note, last.parse::<VerifierKey>().ok()?)));
    let (note, key) = match (own, named) {
        (Some((note, _)), Some(named)) => (format!("{}\n", note.trim_end()), named.clone()),
        (Some((note, own)), None) => (format!("{}\n", note.trim_end()), own),
        (None, Some(named)) => (text.clone().into_owned(), named.clone()),
        (None, None) => return Err(damaged(&"its last line is not a verifier key; name one with --key")),
    };
    let checkpoint = Checkpoint::open(note.as_bytes(), &key).map_err(|error| damaged(&error))?;
    Ok(Kept { checkpoint, key })
}

fn unreadable(path: &Path, error: &io::Error) -> Halt {
    Halt::CouldNotCheck(format!("{}: {error}", path.display()))
}
