//! Running transactions without making a block: calls, estimates, traces, replays.

use alloy_consensus::transaction::Recovered;
use alloy_evm::{
    EvmFactory,
    overrides::{OverrideBlockHashes, StateOverrideError, apply_state_overrides},
};
use alloy_op_evm::{OpEvmContext, OpTx};
use alloy_primitives::{Bytes, U256};
use alloy_rpc_types_eth::{BlockOverrides, state::StateOverride};
use op_revm::{L1BlockInfo, OpHaltReason};
use revm::{
    DatabaseCommit, Inspector,
    context::Transaction as _,
    context_interface::result::{EVMError, ResultAndState},
    database::{BundleState, State, states::bundle_state::BundleRetention},
    database_interface::bal::EvmDatabaseError,
    inspector::NoOpInspector,
};
use tributary_spec::{RecoveredBlock, Tx};
use tributary_state::{StateDb, StateError, StateRef};

use crate::{
    CallError, Env, Executor, L1Fees,
    evm::{EvmFault, transact, tx_env},
    run::{RunError, pre_block},
};

/// Changes on top of a state, nowhere else.
pub type BlockDb = State<StateDb>;

/// Who pays in a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeeMode {
    /// As in a block: nonce, base fee, L1 and operator fee all count. For replays.
    Charged,
    /// As `eth_call` has it: no nonce check, contracts may be senders, no L1 or operator fee, no base fee when no gas price
    /// is given, no cap of gas a transaction.
    Call,
}

/// A state with changes of its own, on which transactions run one after another.
#[derive(Debug)]
pub struct Sandbox {
    executor: Executor,
    env: Env,
    db: BlockDb,
    mode: FeeMode,
    fees: Option<L1Fees>,
}

impl Executor {
    /// For `eth_call`, `eth_estimateGas`, `debug_traceCall` and the like: on a block's state, in an environment.
    pub fn sandbox(&self, state: StateRef, env: Env) -> Sandbox {
        Sandbox::new(self.clone(), state, env, FeeMode::Call)
    }

    /// For traces of real transactions: the parent's state, after the block's system calls, before its first transaction.
    pub fn replay(&self, block: &RecoveredBlock, parent_state: StateRef) -> Result<Sandbox, CallError> {
        let header = block.header();
        let env = self.evm_env(header);
        let mut sandbox = Sandbox::new(self.clone(), parent_state, env.clone(), FeeMode::Charged);
        let mut evm = self.factory().create_evm(&mut sandbox.db, env);
        pre_block(self.spec(), &mut evm, header.parent_hash, header.parent_beacon_block_root)
            .map_err(run_error)?;
        drop(evm);
        Ok(sandbox)
    }
}

impl Sandbox {
    fn new(executor: Executor, state: StateRef, env: Env, mode: FeeMode) -> Self {
        let db = State::builder().with_database(StateDb(state)).with_bundle_update().build();
        Self { executor, env, db, mode, fees: None }
    }

    /// The executor it came from.
    pub const fn executor(&self) -> &Executor {
        &self.executor
    }

    /// Block and configuration.
    pub const fn env(&self) -> &Env {
        &self.env
    }

    /// Block and configuration, to change.
    pub const fn env_mut(&mut self) -> &mut Env {
        &mut self.env
    }

    /// The state with all changes so far.
    pub const fn db(&self) -> &BlockDb {
        &self.db
    }

    /// The state with all changes so far, to change or to hand to a tracer.
    pub const fn db_mut(&mut self) -> &mut BlockDb {
        &mut self.db
    }

    /// Changes how fees are charged.
    pub const fn set_fee_mode(&mut self, mode: FeeMode) {
        self.mode = mode;
    }

    /// Pretends that the block is another.
    pub fn override_block(&mut self, overrides: BlockOverrides) {
        self.db.apply_block_overrides(overrides, &mut self.env.block_env);
        self.fees = None;
    }

    /// Pretends that accounts are other than they are.
    pub fn override_state(&mut self, overrides: StateOverride) -> Result<(), CallError> {
        apply_state_overrides(overrides, &mut self.db).map_err(override_error)
    }

    /// Runs a transaction and keeps none of its changes.
    pub fn transact(&mut self, tx: OpTx) -> Result<ResultAndState<OpHaltReason>, CallError> {
        self.run(tx, NoOpInspector, false)
    }

    /// Runs a transaction under an inspector and keeps none of its changes.
    pub fn inspect<I>(&mut self, tx: OpTx, inspector: I) -> Result<ResultAndState<OpHaltReason>, CallError>
    where
        I: for<'a> Inspector<OpEvmContext<&'a mut BlockDb>>,
    {
        self.run(tx, inspector, true)
    }

    /// Keeps the changes of a transaction for those that follow.
    pub fn commit(&mut self, result: ResultAndState<OpHaltReason>) {
        self.db.commit(result.state);
    }

    /// All changes that were kept so far.
    pub fn changes(&mut self) -> &BundleState {
        self.db.merge_transitions(BundleRetention::PlainState);
        &self.db.bundle_state
    }

    /// Runs transactions of a block one after another and keeps their changes.
    pub fn advance<'a>(&mut self, txs: impl IntoIterator<Item = Recovered<&'a Tx>>) -> Result<(), CallError> {
        for tx in txs {
            let result = self.transact(tx_env(tx))?;
            self.commit(result);
        }
        Ok(())
    }

    fn run<I>(
        &mut self,
        mut tx: OpTx,
        inspector: I,
        inspect: bool,
    ) -> Result<ResultAndState<OpHaltReason>, CallError>
    where
        I: for<'a> Inspector<OpEvmContext<&'a mut BlockDb>>,
    {
        let mut env = self.env.clone();
        let chain = match self.mode {
            FeeMode::Charged => self.charged(&tx)?,
            FeeMode::Call => {
                relax(&mut env, &mut tx);
                free(&env)
            }
        };
        let mut evm = self.executor.factory().create_evm_with_inspector(&mut self.db, env, inspector);
        alloy_evm::Evm::set_inspector_enabled(&mut evm, inspect);
        evm.ctx_mut().chain = chain;
        transact(&mut evm, tx).map_err(call_error)
    }

    fn charged(&mut self, tx: &OpTx) -> Result<L1BlockInfo, CallError> {
        let Some(encoded) = tx.enveloped_tx.as_ref().filter(|encoded| encoded.first() != Some(&0x7e)) else {
            return Ok(L1BlockInfo::default());
        };
        Ok(self.fees()?.for_evm(encoded))
    }

    /// DA footprint of an encoded transaction in this block, in gas.
    pub(crate) fn da_footprint(&mut self, encoded: &[u8]) -> Result<u64, CallError> {
        Ok(self.fees()?.da_footprint(encoded))
    }

    fn fees(&mut self) -> Result<&L1Fees, CallError> {
        let fees = match self.fees.take() {
            Some(fees) => fees,
            None => {
                let number = self.env.block_env.number.saturating_to();
                L1Fees::fetch(&mut self.db, number, self.env.cfg_env.spec)
                    .map_err(EvmFault::from)
                    .map_err(fault)?
            }
        };
        Ok(self.fees.insert(fees))
    }
}

/// Checks that make no sense for a call.
fn relax(env: &mut Env, tx: &mut OpTx) {
    env.cfg_env.disable_nonce_check = true;
    env.cfg_env.disable_eip3607 = true;
    env.cfg_env.disable_block_gas_limit = true;
    env.cfg_env.disable_base_fee = tx.gas_price() == 0;
    env.cfg_env.tx_gas_limit_cap = Some(u64::MAX);
    tx.0.enveloped_tx = Some(Bytes::new());
}

/// Parameters that charge nothing. op-revm would refund an operator fee it did not take for an empty envelope.
fn free(env: &Env) -> L1BlockInfo {
    L1BlockInfo {
        l2_block: Some(env.block_env.number),
        operator_fee_scalar: Some(U256::ZERO),
        operator_fee_constant: Some(U256::ZERO),
        ..L1BlockInfo::default()
    }
}

/// In reth's words.
fn override_error(error: StateOverrideError<EvmDatabaseError<StateError>>) -> CallError {
    match error {
        StateOverrideError::BothStateAndStateDiff(address) => {
            CallError::Override(format!("account {address:?} has both 'state' and 'stateDiff'"))
        }
        StateOverrideError::InvalidBytecode(error) => {
            CallError::Override(format!("Invalid bytecode: {error}"))
        }
        StateOverrideError::Database(EvmDatabaseError::Database(error)) => CallError::State(error),
        StateOverrideError::Database(EvmDatabaseError::Bal(error)) => {
            CallError::Internal(format!("{error:?}"))
        }
    }
}

fn call_error(error: EVMError<EvmDatabaseError<StateError>, alloy_op_evm::OpTxError>) -> CallError {
    fault(error.into())
}

fn fault(fault: EvmFault) -> CallError {
    match fault {
        EvmFault::Transaction(error) => CallError::Invalid(error),
        EvmFault::State(error) => CallError::State(error),
        EvmFault::Internal(error) => CallError::Internal(error),
    }
}

pub(crate) fn run_error(error: RunError) -> CallError {
    match error {
        RunError::State(error) => CallError::State(error),
        RunError::Internal(error) => CallError::Internal(error),
        RunError::Tx(fault) => CallError::Internal(fault.to_string()),
    }
}
