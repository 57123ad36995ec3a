//! What the worker needs of a chain: nothing here names the node that provides it.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall;
use tokio::sync::watch;

/// The head of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Its timestamp, in seconds.
    pub timestamp: u64,
    /// The base fee of the next block, in wei.
    pub next_base_fee: u64,
}

/// Why the chain did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// The call reverted, with this data.
    #[error("reverted: {}", explain(.0))]
    Reverted(Bytes),
    /// The pool refuses the transaction.
    #[error("the pool refuses the transaction: {0}")]
    Refused(String),
    /// State or database could not be read.
    #[error("the chain cannot be read: {0}")]
    Unavailable(String),
    /// The answer does not have the shape of the interface.
    #[error("{0} answered something else than its interface says")]
    Shape(&'static str),
}

fn explain(data: &Bytes) -> String {
    tributary_abi::decode_error(data).unwrap_or_else(|| data.to_string())
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The block that holds it.
    pub block: u64,
    /// Whether it succeeded.
    pub success: bool,
}

/// A chain, read at its head and written through its pool.
pub trait ChainPort: Send + Sync + std::fmt::Debug {
    /// The chain's id.
    fn chain_id(&self) -> u64;
    /// Whether the genesis says that this is a development chain.
    fn is_dev(&self) -> bool;
    /// The current head.
    fn head(&self) -> Head;
    /// Told of every new head.
    fn heads(&self) -> watch::Receiver<Head>;
    /// A call on the head's state that changes nothing.
    fn call_raw(&self, from: Address, to: Address, data: Bytes) -> Result<Bytes, ChainError>;
    /// Gas that a call takes, with room for what changes before it is mined.
    fn estimate_gas(&self, from: Address, to: Address, data: Bytes) -> Result<u64, ChainError>;
    /// The next nonce of an account, transactions in the pool included.
    fn next_nonce(&self, account: Address) -> Result<u64, ChainError>;
    /// The nonce of the next transaction of an account to be mined.
    fn mined_nonce(&self, account: Address) -> Result<u64, ChainError>;
    /// An account's balance.
    fn balance(&self, account: Address) -> Result<U256, ChainError>;
    /// Hands a signed transaction to the pool.
    fn submit(&self, raw: Bytes) -> Result<B256, ChainError>;
    /// How a transaction ended, once it has.
    fn outcome(&self, transaction: B256) -> Result<Option<Outcome>, ChainError>;
}

/// A typed view.
pub(crate) fn view<C: SolCall>(
    chain: &dyn ChainPort,
    to: Address,
    call: &C,
) -> Result<C::Return, ChainError> {
    let answer = chain.call_raw(Address::ZERO, to, call.abi_encode().into())?;
    C::abi_decode_returns(&answer).map_err(|_| ChainError::Shape(C::SIGNATURE))
}
