//! What `power_loss.rs` rests on, and what is too much for every state of it.

mod model;
mod trail;

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::faulty::disk::{Change, Disk, Tree, with};
use crate::random::Random;

/// The digest of all names and of what every file holds.
type Digest = [u8; 32];

fn digest_of<'a>(files: impl Iterator<Item = (&'a Path, Option<&'a [u8]>)>) -> Digest {
    let files: BTreeMap<&Path, Option<&[u8]>> = files.collect();
    let mut digest = Sha256::new();
    for (path, bytes) in files {
        digest.update(format!("{}\0{:?}\0", path.display(), bytes.map(<[u8]>::len)));
        digest.update(bytes.unwrap_or_default());
    }
    digest.finalize().into()
}

fn digest_of_tree(tree: &Tree) -> Digest {
    digest_of(tree.files().iter().map(|(path, bytes)| (path.as_path(), bytes.as_ref().map(|bytes| bytes.as_slice()))))
}

/// One state that the loss of power at this moment may leave, however much is pending: none of it, all, what came before a moment, or some;
/// and then, every other time, one of the writes torn.
pub(crate) fn chance(disk: &Disk, random: &mut Random) -> Tree {
    let cut = random.place(disk.pending.len() + 1);
    let percent = [0, 100, 10, 50, 90][random.place(5)];
    let is_cut = random.happens(25);
    let mut is_there = |at: usize| if is_cut { at < cut } else { random.happens(percent) };
    let there: Vec<&Change> = (0..disk.pending.len()).filter(|at| is_there(*at)).map(|at| &disk.pending[at]).collect();
    let writes: Vec<usize> = (0..there.len()).filter(|at| !there[*at].torn().is_empty()).collect();
    if writes.is_empty() || random.happens(50) {
        return with(&disk.safe, &there, None);
    }
    let at = writes[random.place(writes.len())];
    let torn = there[at].torn();
    with(&disk.safe, &there, Some((at, &torn[random.place(torn.len())])))
}
