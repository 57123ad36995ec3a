use alloy_primitives::{B256, U256, keccak256};
use proptest::prelude::*;
use std::collections::BTreeSet;
use tributary_record::merkle::*;

fn leaves(count: usize) -> Vec<B256> {
    (0..count).map(|at| keccak256(U256::from(at).to_be_bytes::<32>())).collect()
}

/// The definition, without any shortcut.
fn naive(depth: usize, leaves: &[B256]) -> B256 {
    let mut level = leaves.to_vec();
    level.resize(1 << depth, B256::ZERO);
    while level.len() > 1 {
        level = level.chunks(2).map(|pair| node(&pair[0], &pair[1])).collect();
    }
    level[0]
}

#[test]
fn every_way_to_a_root_agrees_with_the_definition() {
    for depth in 1..=6usize {
        for count in 0..=(1 << depth) {
            let leaves = leaves(count);
            let want = naive(depth, &leaves);
            assert_eq!(root(depth, &leaves).unwrap(), want);
            assert_eq!(Tree::new(depth, leaves.clone()).unwrap().root(), want);
            let mut frontier = Frontier::new(depth).unwrap();
            let mut tree = Tree::empty(depth);
            let mut stored = vec![B256::ZERO; depth];
            for leaf in &leaves {
                let (index, level) = frontier.append(*leaf).unwrap();
                stored[level] = frontier.left()[level];
                tree.put(index, *leaf).unwrap();
            }
            assert_eq!(frontier.root(), want);
            assert_eq!(tree.root(), want);
            assert_eq!(Frontier::from_parts(count as u64, stored).unwrap().root(), want);
        }
        let mut full = Frontier::new(depth).unwrap();
        for leaf in leaves(1 << depth) {
            full.append(leaf).unwrap();
        }
        assert_eq!(full.append(B256::ZERO), Err(TreeError::Full));
        assert!(root(depth, &leaves((1 << depth) + 1)).is_err());
    }
}

#[test]
fn deep_trees_hash_their_empty_side() {
    let one = leaves(1);
    let proof: Vec<B256> = (0..32).map(empty).collect();
    assert!(verify(32, root(32, &one).unwrap(), 0, one[0], &proof));
    assert_eq!(root(32, &[]).unwrap(), empty(32));
    assert_eq!(Frontier::new(32).unwrap().root(), empty(32));
    assert!(Frontier::new(33).is_err() && Frontier::new(0).is_err());
}

#[test]
fn leaves_are_taken_away_again() {
    let all = leaves(20);
    let mut tree = Tree::new(5, all.clone()).unwrap();
    for count in (0..20).rev() {
        tree.pop();
        assert_eq!(tree.root(), naive(5, &all[..count]), "{count}");
        assert_eq!(tree.len() as usize, count);
    }
    tree.pop();
    assert!(tree.is_empty());
}

#[test]
fn a_proof_holds_for_its_place_alone() {
    let all = leaves(11);
    let tree = Tree::new(4, all.clone()).unwrap();
    for index in 0..11u64 {
        let proof = tree.proof(index).unwrap();
        let leaf = all[index as usize];
        assert!(verify(4, tree.root(), index, leaf, &proof));
        assert!(!verify(4, tree.root(), index ^ 1, leaf, &proof));
        assert!(!verify(4, tree.root(), index, keccak256(leaf), &proof));
        assert!(!verify(4, tree.root(), index + 16, leaf, &proof));
        assert!(!verify(3, tree.root(), index, leaf, &proof[..3]));
        assert!(!verify(5, tree.root(), index, leaf, &[proof.clone(), vec![B256::ZERO]].concat()));
    }
    assert_eq!(tree.proof(11), Err(TreeError::NoLeaf(11)));
    assert_eq!(root_from_proof(0, B256::ZERO, &[B256::ZERO; 33]), None);
}

proptest! {
    #[test]
    fn multiproofs_open_old_and_new_leaves(
        count in 0usize..60,
        places in proptest::collection::btree_set(0u64..64, 0..12),
        replaced in any::<u8>(),
    ) {
        let depth = 6;
        let all = leaves(count);
        let tree = Tree::new(depth, all.clone()).unwrap();
        let places: Vec<u64> = places.into_iter().collect();
        let proof = tree.multi_proof(&places).unwrap();
        let old: Vec<(u64, B256)> =
            places.iter().map(|place| (*place, all.get(*place as usize).copied().unwrap_or_default())).collect();
        prop_assert_eq!(multi_root(depth, &old, &proof).unwrap(), tree.root());

        let mut padded = all.clone();
        padded.resize(64, B256::ZERO);
        let new: Vec<(u64, B256)> = places.iter().map(|place| (*place, keccak256([replaced, *place as u8]))).collect();
        new.iter().for_each(|(place, leaf)| padded[*place as usize] = *leaf);
        if !new.is_empty() {
            prop_assert_eq!(multi_root(depth, &new, &proof).unwrap(), naive(depth, &padded));
            let mut more = proof.clone();
            more.push(B256::ZERO);
            prop_assert_eq!(multi_root(depth, &new, &more), Err(MultiproofError::Length));
        }
    }

    #[test]
    fn hostile_multiproofs_do_not_panic(
        leaves in proptest::collection::vec((any::<u64>(), any::<[u8; 32]>()), 0..10),
        proof in proptest::collection::vec(any::<[u8; 32]>(), 0..40),
        depth in 0usize..40,
    ) {
        let leaves: Vec<(u64, B256)> = leaves.into_iter().map(|(at, leaf)| (at >> 40, leaf.into())).collect();
        let proof: Vec<B256> = proof.into_iter().map(B256::from).collect();
        let _ = multi_root(depth, &leaves, &proof);
        let sorted: BTreeSet<u64> = leaves.iter().map(|leaf| leaf.0).collect();
        let _ = multi_proof_indices(depth, &sorted.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn putting_equals_building(updates in proptest::collection::vec((0u64..40, any::<u8>()), 0..60)) {
        let mut tree = Tree::empty(6);
        let mut plain: Vec<B256> = Vec::new();
        for (at, byte) in updates {
            let leaf = keccak256([byte]);
            if at <= plain.len() as u64 {
                tree.put(at, leaf).unwrap();
                if at as usize == plain.len() { plain.push(leaf) } else { plain[at as usize] = leaf }
            } else {
                prop_assert_eq!(tree.put(at, leaf), Err(TreeError::NoLeaf(at)));
            }
        }
        prop_assert_eq!(tree.root(), naive(6, &plain));
    }
}
