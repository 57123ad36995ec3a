//! Agents: who serves, and the stake behind them.
//!
//! ```text
//! stake ──▶ shares, at once slashable ──challengeWindow──▶ earning ──γ of final batches──▶ collect
//!             └ requestUnstake ──unstakeCooldown──▶ withdraw, at the value of then
//! ```

mod earning;
mod pool;
mod registry;
mod slashing;
mod views;

pub(crate) use earning::{collect, earn};
pub(crate) use pool::{request_unstake, stake, withdraw};
pub(crate) use registry::{register, retire, set_endpoint, set_operator};
pub(crate) use slashing::{pay_reward, slash};
pub(crate) use views::{count, get, operator_at, position, retired_at, reward_of};

use crate::host::{Halt, ensure};
use crate::layout;
use crate::machine::Machine;
use crate::params::{self, Param};
use crate::storage::{Slot, to_address, versioned};
use alloy_primitives::{Address, U256};
use tributary_abi::IAgents::{NotOwner, UnknownAgent};
use tributary_abi::address::AGENTS as HERE;

const ROOT: Slot = Slot::root(HERE, 0);

/// The kind that serves nobody.
pub(crate) const VALIDATOR: u8 = 1;

/// The slot of an agent, and its first word; it exists.
fn agent(m: &mut Machine<'_>, id: u64) -> Result<(Slot, U256), Halt> {
    let slot = m.entry(ROOT.of(layout::agents::AGENTS), id)?;
    let head = m.load(slot)?;
    ensure!(!layout::agent::OWNER.address(head).is_zero(), UnknownAgent { id });
    Ok((slot, head))
}

/// An agent of the caller.
fn owned(m: &mut Machine<'_>, id: u64) -> Result<(Slot, U256), Halt> {
    let (slot, head) = agent(m, id)?;
    let owner = layout::agent::OWNER.address(head);
    ensure!(m.caller == owner, NotOwner { caller: m.caller, owner });
    Ok((slot, head))
}

fn position_slot(m: &mut Machine<'_>, id: u64, account: Address) -> Result<Slot, Halt> {
    let of_agent = m.entry(ROOT.of(layout::agents::POSITIONS), id)?;
    m.entry(of_agent, account)
}

/// The operator's key at a block; zero before the first.
fn operator(m: &mut Machine<'_>, slot: Slot, block: u64) -> Result<Address, Halt> {
    let value = versioned::at(m, slot.of(layout::agent::OPERATORS), block)?;
    Ok(value.map(to_address).unwrap_or_default())
}

const fn retired_by(from: u64, block: u64) -> bool {
    from != 0 && from <= block
}

/// What others ask of an agent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    pub(crate) slot: Slot,
    pub(crate) owner: Address,
    pub(crate) kind: u8,
    /// Retirement has been asked for, in effect or not.
    pub(crate) retiring: bool,
    /// Retirement is in effect.
    pub(crate) retired: bool,
}

/// An agent's standing in this block.
pub(crate) fn standing(m: &mut Machine<'_>, id: u64) -> Result<Standing, Halt> {
    let (slot, head) = agent(m, id)?;
    let from = m.u64(slot, layout::agent::RETIRED_FROM)?;
    Ok(Standing {
        slot,
        owner: layout::agent::OWNER.address(head),
        kind: layout::agent::KIND.u64(head) as u8,
        retiring: from != 0,
        retired: retired_by(from, m.block),
    })
}

/// The operator's key in this block.
pub(crate) fn operator_now(m: &mut Machine<'_>, standing: &Standing) -> Result<Address, Halt> {
    let block = m.block;
    operator(m, standing.slot, block)
}

/// The owner's stake that is not in cooldown, and the least it must be.
pub(crate) fn owner_stake(m: &mut Machine<'_>, id: u64, standing: &Standing) -> Result<(u128, u128), Halt> {
    use layout::position as field;
    let position = position_slot(m, id, standing.owner)?;
    let shares = m.u128(position, field::SHARES)?;
    let unstaking = m.u128(position, field::UNSTAKING)?;
    let held = pool::value_of(m, standing.slot, shares.saturating_sub(unstaking))?;
    Ok((held, params::amount(m, Param::MinStake)?))
}
