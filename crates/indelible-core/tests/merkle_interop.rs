//! Other people's implementations agree with ours: what one proves, the other verifies.
#![allow(clippy::unwrap_used)]

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use indelible_core::{ConsistencyProof, Hash, InclusionProof, TreeHead, leaf_hash};
use sha2::Sha256;
use tlog_tiles::{Hash as TlogHash, HashReader};

const SIZE_MAX: usize = 40;

fn entries(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|n| format!("entry {n}").into_bytes()).collect()
}

fn hashes(entries: &[Vec<u8>]) -> Vec<Hash> {
    entries.iter().map(|entry| leaf_hash(entry)).collect()
}

mod ct {
    use super::*;
    use ct_merkle::{ConsistencyProof as CtConsistencyProof, InclusionProof as CtInclusionProof, RootHash};

    fn tree(entries: &[Vec<u8>]) -> MemoryBackedTree<Sha256, Vec<u8>> {
        let mut tree = MemoryBackedTree::new();
        entries.iter().for_each(|entry| tree.push(entry.clone()));
        tree
    }

    fn their_head(head: &TreeHead) -> RootHash<Sha256> {
        RootHash::new((*head.root_hash.as_bytes()).into(), head.tree_size)
    }

    fn concatenated(path: &[Hash]) -> Vec<u8> {
        path.iter().flat_map(|hash| *hash.as_bytes()).collect()
    }

    fn separated(path: &[u8]) -> Vec<Hash> {
        path.chunks(32).map(|hash| Hash::try_from(hash).unwrap()).collect()
    }

    #[test]
    fn roots_agree_with_ct_merkle() {
        let entries = entries(SIZE_MAX);
        for size in 0..=entries.len() {
            let ours = TreeHead::of(hashes(&entries[..size]));
            assert_eq!(tree(&entries[..size]).root(), their_head(&ours), "size {size}");
        }
    }

    #[test]
    fn inclusion_proofs_verify_both_ways_with_ct_merkle() {
        let entries = entries(SIZE_MAX);
        for size in 1..=entries.len() {
            let (tree, leaves) = (tree(&entries[..size]), hashes(&entries[..size]));
            let head = TreeHead::of(leaves.iter().copied());
            for index in 0..size {
                let ours = InclusionProof::prove(index as u64, &leaves).unwrap();
                let theirs = CtInclusionProof::try_from_bytes(concatenated(&ours.path)).unwrap();
                their_head(&head).verify_inclusion(&entries[index], index as u64, &theirs).unwrap();

                let path = separated(tree.prove_inclusion(index).as_bytes());
                InclusionProof { leaf_index: index as u64, path }.verify(&leaves[index], &head).unwrap();
            }
        }
    }

    #[test]
    fn consistency_proofs_verify_both_ways_with_ct_merkle() {
        let entries = entries(SIZE_MAX);
        for size in 1..=entries.len() {
            let (tree, leaves) = (tree(&entries[..size]), hashes(&entries[..size]));
            let new = TreeHead::of(leaves.iter().copied());
            for old_size in 1..=size {
                let old = TreeHead::of(leaves[..old_size].iter().copied());
                let ours = ConsistencyProof::prove(old_size as u64, &leaves).unwrap();
                let theirs = CtConsistencyProof::try_from_bytes(concatenated(&ours.path)).unwrap();
                their_head(&new).verify_consistency(&their_head(&old), &theirs).unwrap();

                let path = separated(tree.prove_consistency(size - old_size).as_bytes());
                ConsistencyProof { path }.verify(&old, &new).unwrap();
            }
        }
    }
}

mod tlog {
    use super::*;
    use tlog_tiles::{check_record, check_tree, prove_record, prove_tree, stored_hashes, tree_hash};

    /// All stored hashes of a tlog, by their index.
    #[derive(Default)]
    struct Log(Vec<TlogHash>);

    impl HashReader for Log {
        fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<TlogHash>, tlog_tiles::Error> {
            Ok(indexes.iter().map(|&index| self.0[usize::try_from(index).unwrap()]).collect())
        }
    }

    fn log(entries: &[Vec<u8>]) -> Log {
        let mut log = Log::default();
        for (index, entry) in (0..).zip(entries) {
            let hashes = stored_hashes(index, entry, &log).unwrap();
            log.0.extend(hashes);
        }
        log
    }

    fn ours(hash: &TlogHash) -> Hash {
        Hash::from_bytes(hash.0)
    }

    fn theirs(hash: &Hash) -> TlogHash {
        TlogHash(*hash.as_bytes())
    }

    #[test]
    fn roots_agree_with_tlog() {
        let entries = entries(SIZE_MAX);
        let log = log(&entries);
        for size in 0..=entries.len() {
            let root = tree_hash(size as u64, &log).unwrap();
            assert_eq!(ours(&root), TreeHead::of(hashes(&entries[..size])).root_hash, "size {size}");
        }
    }

    #[test]
    fn inclusion_proofs_verify_both_ways_with_tlog() {
        let entries = entries(SIZE_MAX);
        let log = log(&entries);
        for size in 1..=entries.len() {
            let leaves = hashes(&entries[..size]);
            let head = TreeHead::of(leaves.iter().copied());
            for (index, leaf) in (0..).zip(&leaves) {
                let proof = InclusionProof::prove(index, &leaves).unwrap();
                let path = proof.path.iter().map(theirs).collect();
                check_record(&path, size as u64, theirs(&head.root_hash), index, theirs(leaf)).unwrap();

                let path = prove_record(size as u64, index, &log).unwrap().iter().map(ours).collect();
                InclusionProof { leaf_index: index, path }.verify(leaf, &head).unwrap();
            }
        }
    }

    #[test]
    fn consistency_proofs_verify_both_ways_with_tlog() {
        let entries = entries(SIZE_MAX);
        let log = log(&entries);
        for size in 1..=entries.len() {
            let leaves = hashes(&entries[..size]);
            let new = TreeHead::of(leaves.iter().copied());
            for old_size in 1..=size {
                let old = TreeHead::of(leaves[..old_size].iter().copied());
                let proof = ConsistencyProof::prove(old.tree_size, &leaves).unwrap();
                let path = proof.path.iter().map(theirs).collect();
                check_tree(&path, new.tree_size, theirs(&new.root_hash), old.tree_size, theirs(&old.root_hash)).unwrap();

                let path = prove_tree(new.tree_size, old.tree_size, &log).unwrap().iter().map(ours).collect();
                ConsistencyProof { path }.verify(&old, &new).unwrap();
            }
        }
    }
}
