//! What batches take from channels under vouchers, and what void batches give back.

use super::{CLOSED, HERE, channel, status};
use crate::attribution;
use crate::gas;
use crate::host::{Halt, ensure, revert};
use crate::layout::channel as field;
use crate::machine::{Machine, add, sub};
use alloy_primitives::{Address, B256, U256};
use tributary_abi::IAttribution::{BadVoucher, CapExceeded, ChannelIsClosed, Debit, WrongAgent};
use tributary_abi::ISettlement::{AlreadyRefunded, NotVoid, Refunded, WrongDebits, refundCall, refundReturn};
use tributary_record::voucher::{self, Voucher};

/// What a voucher's digest hashes: its struct, the domain, the two joined.
const VOUCHER_GAS: u64 = gas::keccak(4 * 32) + gas::keccak(5 * 32) + gas::keccak(66) + gas::ECRECOVER;

/// A channel and what a batch took from it.
pub(crate) type Debited = (B256, u128);

/// Takes a debit of an agent's batch from its channel.
pub(crate) fn redeem(m: &mut Machine<'_>, agent: u64, debit: &Debit, signature: &[u8]) -> Result<(), Halt> {
    let id = debit.channel;
    let (slot, head) = channel(m, id)?;
    let its_agent = field::AGENT_ID.u64(head);
    ensure!(its_agent == agent, WrongAgent { channel: id, agentId: its_agent });
    ensure!(status(head) != CLOSED, ChannelIsClosed { channel: id });
    let cumulative: u128 = debit.cumulative.try_into().map_err(|_| revert(BadVoucher { channel: id }))?;
    let word = m.word(slot, field::DEPOSITED)?;
    let (deposited, settled) = (field::DEPOSITED.u128(word), field::SETTLED.u128(word));
    let cap = cumulative.min(deposited);
    let after = settled.checked_add(debit.amount).filter(|after| *after <= cap);
    let after =
        after.ok_or_else(|| revert(CapExceeded { channel: id, settled, amount: debit.amount, cap }))?;
    let signer = signer(m, debit, signature)?;
    ensure!(signer == Some(field::SIGNER.address(head)), BadVoucher { channel: id });
    m.store(slot.of(field::DEPOSITED), field::SETTLED.put(word, after))
}

fn signer(m: &mut Machine<'_>, debit: &Debit, signature: &[u8]) -> Result<Option<Address>, Halt> {
    m.charge(VOUCHER_GAS)?;
    let voucher =
        Voucher { channel: debit.channel, cumulative: debit.cumulative, request_hash: debit.requestHash };
    let digest = voucher.digest(m.config.chain_id);
    Ok(voucher::recover(digest, signature).ok())
}

/// hash(abi.encode((bytes32 channel, uint128 amount)[])): what a batch keeps of its debits.
pub(crate) fn debits_hash(m: &mut Machine<'_>, debits: &[Debited]) -> Result<B256, Halt> {
    let mut bytes = Vec::with_capacity(64 + debits.len() * 64);
    bytes.extend_from_slice(&U256::from(32).to_be_bytes::<32>());
    bytes.extend_from_slice(&U256::from(debits.len()).to_be_bytes::<32>());
    for (channel, amount) in debits {
        bytes.extend_from_slice(channel.as_slice());
        bytes.extend_from_slice(&U256::from(*amount).to_be_bytes::<32>());
    }
    m.keccak(&bytes)
}

pub(crate) fn refund(m: &mut Machine<'_>, call: refundCall) -> Result<refundReturn, Halt> {
    let batch_id = call.batchId;
    let batch = attribution::refundable(m, batch_id)?;
    ensure!(batch.void, NotVoid { batchId: batch_id });
    ensure!(!batch.refunded, AlreadyRefunded { batchId: batch_id });
    let debits: Vec<Debited> = call.debits.iter().map(|debit| (debit.channel, debit.amount)).collect();
    let hash = debits_hash(m, &debits)?;
    ensure!(hash == batch.debits_hash, WrongDebits { batchId: batch_id });
    attribution::mark_refunded(m, batch_id)?;
    for (channel, amount) in debits {
        give_back(m, batch_id, channel, amount)?;
    }
    Ok(refundReturn {})
}

/// Back into the channel's deposit, or to the payer when the channel is closed.
fn give_back(m: &mut Machine<'_>, batch_id: B256, id: B256, amount: u128) -> Result<(), Halt> {
    let (slot, head) = channel(m, id)?;
    let word = m.word(slot, field::DEPOSITED)?;
    let settled = sub(field::SETTLED.u128(word), amount)?;
    let word = field::SETTLED.put(word, settled);
    let closed = status(head) == CLOSED;
    if closed {
        let deposited = sub(field::DEPOSITED.u128(word), amount)?;
        m.store(slot.of(field::DEPOSITED), field::DEPOSITED.put(word, deposited))?;
        let payer = m.address(slot, field::PAYER)?;
        m.pay(HERE, payer, amount)?;
    } else {
        m.store(slot.of(field::DEPOSITED), word)?;
    }
    m.emit(HERE, &Refunded { batchId: batch_id, channel: id, amount, toPayer: closed })
}

/// Σ of debits.
pub(crate) fn sum(debits: &[Debit]) -> Result<u128, Halt> {
    debits.iter().try_fold(0, |sum, debit| add(sum, debit.amount))
}
