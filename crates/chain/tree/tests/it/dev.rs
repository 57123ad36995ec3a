//! Real blocks of the dev chain, made by the executor.

use alloy_consensus::transaction::Recovered;
use alloy_primitives::{Address, B64, B256, TxKind, U256, address, hex};
use op_alloy_consensus::TxDeposit;
use std::sync::Arc;
use tributary_evm::{BuildAttributes, ExecutedBlock, Executor, Rejection, TransactionSource};
use tributary_spec::{ChainSpec, Tx};
use tributary_tree::{Chain, ChainConfig, TreeError};

const DEPOSITOR: Address = address!("deaddeaddeaddeaddeaddeaddeaddeaddead0001");
const L1_BLOCK: Address = address!("4200000000000000000000000000000000000015");

struct Nothing;

impl TransactionSource for Nothing {
    fn next(&mut self) -> Option<Recovered<Tx>> {
        None
    }

    fn reject(&mut self, _: B256, _: &Rejection) {}
}

pub(crate) fn open(path: &std::path::Path) -> Chain {
    open_with(path, crate::toy::config()).unwrap()
}

pub(crate) fn open_with(path: &std::path::Path, config: ChainConfig) -> Result<Chain, TreeError> {
    Chain::open(Executor::new(ChainSpec::dev()), path, config)
}

/// Puts a block into the tree and says its hash.
pub(crate) fn grow(chain: &Chain, parent: B256, delay: u64) -> B256 {
    let block = block(chain, parent, delay);
    chain.insert(block.clone()).unwrap();
    block.block.hash()
}

/// A block on any known block; blocks of the same parent differ by their delay.
pub(crate) fn block(chain: &Chain, parent: B256, delay: u64) -> Arc<ExecutedBlock> {
    let parent = chain.header_by_hash(parent).unwrap().unwrap();
    let deposit = Tx::from(l1_attributes(parent.number + 1));
    let attributes = BuildAttributes {
        timestamp: parent.timestamp + delay,
        fee_recipient: address!("4200000000000000000000000000000000000011"),
        parent_beacon_block_root: Some(B256::ZERO),
        gas_limit: parent.gas_limit,
        eip1559_params: Some(B64::ZERO),
        min_base_fee: Some(0),
        transactions: vec![Recovered::new_unchecked(deposit, DEPOSITOR)],
        no_tx_pool: true,
        ..BuildAttributes::default()
    };
    let state = chain.state_at(parent.hash()).unwrap();
    Arc::new(chain.executor().build(&parent, attributes, state, &mut Nothing).unwrap().executed)
}

fn l1_attributes(number: u64) -> TxDeposit {
    let mut input = hex!("3db6be2b").to_vec();
    input.extend(1_368u32.to_be_bytes());
    input.extend(0u32.to_be_bytes());
    input.extend(0u64.to_be_bytes());
    input.extend(1_700_000_000u64.to_be_bytes());
    input.extend(number.to_be_bytes());
    input.extend(U256::from(1_000_000_000).to_be_bytes::<32>());
    input.extend(U256::from(1).to_be_bytes::<32>());
    input.extend(B256::repeat_byte(1));
    input.extend(B256::ZERO);
    input.extend(0u32.to_be_bytes());
    input.extend(0u64.to_be_bytes());
    input.extend(400u16.to_be_bytes());
    TxDeposit {
        source_hash: B256::from(U256::from(number)),
        from: DEPOSITOR,
        to: TxKind::Call(L1_BLOCK),
        gas_limit: 1_000_000,
        input: input.into(),
        ..TxDeposit::default()
    }
}
