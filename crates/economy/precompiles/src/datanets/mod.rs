//! Datanets: create, commit, reveal, reject, remove, seal.
//!
//! ```text
//! commit ──next block──▶ reveal ──▶ leaf n of the tree ──seal──▶ part of epoch e, for ever
//!                                     │ reject (owner, before its first epoch): in no epoch, no priority
//!                                     └ remove (contributor): earns nothing from the next epoch, keeps its place
//! ```

mod contribute;
mod curate;
mod tree;
mod views;

pub(crate) use contribute::{commit, reveal};
pub(crate) use curate::{create, reject, remove, seal};
pub(crate) use views::{
    commitment_of, contributions, count, get, get_commitment, get_contribution, get_epoch, live,
};

use crate::host::{Halt, ensure};
use crate::layout;
use crate::machine::Machine;
use crate::params::{self, Param};
use crate::storage::Slot;
use alloy_primitives::{Address, U256};
use tributary_abi::IDatanets::{NotOwner, TooLong, UnknownContribution, UnknownDatanet};
use tributary_abi::address::DATANETS as HERE;

const ROOT: Slot = Slot::root(HERE, 0);

/// The slot of a datanet, and its first word; it exists.
fn datanet(m: &mut Machine<'_>, id: u64) -> Result<(Slot, U256), Halt> {
    let slot = m.entry(ROOT.of(layout::datanets::DATANETS), id)?;
    let head = m.load(slot)?;
    ensure!(!layout::datanet::OWNER.address(head).is_zero(), UnknownDatanet { id });
    Ok((slot, head))
}

/// The slot of a contribution, and its first word; it exists.
fn contribution(m: &mut Machine<'_>, id: u64) -> Result<(Slot, U256), Halt> {
    let slot = m.entry(ROOT.of(layout::datanets::CONTRIBUTIONS), id)?;
    let head = m.load(slot)?;
    let known = !layout::contribution::CONTRIBUTOR.address(head).is_zero();
    ensure!(known, UnknownContribution { contributionId: id });
    Ok((slot, head))
}

fn only_owner(m: &Machine<'_>, head: U256) -> Result<(), Halt> {
    let owner: Address = layout::datanet::OWNER.address(head);
    ensure!(m.caller == owner, NotOwner { caller: m.caller, owner });
    Ok(())
}

/// A name or uri within `maxTextBytes`.
pub(crate) fn check_text(m: &mut Machine<'_>, text: &str) -> Result<(), Halt> {
    let max = params::number(m, Param::MaxTextBytes)?;
    let length = text.len() as u64;
    ensure!(length <= max, TooLong { length: U256::from(length), max: U256::from(max) });
    Ok(())
}

/// Number of sealed epochs and the tokenizer, for whoever pins an epoch.
pub(crate) fn pinned(m: &mut Machine<'_>, id: u64) -> Result<(u64, U256), Halt> {
    let (slot, _) = datanet(m, id)?;
    let epochs = m.u64(slot, layout::datanet::EPOCHS)?;
    Ok((epochs, m.word(slot, layout::datanet::TOKENIZER_HASH)?))
}

/// Pays a fee that came as the call's value on to the treasury.
fn pay_fee(m: &mut Machine<'_>, fee: u128) -> Result<(), Halt> {
    m.expect_value(fee)?;
    let treasury = params::address(m, Param::Treasury)?;
    m.pay(HERE, treasury, fee)
}
