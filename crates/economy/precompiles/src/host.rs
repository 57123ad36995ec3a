//! What a state machine may do to the world: nothing that is not in [`Host`].

use alloy_primitives::{Address, Bytes, Log, U256};
use alloy_sol_types::SolError;

/// Why a call ended without a result. Its effects are undone by whoever made the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Halt {
    /// The gas is used up.
    OutOfGas,
    /// The caller is told why, in an ABI custom error.
    Revert(Bytes),
    /// The state could not be read: nothing the caller did, and no result can be trusted.
    Fatal(String),
}

/// Storage, balances, logs, gas and the block, for one call.
pub trait Host {
    /// Reads a storage slot.
    ///
    /// # Errors
    /// [`Halt::OutOfGas`], [`Halt::Fatal`].
    fn sload(&mut self, contract: Address, slot: U256) -> Result<U256, Halt>;

    /// Writes a storage slot.
    ///
    /// # Errors
    /// [`Halt::OutOfGas`], [`Halt::Fatal`].
    fn sstore(&mut self, contract: Address, slot: U256, value: U256) -> Result<(), Halt>;

    /// Moves a balance; runs no code. False when `from` has too little or `to` would overflow.
    ///
    /// # Errors
    /// [`Halt::OutOfGas`], [`Halt::Fatal`].
    fn transfer(&mut self, from: Address, to: Address, amount: U256) -> Result<bool, Halt>;

    /// Emits a log.
    ///
    /// # Errors
    /// [`Halt::OutOfGas`].
    fn log(&mut self, log: Log) -> Result<(), Halt>;

    /// Takes gas for work done in here.
    ///
    /// # Errors
    /// [`Halt::OutOfGas`].
    fn charge(&mut self, gas: u64) -> Result<(), Halt>;

    /// The number of the block being executed.
    fn block_number(&self) -> u64;

    /// Its timestamp, in seconds.
    fn timestamp(&self) -> u64;
}

/// A custom error as a halt.
pub(crate) fn revert<E: SolError>(error: E) -> Halt {
    Halt::Revert(error.abi_encode().into())
}

/// Ends the call with a custom error unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $error:expr $(,)?) => {
        if !$condition {
            return Err($crate::host::revert($error));
        }
    };
}
pub(crate) use ensure;
