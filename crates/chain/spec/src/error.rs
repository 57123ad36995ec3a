//! Errors of reading a chain's genesis, extraData and blocks. All of them mean: this input is refused.

use crate::At;
use alloy_primitives::B256;

/// Why a genesis file is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// The file is not genesis JSON.
    #[error("genesis is not valid JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The config does not say which chain it is of.
    #[error("config has no `chainId`")]
    NoChainId,
    /// The genesis block has a number.
    #[error("genesis has number {0}: a chain begins at block 0")]
    GenesisNumber(u64),
    /// The config has no `optimism` section.
    #[error("config has no `optimism` section: not an OP Stack chain")]
    NotOptimism,
    /// A key has a value of the wrong type or range.
    #[error("config key `{key}`: {reason}")]
    BadValue {
        /// The key, with its section.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A fork this node does not implement is scheduled.
    #[error("config schedules `{key}`, a fork this node does not implement")]
    UnsupportedFork {
        /// The key.
        key: String,
    },
    /// A key that looks like a fork and means nothing to this node.
    #[error("config key `{0}` looks like a fork this node has never heard of")]
    UnknownFork(String),
    /// A fork is scheduled but an earlier one is not, or comes after it.
    #[error("fork order: {later} at {later_time} needs {earlier} at or before it, which is {}", At(*.earlier_time))]
    ForkOrder {
        /// The earlier fork.
        earlier: &'static str,
        /// Its time, if any.
        earlier_time: Option<u64>,
        /// The later fork.
        later: &'static str,
        /// Its time.
        later_time: u64,
    },
    /// An L1 fork key contradicts the OP fork that implies it.
    #[error("config key `{key}` is {found}, but this chain's OP forks imply: {}", At(*.expected))]
    L1Mismatch {
        /// The L1 key.
        key: &'static str,
        /// Its value.
        found: u64,
        /// What the OP schedule implies; `None` is never.
        expected: Option<u64>,
    },
    /// The chain has blocks from before Bedrock.
    #[error("bedrockBlock is {0}: chains with pre-Bedrock history are not supported")]
    PreBedrock(u64),
    /// The genesis extraData does not fit the forks active at genesis.
    #[error("genesis extraData: {0}")]
    GenesisExtraData(#[from] ExtraDataError),
}

/// Why an extraData field, or the parameters that go into one, are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExtraDataError {
    /// Not the length of the version its fork asks for.
    #[error("extraData has {found} bytes, {expected} wanted")]
    Length {
        /// Bytes found.
        found: usize,
        /// Bytes the fork asks for.
        expected: usize,
    },
    /// Not the version byte its fork asks for.
    #[error("extraData version {found}, {expected} wanted")]
    Version {
        /// Version found.
        found: u8,
        /// Version the fork asks for.
        expected: u8,
    },
    /// The denominator is zero.
    #[error("EIP-1559 denominator is zero")]
    ZeroDenominator,
    /// The elasticity is zero.
    #[error("EIP-1559 elasticity is zero")]
    ZeroElasticity,
}

/// Why a block's senders cannot be recovered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// A signature is malformed, or its `s` is in the upper half.
    #[error("transaction {hash}: invalid signature")]
    Signature {
        /// Hash of the transaction.
        hash: B256,
    },
    /// A transaction type no active or planned fork of this node has.
    #[error("transaction {hash}: type {ty:#04x} is not supported")]
    UnsupportedType {
        /// Hash of the transaction.
        hash: B256,
        /// The EIP-2718 type byte.
        ty: u8,
    },
}
