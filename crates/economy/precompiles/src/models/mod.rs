//! Models: base models, the adapters pinned to sealed epochs, their rates and owners.

mod register;
mod update;
mod views;

pub(crate) use register::{register_adapter, register_base};
pub(crate) use update::{accept_transfer, retire, set_rates, set_uri, transfer};
pub(crate) use views::{count, get, id_of, id_of_artifact, owner_at, rates_at, retired_at};

use crate::host::{Halt, ensure};
use crate::layout;
use crate::machine::Machine;
use crate::storage::{Slot, low_u128, to_address, versioned};
use alloy_primitives::{Address, U256};
use tributary_abi::IModels::UnknownModel;
use tributary_abi::address::MODELS as HERE;
use tributary_record::fees::Rates;

const ROOT: Slot = Slot::root(HERE, 0);
const RATE_BITS: usize = 96;

/// The slot of a model, and its first word; it exists.
fn model(m: &mut Machine<'_>, id: u64) -> Result<(Slot, U256), Halt> {
    let slot = m.entry(ROOT.of(layout::models::MODELS), id)?;
    let head = m.load(slot)?;
    // The registration block is never zero: genesis has no calls.
    ensure!(layout::model::REGISTERED_BLOCK.u64(head) != 0, UnknownModel { id });
    Ok((slot, head))
}

/// The base of a model, 0 for a base model itself.
pub(crate) fn base_of(m: &mut Machine<'_>, id: u64) -> Result<u64, Halt> {
    let (_, head) = model(m, id)?;
    Ok(layout::model::BASE_ID.u64(head))
}

/// The rates in effect at a block; zero before the first.
pub(crate) fn rates(m: &mut Machine<'_>, id: u64, block: u64) -> Result<Rates, Halt> {
    let (slot, _) = model(m, id)?;
    let value = versioned::at(m, slot.of(layout::model::RATES), block)?.unwrap_or_default();
    let mask = (1u128 << RATE_BITS) - 1;
    Ok(Rates { input: low_u128(value) & mask, output: low_u128(value >> RATE_BITS) & mask })
}

/// The owner in effect at a block; zero before the first.
fn owner(m: &mut Machine<'_>, slot: Slot, block: u64) -> Result<Address, Halt> {
    let value = versioned::at(m, slot.of(layout::model::OWNERS), block)?;
    Ok(value.map(to_address).unwrap_or_default())
}

/// Whether a word of the first slot says retired at a block.
fn is_retired(head: U256, block: u64) -> bool {
    let from = layout::model::RETIRED_FROM.u64(head);
    from != 0 && from <= block
}

/// Whether retirement has been asked for, in effect or not.
fn is_retiring(head: U256) -> bool {
    layout::model::RETIRED_FROM.u64(head) != 0
}
