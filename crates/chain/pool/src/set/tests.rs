//! Properties of the set under random operations, and its rules one by one.

use super::*;
use crate::Origin;
use alloy_consensus::{SignableTransaction, TxEip1559, TxEip7702, transaction::Recovered};
use alloy_eips::eip7702::Authorization;
use alloy_primitives::{Signature, TxKind};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use proptest::prelude::*;
use tributary_spec::Tx;

const COST: u64 = 1_000;

fn limits() -> PoolConfig {
    PoolConfig { pending_max_count: 12, queued_max_count: 6, max_account_slots: 5, ..PoolConfig::default() }
}

fn address(index: u8) -> Address {
    Address::with_last_byte(index + 1)
}

fn transaction(sender: u8, nonce: u64, fee: u128, tip: u128, origin: Origin) -> Arc<PooledTransaction> {
    let tx = TxEip1559 {
        chain_id: 1,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: fee,
        max_priority_fee_per_gas: tip,
        to: TxKind::Call(address(sender)),
        ..TxEip1559::default()
    };
    let signed = Tx::Eip1559(tx.into_signed(Signature::test_signature()));
    Arc::new(PooledTransaction::new(Recovered::new_unchecked(signed, address(sender)), origin).unwrap())
}

fn plain(sender: u8, nonce: u64, fee: u128) -> Arc<PooledTransaction> {
    transaction(sender, nonce, fee, fee.min(1), Origin::External)
}

fn rich(nonce: u64) -> Account {
    Account { nonce, balance: U256::from(1_000_000), delegated: false }
}

fn market(base_fee: u64) -> Market {
    Market { base_fee, max_gas: 30_000_000 }
}

fn pool() -> Set {
    let mut set = Set::new(limits());
    set.follow(market(10), &AddressMap::default(), None);
    set
}

fn put(set: &mut Set, tx: &Arc<PooledTransaction>, account: Account) -> Result<Effects, PoolError> {
    set.insert(tx.clone(), account, U256::from(COST))
}

/// Everything that is derived equals what it is derived from, and every limit holds.
fn check(set: &Set) {
    let (mut pending, mut queued) = (Totals::default(), Totals::default());
    let mut hashes = 0;
    let mut tails = BTreeSet::new();
    let mut authorities = AddressMap::<usize>::default();
    for (address, sender) in &set.senders {
        assert!(!sender.txs.is_empty(), "an empty sender stays");
        assert!(sender.txs.len() <= set.limits.max_account_slots);
        assert_eq!(sender.ready, sender.count_ready(&set.market));
        assert!(sender.txs.keys().all(|nonce| *nonce >= sender.account.nonce), "a used nonce stays");
        let spent: U256 = sender.pending().map(|entry| entry.cost).sum();
        assert!(spent <= sender.account.balance, "pending transactions are not paid for");
        for (nonce, entry) in &sender.txs {
            assert_eq!(set.by_hash[&entry.tx.hash()], Slot { sender: *address, nonce: *nonce });
            assert_eq!(entry.tx.nonce(), *nonce);
            hashes += 1;
            entry
                .tx
                .authorities()
                .iter()
                .for_each(|authority| *authorities.entry(*authority).or_default() += 1);
        }
        assert!(sender.pending().all(|entry| entry.announced));
        pending.add(sender.pending());
        queued.add(sender.queued());
        assert_eq!(sender.rank, sender.tail_rank(*address, &set.market));
        tails.extend(sender.rank);
    }
    assert_eq!(set.by_hash.len(), hashes);
    assert_eq!((set.pending, set.queued), (pending, queued));
    assert_eq!(set.tails, tails);
    assert_eq!(set.authorities, authorities);
    assert!(!pending.exceeds(set.limits.pending_max_count, set.limits.pending_max_size));
    assert!(!queued.exceeds(set.limits.queued_max_count, set.limits.queued_max_size));
}

#[derive(Clone, Debug)]
enum Step {
    Add { sender: u8, ahead: u64, fee: u128, tip: u128, local: bool },
    Remove { pick: usize },
    Head { base_fee: u64, accounts: Vec<(u8, u64, u64, bool)>, cost: Option<u64> },
}

fn step() -> impl Strategy<Value = Step> {
    let account = (0u8..8, 0u64..3, 0u64..8_000, any::<bool>());
    prop_oneof![
        6 => (0u8..8, 0u64..5, 5u128..60, 0u128..6, any::<bool>())
            .prop_map(|(sender, ahead, fee, tip, local)| Step::Add { sender, ahead, fee, tip, local }),
        1 => any::<usize>().prop_map(|pick| Step::Remove { pick }),
        2 => (5u64..40, prop::collection::vec(account, 0..4), prop::option::of(500u64..3_000))
            .prop_map(|(base_fee, accounts, cost)| Step::Head { base_fee, accounts, cost }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_adds_removes_and_heads_keep_the_invariants(steps in prop::collection::vec(step(), 1..120)) {
        let mut set = pool();
        let mut accounts = [rich(0); 8];
        let mut announced: Vec<Arc<PooledTransaction>> = Vec::new();
        for step in steps {
            let effects = match step {
                Step::Add { sender, ahead, fee, tip, local } => {
                    let account = accounts[sender as usize];
                    let origin = if local { Origin::Local } else { Origin::External };
                    let tx = transaction(sender, account.nonce + ahead, fee, tip, origin);
                    let before = set.by_hash.len();
                    if U256::from(COST) > account.balance { continue }
                    match set.insert(tx.clone(), account, U256::from(COST)) {
                        Ok(effects) => effects,
                        Err(_) => { prop_assert_eq!(before, set.by_hash.len()); continue }
                    }
                }
                Step::Remove { pick } => {
                    let Some(hash) = set.all().nth(pick % (set.by_hash.len() + 1)).map(|tx| tx.hash()) else { continue };
                    let effects = set.remove(&hash);
                    prop_assert!(!set.contains(&hash));
                    effects
                }
                Step::Head { base_fee, accounts: changes, cost } => {
                    let mut changed = AddressMap::default();
                    for (sender, used, balance, delegated) in changes {
                        let account = &mut accounts[sender as usize];
                        *account = Account { nonce: account.nonce + used, balance: U256::from(balance), delegated };
                        changed.insert(address(sender), *account);
                    }
                    let price = |_: &PooledTransaction| U256::from(cost.unwrap_or_default());
                    set.follow(market(base_fee), &changed, cost.is_some().then_some(&price as &dyn Fn(&_) -> _))
                }
            };
            for tx in effects.promoted {
                prop_assert!(!announced.iter().any(|known| Arc::ptr_eq(known, &tx)), "announced twice");
                announced.push(tx);
            }
            check(&set);
        }
    }
}

#[test]
fn a_gap_queues_and_filling_it_promotes() {
    let mut set = pool();
    assert!(put(&mut set, &plain(0, 1, 20), rich(0)).unwrap().promoted.is_empty());
    assert_eq!(set.totals().0.count, 0);
    let promoted = put(&mut set, &plain(0, 0, 20), rich(0)).unwrap().promoted;
    assert_eq!(promoted.iter().map(|tx| tx.nonce()).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(set.sender(&address(0)).unwrap().next_nonce(), 2);
}

#[test]
fn a_replacement_has_to_raise_both_fees() {
    let mut set = pool();
    let first = transaction(0, 0, 100, 10, Origin::External);
    put(&mut set, &first, rich(0)).unwrap();
    for (fee, tip) in [(109, 11), (110, 10), (100, 20)] {
        let error = put(&mut set, &transaction(0, 0, fee, tip, Origin::External), rich(0)).unwrap_err();
        assert!(matches!(error, PoolError::ReplacementUnderpriced), "{fee} {tip}: {error}");
    }
    assert!(matches!(put(&mut set, &first, rich(0)).unwrap_err(), PoolError::AlreadyKnown(_)));
    let effects = put(&mut set, &transaction(0, 0, 110, 11, Origin::External), rich(0)).unwrap();
    assert_eq!(effects.removed[0].hash(), first.hash());
    check(&set);
}

#[test]
fn one_sender_has_so_many_slots() {
    let mut set = pool();
    for nonce in 0..5 {
        put(&mut set, &plain(0, nonce, 20), rich(0)).unwrap();
    }
    let error = put(&mut set, &plain(0, 5, 20), rich(0)).unwrap_err();
    assert!(matches!(error, PoolError::AccountLimit { limit: 5, .. }));
    put(&mut set, &plain(0, 4, 30), rich(0)).expect_err("the tip is not raised");
}

#[test]
fn a_full_pool_throws_the_worst_out() {
    let mut set = pool();
    for sender in 0..3 {
        for nonce in 0..4 {
            put(&mut set, &transaction(sender, nonce, 50, u128::from(sender) + 2, Origin::External), rich(0))
                .unwrap();
        }
    }
    let cheap = transaction(3, 0, 50, 1, Origin::External);
    let effects = put(&mut set, &cheap, rich(0)).unwrap();
    assert_eq!(effects.removed[0].hash(), cheap.hash(), "the new one is the worst");
    let dear = transaction(3, 0, 50, 9, Origin::External);
    let effects = put(&mut set, &dear, rich(0)).unwrap();
    assert_eq!((effects.removed[0].sender(), effects.removed[0].nonce()), (address(0), 3));
    check(&set);
}

/// A removal demotes what came after it, and then more may wait than is allowed.
#[test]
fn a_removal_does_not_leave_more_waiting_than_may_wait() {
    let mut set = pool();
    for sender in 0..2 {
        for nonce in 0..5 {
            put(&mut set, &plain(sender, nonce, 20), rich(0)).unwrap();
        }
    }
    for sender in 0..2 {
        let first = set.sender(&address(sender)).unwrap().txs[&0].tx.hash();
        set.remove(&first);
        check(&set);
    }
    assert_eq!(set.totals().1.count, 6);
}

#[test]
fn local_transactions_outlast_external_ones() {
    let mut set = pool();
    let local = transaction(0, 0, 50, 0, Origin::Local);
    put(&mut set, &local, rich(0)).unwrap();
    for sender in 1..5 {
        for nonce in 0..4 {
            put(&mut set, &transaction(sender, nonce, 50, 5, Origin::External), rich(0)).unwrap();
        }
    }
    assert!(set.contains(&local.hash()));
    check(&set);
}

#[test]
fn a_higher_l1_price_evicts_what_cannot_pay_with_its_descendants() {
    let mut set = pool();
    let account = Account { nonce: 0, balance: U256::from(COST * 3), delegated: false };
    for nonce in 0..3 {
        put(&mut set, &plain(0, nonce, 20), account).unwrap();
    }
    let effects = set.follow(
        market(10),
        &AddressMap::default(),
        Some(&|tx: &PooledTransaction| U256::from(if tx.nonce() == 1 { COST * 4 } else { COST })),
    );
    assert_eq!(effects.removed.iter().map(|tx| tx.nonce()).collect::<Vec<_>>(), [1, 2]);
    check(&set);
}

#[test]
fn transactions_are_demoted_when_they_cannot_all_be_paid() {
    let mut set = pool();
    for nonce in 0..3 {
        put(&mut set, &plain(0, nonce, 20), rich(0)).unwrap();
    }
    let poorer = Account { nonce: 0, balance: U256::from(COST * 2), delegated: false };
    set.follow(market(10), &AddressMap::from_iter([(address(0), poorer)]), None);
    assert_eq!(set.totals().0.count, 2);
    assert_eq!(set.totals().1.count, 1);
}

#[test]
fn a_dear_block_parks_cheap_transactions_and_a_cheap_one_brings_them_back_silently() {
    let mut set = pool();
    put(&mut set, &plain(0, 0, 20), rich(0)).unwrap();
    set.follow(market(30), &AddressMap::default(), None);
    assert_eq!(set.totals().0.count, 0);
    let effects = set.follow(market(20), &AddressMap::default(), None);
    assert_eq!(set.totals().0.count, 1);
    assert!(effects.promoted.is_empty(), "it was announced before");
}

#[test]
fn a_delegated_sender_has_one_transaction_in_flight() {
    let mut set = pool();
    let account = Account { delegated: true, ..rich(3) };
    assert!(matches!(put(&mut set, &plain(0, 4, 20), account).unwrap_err(), PoolError::DelegatedGap));
    put(&mut set, &plain(0, 3, 20), account).unwrap();
    assert!(matches!(put(&mut set, &plain(0, 4, 20), account).unwrap_err(), PoolError::InflightLimit));
    put(&mut set, &transaction(0, 3, 40, 10, Origin::External), account)
        .expect("a replacement is the same slot");
}

#[test]
fn an_account_with_waiting_transactions_cannot_be_delegated_over_them() {
    let key = PrivateKeySigner::from_bytes(&B256::repeat_byte(7)).unwrap();
    let authorization = Authorization { chain_id: U256::from(1), address: address(9), nonce: 0 };
    let signature = key.sign_hash_sync(&authorization.signature_hash()).unwrap();
    let set_code = |sender: u8| {
        let tx = TxEip7702 {
            chain_id: 1,
            gas_limit: 100_000,
            max_fee_per_gas: 20,
            max_priority_fee_per_gas: 1,
            authorization_list: vec![authorization.clone().into_signed(signature)],
            ..TxEip7702::default()
        };
        let signed = Tx::Eip7702(tx.into_signed(Signature::test_signature()));
        Arc::new(
            PooledTransaction::new(Recovered::new_unchecked(signed, address(sender)), Origin::External)
                .unwrap(),
        )
    };
    let own = |nonce: u64| {
        let tx = TxEip1559 { nonce, gas_limit: 21_000, max_fee_per_gas: 20, ..TxEip1559::default() };
        let signed = Tx::Eip1559(tx.into_signed(Signature::test_signature()));
        Arc::new(
            PooledTransaction::new(Recovered::new_unchecked(signed, key.address()), Origin::External)
                .unwrap(),
        )
    };
    let mut set = pool();
    put(&mut set, &own(0), rich(0)).unwrap();
    put(&mut set, &own(1), rich(0)).unwrap();
    let error = put(&mut set, &set_code(0), rich(0)).unwrap_err();
    assert!(matches!(error, PoolError::AuthorityReserved(who) if who == key.address()));

    let mut set = pool();
    put(&mut set, &set_code(0), rich(0)).unwrap();
    put(&mut set, &own(0), rich(0)).unwrap();
    assert!(matches!(put(&mut set, &own(1), rich(0)).unwrap_err(), PoolError::InflightLimit));
    check(&set);
}
