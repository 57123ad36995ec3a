//! Why a transaction is not taken.

use alloy_primitives::{Address, B256, U256};
use tributary_spec::ExtraDataError;
use tributary_state::StateError;
use tributary_tree::TreeError;

/// What the caller can do about a [`PoolError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The same transaction may be taken later: the pool is full, or the head moves on.
    Retry,
    /// This transaction is not acceptable as it is.
    Reject,
    /// The node's own state could not be read.
    Fatal,
}

/// Why a transaction was refused. The texts are the ones wallets know from geth and reth.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// The bytes are no canonical EIP-2718 transaction.
    #[error("failed to decode signed transaction: {0}")]
    Decode(alloy_eips::eip2718::Eip2718Error),
    /// The transaction re-encodes to other bytes.
    #[error("failed to decode signed transaction: non-canonical encoding")]
    NonCanonical,
    /// Deposits, blobs, 0x7D, and types whose fork is not active.
    #[error("transaction type not supported")]
    UnsupportedType(u8),
    /// The signature recovers to no address, or its s is high.
    #[error("invalid transaction signature")]
    InvalidSignature,
    /// Signed for another chain.
    #[error("invalid chain ID: have {have}, want {want}")]
    ChainId {
        /// What the transaction names.
        have: u64,
        /// This chain.
        want: u64,
    },
    /// It is in the pool.
    #[error("already known")]
    AlreadyKnown(B256),
    /// Encoded size over the limit.
    #[error("oversized data: transaction size {size}, limit {limit}")]
    Oversized {
        /// Encoded bytes.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// EIP-3860.
    #[error("max initcode size exceeded: code size {size}, limit {limit}")]
    InitcodeTooLarge {
        /// Bytes of init code.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// More gas than a block has left beside the L1 information.
    #[error("exceeds block gas limit: transaction gas {gas}, limit {limit}")]
    ExceedsBlockGas {
        /// Asked for.
        gas: u64,
        /// At most.
        limit: u64,
    },
    /// EIP-7825.
    #[error("transaction gas limit too high (cap: {cap}, tx: {gas})")]
    GasLimitTooHigh {
        /// Asked for.
        gas: u64,
        /// At most.
        cap: u64,
    },
    /// Less than what is charged before the first instruction.
    #[error("intrinsic gas too low: have {have}, want {want}")]
    IntrinsicGas {
        /// Asked for.
        have: u64,
        /// At least.
        want: u64,
    },
    /// EIP-7623.
    #[error("insufficient gas for floor data gas cost: have {have}, want {want}")]
    FloorDataGas {
        /// Asked for.
        have: u64,
        /// At least.
        want: u64,
    },
    /// A tip that the fee cap does not cover.
    #[error(
        "max priority fee per gas higher than max fee per gas: maxPriorityFeePerGas: {tip}, maxFeePerGas: {cap}"
    )]
    TipAboveFeeCap {
        /// The tip.
        tip: u128,
        /// The cap.
        cap: u128,
    },
    /// Below the smallest fee or tip this node takes.
    #[error("transaction underpriced: have {have}, minimum needed {want}")]
    Underpriced {
        /// Offered.
        have: u128,
        /// At least.
        want: u128,
    },
    /// EIP-7702 without an authorization.
    #[error("EIP-7702 transaction with empty auth list")]
    EmptyAuthorizations,
    /// EIP-2681.
    #[error("nonce has max value")]
    NonceMax,
    /// Its nonce was used.
    #[error("nonce too low: next nonce {next}, tx nonce {nonce}")]
    NonceTooLow {
        /// The account's.
        next: u64,
        /// The transaction's.
        nonce: u64,
    },
    /// EIP-3607.
    #[error("sender not an eoa: address {0}")]
    SenderNotEoa(Address),
    /// Value, gas at the fee cap, L1 fee and operator fee are more than the sender has.
    #[error("insufficient funds for gas * price + value: have {have} want {want}")]
    InsufficientFunds {
        /// The balance.
        have: U256,
        /// The worst-case cost.
        want: U256,
    },
    /// A replacement has to raise both fees by the price bump.
    #[error("replacement transaction underpriced")]
    ReplacementUnderpriced,
    /// The sender's slots are taken.
    #[error("account limit exceeded: {limit} transactions of {sender} are pooled")]
    AccountLimit {
        /// The sender.
        sender: Address,
        /// Slots of one sender.
        limit: usize,
    },
    /// A delegated sender has one transaction in flight.
    #[error("in-flight transaction limit reached for delegated accounts")]
    InflightLimit,
    /// A delegated sender's transaction must be the next one.
    #[error("gapped-nonce tx from delegated accounts")]
    DelegatedGap,
    /// An authority of the transaction has transactions of its own waiting.
    #[error("authority already reserved")]
    AuthorityReserved(Address),
    /// No room, and nothing worse to throw out.
    #[error("txpool is full")]
    Full,
    /// The head's state could not be read.
    #[error("state: {0}")]
    State(#[from] StateError),
    /// The head says nothing about the next base fee.
    #[error("head: {0}")]
    Head(ExtraDataError),
    /// The chain could not be read.
    #[error("chain: {0}")]
    Chain(#[from] TreeError),
}

impl PoolError {
    /// What the caller can do.
    pub fn severity(&self) -> Severity {
        match self {
            Self::Full | Self::AccountLimit { .. } | Self::InflightLimit | Self::AuthorityReserved(_) => {
                Severity::Retry
            }
            Self::State(_) | Self::Head(_) | Self::Chain(_) => Severity::Fatal,
            _ => Severity::Reject,
        }
    }
}
