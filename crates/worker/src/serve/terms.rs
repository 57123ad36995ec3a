//! What an answer costs as of a block.

use tributary_record::{
    ChainView, TraceBounds, ViewError,
    fees::{FeeError, Rates, SplitParams, fee},
};

use crate::chain::RegistryView;

/// Rates and parameters as of a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) l2_block: u64,
    pub(super) rates: Rates,
    pub(super) split: SplitParams,
    pub(super) max_record_age: u64,
    pub(super) bounds: TraceBounds,
}

impl Terms {
    /// The terms of a model, or `None` where it was not registered, or retired, in that block.
    pub(super) fn at(
        view: &RegistryView,
        model: u64,
        adapter: u64,
        l2_block: u64,
    ) -> Result<Option<Self>, ViewError> {
        let params = view.params(l2_block)?;
        let Some(base) = view.model(model, l2_block)?.filter(|base| !base.retired) else { return Ok(None) };
        let rates = if adapter == 0 {
            base.rates
        } else {
            match view.adapter(adapter, l2_block)?.filter(|adapter| !adapter.retired) {
                Some(adapter) => adapter.rates,
                None => return Ok(None),
            }
        };
        Ok(Some(Self {
            l2_block,
            rates,
            split: params.split,
            max_record_age: params.max_record_age,
            bounds: params.bounds,
        }))
    }

    /// The fee of an answer.
    pub(super) fn fee(&self, n_in: u32, n_out: u32) -> Result<u128, FeeError> {
        fee(n_in, n_out, self.rates, self.split.platform_fee)
    }

    /// Most tokens of answer that `max_fee` pays for; `None` when tokens are free.
    pub(super) fn affordable(&self, n_in: u32, max_fee: u128) -> Option<u32> {
        let rest = self.fee(n_in, 0).ok().and_then(|fixed| max_fee.checked_sub(fixed));
        let Some(rest) = rest else { return Some(0) };
        let tokens = rest.saturating_mul(1000).checked_div(self.rates.output)?;
        Some(u32::try_from(tokens).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::{Rates, SplitParams, Terms, TraceBounds};

    fn terms(input: u128, output: u128, platform_fee: u128) -> Terms {
        let split = SplitParams { platform_fee, model_bps: 2500, stakers_bps: 1500, base_share_bps: 2000 };
        let rates = Rates { input, output };
        Terms { l2_block: 1, rates, split, max_record_age: 600, bounds: TraceBounds::default() }
    }

    #[test]
    fn the_last_affordable_token_is_paid_for_and_one_more_is_not() {
        for (input, output, platform) in
            [(1, 1, 0), (999, 1001, 7), (5_000, 7, 3), (0, 1_000_000, 10u128.pow(12))]
        {
            let terms = terms(input, output, platform);
            let fixed = terms.fee(17, 0).expect("fee");
            for max_fee in [fixed, fixed + 1, fixed + 12_345, fixed + 10u128.pow(6)] {
                let tokens = terms.affordable(17, max_fee).expect("tokens cost something");
                assert!(terms.fee(17, tokens).expect("fee") <= max_fee);
                assert!(terms.fee(17, tokens + 1).expect("fee") > max_fee);
            }
            assert_eq!(terms.affordable(17, fixed - 1), Some(0), "less than the prompt costs");
        }
        assert_eq!(terms(1, 0, 0).affordable(17, 1), None, "free tokens are not limited by the cap");
    }
}
