//! Stake and shares, as ERC-4626 with a virtual offset; always rounded down.

use super::earning::{self, Earnings};
use super::{HERE, Standing, position_slot, standing};
use crate::attribution;
use crate::host::{Halt, ensure};
use crate::layout::{agent as field, position};
use crate::machine::{Machine, add, narrow, sub};
use crate::params::{self, Param};
use crate::storage::Slot;
use alloy_primitives::U256;
use tributary_abi::IAgents::{
    AgentRetired, InCooldown, NotEnoughShares, NothingToWithdraw, StakeLocked, Staked, UnstakeRequested,
    Withdrawn, ZeroShares, requestUnstakeCall, stakeCall, withdrawCall,
};

/// Shares that a pool begins with in the arithmetic, against one wei: the first staker cannot distort the price.
const VIRTUAL_SHARES: u128 = 1000;

/// ⌊shares · (assets + 1) / (total + virtual)⌋
fn to_assets(shares: u128, assets: u128, total: u128) -> Result<u128, Halt> {
    let product = U256::from(shares).saturating_mul(U256::from(assets) + U256::ONE);
    narrow(product / (U256::from(total) + U256::from(VIRTUAL_SHARES)))
}

/// ⌊deposit · (total + virtual) / (assets + 1)⌋
fn to_shares(deposit: u128, assets: u128, total: u128) -> Result<u128, Halt> {
    let product = U256::from(deposit).saturating_mul(U256::from(total) + U256::from(VIRTUAL_SHARES));
    narrow(product / (U256::from(assets) + U256::ONE))
}

/// What shares of an agent's pool are worth now.
pub(super) fn value_of(m: &mut Machine<'_>, agent: Slot, shares: u128) -> Result<u128, Halt> {
    let word = m.word(agent, field::ASSETS)?;
    to_assets(shares, field::ASSETS.u128(word), field::SHARES.u128(word))
}

pub(crate) fn stake(m: &mut Machine<'_>, call: stakeCall) -> Result<u128, Halt> {
    let standing = standing(m, call.id)?;
    ensure!(!standing.retiring, AgentRetired { id: call.id });
    let assets = m.deposit()?;
    deposit(m, call.id, standing.slot, assets)
}

/// Turns the call's value into shares of the caller.
pub(super) fn deposit(m: &mut Machine<'_>, id: u64, agent: Slot, assets: u128) -> Result<u128, Halt> {
    let account = m.caller;
    let word = m.word(agent, field::ASSETS)?;
    let (held, total) = (field::ASSETS.u128(word), field::SHARES.u128(word));
    let shares = to_shares(assets, held, total)?;
    ensure!(shares > 0, ZeroShares {});
    let word = field::ASSETS.put(word, add(held, assets)?);
    m.store(agent.of(field::ASSETS), field::SHARES.put(word, add(total, shares)?))?;

    let mine = position_slot(m, id, account)?;
    let earnings = Earnings::settle(m, agent, mine)?;
    let owned = m.u128(mine, position::SHARES)?;
    m.set(mine, position::SHARES, add(owned, shares)?)?;
    let earns_from = earning::enqueue(m, &earnings, shares)?;
    m.emit(HERE, &Staked { id, account, assets, shares, earnsFrom: earns_from })?;
    Ok(shares)
}

/// The owner's stake may go below `minStake` once the agent is out of service and nothing it did is open.
fn check_lock(m: &mut Machine<'_>, id: u64, standing: &Standing, left: u128) -> Result<(), Halt> {
    if m.caller != standing.owner || (standing.retired && !attribution::has_pending(m, id)?) {
        return Ok(());
    }
    let required = params::amount(m, Param::MinStake)?;
    ensure!(value_of(m, standing.slot, left)? >= required, StakeLocked { id });
    Ok(())
}

pub(crate) fn request_unstake(m: &mut Machine<'_>, call: requestUnstakeCall) -> Result<u64, Halt> {
    let standing = standing(m, call.id)?;
    let account = m.caller;
    let mine = position_slot(m, call.id, account)?;
    let owned = m.u128(mine, position::SHARES)?;
    let word = m.word(mine, position::UNSTAKING)?;
    let before = position::UNSTAKING.u128(word);
    let free = sub(owned, before)?;
    let enough = call.shares > 0 && call.shares <= free;
    ensure!(enough, NotEnoughShares { has: free, wanted: call.shares });
    check_lock(m, call.id, &standing, free - call.shares)?;
    let unstaking = add(before, call.shares)?;
    let ready_at = m.now.saturating_add(params::number(m, Param::UnstakeCooldown)?);
    let word = position::READY_AT.put(position::UNSTAKING.put(word, unstaking), ready_at);
    m.store(mine.of(position::UNSTAKING), word)?;
    m.emit(
        HERE,
        &UnstakeRequested { id: call.id, account, shares: call.shares, unstaking, readyAt: ready_at },
    )?;
    Ok(ready_at)
}

pub(crate) fn withdraw(m: &mut Machine<'_>, call: withdrawCall) -> Result<u128, Halt> {
    let standing = standing(m, call.id)?;
    let account = m.caller;
    let mine = position_slot(m, call.id, account)?;
    let word = m.word(mine, position::UNSTAKING)?;
    let shares = position::UNSTAKING.u128(word);
    ensure!(shares > 0, NothingToWithdraw {});
    let ready_at = position::READY_AT.u64(word);
    ensure!(m.now >= ready_at, InCooldown { readyAt: ready_at });
    let left = sub(m.u128(mine, position::SHARES)?, shares)?;
    check_lock(m, call.id, &standing, left)?;

    let earnings = Earnings::settle(m, standing.slot, mine)?;
    earning::drop_shares(m, &earnings, shares)?;
    let totals = m.word(standing.slot, field::ASSETS)?;
    let (held, total) = (field::ASSETS.u128(totals), field::SHARES.u128(totals));
    let assets = to_assets(shares, held, total)?;
    let totals = field::ASSETS.put(totals, sub(held, assets)?);
    m.store(standing.slot.of(field::ASSETS), field::SHARES.put(totals, sub(total, shares)?))?;
    m.set(mine, position::SHARES, left)?;
    let word = m.word(mine, position::UNSTAKING)?;
    let word = position::READY_AT.put(position::UNSTAKING.put(word, 0u64), 0u64);
    m.store(mine.of(position::UNSTAKING), word)?;
    m.pay(HERE, account, assets)?;
    m.emit(HERE, &Withdrawn { id: call.id, account, assets, shares })?;
    Ok(assets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deposit_is_worth_itself_and_never_more() {
        let (mut assets, mut total) = (0u128, 0u128);
        for deposit in [1, 1_000_000_007, 3, (1 << 96) - 1] {
            let shares = to_shares(deposit, assets, total).unwrap();
            assets += deposit;
            total += shares;
            assert_eq!(to_assets(shares, assets, total).unwrap(), deposit);
        }
        // A slashed pool is worth nothing.
        assert_eq!(to_assets(total, 0, total).unwrap(), 0);
    }
}
