//! Moving the head: events, lookups, reorgs of blocks in memory and of blocks that are written.

use crate::toy::{self, config, extend, grow, log_address, open, root_at};
use alloy_primitives::{Address, B256};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tributary_tree::{
    BlockNumHash, CanonEvent, ChainConfig, Durability, ForkchoiceStatus, LogQuery, PayloadStatus, TreeError,
    verify,
};

fn hashes(blocks: &[std::sync::Arc<tributary_tree::ExecutedBlock>]) -> Vec<B256> {
    blocks.iter().map(|block| block.block.hash()).collect()
}

#[test]
fn a_chain_opens_with_genesis_and_goes_on_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let chain = open(dir.path(), config()).unwrap();
    let genesis = chain.head();
    assert_eq!((genesis.number, genesis.hash()), (0, chain.spec().genesis_hash()));
    assert_eq!(root_at(&chain, genesis.hash()), genesis.state_root);
    let blocks = extend(&chain, genesis.hash(), 1..9);
    chain.shutdown().unwrap();
    assert!(matches!(
        chain.insert(std::sync::Arc::new(crate::toy::block(&chain, blocks[7], 9))),
        Err(TreeError::Stopped)
    ));
    drop(chain);

    let chain = open(dir.path(), config()).unwrap();
    assert_eq!(chain.head().hash(), blocks[7]);
    verify(chain.store(), |_, _, _| ()).unwrap();
    // A plain fork choice is valid at once.
    assert_eq!(chain.set_forkchoice(blocks[7], None, None).unwrap(), ForkchoiceStatus::Valid);
    extend(&chain, blocks[7], 9..12);
    drop(chain);
    // Also without a shutdown the last handle writes what is in memory.
    assert_eq!(open(dir.path(), config()).unwrap().head().number, 11);
}

#[test]
fn readers_find_everything_in_memory_and_in_the_store() {
    for cached in [0, 100] {
        let dir = tempfile::tempdir().unwrap();
        let chain = open(dir.path(), ChainConfig { cached, ..config() }).unwrap();
        let blocks = extend(&chain, chain.head().hash(), 1..9);
        for flushed in [false, true] {
            if flushed {
                chain.flush().unwrap();
                assert_eq!(chain.persisted().hash, blocks[7]);
            }
            for (number, hash) in (1..).zip(&blocks) {
                let block = chain.block_by_hash(*hash).unwrap().unwrap();
                assert_eq!(block.hash(), *hash);
                assert_eq!(chain.block_by_number(number).unwrap().unwrap(), block);
                assert_eq!(chain.header_by_number(number).unwrap().unwrap().hash(), *hash);
                assert_eq!(chain.canonical_hash(number).unwrap(), Some(*hash));
                assert_eq!(chain.receipts_by_hash(*hash).unwrap(), chain.receipts_by_number(number).unwrap());
                let tx = block.transactions()[0].tx_hash();
                assert_eq!(chain.transaction(tx).unwrap(), Some((*hash, 0)));
                assert_eq!(root_at(&chain, *hash), block.header().state_root);
                let query = LogQuery { addresses: vec![log_address(number)], ..Default::default() };
                let found = chain.blocks_with_logs(&query, 0, u64::MAX).unwrap();
                assert!(found.contains(&number), "log of {number} in {found:?}");
            }
        }
        assert_eq!(chain.block_by_number(9).unwrap(), None);
        assert_eq!(chain.block_by_hash(B256::repeat_byte(9)).unwrap(), None);
        assert_eq!(chain.transaction(B256::repeat_byte(9)).unwrap(), None);
        assert!(matches!(chain.state_at(B256::repeat_byte(9)), Err(TreeError::UnknownBlock(_))));
        let nothing = LogQuery { addresses: vec![Address::repeat_byte(0xee)], ..Default::default() };
        let expected: Vec<u64> = if cached == 0 { vec![] } else { (1..=8).collect() };
        assert_eq!(
            chain.blocks_with_logs(&nothing, 0, 100).unwrap(),
            expected,
            "memory is not indexed, the store is"
        );
    }
}

#[test]
fn commits_and_reorgs_are_announced_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let chain = open(dir.path(), config()).unwrap();
    let mut events = chain.subscribe();
    let genesis = chain.head().hash();
    let a: Vec<B256> = extend(&chain, genesis, 1..4);
    for hash in &a {
        match events.try_recv().unwrap() {
            CanonEvent::Commit { new } => assert_eq!(hashes(&new), [*hash]),
            event => panic!("{event:?}"),
        }
    }
    let b1 = grow(&chain, a[0], 11);
    let b2 = grow(&chain, b1, 12);
    assert_eq!(chain.head().hash(), a[2], "an inserted block does not move the head");
    chain.set_forkchoice(b2, None, None).unwrap();
    match events.try_recv().unwrap() {
        CanonEvent::Reorg { old, new } => {
            assert_eq!(hashes(&old), a[1..]);
            assert_eq!(hashes(&new), [b1, b2]);
        }
        event => panic!("{event:?}"),
    }
    // Back to an ancestor, then the same head again: no event for what changes nothing.
    chain.set_forkchoice(b1, None, None).unwrap();
    assert_eq!(hashes(events.try_recv().unwrap().removed()), [b2]);
    chain.set_forkchoice(b1, None, None).unwrap();
    assert!(events.try_recv().is_err());
}

#[test]
fn written_blocks_are_undone_and_come_back() {
    for cached in [0, 100] {
        let dir = tempfile::tempdir().unwrap();
        let chain = open(dir.path(), ChainConfig { cached, ..config() }).unwrap();
        let a = extend(&chain, chain.head().hash(), 1..21);
        chain.flush().unwrap();

        let mut at = a[3];
        let fork: Vec<B256> = (100..110)
            .map(|seed| {
                at = grow(&chain, at, seed);
                at
            })
            .collect();
        let mut events = chain.subscribe();
        chain.set_forkchoice(at, None, None).unwrap();
        let event = events.try_recv().unwrap();
        assert_eq!(hashes(event.removed()), a[4..]);
        assert_eq!(hashes(event.added()), fork);
        // While the store goes back and after: numbers, transactions and states are the new branch's.
        for _ in 0..2 {
            assert_eq!(chain.canonical_hash(5).unwrap(), Some(fork[0]));
            assert_eq!(chain.canonical_hash(4).unwrap(), Some(a[3]));
            assert_eq!(chain.canonical_hash(15).unwrap(), None);
            let gone = chain.block_by_hash(a[10]).unwrap().unwrap();
            assert_eq!(chain.transaction(gone.transactions()[0].tx_hash()).unwrap(), None);
            for hash in a.iter().chain(&fork) {
                let header = chain.header_by_hash(*hash).unwrap().unwrap();
                assert_eq!(root_at(&chain, *hash), header.state_root);
            }
            chain.flush().unwrap();
            assert_eq!(chain.persisted().hash, at);
            verify(chain.store(), |_, _, _| ()).unwrap();
        }
        // The branch that was undone can become canonical again without being sent again.
        chain.set_forkchoice(a[19], None, None).unwrap();
        chain.flush().unwrap();
        assert_eq!(chain.head().number, 20);
        verify(chain.store(), |_, _, _| ()).unwrap();
        drop(chain);
        assert_eq!(open(dir.path(), config()).unwrap().head().hash(), a[19]);
    }
}

#[test]
fn a_head_moves_back_and_a_block_is_built_there() {
    let dir = tempfile::tempdir().unwrap();
    let chain = open(dir.path(), config()).unwrap();
    let a = extend(&chain, chain.head().hash(), 1..7);
    chain.flush().unwrap();
    chain.set_forkchoice(a[1], None, None).unwrap();
    assert_eq!(chain.head().number, 2);
    assert_eq!(chain.block_by_number(3).unwrap(), None);
    let b = grow(&chain, a[1], 50);
    chain.set_forkchoice(b, None, None).unwrap();
    chain.flush().unwrap();
    assert_eq!(chain.persisted().hash, b);
    verify(chain.store(), |_, _, _| ()).unwrap();
}

#[test]
fn a_fork_from_beneath_the_kept_diffs_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let chain = open(dir.path(), ChainConfig { diff_window: 10, cached: 0, ..config() }).unwrap();
    let a = extend(&chain, chain.head().hash(), 1..300);
    chain.flush().unwrap();
    let result = chain.set_forkchoice(a[20], None, None);
    assert!(matches!(result, Err(TreeError::TooDeep { ancestor: 21, .. })), "{result:?}");
    // The state is there all the same.
    assert!(chain.state_at(a[20]).unwrap().account(Address::ZERO).is_ok());
    assert_eq!(chain.head().hash(), a[298]);
}

#[test]
fn a_head_that_is_seen_is_logged_or_written() {
    let dir = tempfile::tempdir().unwrap();
    let config = ChainConfig { durability: Durability::Acknowledged, lag: 5, sync: true, ..config() };
    let chain = open(dir.path(), config).unwrap();
    let mut at = chain.head().hash();
    let (watched, stop) = (chain.clone(), Arc::new(AtomicBool::new(false)));
    let stopped = stop.clone();
    let watcher = thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            let seen = watched.head();
            let snapshot = watched.store().snapshot();
            let logged = snapshot.ahead(BlockNumHash::new(seen.number, seen.hash())).unwrap().is_some();
            let written = snapshot.hash(seen.number).unwrap() == Some(seen.hash());
            // The way back is logged before anyone sees it.
            let goes_back = snapshot.choice().unwrap().is_some_and(|choice| choice.head.number < seen.number);
            let gone = goes_back || watched.head() != seen;
            assert!(logged || written || gone, "block {} is neither logged nor written", seen.number);
        }
    });
    for seed in 1..60 {
        // Now and then back a few blocks, written or not, and on from there.
        if seed % 7 == 0 {
            at = chain.canonical_hash(chain.head().number - seed % 5).unwrap().unwrap();
            chain.set_forkchoice(at, None, None).unwrap();
        }
        at = extend(&chain, at, seed..seed + 1)[0];
    }
    stop.store(true, Ordering::Relaxed);
    watcher.join().unwrap();
}

#[test]
fn the_writer_stays_behind_and_never_too_far() {
    let dir = tempfile::tempdir().unwrap();
    let chain = open(dir.path(), ChainConfig { lag: 2, max_unwritten: 3, cached: 2, ..config() }).unwrap();
    let mut at = chain.head().hash();
    for seed in 1..120 {
        at = extend(&chain, at, seed..seed + 1)[0];
        assert!(chain.head().number - chain.persisted().number <= 3);
    }
    assert!(chain.head().number - chain.persisted().number >= 2);
    chain.flush().unwrap();
    assert_eq!(chain.persisted().hash, at);
}

/// Diffs that were dropped while nothing was finalized do not come back with a finalized block beneath them.
#[test]
fn a_finalized_block_beneath_the_kept_diffs_allows_no_way_back_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let durable =
        ChainConfig { durability: Durability::Acknowledged, diff_window: 10, cached: 0, ..config() };
    let chain = open(dir.path(), durable.clone()).unwrap();
    let a = extend(&chain, chain.head().hash(), 1..300);
    chain.set_forkchoice(a[298], Some(a[0]), Some(a[0])).unwrap();
    chain.flush().unwrap();
    for head in [4, 20] {
        let result = chain.set_forkchoice(a[head], None, None);
        assert!(matches!(result, Err(TreeError::TooDeep { .. })), "{result:?}");
    }
    assert_eq!(chain.head().hash(), a[298]);
    chain.flush().unwrap();
    drop(chain);
    let chain = open(dir.path(), durable).unwrap();
    assert_eq!((chain.head().hash(), chain.finalized().unwrap().hash()), (a[298], a[0]));
    // As far as diffs go, to the block.
    let lowest = chain.store().snapshot().oldest_diff().unwrap() as usize - 1;
    chain.set_forkchoice(a[lowest - 1], None, None).unwrap();
    chain.flush().unwrap();
    assert_eq!(chain.persisted().number, lowest as u64);
    verify(chain.store(), |_, _, _| ()).unwrap();
}

/// Of a long branch that was left, what stays in memory still stands on the chain, and grows again.
#[test]
fn what_is_left_of_a_branch_can_be_built_on() {
    let dir = tempfile::tempdir().unwrap();
    let chain = open(dir.path(), ChainConfig { max_side: 4, cached: 0, ..config() }).unwrap();
    let a = extend(&chain, chain.head().hash(), 1..21);
    chain.flush().unwrap();
    let left: Vec<_> = a.iter().map(|hash| chain.block_by_hash(*hash).unwrap().unwrap()).collect();
    let b = grow(&chain, a[2], 99);
    chain.set_forkchoice(b, None, None).unwrap();
    chain.flush().unwrap();
    let kept = a.iter().filter(|hash| chain.header_by_hash(**hash).unwrap().is_some()).count();
    assert_eq!(kept, 3 + 4, "the canonical ones and the four next to them");
    for block in &left[3..7] {
        assert_eq!(chain.import(block.as_ref().clone()).unwrap(), PayloadStatus::Valid);
    }
    // Chosen, they make room for the rest.
    chain.set_forkchoice(a[6], None, None).unwrap();
    assert_eq!(chain.canonical_hash(7).unwrap(), Some(a[6]));
    let next = grow(&chain, a[6], 50);
    let after = grow(&chain, next, 51);
    chain.set_forkchoice(after, None, None).unwrap();
    chain.flush().unwrap();
    verify(chain.store(), |_, _, _| ()).unwrap();
}

#[test]
fn side_blocks_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let chain = open(dir.path(), ChainConfig { max_side: 4, ..config() }).unwrap();
    let a = extend(&chain, chain.head().hash(), 1..6);
    let side: Vec<B256> = (50..60).map(|seed| grow(&chain, a[2], seed)).collect();
    let kept = side.iter().filter(|hash| chain.header_by_hash(**hash).unwrap().is_some()).count();
    assert_eq!(kept, 4);
    assert_eq!(chain.head().hash(), a[4]);
}

#[test]
fn another_chains_folder_and_a_second_process_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _held = open(dir.path(), config()).unwrap();
    let error = open(dir.path(), config()).unwrap_err();
    assert!(error.to_string().contains("in use"), "{error}");
    drop(_held);
    let other = tributary_evm::Executor::new(tributary_spec::ChainSpec::dev());
    let error = tributary_tree::Chain::open(other, dir.path(), config()).unwrap_err();
    assert!(error.to_string().contains("belongs to chain"), "{error}");
}

/// The writer goes back from a block at the very instant at which it becomes the head again.
#[test]
fn a_block_that_comes_back_while_it_is_undone_is_not_lost() {
    let dir = tempfile::tempdir().unwrap();
    let chain = open(dir.path(), ChainConfig { cached: 0, ..config() }).unwrap();
    let ancestor = extend(&chain, chain.head().hash(), 1..3)[1];
    let line = extend(&chain, ancestor, 3..6);
    let (watched, stop) = (chain.clone(), Arc::new(AtomicBool::new(false)));
    let stopped = stop.clone();
    let other = Arc::new(toy::block(&chain, ancestor, 100));
    // Every block that is put in makes room, known or not.
    let others = thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            watched.insert(other.clone()).unwrap();
        }
    });
    for round in 0..2_000u64 {
        for head in [ancestor, line[0]] {
            let chosen = chain.set_forkchoice(head, None, None);
            assert_eq!(chosen.unwrap(), ForkchoiceStatus::Valid, "round {round}");
            let pause = Instant::now();
            while pause.elapsed() < Duration::from_micros(round % 150) {}
        }
    }
    stop.store(true, Ordering::Relaxed);
    others.join().unwrap();
    chain.flush().unwrap();
    assert!(line.iter().all(|hash| chain.block_by_hash(*hash).unwrap().is_some()));
}
