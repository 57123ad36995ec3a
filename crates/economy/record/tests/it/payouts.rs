use crate::world::account;
use alloy_primitives::{Address, U256};
use proptest::prelude::*;
use tributary_record::merkle::{payout_leaf, verify};
use tributary_record::*;

fn credit(seed: u64, amount: u128) -> Credit {
    Credit { account: Address::left_padding_from(&seed.to_be_bytes()), amount }
}

#[test]
fn an_account_keeps_the_place_of_its_first_credit() {
    let mut tree = PayoutTree::default();
    tree.credit(&[credit(9, 5), credit(4, 6)], &[]).unwrap();
    let payees = tree.credit(&[credit(7, 1), credit(4, 2)], &[]).unwrap();
    assert_eq!(payees.iter().map(|payee| payee.index).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(tree.account(credit(4, 0).account), Some((1, 8)));
    let leaf = payout_leaf(1, credit(4, 0).account, U256::from(8));
    assert!(verify(32, tree.root(), 1, leaf, &tree.proof(1).unwrap()));
}

#[test]
fn a_tree_survives_its_json() {
    let mut tree = PayoutTree::default();
    tree.credit(&[credit(9, u128::MAX), credit(4, 6)], &[]).unwrap();
    let json = serde_json::to_string(&tree).unwrap();
    let back: PayoutTree = serde_json::from_str(&json).unwrap();
    assert_eq!(back.root(), tree.root());
    assert_eq!(back, tree);
    let twice = format!(r#"[["{0}","1"],["{0}","2"]]"#, account(1));
    assert!(serde_json::from_str::<PayoutTree>(&twice).is_err());
}

#[test]
fn a_witness_must_open_what_the_record_names() {
    let mut tree = PayoutTree::default();
    tree.credit(&[credit(1, 1), credit(2, 2), credit(3, 3)], &[]).unwrap();
    let credits = [credit(2, 5)];
    let mut without = tree.witness(&[]).unwrap();
    assert_eq!(without.credit(&credits, &[1]), Err(LedgerError::Missing(1)));
    let mut forged = tree.witness(&[credits[0].account]).unwrap();
    forged.leaves.insert(1, (credits[0].account, 999));
    assert_eq!(forged.credit(&credits, &[1]), Err(LedgerError::Witness));
    let mut honest = tree.witness(&[credits[0].account]).unwrap();
    honest.credit(&credits, &[1]).unwrap();
    tree.credit(&credits, &[]).unwrap();
    assert_eq!(honest.root(), tree.root());
}

proptest! {
    #[test]
    fn a_witness_takes_the_same_step_and_a_rollback_undoes_it(
        before in proptest::collection::vec((0u64..60, 1u128..1_000), 0..60),
        step in proptest::collection::btree_map(0u64..80, 1u128..1_000, 0..34),
    ) {
        let mut tree = PayoutTree::default();
        for (seed, amount) in before {
            tree.credit(&[credit(seed, amount)], &[]).unwrap();
        }
        let old = tree.clone();
        let credits: Vec<Credit> = step.into_iter().map(|(seed, amount)| credit(seed, amount)).collect();
        let accounts: Vec<Address> = credits.iter().map(|credit| credit.account).collect();
        let mut witness = tree.witness(&accounts).unwrap();
        let mark = tree.mark();
        let payees = tree.credit(&credits, &[]).unwrap();
        let claimed: Vec<u32> = payees.iter().map(|payee| payee.index).collect();
        prop_assert_eq!(witness.credit(&credits, &claimed).unwrap(), payees);
        prop_assert_eq!(witness.root(), tree.root());
        prop_assert_eq!(witness.n_accounts(), tree.n_accounts());
        tree.rollback(mark).unwrap();
        prop_assert_eq!(&tree, &old);
        prop_assert_eq!(tree.root(), old.root());
    }
}
