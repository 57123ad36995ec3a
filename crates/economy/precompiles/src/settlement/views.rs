//! What can be read of settlement.

use super::claims::{claimed_slot, ledger_slot};
use super::{ROOT, channel, channel_id, nonce, status};
use crate::gas;
use crate::host::{Halt, revert};
use crate::layout::{channel as field, ledger, settlement};
use crate::machine::Machine;
use crate::models;
use crate::params::{self, Param};
use crate::storage::low_u128;
use alloy_primitives::{B256, U256};
use tributary_abi::ISettlement::{
    Channel, Overflow, channelCountCall, channelOfCall, claimedOfCall, creditedOfCall, creditedOfReturn,
    domainSeparatorCall, getChannelCall, nextNonceCall, quoteCall, quoteReturn, voucherDigestCall,
};
use tributary_record::fees::{self, SplitParams};
use tributary_record::voucher::{self, Voucher};

pub(crate) fn quote(m: &mut Machine<'_>, call: quoteCall) -> Result<quoteReturn, Halt> {
    let with_adapter = models::base_of(m, call.modelId)? != 0;
    let block = m.block;
    let rates = models::rates(m, call.modelId, block)?;
    let params = SplitParams {
        platform_fee: params::amount(m, Param::PlatformFee)?,
        model_bps: params::number(m, Param::Beta)? as u32,
        stakers_bps: params::number(m, Param::Gamma)? as u32,
        base_share_bps: params::number(m, Param::BaseShare)? as u32,
    };
    let too_large = |_| revert(Overflow {});
    let fee = fees::fee(call.inTokens, call.outTokens, rates, params.platform_fee).map_err(too_large)?;
    let split = fees::split(fee, &params, with_adapter).map_err(too_large)?;
    Ok(quoteReturn {
        fee,
        platform: split.platform,
        model: split.model(),
        stakers: split.stakers,
        contributors: split.contributors,
    })
}

pub(crate) fn get_channel(m: &mut Machine<'_>, call: getChannelCall) -> Result<Channel, Halt> {
    let (slot, head) = channel(m, call.channel)?;
    let payer = m.word(slot, field::PAYER)?;
    let amounts = m.word(slot, field::DEPOSITED)?;
    Ok(Channel {
        agentId: field::AGENT_ID.u64(head),
        payer: field::PAYER.address(payer),
        signer: field::SIGNER.address(head),
        status: status(head),
        closeAt: field::CLOSE_AT.u64(payer),
        deposited: field::DEPOSITED.u128(amounts),
        settled: field::SETTLED.u128(amounts),
    })
}

pub(crate) fn channel_count(m: &mut Machine<'_>, call: channelCountCall) -> Result<u64, Halt> {
    let slot = m.entry(ROOT.of(settlement::CHANNEL_COUNTS), call.payer)?;
    Ok(m.load(slot)?.as_limbs()[0])
}

pub(crate) fn channel_of(m: &mut Machine<'_>, call: channelOfCall) -> Result<B256, Halt> {
    let nonce = nonce(m, call.index);
    channel_id(m, call.agentId, call.payer, nonce)
}

pub(crate) fn next_nonce(m: &mut Machine<'_>, call: nextNonceCall) -> Result<U256, Halt> {
    let index = channel_count(m, channelCountCall { payer: call.payer })?;
    Ok(nonce(m, index))
}

pub(crate) fn claimed_of(m: &mut Machine<'_>, call: claimedOfCall) -> Result<u128, Halt> {
    let slot = claimed_slot(m, call.agentId, call.account)?;
    m.load(slot).map(low_u128)
}

pub(crate) fn credited_of(m: &mut Machine<'_>, call: creditedOfCall) -> Result<creditedOfReturn, Halt> {
    let slot = ledger_slot(m, call.agentId)?;
    let word = m.load(slot)?;
    Ok(creditedOfReturn { credited: ledger::CREDITED.u128(word), claimed: ledger::CLAIMED.u128(word) })
}

pub(crate) fn domain_separator(m: &mut Machine<'_>, _: domainSeparatorCall) -> Result<B256, Halt> {
    m.charge(gas::keccak(5 * 32))?;
    Ok(voucher::domain_separator(m.config.chain_id))
}

pub(crate) fn voucher_digest(m: &mut Machine<'_>, call: voucherDigestCall) -> Result<B256, Halt> {
    m.charge(gas::keccak(5 * 32) + gas::keccak(4 * 32) + gas::keccak(66))?;
    let voucher =
        Voucher { channel: call.channel, cumulative: call.cumulative, request_hash: call.requestHash };
    Ok(voucher.digest(m.config.chain_id))
}
