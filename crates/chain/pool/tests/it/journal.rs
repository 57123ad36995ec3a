//! Local transactions over a restart.

use crate::chain::{TestChain, transfer};
use tributary_pool::{Origin, PoolConfig, PoolStatus};

#[test]
fn local_transactions_come_back_and_others_do_not() {
    let chain = TestChain::new(PoolConfig::default());
    let config = PoolConfig { journal: Some(chain.journal()), ..PoolConfig::default() };
    let pool = chain.reopen(config.clone());
    for nonce in 0..3 {
        pool.add_raw(&chain.sign(0, transfer(nonce, 1)), Origin::Local).unwrap();
    }
    pool.add_raw(&chain.sign(1, transfer(0, 1)), Origin::External).unwrap();
    drop(pool);

    let pool = chain.reopen(config.clone());
    assert_eq!(pool.status().pending, 3);

    // The chain takes one of them; the next pool does not want it back.
    chain.pool.add_raw(&chain.sign(0, transfer(0, 1)), Origin::Local).unwrap();
    chain.mine();
    drop(pool);
    assert_eq!(chain.reopen(config).status().pending, 2);
}

#[test]
fn a_journal_that_cannot_be_opened_does_not_stop_the_pool() {
    let chain = TestChain::new(PoolConfig::default());
    std::fs::create_dir(chain.journal()).unwrap();
    let pool = chain.reopen(PoolConfig { journal: Some(chain.journal()), ..PoolConfig::default() });
    pool.add_raw(&chain.sign(0, transfer(0, 1)), Origin::Local).unwrap();
}

#[test]
fn what_was_cleared_does_not_come_back() {
    let chain = TestChain::new(PoolConfig::default());
    let config = PoolConfig { journal: Some(chain.journal()), ..PoolConfig::default() };
    let pool = chain.reopen(config.clone());
    for nonce in [0, 1, 7] {
        pool.add_raw(&chain.sign(0, transfer(nonce, 1)), Origin::Local).unwrap();
    }
    pool.add_raw(&chain.sign(1, transfer(0, 1)), Origin::External).unwrap();
    assert_eq!(pool.clear(), 4);
    assert_eq!((pool.status(), pool.clear()), (PoolStatus::default(), 0));
    pool.add_raw(&chain.sign(0, transfer(0, 1)), Origin::Local).unwrap();
    drop(pool);
    assert_eq!(chain.reopen(config).status().pending, 1, "what came later does");
}
