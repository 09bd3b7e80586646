//! The keys of a trail: made once, read at every start (docs/format.md, "Checkpoint").

use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use indelible_core::{BatchNote, CheckpointError, Frontier, Hash, KeyError, Origin, SigningKey, VerifierKey};

use crate::data_dir::{DataDir, read_small, write_atomically};

/// Why there is no key to sign or verify with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// A key file is missing or cannot be read or written.
    #[error("key file {path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A key file does not hold a key.
    #[error("key file {path}: {error}; restore it from a backup")]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: KeyError,
    },
    /// The key's name is not that of a trail.
    #[error("key file {path}: {error}; restore it from a backup")]
    Name {
        /// The file.
        path: PathBuf,
        /// What is wrong with the name.
        error: CheckpointError,
    },
    /// The signing key is gone and the trail that it signed is still there.
    #[error("the trail in {trail} has no signing key at {key}: restore it from a backup; a new one could not continue this trail")]
    Lost {
        /// Where the key should be.
        key: PathBuf,
        /// The trail's folder.
        trail: PathBuf,
    },
    /// The verifier key beside the trail is that of another key: whoever checks the trail would trust somebody else.
    #[error(
        "{path} is not the verifier key of this trail's signing key: somebody replaced it; run `indelible verify --against` with a kept \
         checkpoint, then delete it and start again"
    )]
    Replaced {
        /// The verifier key.
        path: PathBuf,
    },
    /// The system gave no random bytes.
    #[error("no random bytes for a new key: {0}")]
    Random(getrandom::Error),
}

/// What the agent signs with.
#[derive(Debug)]
pub(crate) struct TrailKey {
    /// The secret.
    pub(crate) signing: SigningKey,
    /// Name of the trail and of the key.
    pub(crate) origin: Origin,
}

impl TrailKey {
    /// Reads the signing key, or makes one for a trail that does not exist yet, and writes the verifier key beside the trail.
    ///
    /// # Errors
    /// - [`KeysError::Lost`]: there is a trail but no key.
    /// - [`KeysError::Replaced`]: the verifier key beside the trail is another one's.
    /// - the other variants: a file or its content is not usable.
    pub(crate) fn load_or_create(dir: &DataDir, trail_exists: bool) -> Result<Self, KeysError> {
        let path = dir.signing_key();
        if !path.exists() {
            if trail_exists {
                return Err(KeysError::Lost { key: path, trail: dir.trail() });
            }
            create(&path)?;
        }
        let key = Self::load(&path)?;
        key.publish(dir.verifier())?;
        Ok(key)
    }

    /// Writes the verifier key where there is none, and refuses another one.
    fn publish(&self, path: PathBuf) -> Result<(), KeysError> {
        let own = self.signing.verifier();
        match read_verifier(&path) {
            Ok(found) if found == own => Ok(()),
            Ok(_) => Err(KeysError::Replaced { path }),
            Err(KeysError::File { error, .. }) if error.kind() == io::ErrorKind::NotFound => write(&path, &format!("{own}\n")),
            Err(error) => Err(error),
        }
    }

    /// The signed note of a batch that leaves this tree and state behind, and found the previous one.
    pub(crate) fn sign_batch(&self, tree: &Frontier, state: Hash, previous_state: Hash) -> String {
        let batch = BatchNote { origin: self.origin.clone(), tree_size: tree.size(), root_hash: tree.root(), state, previous_state };
        batch.sign(&self.signing).expect("the key has the name of the origin").to_string()
    }

    fn load(path: &Path) -> Result<Self, KeysError> {
        let signing = read_signing_key(path)?;
        let origin = signing.name().parse().map_err(|error| KeysError::Name { path: path.to_owned(), error })?;
        Ok(Self { signing, origin })
    }
}

/// Reads a signing key of one line.
///
/// # Errors
/// As [`read_verifier`].
pub(crate) fn read_signing_key(path: &Path) -> Result<SigningKey, KeysError> {
    read_key(path)
}

/// Reads a verifier key of one line.
///
/// # Errors
/// - [`KeysError::File`], [`KeysError::Key`]: missing, unreadable or damaged.
pub fn read_verifier(path: &Path) -> Result<VerifierKey, KeysError> {
    read_key(path)
}

fn read_key<K: FromStr<Err = KeyError>>(path: &Path) -> Result<K, KeysError> {
    read(path)?.trim_end().parse().map_err(|error| KeysError::Key { path: path.to_owned(), error })
}

fn create(path: &Path) -> Result<(), KeysError> {
    let mut random = [0; 16 + 32];
    getrandom::fill(&mut random).map_err(KeysError::Random)?;
    let (name, seed) = random.split_at(16);
    let origin = Origin::from_random(name.try_into().expect("the first 16 bytes"));
    let seed: &[u8; 32] = seed.try_into().expect("the last 32 bytes");
    let key = SigningKey::from_seed(origin.as_str(), seed).map_err(|error| KeysError::Key { path: path.to_owned(), error })?;
    write(path, &format!("{}\n", key.secret_text().as_str()))
}

fn read(path: &Path) -> Result<String, KeysError> {
    let text =
        read_small(path).and_then(|bytes| String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error)));
    text.map_err(|error| KeysError::File { path: path.to_owned(), error })
}

fn write(path: &Path, text: &str) -> Result<(), KeysError> {
    write_atomically(path, text.as_bytes()).map_err(|error| KeysError::File { path: path.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_never_beside_a_trail_that_another_key_signed() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = DataDir::new(temporary.path());
        dir.create().unwrap();
        let made = TrailKey::load_or_create(&dir, false).unwrap();
        let read = TrailKey::load_or_create(&dir, true).unwrap();
        assert_eq!(made.origin, read.origin);
        assert_eq!(read_verifier(&dir.verifier()).unwrap().to_string(), read.signing.verifier().to_string());
        let foreign = SigningKey::from_seed(made.origin.as_str(), &[7; 32]).unwrap().verifier();
        fs::write(dir.verifier(), format!("{foreign}\n")).unwrap();
        assert!(matches!(TrailKey::load_or_create(&dir, true), Err(KeysError::Replaced { .. })));
        fs::write(dir.verifier(), "damaged\n").unwrap();
        assert!(matches!(TrailKey::load_or_create(&dir, true), Err(KeysError::Key { .. })));
        fs::remove_file(dir.verifier()).unwrap();
        TrailKey::load_or_create(&dir, true).unwrap();
        assert_eq!(read_verifier(&dir.verifier()).unwrap(), made.signing.verifier(), "a copy that is missing is made again");
        fs::remove_file(dir.signing_key()).unwrap();
        assert!(matches!(TrailKey::load_or_create(&dir, true), Err(KeysError::Lost { .. })));
    }
}
