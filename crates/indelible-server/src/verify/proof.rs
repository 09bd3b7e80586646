//! Proofs for those who do not have the trail: a receipt for one record, and the growth from one checkpoint to the next.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use indelible_core::{
    Checkpoint, CheckpointError, ConsistencyProof, Disclosed, Hash, InclusionProof, Note, ProofError, Receipt, ReceiptError, TreeHead,
    VerifierKey,
};

use super::trust;
use crate::data_dir::{DataDir, read_small};
use crate::keys::{KeysError, read_verifier};
use crate::trail::{Reader, TrailError};

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoProof {
    /// The key of the trail cannot be read.
    #[error(transparent)]
    Key(#[from] KeysError),
    /// A checkpoint cannot be read.
    #[error("checkpoint {path}: {error}")]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The trail's checkpoint is not what the trail's key signed.
    #[error("checkpoint {path}: {error}; run `indelible verify`")]
    Checkpoint {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        error: CheckpointError,
    },
    /// A checkpoint that was kept outside cannot be used.
    #[error("{0}")]
    Kept(String),
    /// The kept checkpoint is that of another trail, or signed by another key than this trail has now.
    #[error("the kept checkpoint is not one of this trail: it was signed by {kept}, and this trail's key is {found}")]
    Foreign {
        /// The key that signed the kept checkpoint.
        kept: String,
        /// The key of this trail.
        found: String,
    },
    /// The record is not under a checkpoint yet.
    #[error("leaf {leaf_index} is not under a checkpoint yet, which covers {tree_size} records: try again in a second")]
    NotSigned {
        /// The leaf.
        leaf_index: u64,
        /// Records under the newest checkpoint.
        tree_size: u64,
    },
    /// There is no such record.
    #[error("there is no leaf {leaf_index}")]
    NoRecord {
        /// The leaf.
        leaf_index: u64,
    },
    /// The trail cannot be read.
    #[error(transparent)]
    Trail(#[from] TrailError),
    /// What is stored does not lead to the checkpoint, so a proof made of it would prove nothing.
    #[error("leaf {leaf_index} cannot be proved: {error}; run `indelible verify`")]
    Record {
        /// The leaf.
        leaf_index: u64,
        /// What is wrong.
        error: ReceiptError,
    },
    /// The records do not lead from the kept checkpoint to the newest one.
    #[error("the trail did not grow out of the kept checkpoint of {old_size} records: {error}")]
    Growth {
        /// Records under the kept checkpoint.
        old_size: u64,
        /// What is wrong.
        error: ProofError,
    },
}

impl NoProof {
    /// Whether the reason is that something is not as it was signed.
    #[must_use]
    pub fn is_tampering(&self) -> bool {
        match self {
            Self::Trail(error) => error.is_damage(),
            _ => matches!(self, Self::Checkpoint { .. } | Self::Foreign { .. } | Self::Record { .. } | Self::Growth { .. }),
        }
    }
}

/// The growth of a trail from one checkpoint to a newer one, in the form in which a witness asks for it (C2SP tlog-witness,
/// "add-checkpoint").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Growth {
    /// Records under the older checkpoint.
    pub old_size: u64,
    /// The way from the older root to the newer one.
    pub proof: ConsistencyProof,
    /// The newer checkpoint, as it was signed.
    pub checkpoint: Note,
    /// Records under the newer checkpoint.
    pub new_size: u64,
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old_size)?;
        self.proof.path.iter().try_for_each(|hash| writeln!(f, "{}", hash.to_base64()))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

/// Makes the receipt of a record from what is stored, and checks it: what does not lead to the newest checkpoint has none.
///
/// # Errors
/// - [`NoProof::NotSigned`], [`NoProof::NoRecord`]: there is nothing to prove yet.
/// - [`NoProof::Record`], [`NoProof::Checkpoint`]: what is stored is not what was signed.
/// - [`NoProof::Key`], [`NoProof::File`], [`NoProof::Trail`]: something cannot be read.
pub fn receipt(dir: &DataDir, reader: &Reader, leaf_index: u64) -> Result<Receipt, NoProof> {
    let (key, note, newest) = newest(dir)?;
    let Checkpoint { tree_size, .. } = newest;
    let record = reader.record(leaf_index)?.ok_or(NoProof::NoRecord { leaf_index })?;
    if leaf_index >= tree_size {
        return Err(NoProof::NotSigned { leaf_index, tree_size });
    }
    let failed = |error: ProofError| NoProof::Record { leaf_index, error: error.into() };
    let path = hashes(reader, &InclusionProof::subtrees(leaf_index, tree_size).map_err(failed)?)?;
    let disclosed = record.salt.map(|salt| Disclosed { salt, body: record.body });
    let receipt = Receipt { entry: record.entry, disclosed, proof: InclusionProof { leaf_index, path }, checkpoint: note };
    receipt.verify(&key).map_err(|error| NoProof::Record { leaf_index, error })?;
    Ok(receipt)
}

/// Proves that the trail grew out of a checkpoint that was kept outside, as `indelible checkpoint` printed it.
///
/// # Errors
/// - [`NoProof::Growth`], [`NoProof::Foreign`]: it did not.
/// - [`NoProof::Kept`]: the file is no checkpoint.
/// - [`NoProof::Checkpoint`], [`NoProof::Key`], [`NoProof::File`], [`NoProof::Trail`]: as [`receipt`].
pub fn growth(dir: &DataDir, reader: &Reader, kept: &Path) -> Result<Growth, NoProof> {
    let (key, checkpoint, newest) = newest(dir)?;
    let trust::Kept { checkpoint: old, key: old_key } = trust::read_kept(kept, None).map_err(NoProof::Kept)?;
    if old_key != key {
        return Err(NoProof::Foreign { kept: old_key.to_string(), found: key.to_string() });
    }
    let (old, new) = (old.head(), newest.head());
    let proof = prove_growth(reader, &old, &new)?;
    Ok(Growth { old_size: old.tree_size, proof, checkpoint, new_size: new.tree_size })
}

pub(super) fn prove_growth(reader: &Reader, old: &TreeHead, new: &TreeHead) -> Result<ConsistencyProof, NoProof> {
    let failed = |error| NoProof::Growth { old_size: old.tree_size, error };
    let path = hashes(reader, &ConsistencyProof::subtrees(old.tree_size, new.tree_size).map_err(failed)?)?;
    let proof = ConsistencyProof { path };
    proof.verify(old, new).map_err(failed)?;
    Ok(proof)
}

/// The trail's key, and the newest checkpoint as it was signed and as it reads.
fn newest(dir: &DataDir) -> Result<(VerifierKey, Note, Checkpoint), NoProof> {
    let key = read_verifier(&dir.verifier())?;
    let path = dir.checkpoint();
    let bytes = read_small(&path).map_err(|error| NoProof::File { path: path.clone(), error })?;
    let wrong = |error| NoProof::Checkpoint { path: path.clone(), error };
    let checkpoint = Checkpoint::open(&bytes, &key).map_err(wrong)?;
    let note = Note::parse(&bytes).map_err(|error| wrong(error.into()))?;
    Ok((key, note, checkpoint))
}

/// The roots of these subtrees.
fn hashes(reader: &Reader, subtrees: &[Range<u64>]) -> Result<Vec<Hash>, TrailError> {
    subtrees.iter().map(|range| reader.subtree(range.clone())).collect()
}
