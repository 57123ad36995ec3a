use crate::world;
use alloy_primitives::{B256, U256, hex, keccak256};
use tributary_record::*;

#[test]
fn contribution_ids_hold_datanet_and_leaf() {
    let id = contribution_id(7, 9);
    assert_eq!(id, 7 << 32 | 9);
    assert_eq!((datanet_of(id), index_of(id)), (7, 9));
}

#[test]
fn the_algorithm_is_named_by_its_hash() {
    assert_eq!(ALGO_ID, keccak256("tributary.trace.1"));
}

#[test]
fn a_channel_is_hashed_as_solidity_encodes_it() {
    let payer = world::account(1);
    let mut bytes = Vec::new();
    bytes.extend(U256::from(world::CHAIN).to_be_bytes::<32>());
    bytes.extend(hex!("0000000000000000000000000000000000000000000000000000000000000a04"));
    bytes.extend(U256::from(3).to_be_bytes::<32>());
    bytes.extend([0; 12]);
    bytes.extend(payer);
    bytes.extend(U256::from(7).to_be_bytes::<32>());
    assert_eq!(channel_id(world::CHAIN, 3, payer, U256::from(7)), keccak256(bytes));
}

#[test]
fn tokens_are_cut_into_chunks_of_256() {
    let tokens: Vec<u32> = (0..600).collect();
    let tree = tokens_tree(&tokens).unwrap();
    assert_eq!(tree.len(), 3);
    let last = merkle::chunk_leaf(2, keccak256(token_bytes(&tokens[512..])));
    assert!(merkle::verify(16, tree.root(), 2, last, &tree.proof(2).unwrap()));
    assert_eq!(tokens_root(&[]), None);
    assert_ne!(tokens_root(&tokens), tokens_root(&tokens[..599]));
    assert_eq!(tokens_from_bytes(&token_bytes(&tokens)), Some(tokens));
    assert_eq!(tokens_from_bytes(&[0; 5]), None);
}

#[test]
fn every_part_of_a_commitment_counts() {
    let given = Contribution {
        datanet: 1,
        contributor: world::account(1),
        content_hash: keccak256("text"),
        tokens_root: keccak256("root"),
        tokens: 12,
        salt: keccak256("salt"),
    };
    let others = [
        Contribution { datanet: 2, ..given },
        Contribution { contributor: world::account(2), ..given },
        Contribution { content_hash: B256::ZERO, ..given },
        Contribution { tokens_root: B256::ZERO, ..given },
        Contribution { tokens: 13, ..given },
        Contribution { salt: B256::ZERO, ..given },
    ];
    let want = given.commitment(1);
    assert_ne!(want, given.commitment(2));
    assert!(others.iter().all(|other| other.commitment(1) != want));
}
