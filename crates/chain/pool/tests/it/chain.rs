//! A dev chain in a folder, blocks on demand, transactions of dev accounts.

use alloy_consensus::{SignableTransaction, TxEip1559, transaction::Recovered};
use alloy_eips::Encodable2718;
use alloy_primitives::{Address, B64, B256, Bytes, TxKind, U256, address, hex};
use alloy_signer::SignerSync;
use alloy_signer_local::{MnemonicBuilder, PrivateKeySigner, coins_bip39::English};
use op_alloy_consensus::TxDeposit;
use std::{path::PathBuf, sync::Arc};
use tempfile::TempDir;
use tributary_evm::{BuildAttributes, Executor, Rejection, TransactionSource};
use tributary_pool::{BestTransactions, Origin, Pool, PoolConfig, PoolError};
use tributary_spec::{ChainSpec, RecoveredBlock, Tx};
use tributary_tree::{Chain, ChainConfig, ExecutedBlock, ForkchoiceStatus};

const DEPOSITOR: Address = address!("deaddeaddeaddeaddeaddeaddeaddeaddead0001");
const L1_BLOCK: Address = address!("4200000000000000000000000000000000000015");

/// What L1 costs.
#[derive(Clone, Copy)]
pub(crate) struct L1 {
    pub(crate) base_fee: u64,
    pub(crate) operator_constant: u64,
}

pub(crate) const CHEAP: L1 = L1 { base_fee: 1_000_000_000, operator_constant: 0 };

pub(crate) struct TestChain {
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) executor: Executor,
    pub(crate) chain: Chain,
    pub(crate) pool: Pool,
    dir: TempDir,
}

impl TestChain {
    pub(crate) fn new(config: PoolConfig) -> Self {
        let dir = TempDir::new().unwrap();
        let spec = ChainSpec::dev();
        let executor = Executor::new(spec.clone());
        let chain = open_chain(&executor, &dir);
        let pool = Pool::open(executor.clone(), chain.clone(), config).unwrap();
        Self { spec, executor, chain, pool, dir }
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.dir.path().join("journal.rlp")
    }

    pub(crate) fn reopen(&self, config: PoolConfig) -> Pool {
        Pool::open(self.executor.clone(), self.chain.clone(), config).unwrap()
    }

    pub(crate) fn add(&self, from: u32, tx: TxEip1559) -> Result<B256, PoolError> {
        self.pool.add_raw(&self.sign(from, tx), Origin::Local)
    }

    pub(crate) fn sign(&self, from: u32, mut tx: TxEip1559) -> Bytes {
        tx.chain_id = self.spec.chain_id();
        let signature = account(from).sign_hash_sync(&tx.signature_hash()).unwrap();
        Tx::Eip1559(tx.into_signed(signature)).encoded_2718().into()
    }

    /// What the next block on the head would take.
    pub(crate) fn best(&self) -> BestTransactions {
        self.pool.best(self.chain.head().hash(), self.pool.base_fee())
    }

    /// A block of the pool's transactions on the head.
    pub(crate) fn mine(&self) -> RecoveredBlock {
        self.mine_with(CHEAP)
    }

    pub(crate) fn mine_with(&self, l1: L1) -> RecoveredBlock {
        self.mine_on(self.chain.head().hash(), 2, true, l1)
    }

    /// A block on any parent. The builder must have nothing to complain of.
    pub(crate) fn mine_on(&self, parent: B256, delay: u64, from_pool: bool, l1: L1) -> RecoveredBlock {
        let parent = self.chain.header_by_hash(parent).unwrap().unwrap();
        let deposit = Tx::from(l1_info_deposit(parent.number + 1, l1));
        let attributes = BuildAttributes {
            timestamp: parent.timestamp + delay,
            fee_recipient: address!("4200000000000000000000000000000000000011"),
            parent_beacon_block_root: Some(B256::ZERO),
            gas_limit: parent.gas_limit,
            eip1559_params: Some(B64::ZERO),
            min_base_fee: Some(0),
            transactions: vec![Recovered::new_unchecked(deposit, DEPOSITOR)],
            no_tx_pool: !from_pool,
            ..BuildAttributes::default()
        };
        let state = self.chain.state_at(parent.hash()).unwrap();
        let base_fee = self.spec.next_base_fee(&parent, attributes.timestamp).unwrap();
        let mut source = Watched { inner: self.pool.best(parent.hash(), base_fee), rejected: Vec::new() };
        let built = self.executor.build(&parent, attributes, state, &mut source).unwrap();
        assert!(
            source.rejected.is_empty(),
            "the pool offered what cannot be in the block: {:?}",
            source.rejected
        );
        let block = built.executed.block.clone();
        insert(&self.chain, built.executed);
        block
    }
}

/// Notes every rejection that is not for want of room.
struct Watched<S> {
    inner: S,
    rejected: Vec<String>,
}

impl<S: TransactionSource> TransactionSource for Watched<S> {
    fn next(&mut self) -> Option<Recovered<Tx>> {
        self.inner.next()
    }

    fn reject(&mut self, hash: B256, why: &Rejection) {
        if !why.is_temporary() {
            self.rejected.push(format!("{hash}: {why}"));
        }
        self.inner.reject(hash, why);
    }
}

pub(crate) fn account(index: u32) -> PrivateKeySigner {
    MnemonicBuilder::<English>::default()
        .phrase("test test test test test test test test test test test junk")
        .index(index)
        .unwrap()
        .build()
        .unwrap()
}

pub(crate) fn transfer(nonce: u64, tip: u128) -> TxEip1559 {
    TxEip1559 {
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 20_000_000_000,
        max_priority_fee_per_gas: tip,
        to: TxKind::Call(Address::repeat_byte(1)),
        value: U256::from(1),
        ..TxEip1559::default()
    }
}

/// Jovian's form of what L1 tells.
fn l1_info_deposit(l2_number: u64, l1: L1) -> TxDeposit {
    let mut input = hex!("3db6be2b").to_vec();
    input.extend(1_368u32.to_be_bytes());
    input.extend(0u32.to_be_bytes());
    input.extend(0u64.to_be_bytes());
    input.extend(1_700_000_000u64.to_be_bytes());
    input.extend(l2_number.to_be_bytes());
    input.extend(U256::from(l1.base_fee).to_be_bytes::<32>());
    input.extend(U256::from(1).to_be_bytes::<32>());
    input.extend(B256::repeat_byte(1));
    input.extend(B256::ZERO);
    input.extend(0u32.to_be_bytes());
    input.extend(l1.operator_constant.to_be_bytes());
    input.extend(400u16.to_be_bytes());
    TxDeposit {
        source_hash: B256::from(U256::from(l2_number)),
        from: DEPOSITOR,
        to: TxKind::Call(L1_BLOCK),
        gas_limit: 1_000_000,
        input: input.into(),
        ..TxDeposit::default()
    }
}

fn open_chain(executor: &Executor, dir: &TempDir) -> Chain {
    Chain::open(executor.clone(), &dir.path().join("db"), ChainConfig::default()).unwrap()
}

/// Makes a block that was built here the head.
fn insert(chain: &Chain, executed: ExecutedBlock) {
    let hash = executed.block.hash();
    chain.insert(Arc::new(executed)).unwrap();
    let status = chain.set_forkchoice(hash, None, None).unwrap();
    assert_eq!(status, ForkchoiceStatus::Valid);
}
