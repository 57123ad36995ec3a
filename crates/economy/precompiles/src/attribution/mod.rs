//! Attribution: an agent's chain of batches, their availability and finality.
//!
//! ```text
//! commitBatch ──▶ pending ──deadline, in order──▶ final ──▶ claims
//!                   │ challengeAvailability ──publish, all of it──▶ pending, deadline extended
//!                   │        └ timeout ─▶ lost                 (disputes: lost)
//!                   └ lost: this and every later batch void ──▶ refund
//! ```

mod availability;
mod commit;
mod finality;
mod views;

pub(crate) use availability::{challenge_availability, publish, timeout};
pub(crate) use commit::commit_batch;
pub(crate) use finality::finalize;
pub(crate) use views::{
    batch_id_of, batch_of, chain_of, get_batch, verify_payout, verify_record, verify_share,
};

use crate::host::{Halt, ensure};
use crate::layout::{attribution, batch as field, chain};
use crate::machine::Machine;
use crate::storage::Slot;
use alloy_primitives::{B256, U256};
use tributary_abi::IAttribution::{AlreadyFinal, BatchVoid, UnknownBatch};
use tributary_abi::address::ATTRIBUTION as HERE;

const ROOT: Slot = Slot::root(HERE, 0);

/// A batch's place: its slot, its first two words, and whether it is void.
#[derive(Debug, Clone, Copy)]
struct Batch {
    id: B256,
    slot: Slot,
    place: U256,
    sizes: U256,
    void: bool,
}

impl Batch {
    fn agent(&self) -> u64 {
        field::AGENT_ID.u64(self.place)
    }

    fn seq(&self) -> u64 {
        field::SEQ.u64(self.place)
    }

    fn deadline(&self) -> u64 {
        field::DEADLINE.u64(self.place)
    }

    fn is_final(&self) -> bool {
        field::FINAL.flag(self.sizes)
    }
}

/// A batch that exists.
fn batch(m: &mut Machine<'_>, id: B256) -> Result<Batch, Halt> {
    let slot = m.entry(ROOT.of(attribution::BATCHES), id)?;
    let place = m.load(slot)?;
    let seq = field::SEQ.u64(place);
    ensure!(seq != 0, UnknownBatch { batchId: id });
    let sizes = m.word(slot, field::N_BYTES)?;
    let (_, heads) = chain_slot(m, field::AGENT_ID.u64(place))?;
    let void_from = chain::VOID_FROM.u64(heads);
    Ok(Batch { id, slot, place, sizes, void: void_from != 0 && seq >= void_from })
}

/// A batch that is neither final nor void.
fn pending(m: &mut Machine<'_>, id: B256) -> Result<Batch, Halt> {
    let batch = batch(m, id)?;
    ensure!(!batch.is_final(), AlreadyFinal { batchId: id });
    ensure!(!batch.void, BatchVoid { batchId: id });
    Ok(batch)
}

/// The slot of an agent's chain of batches, and its first word.
fn chain_slot(m: &mut Machine<'_>, agent: u64) -> Result<(Slot, U256), Halt> {
    let slot = m.entry(ROOT.of(attribution::CHAINS), agent)?;
    Ok((slot, m.load(slot)?))
}

/// Whether a batch of the agent is neither final nor void.
pub(crate) fn has_pending(m: &mut Machine<'_>, agent: u64) -> Result<bool, Halt> {
    let (_, heads) = chain_slot(m, agent)?;
    let end = match chain::VOID_FROM.u64(heads) {
        0 => chain::LAST_SEQ.u64(heads),
        void_from => void_from - 1,
    };
    Ok(chain::FINAL_SEQ.u64(heads) < end)
}

fn batch_id(m: &mut Machine<'_>, agent: u64, seq: u64) -> Result<B256, Halt> {
    let of_agent = m.entry(ROOT.of(attribution::BATCH_IDS), agent)?;
    let slot = m.entry(of_agent, seq)?;
    m.load(slot).map(B256::from)
}

/// The payout root of a final batch; `None` when there is none such.
pub(crate) fn final_payout_root(m: &mut Machine<'_>, agent: u64, seq: u64) -> Result<Option<B256>, Halt> {
    let (_, heads) = chain_slot(m, agent)?;
    if seq == 0 || seq > chain::FINAL_SEQ.u64(heads) {
        return Ok(None);
    }
    let id = batch_id(m, agent, seq)?;
    let slot = m.entry(ROOT.of(attribution::BATCHES), id)?;
    m.b256(slot, field::PAYOUT_ROOT).map(Some)
}

/// What a refund asks of a batch.
pub(crate) struct Refundable {
    pub(crate) void: bool,
    pub(crate) refunded: bool,
    pub(crate) debits_hash: B256,
}

pub(crate) fn refundable(m: &mut Machine<'_>, id: B256) -> Result<Refundable, Halt> {
    let batch = batch(m, id)?;
    Ok(Refundable {
        void: batch.void,
        refunded: field::REFUNDED.flag(batch.sizes),
        debits_hash: m.b256(batch.slot, field::DEBITS_HASH)?,
    })
}

pub(crate) fn mark_refunded(m: &mut Machine<'_>, id: B256) -> Result<(), Halt> {
    let slot = m.entry(ROOT.of(attribution::BATCHES), id)?;
    m.set(slot, field::REFUNDED, 1u64)
}
