//! The operator's transactions.

use std::sync::Arc;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_network::TxSignerSync;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolCall;
use parking_lot::Mutex;

use crate::chain::{ChainError, ChainPort};

/// Tip of the operator's transactions, in wei.
const TIP: u128 = 1_000_000;

/// How often a fee is raised by a quarter to take the place of a transaction that waits.
const RAISES: usize = 24;

/// Why a transaction was not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The chain, or the call itself.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The key could not sign.
    #[error("signing failed: {0}")]
    Sign(String),
}

/// Signs and sends, one transaction after the other.
#[derive(Debug)]
pub struct Sender {
    chain: Arc<dyn ChainPort>,
    signer: PrivateKeySigner,
    /// Nonces are taken one at a time.
    order: Mutex<()>,
}

impl Sender {
    /// Sends as `signer`.
    pub fn new(chain: Arc<dyn ChainPort>, signer: PrivateKeySigner) -> Self {
        Self { chain, signer, order: Mutex::new(()) }
    }

    /// Who sends.
    pub fn address(&self) -> Address {
        self.signer.address()
    }

    /// Sends a call that would succeed on the head's state; what would revert is an error and costs nothing.
    pub fn send<C: SolCall>(&self, to: Address, call: &C) -> Result<B256, SendError> {
        let input: Bytes = call.abi_encode().into();
        let _turn = self.order.lock();
        let nonce = self.chain.next_nonce(self.address())?;
        let draft = self.draft(to, input, nonce)?;
        self.sign_and_submit(draft)
    }

    /// Sends a call in the place of the first transaction that waits to be mined, for more: what waits there is too cheap, and
    /// everything of this account waits behind it. Where nothing waits this is [`send`](Self::send).
    pub fn send_past<C: SolCall>(&self, to: Address, call: &C) -> Result<B256, SendError> {
        let input: Bytes = call.abi_encode().into();
        let _turn = self.order.lock();
        let nonce = self.chain.mined_nonce(self.address())?;
        let mut draft = self.draft(to, input, nonce)?;
        for _ in 0..RAISES {
            match self.sign_and_submit(draft.clone()) {
                Err(SendError::Chain(ChainError::Refused(why))) if why.contains("underpriced") => {
                    draft.max_fee_per_gas += draft.max_fee_per_gas / 4 + 1;
                    draft.max_priority_fee_per_gas += draft.max_priority_fee_per_gas / 4 + 1;
                }
                other => return other,
            }
        }
        self.sign_and_submit(draft)
    }

    fn draft(&self, to: Address, input: Bytes, nonce: u64) -> Result<TxEip1559, SendError> {
        let gas_limit = self.chain.estimate_gas(self.address(), to, input.clone())?;
        let head = self.chain.head();
        Ok(TxEip1559 {
            chain_id: self.chain.chain_id(),
            nonce,
            gas_limit,
            // Room for eight full blocks, each an eighth dearer.
            max_fee_per_gas: u128::from(head.next_base_fee) * 3 + TIP,
            max_priority_fee_per_gas: TIP,
            to: TxKind::Call(to),
            value: U256::ZERO,
            access_list: Default::default(),
            input,
        })
    }

    fn sign_and_submit(&self, mut transaction: TxEip1559) -> Result<B256, SendError> {
        let signature = self
            .signer
            .sign_transaction_sync(&mut transaction)
            .map_err(|error| SendError::Sign(error.to_string()))?;
        let raw = TxEnvelope::from(transaction.into_signed(signature)).encoded_2718();
        Ok(self.chain.submit(raw.into())?)
    }
}
