//! The states that are looked at are those that the loss of power may leave: none is left out, and none is another.
//!
//! `States` shows each image once and makes no tree for it; `Disk::show_plainly` makes every subset with every way to tear one of its
//! writes. Both must come to the same images at every moment: of changes by chance, which meet in ways that no process of ours makes them, and of
//! real traces.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{Digest, digest_of, digest_of_tree};
use crate::faulty::agent;
use crate::faulty::disk::{Disk, Tree};
use crate::faulty::states::{Image, States};
use crate::faulty::trace::Op;
use crate::faulty::worker::{self, REQUIRED, STANDARD};
use crate::random::{self, Random, from_env};

/// Sequences of changes by chance, and how long each is.
const SEQUENCES: u64 = 60;
const LENGTH: usize = 14;
/// Every subset of so many pending changes is shown both ways.
const SUBSETS_OF: usize = 4;
/// The same of real traces, which are longer and write more.
const SUBSETS_OF_TRACE: usize = 2;

type Images = BTreeSet<Digest>;

fn digest_of_image(image: Image<'_>) -> Digest {
    let folders = image.names.folders.iter().map(|path| (path.as_path(), None));
    digest_of(folders.chain(image.files().map(|(path, content)| (path, Some(content.bytes.as_slice())))))
}

/// Shows both ways what may be left after each change, and compares them moment by moment, and all that was ever shown.
fn compare(ops: &[Op], subsets_of: usize) -> u64 {
    let (mut disk, mut each, mut all) = (Disk::new(), States::new(subsets_of), States::new(subsets_of));
    let (mut shown_plainly, mut shown, mut states) = (Images::new(), Images::new(), 0);
    for op in ops {
        disk.apply(op);
        let mut plain = Images::new();
        disk.show_plainly(subsets_of, &mut |tree| {
            plain.insert(digest_of_tree(tree));
            states += 1;
        });
        each.require_more();
        let (mut images, mut count) = (Images::new(), 0);
        each.crash(&disk, &mut |image| {
            count += 1;
            images.insert(digest_of_image(image));
            Ok(())
        })
        .unwrap();
        assert!(images == plain, "after {op:?}: {} images, and plainly {}", images.len(), plain.len());
        assert_eq!(images.len(), count, "after {op:?}: each once");
        shown_plainly.append(&mut plain);
        all.crash(&disk, &mut |image| {
            assert!(shown.insert(digest_of_image(image)), "once in all");
            Ok(())
        })
        .unwrap();
    }
    assert!(shown == shown_plainly);
    assert_eq!(each.looked.states, states, "what is said of the states is what is shown plainly");
    shown.len() as u64
}

/// A change that is possible, of few names, so that they meet.
fn change(random: &mut Random, now: &Tree) -> Op {
    let listing = now.listing();
    let folders: Vec<&PathBuf> = listing.iter().filter(|(_, inode)| inode.is_none()).map(|(path, _)| path).collect();
    let files: Vec<&PathBuf> = listing.iter().filter(|(_, inode)| inode.is_some()).map(|(path, _)| path).collect();
    let folder = folders[random.place(folders.len())];
    let path = folder.join(["a", "b"][random.place(2)]);
    let is_free = !folders.contains(&&path);
    let name = |random: &mut Random| folders[random.place(folders.len())].join(["c", "d"][random.place(2)]);
    match random.below(10) {
        0 | 1 if is_free => Op::Create { path, truncates: random.happens(50) },
        2 if folders.len() < 3 => Op::MakeFolder { path: folder.join(["x", "y"][folders.len() - 1]) },
        3 => Op::Sync { path: folder.clone() },
        _ if files.is_empty() => Op::Create { path: folder.join("a"), truncates: false },
        4 => Op::Sync { path: files[random.place(files.len())].clone() },
        5 => Op::Rename { from: files[random.place(files.len())].clone(), to: name(random) },
        6 => Op::Unlink { path: files[random.place(files.len())].clone() },
        7 => Op::Truncate { path: files[random.place(files.len())].clone(), length: random.place(1200) },
        _ => {
            let path = files[random.place(files.len())].clone();
            let offset = random.happens(50).then(|| random.place(1200));
            // Zeros among them, which a write that was never made also leaves.
            let bytes = vec![random.below(3) as u8; 1 + random.place(1300)];
            Op::Write { path, offset, bytes }
        }
    }
}

#[test]
fn of_changes_by_chance_no_state_is_left_out_and_none_is_added() {
    let seed = random::seed();
    let sequences = from_env("INDELIBLE_SEQUENCES").unwrap_or(SEQUENCES);
    let (mut random, mut images) = (Random::new(seed), 0);
    for _ in 0..sequences {
        let (mut disk, mut ops) = (Disk::new(), Vec::new());
        for _ in 0..LENGTH {
            let op = change(&mut random, &disk.now);
            disk.apply(&op);
            ops.push(op);
        }
        images += compare(&ops, SUBSETS_OF);
    }
    eprintln!("INDELIBLE_SEED={seed} INDELIBLE_SEQUENCES={sequences}: {images} images both ways");
    assert!(images > 1000);
}

#[test]
fn of_the_traces_of_a_worker_and_an_agent_no_state_is_left_out_and_none_is_added() {
    for ops in [worker::journal_trace(STANDARD), worker::journal_trace(REQUIRED), agent::small_trace()] {
        let on_disk: Vec<Op> = ops.into_iter().filter(|op| op.path() != Path::new("said")).collect();
        let images = compare(&on_disk, SUBSETS_OF_TRACE);
        assert!(images > 100, "{images} images");
    }
}
