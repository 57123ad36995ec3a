//! What an answer costs and who gets it. Integers only, and to the wei: the parts always sum to the fee.

use crate::constants::{BILLION, BPS};
use alloy_primitives::U256;

/// Why a fee could not be computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FeeError {
    /// Above 2¹²⁸ − 1; impossible while rates keep below 2⁹⁶.
    #[error("the fee does not fit 128 bits")]
    Overflow,
    /// Shares or basis points above the whole.
    #[error("shares exceed the whole")]
    Excess,
}

/// Wei per 1,000 tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rates {
    /// For prompt tokens.
    pub input: u128,
    /// For output tokens.
    pub output: u128,
}

/// The governed parts of the split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SplitParams {
    /// Wei per record to the agent's owner.
    pub platform_fee: u128,
    /// β, basis points to the model owners.
    pub model_bps: u32,
    /// γ, basis points to the agent's stakers.
    pub stakers_bps: u32,
    /// Of β, basis points to the base model's owner when an adapter was used.
    pub base_share_bps: u32,
}

/// fee = ⌈nIn·inRate/1000⌉ + ⌈nOut·outRate/1000⌉ + platformFee.
///
/// # Errors
/// When it does not fit 128 bits.
pub fn fee(n_in: u32, n_out: u32, rates: Rates, platform_fee: u128) -> Result<u128, FeeError> {
    let part = |count: u32, rate: u128| {
        u128::from(count).checked_mul(rate).map(|wei| wei.div_ceil(1000)).ok_or(FeeError::Overflow)
    };
    part(n_in, rates.input)?
        .checked_add(part(n_out, rates.output)?)
        .and_then(|sum| sum.checked_add(platform_fee))
        .ok_or(FeeError::Overflow)
}

/// A fee cut into its parts; they sum to the fee.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Split {
    /// To the agent's owner.
    pub platform: u128,
    /// Of the model part, to the base model's owner.
    pub base: u128,
    /// Of the model part, to the adapter's owner.
    pub adapter: u128,
    /// To the agent's pool.
    pub stakers: u128,
    /// δ: to contributors by share; the rest of it to the treasury.
    pub contributors: u128,
}

impl Split {
    /// base + adapter.
    #[must_use]
    pub const fn model(&self) -> u128 {
        self.base + self.adapter
    }
}

/// Cuts a fee by the parameters of its block.
///
/// # Errors
/// When the fee is below the platform fee or the basis points exceed the whole.
pub fn split(fee: u128, params: &SplitParams, with_adapter: bool) -> Result<Split, FeeError> {
    let net = fee.checked_sub(params.platform_fee).ok_or(FeeError::Excess)?;
    let sum = u64::from(params.model_bps) + u64::from(params.stakers_bps);
    if sum > u64::from(BPS) || params.base_share_bps > BPS {
        return Err(FeeError::Excess);
    }
    let model = part_of(net, params.model_bps, BPS);
    let stakers = part_of(net, params.stakers_bps, BPS);
    let base = if with_adapter { part_of(model, params.base_share_bps, BPS) } else { model };
    Ok(Split {
        platform: params.platform_fee,
        base,
        adapter: model - base,
        stakers,
        contributors: net - model - stakers,
    })
}

/// ⌊contributors·ppb/10⁹⌋: what a share of δ is worth.
///
/// # Errors
/// When the share exceeds the whole.
pub fn share_amount(contributors: u128, ppb: u32) -> Result<u128, FeeError> {
    if ppb > BILLION { Err(FeeError::Excess) } else { Ok(part_of(contributors, ppb, BILLION)) }
}

/// ⌊amount·part/whole⌋ without overflow; `part` ≤ `whole`, so the result is at most `amount`.
fn part_of(amount: u128, part: u32, whole: u32) -> u128 {
    let wide = U256::from(amount) * U256::from(part) / U256::from(whole);
    wide.saturating_to()
}
