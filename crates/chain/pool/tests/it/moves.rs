//! Blocks, reorganisations, order.

use crate::chain::{CHEAP, TestChain, account, transfer};
use alloy_primitives::Address;
use proptest::prelude::*;
use tributary_pool::{BestTransactions, PoolConfig, PoolError};

fn order(mut best: BestTransactions) -> Vec<(Address, u64)> {
    std::iter::from_fn(|| best.next_pooled()).map(|tx| (tx.sender(), tx.nonce())).collect()
}

#[test]
fn the_dearest_come_first_and_nonces_in_order() {
    let chain = TestChain::new(PoolConfig::default());
    let [a, b, c] = [0, 1, 2].map(|index| account(index).address());
    chain.add(0, transfer(0, 5)).unwrap();
    chain.add(0, transfer(1, 900)).unwrap();
    chain.add(1, transfer(0, 100)).unwrap();
    chain.add(1, transfer(1, 1)).unwrap();
    chain.add(2, transfer(0, 5)).unwrap();
    chain.add(2, transfer(2, 10_000)).unwrap();
    assert_eq!(order(chain.best()), [(b, 0), (a, 0), (a, 1), (c, 0), (b, 1)]);
    assert!(order(chain.pool.best(chain.chain.head().hash(), u64::MAX)).is_empty());
}

#[test]
fn the_pool_is_at_the_head_whenever_it_is_asked() {
    let chain = TestChain::new(PoolConfig::default());
    chain.add(0, transfer(0, 1)).unwrap();
    chain.add(0, transfer(1, 1)).unwrap();
    let block = chain.mine();
    assert_eq!(chain.pool.status(), Default::default());
    assert_eq!(chain.pool.head().hash(), block.hash());
    assert!(matches!(
        chain.add(0, transfer(1, 1)).unwrap_err(),
        PoolError::NonceTooLow { next: 2, nonce: 1 }
    ));
}

#[test]
fn a_reorganisation_puts_transactions_back_with_their_descendants() {
    let chain = TestChain::new(PoolConfig::default());
    let genesis = chain.chain.head().hash();
    let mut news = chain.pool.subscribe_pending();
    for nonce in 0..3 {
        chain.add(0, transfer(nonce, 1)).unwrap();
        chain.mine();
    }
    chain.add(0, transfer(3, 1)).unwrap();
    assert_eq!(chain.pool.status().pending, 1);
    let side = chain.mine_on(genesis, 1, false, CHEAP);
    let side = chain.mine_on(side.hash(), 1, false, CHEAP);
    assert_eq!(chain.chain.head().hash(), side.hash());
    assert_eq!(chain.pool.status().pending, 4);
    assert_eq!(chain.pool.next_nonce(&account(0).address()), Some(4));
    let block = chain.mine();
    assert_eq!(block.transactions().len(), 5);
    let mut told = Vec::new();
    while let Ok(tx) = news.try_recv() {
        told.push(tx.nonce());
    }
    assert_eq!(told, [0, 1, 2, 3, 0, 1, 2]);
}

/// A sender has 16 slots; of what was mined and is no longer, nothing is lost for that.
#[test]
fn a_deep_reorganisation_puts_more_back_than_one_sender_may_send() {
    let chain = TestChain::new(PoolConfig::default());
    let genesis = chain.chain.head().hash();
    for nonce in 0..40 {
        chain.add(0, transfer(nonce, 1)).unwrap();
        if nonce % 10 == 9 {
            chain.mine();
        }
    }
    chain.mine_on(genesis, 1, false, CHEAP);
    chain.chain.set_forkchoice(chain.chain.header_by_number(1).unwrap().unwrap().hash(), None, None).unwrap();
    assert_eq!(chain.pool.status().pending, 40);
    assert!(matches!(chain.add(0, transfer(40, 1)).unwrap_err(), PoolError::AccountLimit { .. }));
    assert_eq!(chain.mine().transactions().len(), 41);
}

#[derive(Clone, Debug)]
enum Step {
    Add { from: u32, ahead: u64, tip: u128 },
    Mine,
    Empty,
    Reorg { back: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u32..4, 0u64..3, 0u128..50).prop_map(|(from, ahead, tip)| Step::Add { from, ahead, tip }),
        2 => Just(Step::Mine),
        1 => Just(Step::Empty),
        1 => (1u64..4).prop_map(|back| Step::Reorg { back }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Whatever happens, what is offered can be in the block (`mine` asserts it), and nothing that is paid for is lost.
    #[test]
    fn random_sends_blocks_and_reorganisations(steps in prop::collection::vec(step(), 1..40)) {
        let chain = TestChain::new(PoolConfig::default());
        let mut delay = 1;
        for step in steps {
            match step {
                Step::Add { from, ahead, tip } => {
                    let sender = account(from).address();
                    let state = chain.chain.state_at(chain.chain.head().hash()).unwrap();
                    let used = state.account(sender).unwrap().map_or(0, |account| account.nonce);
                    let next = chain.pool.next_nonce(&sender).unwrap_or(used);
                    let _ = chain.add(from, transfer(next + ahead, tip));
                }
                Step::Mine => {
                    let status = chain.pool.status();
                    let block = chain.mine();
                    prop_assert_eq!(block.transactions().len(), status.pending + 1);
                    prop_assert_eq!(chain.pool.status().queued, status.queued);
                }
                Step::Empty => drop(chain.mine_on(chain.chain.head().hash(), 2, false, CHEAP)),
                Step::Reorg { back } => {
                    let head = chain.chain.head();
                    let Some(base) = head.number.checked_sub(back) else { continue };
                    let known = |number| chain.chain.header_by_number(number).unwrap().unwrap().hash();
                    let was = chain.pool.status();
                    let mined: usize = (base + 1..=head.number)
                        .map(|n| chain.chain.block_by_hash(known(n)).unwrap().unwrap().transactions().len() - 1)
                        .sum();
                    delay += 1;
                    chain.mine_on(known(base), 100 + delay, false, CHEAP);
                    let is = chain.pool.status();
                    prop_assert!(is.pending + is.queued >= was.pending.min(1) && is.pending + is.queued <= was.pending + was.queued + mined);
                }
            }
            let offered = order(chain.best()).len();
            prop_assert_eq!(offered, chain.pool.status().pending);
        }
    }
}
