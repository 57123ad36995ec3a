//! Addresses the protocol itself knows.

use alloy_primitives::{Address, address};

/// Sender of every L1-attributes deposit.
pub const DEPOSITOR: Address = address!("deaddeaddeaddeaddeaddeaddeaddeaddead0001");
/// Holds the L1 origin and the fee scalars; written by the first transaction of each block.
pub const L1_BLOCK: Address = address!("4200000000000000000000000000000000000015");
/// Withdrawals to L1. Since Isthmus its storage root is the header's `withdrawalsRoot`.
pub const MESSAGE_PASSER: Address = address!("4200000000000000000000000000000000000016");
/// Receives priority fees; the usual coinbase.
pub const SEQUENCER_FEE_VAULT: Address = address!("4200000000000000000000000000000000000011");
/// Receives base fees.
pub const BASE_FEE_VAULT: Address = address!("4200000000000000000000000000000000000019");
/// Receives L1 data fees.
pub const L1_FEE_VAULT: Address = address!("420000000000000000000000000000000000001A");
/// Receives operator fees (Isthmus).
pub const OPERATOR_FEE_VAULT: Address = address!("420000000000000000000000000000000000001B");
/// Force-deployed in the block at Canyon's time.
pub const CREATE2_DEPLOYER: Address = address!("13b0D85CcB8bf860b6b79AF3029fCA081AE9beF2");
