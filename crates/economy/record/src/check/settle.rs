//! Fee, split and credits of one record: the packer writes them, the check compares them.

use super::fault::{CheckError, Fault};
use crate::fees::{Split, fee, share_amount, split};
use crate::header::Totals;
use crate::payouts::Credit;
use crate::record::Record;
use crate::view::{AdapterAt, ChainView, ModelAt};
use alloy_primitives::Address;

/// What one record moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// The fee.
    pub fee: u128,
    /// Its parts.
    pub split: Split,
    /// Who is credited, merged by account: base owner, adapter owner, then contributors as the shares go.
    pub credits: Vec<Credit>,
    /// The record's own addition to the running totals.
    pub totals: Totals,
}

/// Computes what a record moves from its tokens, model, block and shares (its settlement fields are not
/// read). Without a channel nothing moves.
///
/// # Errors
/// When model or contributions are unknown to the chain, or a sum overflows.
pub fn settle(view: &dyn ChainView, record: &Record) -> Result<Settlement, CheckError> {
    let (base, adapter) = models(view, record)?;
    let params = view.params(record.l2_block)?.split;
    if record.channel.is_zero() {
        let nothing =
            Settlement { fee: 0, split: Split::default(), credits: Vec::new(), totals: Totals::default() };
        return Ok(nothing);
    }
    let rates = adapter.as_ref().map_or(base.rates, |adapter| adapter.rates);
    let n_out = u32::try_from(record.output.len()).map_err(|_| Fault::Overflow("nOut"))?;
    let fee = fee(record.n_in, n_out, rates, params.platform_fee).map_err(Fault::from)?;
    let split = split(fee, &params, adapter.is_some()).map_err(Fault::from)?;
    let mut credits = Credits::default();
    credits.add(base.owner, split.base)?;
    if let Some(adapter) = &adapter {
        credits.add(adapter.owner, split.adapter)?;
    }
    let mut contributors = 0u128;
    for (at, share) in record.shares.iter().enumerate() {
        let contribution = view.contribution(share.contribution)?.ok_or(Fault::Outside(at))?;
        let amount = share_amount(split.contributors, share.ppb).map_err(Fault::from)?;
        contributors = contributors.checked_add(amount).ok_or(Fault::Overflow("contributors"))?;
        credits.add(contribution.contributor, amount)?;
    }
    let treasury = split.contributors.checked_sub(contributors).ok_or(Fault::Shares)?;
    let totals = Totals {
        fees: fee,
        platform: split.platform,
        model: split.model(),
        stakers: split.stakers,
        contributors,
        treasury,
    };
    Ok(Settlement { fee, split, credits: credits.0, totals })
}

/// The base model and, if one was used, the adapter, as of the record's block.
pub(super) fn models(
    view: &dyn ChainView,
    record: &Record,
) -> Result<(ModelAt, Option<AdapterAt>), CheckError> {
    let base = view.model(record.model_id, record.l2_block)?.ok_or(Fault::Model(record.model_id))?;
    if record.adapter_id == 0 {
        return if base.retired { Err(Fault::Retired(record.model_id).into()) } else { Ok((base, None)) };
    }
    let adapter = view.adapter(record.adapter_id, record.l2_block)?.ok_or(Fault::Model(record.adapter_id))?;
    if adapter.base != record.model_id {
        return Err(Fault::AdapterBase(record.adapter_id).into());
    }
    if adapter.retired {
        return Err(Fault::Retired(record.adapter_id).into());
    }
    Ok((base, Some(adapter)))
}

/// Credits in the order of first mention, one an account, none of zero.
#[derive(Debug, Default)]
struct Credits(Vec<Credit>);

impl Credits {
    fn add(&mut self, account: Address, amount: u128) -> Result<(), Fault> {
        if amount == 0 {
            return Ok(());
        }
        match self.0.iter_mut().find(|credit| credit.account == account) {
            Some(credit) => {
                credit.amount = credit.amount.checked_add(amount).ok_or(Fault::Overflow("payee"))?;
            }
            None => self.0.push(Credit { account, amount }),
        }
        Ok(())
    }
}
