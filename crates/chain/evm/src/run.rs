//! One block running: system calls, transactions, receipts.

use alloy_consensus::{Eip658Value, Receipt as PlainReceipt, Transaction as _, transaction::Recovered};
use alloy_eips::{Encodable2718, Typed2718};
use alloy_evm::{Evm, EvmFactory, FromTxWithEncoded, block::SystemCaller};
use alloy_op_evm::OpTx;
use alloy_primitives::{Address, B256, Bytes, U256};
use op_alloy_consensus::{OpDepositReceipt, OpReceipt, OpTxType};
use op_revm::OpHaltReason;
use revm::{
    Database, DatabaseCommit,
    context::Block as _,
    context_interface::result::{ExecutionResult, ResultAndState},
    database::{BundleState, State, states::bundle_state::BundleRetention},
};
use tributary_spec::{ChainSpec, OpHardfork, Receipt, Tx};
use tributary_state::{StateDb, StateError, StateRef};

use crate::{
    Env, Executor, L1Fees, TributaryEvm, TxFault, canyon,
    evm::{EvmFault, transact},
};

/// A block in the middle of its execution.
pub(crate) struct BlockRun<'a> {
    spec: &'a ChainSpec,
    evm: TributaryEvm<State<StateDb>>,
    rules: Rules,
    fees: Option<L1Fees>,
    receipts: Vec<Receipt>,
    gas_used: u64,
    da_footprint: u64,
}

/// Fork-dependent rules of the block.
#[derive(Debug, Clone, Copy)]
struct Rules {
    regolith: bool,
    canyon: bool,
    jovian: bool,
}

/// What a block did.
#[derive(Debug)]
pub(crate) struct RunOutput {
    pub(crate) receipts: Vec<Receipt>,
    pub(crate) bundle: BundleState,
    pub(crate) gas_used: u64,
    pub(crate) da_footprint: u64,
}

/// Why a block cannot go on.
#[derive(Debug)]
pub(crate) enum RunError {
    /// The transaction is refused; the block may go on without it.
    Tx(TxFault),
    State(StateError),
    Internal(String),
}

impl From<EvmFault> for RunError {
    fn from(fault: EvmFault) -> Self {
        match fault {
            EvmFault::Transaction(error) => Self::Tx(TxFault::Invalid(error)),
            EvmFault::State(error) => Self::State(error),
            EvmFault::Internal(error) => Self::Internal(error),
        }
    }
}

impl<'a> BlockRun<'a> {
    /// Begins a block on the state of its parent.
    pub(crate) fn new(executor: &'a Executor, env: Env, state: StateRef) -> Self {
        let spec = &**executor.spec();
        let timestamp: u64 = env.block_env.timestamp.saturating_to();
        let active = |fork| spec.forks().active(fork, timestamp);
        let db = State::builder().with_database(StateDb(state)).with_bundle_update().build();
        Self {
            spec,
            rules: Rules {
                regolith: active(OpHardfork::Regolith),
                canyon: active(OpHardfork::Canyon),
                jovian: active(OpHardfork::Jovian),
            },
            evm: executor.factory().create_evm(db, env),
            fees: None,
            receipts: Vec::new(),
            gas_used: 0,
            da_footprint: 0,
        }
    }

    /// EIP-2935 and EIP-4788, and what Canyon deploys.
    pub(crate) fn begin(&mut self, parent_hash: B256, beacon_root: Option<B256>) -> Result<(), RunError> {
        pre_block(self.spec, &mut self.evm, parent_hash, beacon_root)
    }

    /// Gas not yet used.
    pub(crate) fn gas_left(&self) -> u64 {
        self.evm.block().gas_limit().saturating_sub(self.gas_used)
    }

    /// Executes a transaction and keeps what it did. Returns the gas it used. A refused transaction leaves no trace.
    pub(crate) fn execute(&mut self, tx: Recovered<&Tx>) -> Result<u64, RunError> {
        let (tx, sender) = (*tx.inner(), tx.signer());
        if tx.ty() == OpTxType::PostExec as u8 {
            return Err(RunError::Tx(TxFault::Type(tx.ty())));
        }
        self.check_gas(tx)?;
        let encoded: Bytes = tx.encoded_2718().into();
        let footprint = self.charge(tx, &encoded)?;
        let depositor_nonce = self.depositor_nonce(tx, sender)?;
        let ResultAndState { result, state } =
            transact(&mut self.evm, OpTx::from_encoded_tx(tx, sender, encoded)).map_err(EvmFault::from)?;
        let gas = result.tx_gas_used();
        self.gas_used += gas;
        self.da_footprint += footprint;
        self.receipts.push(self.receipt(tx, result, depositor_nonce));
        self.evm.db_mut().commit(state);
        Ok(gas)
    }

    /// Ends the block.
    pub(crate) fn finish(self) -> RunOutput {
        let mut db = self.evm.into_db();
        db.merge_transitions(BundleRetention::PlainState);
        RunOutput {
            receipts: self.receipts,
            bundle: db.take_bundle(),
            gas_used: self.gas_used,
            da_footprint: self.da_footprint,
        }
    }

    fn check_gas(&self, tx: &Tx) -> Result<(), RunError> {
        let (limit, available) = (tx.gas_limit(), self.gas_left());
        if limit > available && (self.rules.regolith || !tx.is_deposit()) {
            return Err(RunError::Tx(TxFault::Gas { limit, available }));
        }
        Ok(())
    }

    /// Prepares L1 and operator fees of a user transaction and returns its DA footprint.
    fn charge(&mut self, tx: &Tx, encoded: &Bytes) -> Result<u64, RunError> {
        if tx.is_deposit() {
            return Ok(0);
        }
        let fees = self.block_fees()?.clone();
        let info = fees.for_evm(encoded);
        self.evm.ctx_mut().chain = info;
        if !self.rules.jovian {
            return Ok(0);
        }
        let footprint = fees.da_footprint(encoded);
        let available = self.evm.block().gas_limit().saturating_sub(self.da_footprint);
        if footprint > available {
            return Err(RunError::Tx(TxFault::DaFootprint { footprint, available }));
        }
        Ok(footprint)
    }

    /// Fee parameters, read when the first user transaction comes: the deposits before it set them.
    pub(crate) fn block_fees(&mut self) -> Result<&L1Fees, RunError> {
        let fees = match self.fees.take() {
            Some(fees) => fees,
            None => {
                let number = self.evm.block().number().saturating_to();
                let spec = self.evm.cfg_env().spec;
                L1Fees::fetch(self.evm.db_mut(), number, spec).map_err(EvmFault::from)?
            }
        };
        Ok(self.fees.insert(fees))
    }

    fn depositor_nonce(&mut self, tx: &Tx, sender: Address) -> Result<Option<u64>, RunError> {
        if !self.rules.regolith || !tx.is_deposit() {
            return Ok(None);
        }
        let account = self.evm.db_mut().basic(sender).map_err(EvmFault::from)?;
        Ok(Some(account.unwrap_or_default().nonce))
    }

    fn receipt(
        &self,
        tx: &Tx,
        result: ExecutionResult<OpHaltReason>,
        depositor_nonce: Option<u64>,
    ) -> Receipt {
        let inner = PlainReceipt {
            status: Eip658Value::Eip658(result.is_success()),
            cumulative_gas_used: self.gas_used,
            logs: result.into_logs(),
        };
        match tx.tx_type() {
            OpTxType::Legacy => OpReceipt::Legacy(inner),
            OpTxType::Eip2930 => OpReceipt::Eip2930(inner),
            OpTxType::Eip1559 => OpReceipt::Eip1559(inner),
            OpTxType::Eip7702 => OpReceipt::Eip7702(inner),
            OpTxType::PostExec => OpReceipt::PostExec(inner),
            OpTxType::Deposit => OpReceipt::Deposit(OpDepositReceipt {
                inner,
                deposit_nonce: depositor_nonce,
                deposit_receipt_version: self.rules.canyon.then_some(1),
            }),
        }
    }
}

/// What happens to the state before the first transaction of a block.
pub(crate) fn pre_block<DB>(
    spec: &ChainSpec,
    evm: &mut TributaryEvm<DB>,
    parent_hash: B256,
    beacon_root: Option<B256>,
) -> Result<(), RunError>
where
    DB: alloy_evm::Database + DatabaseCommit,
    EvmFault: From<DB::Error>,
{
    let internal = |error: alloy_evm::block::BlockExecutionError| RunError::Internal(error.to_string());
    let mut system = SystemCaller::new(spec);
    system.apply_blockhashes_contract_call(parent_hash, evm).map_err(internal)?;
    system.apply_beacon_root_contract_call(beacon_root, evm).map_err(internal)?;
    let timestamp: u64 = evm.block().timestamp().saturating_to();
    canyon::deploy_create2(spec.forks(), timestamp, evm.db_mut()).map_err(EvmFault::from)?;
    Ok(())
}

/// Wei a block's builder earns from a transaction.
pub(crate) fn tip(tx: &Tx, base_fee: u64, gas: u64) -> U256 {
    U256::from(tx.effective_tip_per_gas(base_fee).unwrap_or_default()) * U256::from(gas)
}
