//! The price of everything that is not a storage access, a log or a balance move.
//!
//! Those three cost what the EVM takes for SLOAD, SSTORE, LOG and CALL with value (EIP-2200, 2929, 3529), cold and
//! warm. The prices here are for work done natively; how they were measured is in `docs/decisions/0007-economy-gas.md`.

use revm::interpreter::gas as evm;

/// Every call: the selector, the guards, the frame.
pub const CALL: u64 = 200;
/// A word of calldata decoded, and a word of output encoded.
pub const WORD: u64 = 6;
/// A hash, whatever its length.
pub const KECCAK: u64 = evm::KECCAK256;
/// A word hashed.
pub const KECCAK_WORD: u64 = evm::KECCAK256WORD;
/// A signature recovered: what the EVM's own precompile takes.
pub const ECRECOVER: u64 = 3000;
/// A byte of a record parsed.
pub const RECORD_BYTE: u64 = 2;

/// The EVM's price of a warm access.
pub(crate) const WARM: u64 = evm::WARM_STORAGE_READ_COST;
/// The EVM's price of a cold slot.
pub(crate) const COLD_SLOT: u64 = evm::COLD_SLOAD_COST;
/// The EVM's price of a cold account.
pub(crate) const COLD_ACCOUNT: u64 = evm::COLD_ACCOUNT_ACCESS_COST;
/// The EVM's price of a call that carries value.
pub(crate) const VALUE: u64 = evm::CALLVALUE;
/// The EVM's price of an account that did not exist.
pub(crate) const NEW_ACCOUNT: u64 = evm::NEWACCOUNT;
/// The EVM's price of a slot that was zero.
pub(crate) const SSTORE_SET: u64 = evm::SSTORE_SET;
/// The EVM's price of a slot that changes, without the access.
pub(crate) const SSTORE_RESET: u64 = evm::WARM_SSTORE_RESET;
/// EIP-3529's refund for a slot that becomes zero.
pub(crate) const SSTORE_CLEARS: i64 = (evm::WARM_SSTORE_RESET + evm::ACCESS_LIST_STORAGE_KEY) as i64;
/// EIP-2200: an SSTORE with no more gas than a call's stipend fails.
pub(crate) const STIPEND: u64 = evm::CALL_STIPEND;
/// The EVM's price of a log, of a topic, of a byte.
pub(crate) const LOG: [u64; 3] = [evm::LOG, evm::LOGTOPIC, evm::LOGDATA];

/// The price of hashing `bytes`.
#[must_use]
pub const fn keccak(bytes: usize) -> u64 {
    KECCAK + KECCAK_WORD * words(bytes)
}

/// Whole words that hold `bytes`.
#[must_use]
pub const fn words(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(32)
}
