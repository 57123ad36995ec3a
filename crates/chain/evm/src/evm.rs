//! The EVM of this chain, and how it is made.

use std::sync::Arc;

use alloy_consensus::transaction::Recovered;
use alloy_evm::{Database, Evm, EvmEnv, EvmFactory, FromRecoveredTx, precompiles::PrecompilesMap};
use alloy_op_evm::{OpEvm, OpEvmContext, OpEvmFactory, OpTx, OpTxError};
use op_revm::{OpHaltReason, OpSpecId, OpTransactionError, transaction::deposit::DEPOSIT_TRANSACTION_TYPE};
use revm::{
    Inspector,
    context::{BlockEnv, Transaction as _},
    context_interface::result::{EVMError, ResultAndState},
    database_interface::bal::EvmDatabaseError,
    inspector::NoOpInspector,
};
use tributary_spec::{ChainSpec, Tx};
use tributary_state::StateError;

use crate::{economy, precompiles};

/// The EVM over a database, with or without an inspector.
pub type TributaryEvm<DB, I = NoOpInspector> = OpEvm<DB, I, PrecompilesMap, OpTx>;

/// Makes EVMs: op-revm's, its precompiles corrected and the economy mounted. This is the seam op-reth mounts its EVM at.
#[derive(Debug, Clone)]
pub struct TributaryEvmFactory {
    spec: Arc<ChainSpec>,
    inner: OpEvmFactory,
}

impl TributaryEvmFactory {
    /// For one chain.
    pub fn new(spec: Arc<ChainSpec>) -> Self {
        Self { spec, inner: OpEvmFactory::default() }
    }

    fn mount(&self, precompiles: &mut PrecompilesMap, spec: OpSpecId) {
        precompiles::correct(precompiles, spec);
        economy::mount(precompiles, &self.spec);
    }
}

impl EvmFactory for TributaryEvmFactory {
    type Evm<DB: Database, I: Inspector<OpEvmContext<DB>>> = TributaryEvm<DB, I>;
    type Context<DB: Database> = OpEvmContext<DB>;
    type Tx = OpTx;
    type Error<E: std::error::Error + Send + Sync + 'static> = EVMError<E, OpTxError>;
    type HaltReason = OpHaltReason;
    type Spec = OpSpecId;
    type BlockEnv = BlockEnv;
    type Precompiles = PrecompilesMap;

    fn create_evm<DB: Database>(&self, db: DB, env: EvmEnv<OpSpecId>) -> Self::Evm<DB, NoOpInspector> {
        let spec = env.cfg_env.spec;
        let mut evm = self.inner.create_evm(db, env);
        self.mount(evm.precompiles_mut(), spec);
        evm
    }

    fn create_evm_with_inspector<DB: Database, I: Inspector<OpEvmContext<DB>>>(
        &self,
        db: DB,
        env: EvmEnv<OpSpecId>,
        inspector: I,
    ) -> Self::Evm<DB, I> {
        let spec = env.cfg_env.spec;
        let mut evm = self.inner.create_evm_with_inspector(db, env, inspector);
        self.mount(evm.precompiles_mut(), spec);
        evm
    }
}

/// What the EVM wants of a transaction, its encoding (which the L1 fee is charged for) included.
pub fn tx_env(tx: Recovered<&Tx>) -> OpTx {
    OpTx::from_recovered_tx(tx.inner(), tx.signer())
}

/// Runs one transaction. Deposits were paid for on L1 and are exempt from EIP-7825's cap of 2²⁴ gas, which revm would apply
/// to them since Osaka rules (Karst).
///
/// A refused transaction leaves nothing behind, inspected or not.
pub(crate) fn transact<DB, I>(
    evm: &mut TributaryEvm<DB, I>,
    tx: OpTx,
) -> Result<ResultAndState<OpHaltReason>, EVMError<DB::Error, OpTxError>>
where
    DB: Database,
    I: Inspector<OpEvmContext<DB>>,
{
    let configured = evm.ctx().cfg.tx_gas_limit_cap;
    if tx.tx_type() == DEPOSIT_TRANSACTION_TYPE {
        evm.ctx_mut().cfg.tx_gas_limit_cap = Some(u64::MAX);
    }
    let result = evm.transact_raw(tx);
    evm.ctx_mut().cfg.tx_gas_limit_cap = configured;
    if result.is_err() {
        // op-revm's `inspect_tx` leaves the journal of a refused transaction standing.
        evm.ctx_mut().journaled_state.discard_tx();
        let _ = evm.ctx_mut().journaled_state.finalize();
    }
    result
}

/// Why the EVM gave no result.
#[derive(Debug)]
pub(crate) enum EvmFault {
    Transaction(OpTransactionError),
    State(StateError),
    Internal(String),
}

impl From<EVMError<EvmDatabaseError<StateError>, OpTxError>> for EvmFault {
    fn from(error: EVMError<EvmDatabaseError<StateError>, OpTxError>) -> Self {
        match error {
            EVMError::Transaction(OpTxError(error)) => Self::Transaction(error),
            EVMError::Database(error) => error.into(),
            other => Self::Internal(other.to_string()),
        }
    }
}

impl From<EvmDatabaseError<StateError>> for EvmFault {
    fn from(error: EvmDatabaseError<StateError>) -> Self {
        match error {
            EvmDatabaseError::Database(error) => Self::State(error),
            EvmDatabaseError::Bal(error) => Self::Internal(error.to_string()),
        }
    }
}
