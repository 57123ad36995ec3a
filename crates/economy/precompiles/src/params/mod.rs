//! Governed parameters: versioned values, their ranges, and the rules that join them.

mod functions;
mod rules;
mod table;

pub(crate) use functions::{all, all_at, at_block, get, set, set_many};
pub(crate) use rules::check as check_rules;
pub(crate) use table::Param;
pub use table::{PARAMS, ParamSpec, key_of};

use crate::host::Halt;
use crate::layout;
use crate::machine::Machine;
use crate::storage::{Slot, low_u128, to_address, versioned};
use alloy_primitives::{Address, U256};
use tributary_abi::address::PARAMS as HERE;

/// The list of a parameter's values.
pub(crate) fn list(m: &mut Machine<'_>, param: Param) -> Result<Slot, Halt> {
    m.entry(Slot::root(HERE, 0).of(layout::params::HISTORY), key_of(param.spec().name))
}

/// The value in effect at a block; zero before the first.
pub(crate) fn at(m: &mut Machine<'_>, param: Param, block: u64) -> Result<U256, Halt> {
    let list = list(m, param)?;
    Ok(versioned::at(m, list, block)?.unwrap_or_default())
}

/// The amount in effect now.
pub(crate) fn amount(m: &mut Machine<'_>, param: Param) -> Result<u128, Halt> {
    let block = m.block;
    at(m, param, block).map(low_u128)
}

/// The number in effect now; all but amounts and addresses fit 64 bits by their range.
pub(crate) fn number(m: &mut Machine<'_>, param: Param) -> Result<u64, Halt> {
    amount(m, param).map(|value| value as u64)
}

/// The address in effect now.
pub(crate) fn address(m: &mut Machine<'_>, param: Param) -> Result<Address, Halt> {
    let block = m.block;
    at(m, param, block).map(to_address)
}
