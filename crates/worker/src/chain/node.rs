//! The chain of the node in whose process the worker runs.

use alloy_consensus::TxReceipt;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use op_revm::OpTransaction;
use revm::{context::TxEnv, context_interface::result::ExecutionResult};
use tokio::sync::{broadcast::error::RecvError, watch};
use tributary_evm::{EstimateError, Executor, NextBlock, OpTx, Sandbox};
use tributary_pool::{Origin, Pool};
use tributary_spec::SealedHeader;
use tributary_tree::Chain;

use super::port::{ChainError, ChainPort, Head, Outcome};

/// Gas of a view: more than any needs.
const VIEW_GAS: u64 = 200_000_000;

/// Chain, executor and pool of this process.
#[derive(Debug)]
pub struct NodeChain {
    chain: Chain,
    executor: Executor,
    pool: Pool,
    heads: watch::Sender<Head>,
}

impl NodeChain {
    /// Over the parts of a node. [`NodeChain::follow`] keeps the heads coming.
    pub fn new(chain: Chain, executor: Executor, pool: Pool) -> Self {
        let head = head_of(&executor, &chain.head());
        Self { chain, executor, pool, heads: watch::Sender::new(head) }
    }

    /// Announces every new head until the chain is closed.
    pub async fn follow(&self) {
        let mut events = self.chain.subscribe();
        loop {
            self.heads.send_replace(self.head());
            match events.recv().await {
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// The head's state in the environment of the block to come, which is where a transaction sent now will run.
    fn sandbox(&self) -> Result<Sandbox, ChainError> {
        let head = self.chain.head();
        let state = self.chain.state_at(head.hash()).map_err(unavailable)?;
        let next = NextBlock {
            timestamp: head.timestamp + 1,
            fee_recipient: head.beneficiary,
            prev_randao: head.mix_hash,
            gas_limit: head.gas_limit,
        };
        let env = self.executor.next_env(&head, next).map_err(unavailable)?;
        Ok(self.executor.sandbox(state, env))
    }

    /// The head's state in the head's own environment: what a view sees.
    fn head_sandbox(&self) -> Result<Sandbox, ChainError> {
        let head = self.chain.head();
        let state = self.chain.state_at(head.hash()).map_err(unavailable)?;
        Ok(self.executor.sandbox(state, self.executor.evm_env(&head)))
    }
}

fn unavailable(error: impl std::fmt::Display) -> ChainError {
    ChainError::Unavailable(error.to_string())
}

fn head_of(executor: &Executor, header: &SealedHeader) -> Head {
    Head {
        number: header.number,
        hash: header.hash(),
        timestamp: header.timestamp,
        next_base_fee: executor
            .spec()
            .next_base_fee(header, header.timestamp + 1)
            .unwrap_or_else(|_| header.base_fee_per_gas.unwrap_or_default()),
    }
}

fn call(from: Address, to: Address, data: Bytes, gas_limit: u64) -> OpTx {
    let base =
        TxEnv { caller: from, gas_limit, kind: TxKind::Call(to), data, chain_id: None, ..TxEnv::default() };
    OpTx(OpTransaction { base, enveloped_tx: Some(Bytes::new()), deposit: Default::default() })
}

impl ChainPort for NodeChain {
    fn chain_id(&self) -> u64 {
        self.executor.spec().chain_id()
    }

    fn is_dev(&self) -> bool {
        self.executor.spec().economy.dev
    }

    fn head(&self) -> Head {
        head_of(&self.executor, &self.chain.head())
    }

    fn heads(&self) -> watch::Receiver<Head> {
        self.heads.subscribe()
    }

    fn call_raw(&self, from: Address, to: Address, data: Bytes) -> Result<Bytes, ChainError> {
        let result = self.head_sandbox()?.transact(call(from, to, data, VIEW_GAS)).map_err(unavailable)?;
        match result.result {
            ExecutionResult::Success { output, .. } => Ok(output.into_data()),
            ExecutionResult::Revert { output, .. } => Err(ChainError::Reverted(output)),
            ExecutionResult::Halt { reason, .. } => Err(unavailable(format!("{reason:?}"))),
        }
    }

    fn estimate_gas(&self, from: Address, to: Address, data: Bytes) -> Result<u64, ChainError> {
        let limit = self.chain.head().gas_limit;
        match self.sandbox()?.estimate_gas(&call(from, to, data, limit)) {
            // What is warm or already written in the estimate may not be in the block.
            Ok(gas) => Ok(gas + gas / 5),
            Err(EstimateError::Revert(output)) => Err(ChainError::Reverted(output)),
            Err(error) => Err(unavailable(error)),
        }
    }

    fn next_nonce(&self, account: Address) -> Result<u64, ChainError> {
        if let Some(nonce) = self.pool.next_nonce(&account) {
            return Ok(nonce);
        }
        self.mined_nonce(account)
    }

    fn mined_nonce(&self, account: Address) -> Result<u64, ChainError> {
        let state = self.chain.state_at(self.chain.head().hash()).map_err(unavailable)?;
        Ok(state.account(account).map_err(unavailable)?.map_or(0, |account| account.nonce))
    }

    fn balance(&self, account: Address) -> Result<U256, ChainError> {
        let state = self.chain.state_at(self.chain.head().hash()).map_err(unavailable)?;
        Ok(state.account(account).map_err(unavailable)?.map_or(U256::ZERO, |account| account.balance))
    }

    fn submit(&self, raw: Bytes) -> Result<B256, ChainError> {
        self.pool.add_raw(&raw, Origin::Local).map_err(|error| ChainError::Refused(error.to_string()))
    }

    fn outcome(&self, transaction: B256) -> Result<Option<Outcome>, ChainError> {
        let Some((hash, index)) = self.chain.transaction(transaction).map_err(unavailable)? else {
            return Ok(None);
        };
        let header = self.chain.header_by_hash(hash).map_err(unavailable)?;
        let receipts = self.chain.receipts_by_hash(hash).map_err(unavailable)?;
        let (Some(header), Some(receipts)) = (header, receipts) else { return Ok(None) };
        Ok(receipts.get(index).map(|receipt| Outcome { block: header.number, success: receipt.status() }))
    }
}
