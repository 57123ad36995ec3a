//! What can go wrong, and whose fault it is.

use alloy_primitives::{B256, Bloom, Bytes, U256};
use op_revm::{OpHaltReason, OpTransactionError};
use tributary_spec::ExtraDataError;
use tributary_state::StateError;

/// What the caller should do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The input is bad and stays bad: reject it, remember it.
    Reject,
    /// This node cannot go on: state is missing or contradicts itself. Says nothing about the input.
    Fatal,
}

/// Why a block was not imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The block breaks a rule of consensus.
    #[error(transparent)]
    Invalid(#[from] InvalidBlock),
    /// The parent's state could not be read.
    #[error("state: {0}")]
    State(#[from] StateError),
    /// The EVM failed for a reason that is not the block's.
    #[error("EVM: {0}")]
    Internal(String),
}

impl ImportError {
    /// Whether the block or the node is at fault.
    pub const fn severity(&self) -> Severity {
        match self {
            Self::Invalid(_) => Severity::Reject,
            Self::State(_) | Self::Internal(_) => Severity::Fatal,
        }
    }
}

/// The rule a block breaks.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidBlock {
    /// Header against its parent and the fork schedule.
    #[error("header: {0}")]
    Header(#[from] HeaderError),
    /// Body against the header.
    #[error("body: {0}")]
    Body(#[from] BodyError),
    /// A transaction cannot be in this block at its place.
    #[error("transaction {index} ({hash}): {fault}")]
    Transaction {
        /// Position in the block.
        index: usize,
        /// Its hash.
        hash: B256,
        /// What is wrong with it.
        fault: TxFault,
    },
    /// Gas used after execution.
    #[error("gas used is {computed}, header says {claimed}")]
    GasUsed {
        /// By execution.
        computed: u64,
        /// By the header.
        claimed: u64,
    },
    /// DA footprint after execution (Jovian).
    #[error("DA footprint is {computed}, header's blobGasUsed says {claimed}")]
    DaFootprint {
        /// By execution.
        computed: u64,
        /// By the header.
        claimed: u64,
    },
    /// Receipts root after execution.
    #[error("receipts root is {computed}, header says {claimed}")]
    ReceiptsRoot {
        /// By execution.
        computed: B256,
        /// By the header.
        claimed: B256,
    },
    /// Logs bloom after execution.
    #[error("logs bloom differs from the header's")]
    LogsBloom {
        /// By execution.
        computed: Box<Bloom>,
        /// By the header.
        claimed: Box<Bloom>,
    },
    /// State root after execution.
    #[error("state root is {computed}, header says {claimed}")]
    StateRoot {
        /// By execution.
        computed: B256,
        /// By the header.
        claimed: B256,
    },
    /// Storage root of the message passer after execution (Isthmus).
    #[error("withdrawals root is {computed}, header says {claimed}")]
    WithdrawalsRoot {
        /// By execution.
        computed: B256,
        /// By the header.
        claimed: B256,
    },
}

/// A header field that contradicts the parent or the active forks. Each check has its own variant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// Parent hash is not the parent's hash.
    #[error("parent hash {found}, parent is {expected}")]
    ParentHash {
        /// In the header.
        found: B256,
        /// Hash of the parent given.
        expected: B256,
    },
    /// Number is not the parent's plus one.
    #[error("number {found}, {expected} wanted")]
    Number {
        /// In the header.
        found: u64,
        /// Parent's plus one.
        expected: u64,
    },
    /// Timestamp is not after the parent's.
    #[error("timestamp {found} is not after the parent's {parent}")]
    Timestamp {
        /// In the header.
        found: u64,
        /// The parent's.
        parent: u64,
    },
    /// Ommers hash is not that of the empty list.
    #[error("ommers hash is not that of an empty list")]
    Ommers,
    /// Difficulty is not zero.
    #[error("difficulty {0} is not zero")]
    Difficulty(U256),
    /// Nonce is not zero.
    #[error("nonce is not zero")]
    Nonce,
    /// Gas limit is beyond 2⁶³−1.
    #[error("gas limit {0} is beyond 2^63-1")]
    GasLimit(u64),
    /// Gas used is beyond the limit.
    #[error("gas used {used} is beyond the limit {limit}")]
    GasUsed {
        /// Gas used.
        used: u64,
        /// Gas limit.
        limit: u64,
    },
    /// Base fee is missing or not what the parent implies.
    #[error("base fee {found:?}, {expected} wanted")]
    BaseFee {
        /// In the header.
        found: Option<u64>,
        /// By EIP-1559 with this chain's rules.
        expected: u64,
    },
    /// The parent's extraData has no EIP-1559 parameters although its fork has.
    #[error("parent's extraData: {0}")]
    ParentExtraData(ExtraDataError),
    /// extraData does not fit the fork.
    #[error("{0}")]
    ExtraData(ExtraDataError),
    /// extraData before Holocene must be empty.
    #[error("extraData has {0} bytes before Holocene")]
    ExtraDataBeforeHolocene(usize),
    /// withdrawalsRoot present before Canyon, missing since, or not the empty root before Isthmus.
    #[error("withdrawals root {0:?} does not fit the fork")]
    WithdrawalsRoot(Option<B256>),
    /// blobGasUsed present before Ecotone, missing since, or not zero before Jovian.
    #[error("blob gas used {0:?} does not fit the fork")]
    BlobGasUsed(Option<u64>),
    /// blobGasUsed, the DA footprint, is beyond the gas limit (Jovian).
    #[error("DA footprint {used} is beyond the gas limit {limit}")]
    DaFootprint {
        /// blobGasUsed.
        used: u64,
        /// Gas limit.
        limit: u64,
    },
    /// excessBlobGas present before Ecotone, or not zero since.
    #[error("excess blob gas {0:?} does not fit the fork")]
    ExcessBlobGas(Option<u64>),
    /// parentBeaconBlockRoot present before Ecotone or missing since.
    #[error("parent beacon block root {0:?} does not fit the fork")]
    ParentBeaconRoot(Option<B256>),
    /// requestsHash present before Isthmus, or not sha256("") since.
    #[error("requests hash {0:?} does not fit the fork")]
    RequestsHash(Option<B256>),
    /// A field of an L1 fork that no OP fork has.
    #[error("header has {0}, a field no active fork has")]
    UnknownField(&'static str),
}

/// A body that contradicts its header or the active forks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// Transactions root.
    #[error("transactions root is {computed}, header says {claimed}")]
    TransactionsRoot {
        /// Of the body.
        computed: B256,
        /// By the header.
        claimed: B256,
    },
    /// There are ommers.
    #[error("body has ommers")]
    Ommers,
    /// Withdrawals before Canyon, none since, or not an empty list.
    #[error("withdrawals do not fit the fork")]
    Withdrawals,
    /// Senders and transactions differ in number.
    #[error("{senders} senders for {transactions} transactions")]
    Senders {
        /// Number of senders.
        senders: usize,
        /// Number of transactions.
        transactions: usize,
    },
    /// A transaction of a type no active fork has.
    #[error("transaction {index} has type {ty:#04x}")]
    TransactionType {
        /// Position in the block.
        index: usize,
        /// EIP-2718 type byte.
        ty: u8,
    },
    /// A fork's first block (Jovian and later) carries a user transaction.
    #[error("transaction {index} is no deposit, in the first block of a fork")]
    UserTransactionAtActivation {
        /// Position in the block.
        index: usize,
    },
}

impl InvalidBlock {
    /// Whether every block with this hash has the fault: see [`BodyError::is_of_the_hash`].
    pub const fn is_of_the_hash(&self) -> bool {
        match self {
            Self::Body(error) => error.is_of_the_hash(),
            _ => true,
        }
    }
}

impl BodyError {
    /// Whether every block with this hash has the fault. Another body under the same header might have none.
    pub const fn is_of_the_hash(&self) -> bool {
        !matches!(
            self,
            Self::TransactionsRoot { .. } | Self::Ommers | Self::Withdrawals | Self::Senders { .. }
        )
    }
}

/// Why a transaction cannot be executed at its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TxFault {
    /// Its gas limit is beyond what the block has left.
    #[error("gas limit {limit} is beyond the {available} left in the block")]
    Gas {
        /// The transaction's gas limit.
        limit: u64,
        /// Gas left in the block.
        available: u64,
    },
    /// Its DA footprint is beyond what the block has left (Jovian).
    #[error("DA footprint {footprint} is beyond the {available} left in the block")]
    DaFootprint {
        /// The transaction's footprint, in gas.
        footprint: u64,
        /// Footprint left in the block.
        available: u64,
    },
    /// The EVM refuses it: nonce, balance, intrinsic gas, type, ...
    #[error("{0}")]
    Invalid(OpTransactionError),
    /// A type no active fork has.
    #[error("type {0:#04x} is not supported")]
    Type(u8),
}

/// Why a block was not built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The attributes contradict the fork schedule or the parent.
    #[error("attributes: {0}")]
    Attributes(#[from] AttributesError),
    /// A forced transaction cannot be executed. It must not be skipped.
    #[error("forced transaction {index} ({hash}): {fault}")]
    Forced {
        /// Position among the forced transactions.
        index: usize,
        /// Its hash.
        hash: B256,
        /// What is wrong with it.
        fault: TxFault,
    },
    /// The parent's state could not be read.
    #[error("state: {0}")]
    State(#[from] StateError),
    /// The EVM failed for a reason that is not the attributes'.
    #[error("EVM: {0}")]
    Internal(String),
}

impl BuildError {
    /// Whether the attributes or the node is at fault.
    pub const fn severity(&self) -> Severity {
        match self {
            Self::Attributes(_) | Self::Forced { .. } => Severity::Reject,
            Self::State(_) | Self::Internal(_) => Severity::Fatal,
        }
    }
}

/// What is wrong with payload attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttributesError {
    /// Timestamp is not after the parent's.
    #[error("timestamp {timestamp} is not after the parent's {parent}")]
    Timestamp {
        /// Of the attributes.
        timestamp: u64,
        /// The parent's.
        parent: u64,
    },
    /// Gas limit is beyond 2⁶³−1.
    #[error("gas limit {0} is beyond 2^63-1")]
    GasLimit(u64),
    /// eip1559Params are required from Holocene on.
    #[error("eip1559Params are missing, and Holocene is active")]
    MissingEip1559Params,
    /// eip1559Params before Holocene.
    #[error("eip1559Params before Holocene")]
    UnexpectedEip1559Params,
    /// One half of eip1559Params is zero.
    #[error("eip1559Params: {0}")]
    Eip1559Params(ExtraDataError),
    /// minBaseFee is required from Jovian on.
    #[error("minBaseFee is missing, and Jovian is active")]
    MissingMinBaseFee,
    /// minBaseFee before Jovian.
    #[error("minBaseFee before Jovian")]
    UnexpectedMinBaseFee,
    /// parentBeaconBlockRoot is required from Ecotone on.
    #[error("parentBeaconBlockRoot is missing, and Ecotone is active")]
    MissingBeaconRoot,
    /// parentBeaconBlockRoot before Ecotone.
    #[error("parentBeaconBlockRoot before Ecotone")]
    UnexpectedBeaconRoot,
    /// A forced transaction is no deposit in the first block of a fork (Jovian and later).
    #[error("forced transaction {0} is no deposit, in the first block of a fork")]
    UserTransactionAtActivation(usize),
    /// The parent's extraData holds no EIP-1559 parameters although its fork has.
    #[error("parent's extraData: {0}")]
    ParentExtraData(ExtraDataError),
}

/// Why a call was not executed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The EVM refuses the transaction.
    #[error("{0}")]
    Invalid(OpTransactionError),
    /// The overrides contradict themselves.
    #[error("override: {0}")]
    Override(String),
    /// State could not be read.
    #[error("state: {0}")]
    State(#[from] StateError),
    /// The EVM failed otherwise.
    #[error("EVM: {0}")]
    Internal(String),
}

/// Why gas could not be estimated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EstimateError {
    /// It reverts with any gas.
    #[error("execution reverted")]
    Revert(Bytes),
    /// It halts with any gas.
    #[error("execution halted: {0:?}")]
    Halt(OpHaltReason),
    /// It needs more gas than the sender can pay for, or the chain allows.
    #[error("gas required exceeds allowance ({0})")]
    Allowance(u64),
    /// It cannot be executed at all.
    #[error(transparent)]
    Call(#[from] CallError),
}
