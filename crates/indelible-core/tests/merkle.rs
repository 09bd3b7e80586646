//! Trees and proofs against the definitions of RFC 9162 §2.1, and against every kind of damage.

use indelible_core::{
    ConsistencyProof, Frontier, FrontierError, Hash, InclusionProof, ProofError, TreeHead, empty_root, leaf_hash, node_hash, root_of,
};
use proptest::prelude::*;

/// Trees up to this size are checked completely: it passes the powers of two where edges change shape.
const SIZE_MAX: u64 = 34;

fn leaves(count: u64) -> Vec<Hash> {
    (0..count).map(|n| leaf_hash(&n.to_le_bytes())).collect()
}

fn head(leaves: &[Hash]) -> TreeHead {
    TreeHead::of(leaves.iter().copied())
}

/// The definition of RFC 9162 §2.1.1, word for word.
fn recursive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            node_hash(&recursive_root(left), &recursive_root(right))
        }
    }
}

fn flip(hash: &mut Hash, bit: usize) {
    let mut bytes = *hash.as_bytes();
    bytes[bit / 8] ^= 1 << (bit % 8);
    *hash = Hash::from_bytes(bytes);
}

#[test]
fn the_frontier_has_the_root_of_the_definition_at_every_size_and_survives_storage() {
    let leaves = leaves(300);
    let mut frontier = Frontier::default();
    for size in 0..=leaves.len() {
        assert_eq!(frontier.size(), size as u64);
        assert_eq!(frontier.root(), recursive_root(&leaves[..size]), "size {size}");
        frontier = Frontier::from_bytes(&frontier.to_bytes()).unwrap();
        if let Some(leaf) = leaves.get(size) {
            frontier.push(*leaf);
        }
    }
}

#[test]
fn every_leaf_is_proved_in_its_place_and_in_no_other_tree_or_place() {
    let leaves = leaves(SIZE_MAX);
    let heads: Vec<_> = (0..=leaves.len()).map(|size| head(&leaves[..size])).collect();
    for size in 1..=SIZE_MAX {
        for index in 0..size {
            let mut claim = InclusionProof::prove(index, &leaves[..size as usize]).unwrap();
            for other in &heads {
                let holds = claim.verify(&leaves[index as usize], other).is_ok();
                assert_eq!(holds, other.tree_size == size, "leaf {index} of {size} in {}", other.tree_size);
            }
            for (other_index, leaf) in (0..size).zip(&leaves) {
                claim.leaf_index = other_index;
                let holds = claim.verify(leaf, &heads[size as usize]).is_ok();
                assert_eq!(holds, other_index == index, "leaf {index} of {size} as {other_index}");
            }
        }
    }
}

#[test]
fn every_tree_is_proved_to_have_grown_out_of_every_smaller_one_and_of_no_other() {
    let leaves = leaves(SIZE_MAX);
    let heads: Vec<_> = (0..=leaves.len()).map(|size| head(&leaves[..size])).collect();
    for new in &heads {
        for old in &heads[..=new.tree_size as usize] {
            let proof = ConsistencyProof::prove(old.tree_size, &leaves[..new.tree_size as usize]).unwrap();
            assert_eq!(proof.verify(old, new), Ok(()), "{} to {}", old.tree_size, new.tree_size);
            let mut forged = *old;
            flip(&mut forged.root_hash, 0);
            assert!(proof.verify(&forged, new).is_err(), "{} to {}", old.tree_size, new.tree_size);
            let needs_proof = !proof.path.is_empty();
            for other in heads.iter().filter(|other| needs_proof && *other != new) {
                assert!(proof.verify(old, other).is_err(), "{} to {}", old.tree_size, other.tree_size);
            }
            for other in heads.iter().filter(|other| needs_proof && *other != old) {
                assert!(proof.verify(other, new).is_err(), "{} to {}", other.tree_size, new.tree_size);
            }
        }
    }
}

#[test]
fn a_tree_that_was_rewritten_is_not_consistent_with_its_past() {
    let honest = leaves(20);
    for changed in 0..12 {
        let mut rewritten = honest.clone();
        flip(&mut rewritten[changed], 7);
        let proof = ConsistencyProof::prove(12, &rewritten).unwrap();
        let result = proof.verify(&head(&honest[..12]), &head(&rewritten));
        assert!(matches!(result, Err(ProofError::OldRootMismatch { .. })), "leaf {changed}: {result:?}");
    }
}

#[test]
fn a_truncated_tree_is_named_as_such() {
    let leaves = leaves(9);
    let expected = ProofError::OldTreeLarger { old_size: 9, new_size: 8 };
    assert_eq!(ConsistencyProof::prove(9, &leaves[..8]), Err(expected.clone()));
    let proof = ConsistencyProof { path: Vec::new() };
    assert_eq!(proof.verify(&head(&leaves), &head(&leaves[..8])), Err(expected));
}

#[test]
fn a_leaf_outside_the_tree_cannot_be_proved() {
    let leaves = leaves(3);
    let outside = |tree_size| ProofError::LeafOutsideTree { leaf_index: 3, tree_size };
    assert_eq!(InclusionProof::prove(3, &leaves), Err(outside(3)));
    let proof = InclusionProof { leaf_index: 3, path: Vec::new() };
    assert_eq!(proof.verify(&leaves[0], &head(&leaves)), Err(outside(3)));
    assert_eq!(proof.verify(&leaves[0], &head(&[])), Err(outside(0)));
}

#[test]
fn trees_that_differ_only_in_order_or_grouping_have_different_roots() {
    let [a, b, c] = <[Hash; 3]>::try_from(leaves(3)).unwrap();
    assert_ne!(root_of([a, b]), root_of([b, a]));
    // A node shown as a leaf would need an entry whose leaf hash is the node's: the first bytes differ.
    assert_ne!(leaf_hash(&[a.as_bytes().as_slice(), b.as_bytes()].concat()), node_hash(&a, &b));
    assert_ne!(root_of([a, b, c]), node_hash(&a, &node_hash(&b, &c)));
}

proptest! {
    #[test]
    fn a_damaged_inclusion_proof_fails(size in 1..400_u64, index: prop::sample::Index, damage: Damage) {
        let leaves = leaves(size);
        let index = index.index(leaves.len());
        let mut proof = InclusionProof::prove(index as u64, &leaves).unwrap();
        prop_assert_eq!(proof.verify(&leaves[index], &head(&leaves)), Ok(()));
        damage.apply(&mut proof.path);
        prop_assert!(proof.verify(&leaves[index], &head(&leaves)).is_err());
    }

    #[test]
    fn a_damaged_consistency_proof_fails(new in 1..400_u64, old: prop::sample::Index, damage: Damage) {
        let leaves = leaves(new);
        let old = 1 + old.index(leaves.len());
        let mut proof = ConsistencyProof::prove(old as u64, &leaves).unwrap();
        prop_assert_eq!(proof.verify(&head(&leaves[..old]), &head(&leaves)), Ok(()));
        damage.apply(&mut proof.path);
        prop_assert!(proof.verify(&head(&leaves[..old]), &head(&leaves)).is_err());
    }

    #[test]
    fn a_flipped_bit_in_a_leaf_or_root_fails(size in 1..400_u64, index: prop::sample::Index, bit in 0..256_usize) {
        let leaves = leaves(size);
        let index = index.index(leaves.len());
        let proof = InclusionProof::prove(index as u64, &leaves).unwrap();
        let mut leaf = leaves[index];
        flip(&mut leaf, bit);
        prop_assert!(proof.verify(&leaf, &head(&leaves)).is_err());
        let mut forged = head(&leaves);
        flip(&mut forged.root_hash, bit);
        prop_assert!(proof.verify(&leaves[index], &forged).is_err());
    }

    #[test]
    fn made_up_proofs_are_refused_without_panic(
        index in hostile_number(), old in hostile_number(), new in hostile_number(), length in 0..130_usize,
    ) {
        let path = leaves(length as u64);
        let root_hash = leaf_hash(b"made up");
        let (old, new) = (TreeHead { tree_size: old, root_hash }, TreeHead { tree_size: new, root_hash });
        let inclusion = InclusionProof { leaf_index: index, path: path.clone() };
        prop_assert!(inclusion.verify(&leaf_hash(b"leaf"), &new).is_err());
        // A tree is consistent with itself, whatever it holds.
        let same = old == new && old.tree_size > 0 && path.is_empty();
        prop_assert_eq!(ConsistencyProof { path }.verify(&old, &new).is_ok(), same);
    }

    #[test]
    fn the_longest_paths_are_walked_to_their_end(index in hostile_number(), old in hostile_number(), new in hostile_number()) {
        let root_hash = leaf_hash(b"made up");
        let new = TreeHead { tree_size: new, root_hash };
        if let Ok(subtrees) = InclusionProof::subtrees(index, new.tree_size) {
            let proof = InclusionProof { leaf_index: index, path: leaves(subtrees.len() as u64) };
            let result = proof.verify(&leaf_hash(b"leaf"), &new);
            prop_assert!(matches!(result, Err(ProofError::RootMismatch { .. })), "{:?}", result);
        }
        if let Ok(subtrees) = ConsistencyProof::subtrees(old, new.tree_size) {
            let proof = ConsistencyProof { path: leaves(subtrees.len() as u64) };
            let result = proof.verify(&TreeHead { tree_size: old, root_hash }, &new);
            prop_assert_eq!(result.is_ok(), old == new.tree_size && old > 0, "{:?}", result);
        }
    }

    #[test]
    fn made_up_frontiers_are_refused_or_round_trip(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(frontier) = Frontier::from_bytes(&bytes) {
            prop_assert_eq!(frontier.to_bytes(), bytes);
        }
    }
}

/// Numbers at the edges of trees and of the integer.
fn hostile_number() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..20_u64,
        (0..64_u32, -1..=1_i64).prop_map(|(power, off)| (1_u64 << power).wrapping_add_signed(off)),
        Just(u64::MAX),
        any::<u64>()
    ]
}

/// One thing that happens to a path on its way.
#[derive(Debug, Clone)]
enum Damage {
    Flip { at: prop::sample::Index, bit: usize },
    Drop { at: prop::sample::Index },
    Insert { at: prop::sample::Index },
    Swap { at: prop::sample::Index },
}

impl Arbitrary for Damage {
    type Parameters = ();
    type Strategy = BoxedStrategy<Self>;

    fn arbitrary_with((): ()) -> Self::Strategy {
        (any::<prop::sample::Index>(), 0..256_usize, 0..4)
            .prop_map(|(at, bit, kind)| match kind {
                0 => Self::Flip { at, bit },
                1 => Self::Drop { at },
                2 => Self::Insert { at },
                _ => Self::Swap { at },
            })
            .boxed()
    }
}

impl Damage {
    /// Damages the path. One that is too short for it gets a hash too many.
    fn apply(&self, path: &mut Vec<Hash>) {
        match self {
            Self::Flip { at, bit } if !path.is_empty() => {
                let at = at.index(path.len());
                flip(&mut path[at], *bit);
            }
            Self::Drop { at } if !path.is_empty() => {
                path.remove(at.index(path.len()));
            }
            Self::Swap { at } if path.len() > 1 => {
                let at = at.index(path.len() - 1);
                path.swap(at, at + 1);
            }
            Self::Flip { at, .. } | Self::Drop { at } | Self::Insert { at } | Self::Swap { at } => {
                path.insert(at.index(path.len() + 1), leaf_hash(b"inserted"));
            }
        }
    }
}

#[test]
fn a_frontier_of_the_largest_size_is_read_and_one_leaf_more_is_refused() {
    let bytes = |size: u64| [size.to_le_bytes().as_slice(), &[7; 32].repeat(size.count_ones() as usize)].concat();
    assert_eq!(Frontier::from_bytes(&bytes(Frontier::SIZE_MAX)).unwrap().size(), Frontier::SIZE_MAX);
    let found = Frontier::SIZE_MAX + 1;
    assert_eq!(Frontier::from_bytes(&bytes(found)), Err(FrontierError::Size { found }));
}

#[test]
fn a_hash_in_a_failed_assertion_is_its_digits() {
    let hash = Hash::from_bytes([0xa5; 32]);
    assert_eq!(format!("{hash:?}"), "a5".repeat(32));
}
