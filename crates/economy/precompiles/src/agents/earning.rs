//! γ: what stakers earn, without a loop over them.
//!
//! `perShare` is the sum of all that one share earned so far, in 2⁻¹²⁸ wei; what a division leaves is carried to the
//! next. Deposits wait in buckets of an eighth of `challengeWindow` until they earn, so few buckets are ever open.
//! A bucket that is due notes `perShare`, and its shares earn from there.

use super::{HERE, agent, position_slot};
use crate::host::{Halt, ensure};
use crate::layout::{agent as field, bucket, position, waiting};
use crate::machine::{Machine, add, narrow, overflow, sub};
use crate::params::{self, Param};
use crate::storage::Slot;
use alloy_primitives::U256;
use tributary_abi::IAgents::{Collected, Earned, NothingToCollect, collectCall};

/// `perShare` and `earned` count in units of 2⁻¹²⁸ wei.
const FRACTION_BITS: usize = 128;
/// A bucket spans this part of the challenge window.
const BUCKETS_PER_WINDOW: u64 = 8;
/// Slots of a bucket.
const BUCKET_WORDS: u64 = 2;

/// An agent's pool and one position in it, brought up to date.
#[derive(Debug)]
pub(super) struct Earnings {
    agent: Slot,
    mine: Slot,
}

fn bucket_slot(m: &mut Machine<'_>, agent: Slot, index: u64) -> Result<Slot, Halt> {
    Ok(m.items(agent.of(field::BUCKETS))?.word(index * BUCKET_WORDS))
}

/// Lets the buckets that are due earn.
fn mature(m: &mut Machine<'_>, agent: Slot) -> Result<(), Halt> {
    let word = m.word(agent, field::HEAD)?;
    let first = field::HEAD.u64(word);
    let length = m.length(agent.of(field::BUCKETS))?;
    let mut head = first;
    let mut matured = 0u128;
    let per_share = if first < length { m.word(agent, field::PER_SHARE)? } else { U256::ZERO };
    while head < length {
        let slot = bucket_slot(m, agent, head)?;
        let due = m.load(slot)?;
        if bucket::EARNS_FROM.u64(due) > m.now {
            break;
        }
        matured = add(matured, bucket::SHARES.u128(due))?;
        m.store(slot.of(bucket::PER_SHARE), per_share)?;
        head += 1;
    }
    if head == first {
        return Ok(());
    }
    m.store(agent.of(field::HEAD), field::HEAD.put(word, head))?;
    let earning = m.u128(agent, field::EARNING_SHARES)?;
    m.set(agent, field::EARNING_SHARES, add(earning, matured)?)
}

/// Shares of the buckets that are due but not yet counted.
pub(super) fn due_shares(m: &mut Machine<'_>, agent: Slot) -> Result<u128, Halt> {
    let head = m.u64(agent, field::HEAD)?;
    let length = m.length(agent.of(field::BUCKETS))?;
    let mut due = 0;
    for index in head..length {
        let slot = bucket_slot(m, agent, index)?;
        let word = m.load(slot)?;
        if bucket::EARNS_FROM.u64(word) > m.now {
            break;
        }
        due = add(due, bucket::SHARES.u128(word))?;
    }
    Ok(due)
}

/// What a position has earned (in fractions) and how many of its shares earn, as of now; writes nothing.
pub(super) fn peek(m: &mut Machine<'_>, agent: Slot, mine: Slot) -> Result<(U256, u128), Halt> {
    let per_share = m.word(agent, field::PER_SHARE)?;
    let mut earning = m.u128(mine, position::EARNING)?;
    let mut earned = m.word(mine, position::EARNED)?;
    let since = m.word(mine, position::PER_SHARE)?;
    earned = accrue(earned, earning, per_share, since)?;
    let head = m.u64(agent, field::HEAD)?;
    let list = mine.of(position::WAITING);
    for index in m.u64(mine, position::HEAD)?..m.length(list)? {
        let word = waiting_item(m, list, index)?.1;
        let slot = bucket_slot(m, agent, waiting::BUCKET.u64(word))?;
        let (shares, due) = (waiting::SHARES.u128(word), m.load(slot)?);
        if waiting::BUCKET.u64(word) < head {
            let since = m.word(slot, bucket::PER_SHARE)?;
            earned = accrue(earned, shares, per_share, since)?;
        } else if bucket::EARNS_FROM.u64(due) > m.now {
            break;
        }
        earning = add(earning, shares)?;
    }
    Ok((earned, earning))
}

fn accrue(earned: U256, shares: u128, per_share: U256, since: U256) -> Result<U256, Halt> {
    let rise = per_share.checked_sub(since).ok_or_else(overflow)?;
    let more = rise.checked_mul(U256::from(shares)).ok_or_else(overflow)?;
    earned.checked_add(more).ok_or_else(overflow)
}

fn waiting_item(m: &mut Machine<'_>, list: Slot, index: u64) -> Result<(Slot, U256), Halt> {
    let slot = m.items(list)?.word(index);
    Ok((slot, m.load(slot)?))
}

impl Earnings {
    /// Brings the pool and a position up to date: what was earned is booked, what is due earns from now on.
    pub(super) fn settle(m: &mut Machine<'_>, agent: Slot, mine: Slot) -> Result<Self, Halt> {
        mature(m, agent)?;
        let (earned, earning) = peek(m, agent, mine)?;
        m.set(mine, position::EARNED, earned)?;
        m.set(mine, position::EARNING, earning)?;
        let per_share = m.word(agent, field::PER_SHARE)?;
        m.set(mine, position::PER_SHARE, per_share)?;
        let list = mine.of(position::WAITING);
        let (first, length) = (m.u64(mine, position::HEAD)?, m.length(list)?);
        let agent_head = m.u64(agent, field::HEAD)?;
        let mut head = first;
        while head < length && waiting::BUCKET.u64(waiting_item(m, list, head)?.1) < agent_head {
            head += 1;
        }
        if head != first {
            m.set(mine, position::HEAD, head)?;
        }
        Ok(Self { agent, mine })
    }
}

/// Puts new shares of a settled position into the bucket that is due after the challenge window; returns when.
pub(super) fn enqueue(m: &mut Machine<'_>, at: &Earnings, shares: u128) -> Result<u64, Halt> {
    let window = params::number(m, Param::ChallengeWindow)?;
    let span = (window / BUCKETS_PER_WINDOW).max(1);
    let wanted = m.now.saturating_add(window).div_ceil(span).saturating_mul(span);
    let (index, earns_from) = open_bucket(m, at.agent, wanted)?;
    let slot = bucket_slot(m, at.agent, index)?;
    let word = m.load(slot)?;
    let word = bucket::SHARES.put(word, add(bucket::SHARES.u128(word), shares)?);
    m.store(slot, word)?;

    let list = at.mine.of(position::WAITING);
    let length = m.length(list)?;
    if length > m.u64(at.mine, position::HEAD)? {
        let (slot, word) = waiting_item(m, list, length - 1)?;
        if waiting::BUCKET.u64(word) == index {
            let sum = add(waiting::SHARES.u128(word), shares)?;
            m.store(slot, waiting::SHARES.put(word, sum))?;
            return Ok(earns_from);
        }
    }
    let slot = m.items(list)?.word(length);
    m.store(slot, waiting::SHARES.put(waiting::BUCKET.put(U256::ZERO, index), shares))?;
    m.store(list, U256::from(length + 1))?;
    Ok(earns_from)
}

/// The last bucket if it is still open and due no earlier, else a new one: they are due in order.
fn open_bucket(m: &mut Machine<'_>, agent: Slot, wanted: u64) -> Result<(u64, u64), Halt> {
    let list = agent.of(field::BUCKETS);
    let length = m.length(list)?;
    if length > m.u64(agent, field::HEAD)? {
        let slot = bucket_slot(m, agent, length - 1)?;
        let due = bucket::EARNS_FROM.u64(m.load(slot)?);
        if due >= wanted {
            return Ok((length - 1, due));
        }
    }
    let slot = bucket_slot(m, agent, length)?;
    m.store(slot, bucket::EARNS_FROM.put(U256::ZERO, wanted))?;
    m.store(list, U256::from(length + 1))?;
    Ok((length, wanted))
}

/// Takes shares out of a settled position: those that earn first, then those that wait, oldest first.
pub(super) fn drop_shares(m: &mut Machine<'_>, at: &Earnings, shares: u128) -> Result<(), Halt> {
    let earning = m.u128(at.mine, position::EARNING)?;
    let taken = earning.min(shares);
    m.set(at.mine, position::EARNING, earning - taken)?;
    let all = m.u128(at.agent, field::EARNING_SHARES)?;
    m.set(at.agent, field::EARNING_SHARES, sub(all, taken)?)?;
    let mut left = shares - taken;
    let list = at.mine.of(position::WAITING);
    let (first, length) = (m.u64(at.mine, position::HEAD)?, m.length(list)?);
    for index in first..length {
        if left == 0 {
            break;
        }
        let (slot, word) = waiting_item(m, list, index)?;
        let taken = waiting::SHARES.u128(word).min(left);
        m.store(slot, waiting::SHARES.put(word, waiting::SHARES.u128(word) - taken))?;
        let slot = bucket_slot(m, at.agent, waiting::BUCKET.u64(word))?;
        let word = m.load(slot)?;
        m.store(slot, bucket::SHARES.put(word, sub(bucket::SHARES.u128(word), taken)?))?;
        left -= taken;
    }
    if left == 0 { Ok(()) } else { Err(overflow()) }
}

/// Books γ of a final batch; false when nobody earns, and it is the treasury's.
pub(crate) fn earn(m: &mut Machine<'_>, id: u64, amount: u128) -> Result<bool, Halt> {
    if amount == 0 {
        return Ok(true);
    }
    let (slot, _) = agent(m, id)?;
    mature(m, slot)?;
    let word = m.word(slot, field::EARNING_SHARES)?;
    let earning = U256::from(field::EARNING_SHARES.u128(word));
    let earns = !earning.is_zero();
    if earns {
        let carried = m.word(slot, field::CARRY)?;
        let scaled = (U256::from(amount) << FRACTION_BITS).checked_add(carried).ok_or_else(overflow)?;
        let per_share = m.word(slot, field::PER_SHARE)?;
        let per_share = per_share.checked_add(scaled / earning).ok_or_else(overflow)?;
        m.set(slot, field::PER_SHARE, per_share)?;
        m.set(slot, field::CARRY, scaled % earning)?;
        let unpaid = add(field::UNPAID.u128(word), amount)?;
        m.store(slot.of(field::UNPAID), field::UNPAID.put(word, unpaid))?;
    }
    m.emit(HERE, &Earned { id, amount, toTreasury: !earns })?;
    Ok(earns)
}

/// Whole wei of an amount in fractions.
pub(super) fn whole(earned: U256) -> Result<u128, Halt> {
    narrow(earned >> FRACTION_BITS)
}

pub(crate) fn collect(m: &mut Machine<'_>, call: collectCall) -> Result<u128, Halt> {
    let (slot, _) = agent(m, call.id)?;
    let account = m.caller;
    let mine = position_slot(m, call.id, account)?;
    Earnings::settle(m, slot, mine)?;
    let earned = m.word(mine, position::EARNED)?;
    let amount = whole(earned)?;
    ensure!(amount > 0, NothingToCollect {});
    m.set(mine, position::EARNED, earned - (U256::from(amount) << FRACTION_BITS))?;
    let word = m.word(slot, field::UNPAID)?;
    let unpaid = sub(field::UNPAID.u128(word), amount)?;
    m.store(slot.of(field::UNPAID), field::UNPAID.put(word, unpaid))?;
    m.pay(HERE, account, amount)?;
    m.emit(HERE, &Collected { id: call.id, account, amount })?;
    Ok(amount)
}
