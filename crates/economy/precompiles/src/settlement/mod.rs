//! Settlement: channels, the split of a fee, claims. Its balance is what channels have left, what open batches
//! took, and what final batches credit and nobody claimed yet.

mod channels;
mod claims;
mod debits;
mod views;

pub(crate) use channels::{close, open, request_close, top_up};
pub(crate) use claims::{claim, credit};
pub(crate) use debits::{Debited, debits_hash, redeem, refund, sum};
pub(crate) use views::{
    channel_count, channel_of, claimed_of, credited_of, domain_separator, get_channel, next_nonce, quote,
    voucher_digest,
};

use crate::gas;
use crate::host::{Halt, ensure};
use crate::layout;
use crate::machine::Machine;
use crate::storage::Slot;
use alloy_primitives::{Address, B256, U256};
use tributary_abi::ISettlement::UnknownChannel;
use tributary_abi::address::SETTLEMENT as HERE;

const ROOT: Slot = Slot::root(HERE, 0);

const OPEN: u8 = 1;
const CLOSING: u8 = 2;
const CLOSED: u8 = 3;

/// The slot of a channel, and its first word; it exists.
fn channel(m: &mut Machine<'_>, id: B256) -> Result<(Slot, U256), Halt> {
    let slot = m.entry(ROOT.of(layout::settlement::CHANNELS), id)?;
    let head = m.load(slot)?;
    ensure!(status(head) != 0, UnknownChannel { channel: id });
    Ok((slot, head))
}

fn status(head: U256) -> u8 {
    layout::channel::STATUS.u64(head) as u8
}

/// The nonce of a payer's channel: counted from the genesis hash, so that it is never used on two chains.
fn nonce(m: &Machine<'_>, index: u64) -> U256 {
    U256::from_be_bytes(m.config.genesis_hash.0).wrapping_add(U256::from(index))
}

fn channel_id(m: &mut Machine<'_>, agent: u64, payer: Address, nonce: U256) -> Result<B256, Halt> {
    m.charge(gas::keccak(5 * 32))?;
    Ok(tributary_record::channel_id(m.config.chain_id, agent, payer, nonce))
}
