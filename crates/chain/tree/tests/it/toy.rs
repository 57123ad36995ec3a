//! A chain whose blocks change the state at will: what the executor would say is not asked.

use alloy_consensus::{Header, Sealable};
use alloy_primitives::{Address, B256, Bytes, Log, LogData, TxKind, U256, keccak256};
use op_alloy_consensus::{OpDepositReceipt, OpReceipt, OpTxEnvelope, TxDeposit};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::{path::Path, sync::Arc};
use tributary_evm::{ExecutedBlock, Executor};
use tributary_spec::{BlockBody, ChainSpec, DEV_GENESIS, Genesis, RecoveredBlock};
use tributary_state::{Account, HashedPostState, HashedStorage};
use tributary_tree::{Chain, ChainConfig, StoreOptions, TreeError};

/// The dev chain with a handful of accounts, so that it opens at once.
pub(crate) fn spec() -> Arc<ChainSpec> {
    spec_with(|_| ())
}

/// The same with another configuration.
pub(crate) fn spec_with(change: impl FnOnce(&mut Genesis)) -> Arc<ChainSpec> {
    let mut genesis: Genesis = serde_json::from_str(DEV_GENESIS).unwrap();
    genesis.alloc = genesis.alloc.into_iter().take(12).collect();
    change(&mut genesis);
    Arc::new(ChainSpec::from_genesis(genesis).unwrap())
}

pub(crate) fn config() -> ChainConfig {
    let store = StoreOptions {
        cache_bytes: 8 << 20,
        write_buffer_bytes: 8 << 20,
        max_open_files: 64,
        ..Default::default()
    };
    ChainConfig { store, ..Default::default() }
}

pub(crate) fn open(path: &Path, config: ChainConfig) -> Result<Chain, TreeError> {
    Chain::open(Executor::new(spec()), path, config)
}

fn transaction(seed: u64) -> OpTxEnvelope {
    let tx = TxDeposit {
        source_hash: B256::from(U256::from(seed)),
        from: Address::repeat_byte(seed as u8),
        to: TxKind::Call(Address::repeat_byte(0xcc)),
        gas_limit: 21_000,
        ..Default::default()
    };
    OpTxEnvelope::Deposit(tx.seal_slow())
}

pub(crate) fn log_address(seed: u64) -> Address {
    Address::left_padding_from(&seed.to_be_bytes())
}

fn receipt(seed: u64) -> OpReceipt {
    let log = Log { address: log_address(seed), data: LogData::new_unchecked(vec![], Bytes::new()) };
    let inner =
        alloy_consensus::Receipt { status: true.into(), cumulative_gas_used: 21_000, logs: vec![log] };
    OpReceipt::Deposit(OpDepositReceipt {
        inner,
        deposit_nonce: Some(seed),
        deposit_receipt_version: Some(1),
    })
}

/// Some changes that depend on the seed only: a few of some hundred accounts, of which some have storage.
pub(crate) fn changes(seed: u64) -> HashedPostState {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut changes = HashedPostState::default();
    for _ in 0..random.random_range(1..30) {
        let key = keccak256([random.random_range(0..200u8)]);
        if random.random_range(0..8) == 0 {
            changes.accounts.insert(key, None);
            changes.storages.insert(key, HashedStorage { wiped: true, ..Default::default() });
            continue;
        }
        let balance = U256::from(random.random::<u64>());
        changes.accounts.insert(key, Some(Account { nonce: seed, balance, ..Default::default() }));
        for _ in 0..random.random_range(0..6) {
            let slots = &mut changes.storages.entry(key).or_default().slots;
            slots.insert(keccak256([random.random_range(0..60u8)]), U256::from(random.random_range(0..3)));
        }
    }
    changes
}

/// A block on any known block. Its seed decides what it does.
pub(crate) fn block(chain: &Chain, parent: B256, seed: u64) -> ExecutedBlock {
    let changes = changes(seed);
    let parent = chain.header_by_hash(parent).unwrap().unwrap();
    let (state_root, trie) = chain.state_at(parent.hash()).unwrap().state_root(&changes).unwrap();
    let header = Header {
        number: parent.number + 1,
        parent_hash: parent.hash(),
        timestamp: parent.timestamp + 2,
        state_root,
        mix_hash: B256::from(U256::from(seed)),
        ..Default::default()
    };
    let tx = transaction(seed);
    let body = BlockBody { transactions: vec![tx], ommers: vec![], withdrawals: Some(Default::default()) };
    ExecutedBlock {
        block: RecoveredBlock::recover_sealed(header.seal_slow(), body).unwrap(),
        receipts: vec![receipt(seed)],
        bundle: Default::default(),
        hashed: changes,
        trie,
    }
}

/// Puts a block into the tree and says its hash.
pub(crate) fn grow(chain: &Chain, parent: B256, seed: u64) -> B256 {
    let block = Arc::new(block(chain, parent, seed));
    chain.insert(block.clone()).unwrap();
    block.block.hash()
}

/// Makes `count` blocks on a parent, each the head in turn.
pub(crate) fn extend(chain: &Chain, parent: B256, seeds: std::ops::Range<u64>) -> Vec<B256> {
    let mut at = parent;
    seeds
        .map(|seed| {
            at = grow(chain, at, seed);
            chain.set_forkchoice(at, None, None).unwrap();
            at
        })
        .collect()
}

pub(crate) fn root_at(chain: &Chain, hash: B256) -> B256 {
    chain.state_at(hash).unwrap().state_root(&HashedPostState::default()).unwrap().0
}
