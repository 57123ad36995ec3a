//! [`Executor`]: the one place where transactions run.

use std::{collections::BTreeMap, sync::Arc};

use alloy_evm::{Evm, EvmEnv, EvmFactory, precompiles::Precompile};
use alloy_op_evm::evm_env_for_op_block;
use alloy_primitives::{Address, B256};
use op_revm::OpSpecId;
use revm::{database::EmptyDB, precompile::PrecompileId};
use tributary_spec::{ChainSpec, ExtraDataError, Header};

use crate::TributaryEvmFactory;

/// Block and configuration as the EVM sees them.
pub type Env = EvmEnv<OpSpecId>;

/// Executes blocks and calls of one chain. Cheap to clone; keeps nothing between calls.
#[derive(Debug, Clone)]
pub struct Executor {
    spec: Arc<ChainSpec>,
    factory: TributaryEvmFactory,
}

/// What a block that does not exist yet will look like to the EVM.
#[derive(Debug, Clone, Copy)]
pub struct NextBlock {
    /// Unix time, in seconds.
    pub timestamp: u64,
    /// Coinbase.
    pub fee_recipient: Address,
    /// `PREVRANDAO`.
    pub prev_randao: B256,
    /// Gas limit.
    pub gas_limit: u64,
}

impl Executor {
    /// For one chain.
    pub fn new(spec: Arc<ChainSpec>) -> Self {
        Self { factory: TributaryEvmFactory::new(Arc::clone(&spec)), spec }
    }

    /// The chain.
    pub const fn spec(&self) -> &Arc<ChainSpec> {
        &self.spec
    }

    /// Makes EVMs.
    pub const fn factory(&self) -> &TributaryEvmFactory {
        &self.factory
    }

    /// The fork rules of a block at this time.
    pub fn spec_id(&self, timestamp: u64) -> OpSpecId {
        alloy_op_evm::spec_by_timestamp_after_bedrock(&*self.spec, timestamp)
    }

    /// The environment of the block with this header.
    pub fn evm_env(&self, header: &Header) -> Env {
        evm_env_for_op_block(header, &*self.spec, self.spec.chain_id())
    }

    /// The precompiles of a block at this time, by the names of EIP-7910.
    pub fn precompiles(&self, timestamp: u64) -> BTreeMap<String, Address> {
        let env = self.evm_env(&Header { timestamp, base_fee_per_gas: Some(0), ..Header::default() });
        let evm = self.factory.create_evm(EmptyDB::default(), env);
        let economy = self.spec.economy.active_at(timestamp);
        let (_, _, precompiles) = evm.components();
        let named = precompiles.addresses().filter_map(|address| {
            let id = precompiles.get(address)?.precompile_id().clone();
            // What is mounted before its time refuses every call.
            let asleep = matches!(id, PrecompileId::Custom(_)) && !economy;
            (!asleep).then(|| (id.name().to_owned(), *address))
        });
        named.collect()
    }

    /// The environment of a child of `parent` yet to be built.
    pub fn next_env(&self, parent: &Header, next: NextBlock) -> Result<Env, ExtraDataError> {
        let header = Header {
            number: parent.number.saturating_add(1),
            timestamp: next.timestamp,
            beneficiary: next.fee_recipient,
            mix_hash: next.prev_randao,
            gas_limit: next.gas_limit,
            base_fee_per_gas: Some(self.spec.next_base_fee(parent, next.timestamp)?),
            ..Header::default()
        };
        Ok(self.evm_env(&header))
    }
}
