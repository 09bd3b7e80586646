//! Checks the receipt of a record without the trail that it came from.

use std::io::{self, Read as _};
use std::path::Path;

use indelible_core::{Checkpoint, CheckpointError, NoteError, Receipt, ReceiptError, VerifierKey};

use crate::data_dir::open_regular;

/// What a receipt says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proved {
    /// The record was in the trail when the checkpoint was signed, as it stands here.
    Proved(Box<Receipt>, Checkpoint),
    /// The receipt was changed, or proves something else than it shows: a reason.
    Refuted(String),
    /// It cannot be told: a reason, and nothing about the record.
    CouldNotCheck(String),
}

/// Checks the receipt in a file with a key that is trusted.
#[must_use]
pub fn check_receipt(path: &Path, key: &VerifierKey) -> Proved {
    let receipt = match read(path) {
        Ok(bytes) => Receipt::parse(&bytes),
        Err(error) => return Proved::CouldNotCheck(format!("{}: {error}", path.display())),
    };
    match receipt {
        Ok(receipt) => judge(receipt, key, path),
        Err(error) => Proved::CouldNotCheck(format!("{} is no receipt: {error}", path.display())),
    }
}

fn judge(receipt: Receipt, key: &VerifierKey, path: &Path) -> Proved {
    match receipt.verify(key) {
        Ok(checkpoint) => Proved::Proved(Box::new(receipt), checkpoint),
        // Somebody else's receipt accuses nobody.
        Err(error @ ReceiptError::Checkpoint(CheckpointError::Note(NoteError::UnknownKey { .. }))) => {
            Proved::CouldNotCheck(format!("{}: {error}; name the key of its trail with --key", path.display()))
        }
        Err(error) => Proved::Refuted(format!("{}: {error}", path.display())),
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let bytes_max = u64::try_from(Receipt::BYTES_MAX).unwrap_or(u64::MAX);
    let mut content = Vec::new();
    open_regular(path, bytes_max)?.take(bytes_max).read_to_end(&mut content)?;
    Ok(content)
}
