//! A chain, a pool and a builder in a folder of their own.

use std::{path::Path, sync::Arc, time::Duration};

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::Encodable2718;
use alloy_primitives::{Address, B256, TxKind, U256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use tempfile::TempDir;
use tributary_builder::{BlockTime, DevConfig, DevSequencer, PayloadBuilder, PayloadConfig};
use tributary_evm::Executor;
use tributary_pool::{Origin, Pool, PoolConfig};
use tributary_spec::{ChainSpec, Tx};
use tributary_tree::{Chain, ChainConfig};

const KEYS: [&str; 3] = [
    "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
];

pub(crate) struct TestNode {
    pub(crate) chain: Chain,
    pub(crate) pool: Pool,
    pub(crate) builder: PayloadBuilder,
    folder: TempDir,
}

impl TestNode {
    pub(crate) fn new() -> Self {
        Self::open(tempfile::tempdir().unwrap())
    }

    fn open(folder: TempDir) -> Self {
        let executor = Executor::new(ChainSpec::dev());
        let chain = open_chain(&executor, folder.path());
        let pool = Pool::open(executor.clone(), chain.clone(), PoolConfig::default()).unwrap();
        let config = PayloadConfig { interval: Duration::from_millis(20), ..PayloadConfig::default() };
        let builder = PayloadBuilder::new(executor, chain.clone(), pool.clone(), config);
        Self { chain, pool, builder, folder }
    }

    /// Stops and starts again on the same folder.
    pub(crate) fn restart(self) -> Self {
        let Self { chain, pool, builder, folder } = self;
        chain.shutdown().unwrap();
        drop((builder, pool, chain));
        Self::open(folder)
    }

    pub(crate) fn sequencer(&self, block_time: BlockTime) -> DevSequencer {
        DevSequencer::new(self.builder.clone(), DevConfig { block_time, ..DevConfig::default() }).unwrap()
    }

    /// Puts a transfer of wallet `from` into the pool.
    pub(crate) fn send(&self, from: usize, nonce: u64) -> B256 {
        let tx = transfer(from, nonce);
        self.pool.add_raw(&tx.encoded_2718(), Origin::Local).unwrap()
    }
}

fn open_chain(executor: &Executor, path: &Path) -> Chain {
    Chain::open(executor.clone(), path, ChainConfig::default()).unwrap()
}

pub(crate) fn transfer(from: usize, nonce: u64) -> Tx {
    let wallet: PrivateKeySigner = KEYS[from].parse().unwrap();
    let tx = TxEip1559 {
        chain_id: ChainSpec::dev().chain_id(),
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 100_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
        to: TxKind::Call(Address::repeat_byte(0xee)),
        value: U256::from(1),
        ..TxEip1559::default()
    };
    let signature = wallet.sign_hash_sync(&tx.signature_hash()).unwrap();
    tx.into_signed(signature).into()
}

/// Asks again until it holds; half a minute is an error.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1_500 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{what}: it never came to that");
}

/// Whether two of the three are the same value.
pub(crate) fn same<T>(left: &Arc<T>, right: &Arc<T>) -> bool {
    Arc::ptr_eq(left, right)
}
