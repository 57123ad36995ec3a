//! Blocks that never will be, one on the other: `eth_simulateV1`.

use alloy_consensus::{
    BlockBody, EMPTY_OMMER_ROOT_HASH, Eip658Value, Receipt as PlainReceipt, transaction::Recovered,
};
use alloy_eips::{Encodable2718, Typed2718};
use alloy_evm::EvmFactory;
use alloy_op_evm::OpEvmContext;
use alloy_primitives::{Address, B64, B256, Bytes, Sealable};
use alloy_rpc_types_eth::{BlockOverrides, state::StateOverride};
use op_revm::OpHaltReason;
use revm::{
    Database, Inspector, context::Cfg as _, context_interface::result::ExecutionResult,
    database::states::bundle_state::BundleRetention,
};
use tributary_spec::{
    ChainSpec, ExtraData, ExtraDataError, Header, OpHardfork, Receipt, RecoveredBlock, SealedHeader, Tx,
};
use tributary_state::StateRef;

use crate::{
    CallError, Executor, FeeMode, Sandbox,
    build::close_header,
    evm::tx_env,
    run::{RunOutput, pre_block},
    sandbox::{BlockDb, run_error},
    seal::Outcome,
};

/// Makes blocks on top of a block, in memory alone.
#[derive(Debug)]
pub struct Simulator {
    sandbox: Sandbox,
    base: StateRef,
    parent: SealedHeader,
    open: Open,
}

/// The block in the making.
#[derive(Debug, Default)]
struct Open {
    header: Header,
    transactions: Vec<Tx>,
    senders: Vec<Address>,
    receipts: Vec<Receipt>,
    gas_used: u64,
    da_footprint: u64,
}

/// A block that was simulated.
#[derive(Debug, Clone)]
pub struct SimulatedBlock {
    /// Header and transactions; signatures are made up.
    pub block: RecoveredBlock,
    /// Its receipts.
    pub receipts: Vec<Receipt>,
}

impl Executor {
    /// On a block and its state.
    pub fn simulator(&self, parent: SealedHeader, state: StateRef) -> Simulator {
        let sandbox = self.sandbox(StateRef::clone(&state), self.evm_env(&parent));
        Simulator { sandbox, base: state, parent, open: Open::default() }
    }
}

impl Simulator {
    /// The last block that is closed, or the one it all stands on.
    pub const fn parent(&self) -> &SealedHeader {
        &self.parent
    }

    /// Begins the next block. `time`: when the overrides name none. `validation`: transactions pay, and nonces count.
    pub fn open(
        &mut self,
        time: u64,
        overrides: BlockOverrides,
        state: Option<StateOverride>,
        validation: bool,
    ) -> Result<(), CallError> {
        let executor = self.sandbox.executor().clone();
        let spec = executor.spec();
        let header = next_header(spec, &self.parent, time, &overrides, validation)
            .map_err(|error| CallError::Override(error.to_string()))?;
        let env = executor.evm_env(&header);
        *self.sandbox.env_mut() = env.clone();
        self.sandbox.set_fee_mode(if validation { FeeMode::Charged } else { FeeMode::Call });
        let mut hashes = overrides.block_hash.unwrap_or_default();
        hashes.insert(self.parent.number, self.parent.hash());
        self.sandbox.override_block(BlockOverrides { block_hash: Some(hashes), ..BlockOverrides::default() });
        let mut evm = executor.factory().create_evm(self.sandbox.db_mut(), env);
        pre_block(spec, &mut evm, header.parent_hash, header.parent_beacon_block_root).map_err(run_error)?;
        drop(evm);
        if let Some(state) = state {
            self.sandbox.override_state(state)?;
        }
        self.open = Open { header, ..Open::default() };
        Ok(())
    }

    /// The open block's header as far as it is known.
    pub const fn header(&self) -> &Header {
        &self.open.header
    }

    /// Gas that the open block has left.
    pub const fn gas_left(&self) -> u64 {
        self.open.header.gas_limit.saturating_sub(self.open.gas_used)
    }

    /// The most gas that one transaction may have, if it has to keep to the rules.
    pub fn max_tx_gas(&self) -> u64 {
        self.sandbox.env().cfg_env.tx_gas_limit_cap()
    }

    /// The next nonce of an account.
    pub fn nonce(&mut self, address: Address) -> Result<u64, CallError> {
        let account = self.sandbox.db_mut().basic(address);
        Ok(account.map_err(|error| CallError::Internal(error.to_string()))?.unwrap_or_default().nonce)
    }

    /// Runs a transaction in the open block and keeps what it did.
    pub fn run<I>(
        &mut self,
        tx: Recovered<Tx>,
        inspector: I,
    ) -> Result<ExecutionResult<OpHaltReason>, CallError>
    where
        I: for<'a> Inspector<OpEvmContext<&'a mut BlockDb>>,
    {
        let encoded: Bytes = tx.encoded_2718().into();
        let footprint = self.sandbox.da_footprint(&encoded)?;
        let outcome = self.sandbox.inspect(tx_env(tx.as_recovered_ref()), inspector)?;
        let result = outcome.result.clone();
        self.sandbox.commit(outcome);
        self.open.gas_used += result.tx_gas_used();
        self.open.da_footprint += footprint;
        let inner = PlainReceipt {
            status: Eip658Value::Eip658(result.is_success()),
            cumulative_gas_used: self.open.gas_used,
            logs: result.logs().to_vec(),
        };
        self.open.receipts.push(match tx.ty() {
            1 => Receipt::Eip2930(inner),
            2 => Receipt::Eip1559(inner),
            4 => Receipt::Eip7702(inner),
            _ => Receipt::Legacy(inner),
        });
        let (tx, sender) = tx.into_parts();
        self.open.transactions.push(tx);
        self.open.senders.push(sender);
        Ok(result)
    }

    /// Ends the open block with all its roots; the next one stands on it.
    pub fn close(&mut self) -> Result<SimulatedBlock, CallError> {
        let executor = self.sandbox.executor().clone();
        let Open { mut header, transactions, senders, receipts, gas_used, da_footprint } =
            std::mem::take(&mut self.open);
        let db = self.sandbox.db_mut();
        db.merge_transitions(BundleRetention::PlainState);
        // All blocks' changes together lie over the base.
        let run = RunOutput { receipts, bundle: db.bundle_state.clone(), gas_used, da_footprint };
        let outcome = Outcome::compute(executor.spec(), header.timestamp, &self.base, run)?;
        close_header(executor.spec(), &mut header, &transactions, &outcome);
        let withdrawals = header.withdrawals_root.is_some().then(Default::default);
        let body = BlockBody { transactions, ommers: Vec::new(), withdrawals };
        let block = RecoveredBlock::new_unchecked(header.seal_slow(), body, senders);
        self.parent = block.header().clone();
        let receipts = outcome.into_executed(block.clone()).receipts;
        Ok(SimulatedBlock { block, receipts })
    }
}

fn next_header(
    spec: &ChainSpec,
    parent: &SealedHeader,
    time: u64,
    overrides: &BlockOverrides,
    validation: bool,
) -> Result<Header, ExtraDataError> {
    let timestamp = overrides.time.unwrap_or(time);
    let base_fee = match overrides.base_fee {
        Some(base_fee) => base_fee.saturating_to(),
        None if validation => spec.next_base_fee(parent, timestamp)?,
        None => 0,
    };
    let ecotone = spec.forks().active(OpHardfork::Ecotone, timestamp);
    Ok(Header {
        parent_hash: parent.hash(),
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        beneficiary: overrides.coinbase.unwrap_or(parent.beneficiary),
        number: overrides.number.map_or(parent.number.saturating_add(1), |number| number.saturating_to()),
        gas_limit: overrides.gas_limit.unwrap_or(parent.gas_limit),
        timestamp,
        extra_data: extra_data(spec, parent, timestamp)?,
        mix_hash: overrides.random.unwrap_or_default(),
        base_fee_per_gas: Some(base_fee),
        parent_beacon_block_root: ecotone.then(|| overrides.beacon_root.unwrap_or(B256::ZERO)),
        ..Header::default()
    })
}

/// The parent's, or the chain's constants if the fork has begun since.
fn extra_data(spec: &ChainSpec, parent: &Header, timestamp: u64) -> Result<Bytes, ExtraDataError> {
    if spec.decode_extra_data(&parent.extra_data, timestamp).is_ok() {
        return Ok(parent.extra_data.clone());
    }
    let params = spec.resolve_eip1559_params(B64::ZERO, timestamp)?;
    Ok(if spec.forks().active(OpHardfork::Jovian, timestamp) {
        ExtraData::Jovian { params, min_base_fee: 0 }.encode()
    } else {
        ExtraData::Holocene(params).encode()
    })
}
