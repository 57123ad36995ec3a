//! Safe and finalized.

use crate::toy::{config, extend, grow, open};
use alloy_primitives::B256;
use tributary_tree::{Chain, ForkchoiceStatus, TreeError, verify};

fn numbers(chain: &Chain) -> (Option<u64>, Option<u64>) {
    (chain.safe().map(|header| header.number), chain.finalized().map(|header| header.number))
}

#[test]
fn labels_are_unset_until_set_and_zero_leaves_them() {
    let dir = tempfile::tempdir().unwrap();
    let chain = open(dir.path(), config()).unwrap();
    let a = extend(&chain, chain.head().hash(), 1..7);
    assert_eq!(numbers(&chain), (None, None));
    chain.set_forkchoice(a[5], Some(a[3]), None).unwrap();
    assert_eq!(numbers(&chain), (Some(4), None));
    chain.set_forkchoice(a[5], Some(B256::ZERO), Some(a[1])).unwrap();
    assert_eq!(numbers(&chain), (Some(4), Some(2)));
    // Backwards is allowed.
    chain.set_forkchoice(a[5], Some(a[2]), Some(a[0])).unwrap();
    assert_eq!(numbers(&chain), (Some(3), Some(1)));
    drop(chain);
    let chain = open(dir.path(), config()).unwrap();
    assert_eq!(numbers(&chain), (Some(3), Some(1)));
    verify(chain.store(), |_, _, _| ()).unwrap();
}

#[test]
fn labels_off_the_heads_chain_are_refused_and_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let chain = open(dir.path(), config()).unwrap();
    let a = extend(&chain, chain.head().hash(), 1..7);
    let side = grow(&chain, a[2], 40);
    let cases = [
        (a[5], Some(side), None),
        (a[5], None, Some(side)),
        (a[5], Some(B256::repeat_byte(7)), None),
        (a[3], Some(a[4]), None),
        (side, Some(a[3]), None),
    ];
    for (head, safe, finalized) in cases {
        let result = chain.set_forkchoice(head, safe, finalized);
        assert!(matches!(result, Err(TreeError::InconsistentLabel { .. })), "{result:?}");
        assert_eq!(chain.head().hash(), a[5]);
        assert_eq!(numbers(&chain), (None, None));
    }
    // A label may be the new head, or a block that only now becomes canonical.
    chain.set_forkchoice(side, Some(side), Some(a[2])).unwrap();
    assert_eq!(numbers(&chain), (Some(4), Some(3)));
}

#[test]
fn the_finalized_block_is_never_undone() {
    let dir = tempfile::tempdir().unwrap();
    let chain = open(dir.path(), config()).unwrap();
    let a = extend(&chain, chain.head().hash(), 1..9);
    chain.set_forkchoice(a[7], Some(a[6]), Some(a[4])).unwrap();
    let deep = grow(&chain, a[2], 41);
    for head in [deep, a[3]] {
        let result = chain.set_forkchoice(head, None, None);
        assert!(matches!(result, Err(TreeError::UndoesFinalized { finalized: 5, .. })), "{result:?}");
    }
    // From the finalized block on, forks are fine; safe moves down to where the branches part.
    let fork = grow(&chain, a[4], 42);
    assert_eq!(chain.set_forkchoice(fork, None, None).unwrap(), ForkchoiceStatus::Valid);
    assert_eq!(numbers(&chain), (Some(5), Some(5)));
    drop(chain);
    let chain = open(dir.path(), config()).unwrap();
    assert_eq!(chain.head().hash(), fork);
    assert_eq!(numbers(&chain), (Some(5), Some(5)));
}
