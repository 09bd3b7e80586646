//! What can be said of one record after recomputing it: step by step, and in one word.

use indelible_core::{Receipt, VerifierKey};
use serde::Serialize;

use crate::data_dir::DataDir;
use crate::keys::read_verifier;
use crate::search::Check;
use crate::trail::Reader;
use crate::verify::{NoProof, receipt};

/// What was recomputed for one record, just now.
#[derive(Debug, Serialize)]
pub(super) struct Evidence {
    /// `intact`, `pending`, `tampered` or `unchecked`.
    pub(super) class: &'static str,
    pub(super) headline: String,
    pub(super) steps: Vec<Step>,
    pub(super) tree_size: Option<u64>,
    pub(super) root_hash: Option<String>,
    pub(super) origin: Option<String>,
    pub(super) key: Option<String>,
    pub(super) path: Vec<String>,
}

/// One thing that was recomputed.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    /// `yes`, `no` or `open`.
    pub(super) holds: &'static str,
    pub(super) text: String,
}

impl Step {
    fn new(holds: bool, text: impl Into<String>) -> Self {
        Self { holds: if holds { "yes" } else { "no" }, text: text.into() }
    }

    fn open(text: impl Into<String>) -> Self {
        Self { holds: "open", text: text.into() }
    }
}

/// Recomputes a record: body, leaf, and the way to the newest signed checkpoint.
pub(super) fn evidence(dir: &DataDir, reader: &Reader, leaf_index: u64, check: &Check) -> Evidence {
    let body = match check.erased {
        true => Step::open("The body was erased; its commitment stays in the leaf"),
        false => Step::new(check.body_matches, "Salt and body give the commitment in the leaf"),
    };
    let mut steps = vec![body, Step::new(check.leaf_hash_matches, "The leaf gives the leaf hash that is stored beside it")];
    let (class, headline) = match receipt(dir, reader, leaf_index) {
        Ok(receipt) => {
            steps.extend(leads_to_the_checkpoint(&receipt));
            return of_receipt(dir, &receipt, steps, check, leaf_index);
        }
        Err(NoProof::NotSigned { tree_size, .. }) => {
            steps.push(Step::open(format!("No checkpoint covers it yet; the newest covers {tree_size} records")));
            (if check.holds() { "pending" } else { "tampered" }, pending(check))
        }
        Err(error) if error.is_tampering() || !check.holds() => {
            steps.push(Step::new(false, error.to_string()));
            ("tampered", format!("TAMPERED at #{leaf_index}"))
        }
        Err(error) => {
            steps.push(Step::open(error.to_string()));
            ("unchecked", "Could not check".to_owned())
        }
    };
    Evidence { class, headline, steps, tree_size: None, root_hash: None, origin: None, key: None, path: Vec::new() }
}

fn pending(check: &Check) -> String {
    if check.holds() { "Pending: no checkpoint covers it yet".to_owned() } else { check.sentence().to_owned() }
}

fn leads_to_the_checkpoint(receipt: &Receipt) -> [Step; 2] {
    let hashes = receipt.proof.path.len();
    [
        Step::new(true, format!("The leaf and {hashes} hashes of its neighbours give the root hash of the checkpoint")),
        Step::new(true, "The checkpoint is signed with the key of this trail"),
    ]
}

fn of_receipt(dir: &DataDir, receipt: &Receipt, steps: Vec<Step>, check: &Check, leaf_index: u64) -> Evidence {
    let key: Option<VerifierKey> = read_verifier(&dir.verifier()).ok();
    let checkpoint = key.as_ref().and_then(|key| receipt.verify(key).ok());
    let size = checkpoint.as_ref().map(|checkpoint| checkpoint.tree_size);
    let (class, headline) = match size {
        Some(size) if check.holds() => ("intact", format!("Intact to checkpoint {size}")),
        Some(_) => ("tampered", format!("TAMPERED at #{leaf_index}")),
        None => ("unchecked", "Could not check".to_owned()),
    };
    Evidence {
        class,
        headline,
        steps,
        tree_size: size,
        root_hash: checkpoint.as_ref().map(|checkpoint| checkpoint.root_hash.to_base64()),
        origin: checkpoint.map(|checkpoint| checkpoint.origin.to_string()),
        key: key.map(|key| key.to_string()),
        path: receipt.proof.path.iter().map(indelible_core::Hash::to_base64).collect(),
    }
}
