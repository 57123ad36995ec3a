//! A chain in memory that executes with the executor under test.

use std::{collections::VecDeque, sync::Arc};

use alloy_consensus::transaction::Recovered;
use alloy_primitives::{B64, B256, Bytes};
use tributary_evm::{
    BuildAttributes, BuildError, Built, ExecutedBlock, Executor, ImportError, Rejection, TransactionSource,
};
use tributary_spec::{
    ChainSpec, DEV_GENESIS, FORKS, Genesis, OpHardfork, RecoveredBlock, SealedHeader, Tx,
    predeploys::{CREATE2_DEPLOYER, SEQUENCER_FEE_VAULT},
};
use tributary_state::{MemoryState, StateRef};

use crate::txs::l1_attributes;

/// Head and state.
pub(crate) struct TestChain {
    pub(crate) executor: Executor,
    pub(crate) head: SealedHeader,
    state: MemoryState,
}

impl TestChain {
    pub(crate) fn new(spec: Arc<ChainSpec>) -> Self {
        let mut state = MemoryState::from_alloc(&spec.genesis().alloc);
        state.set_block_hash(0, spec.genesis_hash());
        let head = spec.genesis_header().clone();
        Self { executor: Executor::new(spec), head, state }
    }

    pub(crate) fn dev() -> Self {
        Self::new(ChainSpec::dev())
    }

    /// The dev chain with another genesis file.
    pub(crate) fn dev_with(change: impl FnOnce(&mut Genesis)) -> Self {
        let mut genesis: Genesis = serde_json::from_str(DEV_GENESIS).unwrap();
        change(&mut genesis);
        Self::new(Arc::new(ChainSpec::from_genesis(genesis).unwrap()))
    }

    /// Fork `n` of the list begins `4 · n` seconds after genesis, so with every second block.
    pub(crate) fn through_all_forks() -> Self {
        Self::dev_with(|genesis| {
            let start = genesis.timestamp;
            let config = &mut genesis.config;
            for fork in FORKS.into_iter().skip(1) {
                let time = start + 4 * fork.idx() as u64;
                let key = format!("{}Time", fork.name().to_lowercase());
                config.extra_fields.insert(key, time.into());
            }
            config.shanghai_time = None;
            config.cancun_time = None;
            config.prague_time = None;
            config.osaka_time = None;
            genesis.extra_data = Bytes::new();
            genesis.alloc.remove(&CREATE2_DEPLOYER);
        })
    }

    /// One whose next block is the first of a fork, and that block.
    pub(crate) fn at_first_block_of(fork: OpHardfork) -> (Self, ExecutedBlock) {
        let mut chain = Self::through_all_forks();
        while chain.spec().forks().latest(chain.head.timestamp + 2) != fork {
            chain.extend([]);
        }
        let child = chain.build_all([]).executed;
        (chain, child)
    }

    pub(crate) fn spec(&self) -> &ChainSpec {
        self.executor.spec()
    }

    pub(crate) fn state(&self) -> StateRef {
        Arc::new(self.state.clone())
    }

    pub(crate) fn import(&self, block: RecoveredBlock) -> Result<ExecutedBlock, ImportError> {
        self.executor.import(&self.head, block, self.state())
    }

    pub(crate) fn build(
        &self,
        attributes: BuildAttributes,
        source: &mut dyn TransactionSource,
    ) -> Result<Built, BuildError> {
        self.executor.build(&self.head, attributes, self.state(), source)
    }

    /// Attributes of the next block, two seconds on, with whatever its fork asks for; opened by the L1-attributes deposit.
    pub(crate) fn attributes(&self) -> BuildAttributes {
        let timestamp = self.head.timestamp + 2;
        let active = |fork| self.spec().forks().active(fork, timestamp);
        BuildAttributes {
            timestamp,
            prev_randao: B256::with_last_byte(7),
            fee_recipient: SEQUENCER_FEE_VAULT,
            parent_beacon_block_root: active(OpHardfork::Ecotone).then_some(B256::with_last_byte(9)),
            gas_limit: 60_000_000,
            eip1559_params: active(OpHardfork::Holocene).then_some(B64::ZERO),
            min_base_fee: active(OpHardfork::Jovian).then_some(1_000_000),
            transactions: vec![l1_attributes(self.head.number + 1)],
            ..BuildAttributes::default()
        }
    }

    /// Builds a block from offered transactions; none may be rejected.
    pub(crate) fn build_all(&self, txs: impl IntoIterator<Item = Recovered<Tx>>) -> Built {
        let mut offer = Offer::new(txs);
        let built = self.build(self.attributes(), &mut offer).unwrap();
        assert_eq!(offer.rejected, []);
        built
    }

    /// Builds a block, imports it as a stranger's, and goes on from it.
    pub(crate) fn extend(&mut self, txs: impl IntoIterator<Item = Recovered<Tx>>) -> ExecutedBlock {
        let built = self.build_all(txs).executed;
        let imported = self.import(built.block.clone()).unwrap();
        assert_equal(&built, &imported);
        self.advance(&imported);
        imported
    }

    /// Makes an executed block the head.
    pub(crate) fn advance(&mut self, executed: &ExecutedBlock) {
        self.state.apply(&executed.hashed);
        self.state.set_block_hash(executed.block.number(), executed.block.hash());
        self.head = executed.block.header().clone();
    }
}

/// A block built and the same block imported did the same.
pub(crate) fn assert_equal(built: &ExecutedBlock, imported: &ExecutedBlock) {
    assert_eq!(built.block, imported.block);
    assert_eq!(built.receipts, imported.receipts);
    assert_eq!(built.hashed, imported.hashed);
    assert_eq!(built.trie, imported.trie);
}

/// Offers a fixed list and notes what was rejected.
#[derive(Debug, Default)]
pub(crate) struct Offer {
    pub(crate) txs: VecDeque<Recovered<Tx>>,
    pub(crate) rejected: Vec<(B256, Rejection)>,
}

impl Offer {
    pub(crate) fn new(txs: impl IntoIterator<Item = Recovered<Tx>>) -> Self {
        Self { txs: txs.into_iter().collect(), rejected: Vec::new() }
    }
}

impl TransactionSource for Offer {
    fn next(&mut self) -> Option<Recovered<Tx>> {
        self.txs.pop_front()
    }

    fn reject(&mut self, hash: B256, why: &Rejection) {
        self.rejected.push((hash, why.clone()));
    }
}
