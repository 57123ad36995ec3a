//! EIP-1559 as OP chains have it.
//!
//! Parameters: chain constants (Canyon has a denominator of its own) until the first Holocene block is the parent, from then
//! on the parent's extraData. Metered gas: the parent's gas used, since Jovian the larger of that and its DA footprint
//! (`blobGasUsed`). Since Jovian the result is at least the parent's `minBaseFee`.

use alloy_op_hardforks::OpHardfork;

use crate::{Eip1559Params, ExtraData, ExtraDataError, ForkSchedule, Header};

/// The `optimism` section of the chain configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BaseFeeConstants {
    /// Before Canyon.
    pub bedrock: Eip1559Params,
    /// From Canyon on, by the new block's time.
    pub canyon: Eip1559Params,
}

impl BaseFeeConstants {
    /// The constants for a block of this time.
    pub fn at(&self, forks: &ForkSchedule, timestamp: u64) -> Eip1559Params {
        if forks.active(OpHardfork::Canyon, timestamp) { self.canyon } else { self.bedrock }
    }

    /// Base fee, in wei, of the child at `timestamp` of `parent`.
    pub fn next(&self, forks: &ForkSchedule, parent: &Header, timestamp: u64) -> Result<u64, ExtraDataError> {
        let (params, floor) = if forks.active(OpHardfork::Jovian, parent.timestamp) {
            let extra = ExtraData::decode_jovian(&parent.extra_data)?;
            (extra.params(), extra.min_base_fee().unwrap_or_default())
        } else if forks.active(OpHardfork::Holocene, parent.timestamp) {
            (ExtraData::decode_holocene(&parent.extra_data)?.params(), 0)
        } else {
            (self.at(forks, timestamp), 0)
        };
        let metered = if forks.active(OpHardfork::Jovian, parent.timestamp) {
            parent.gas_used.max(parent.blob_gas_used.unwrap_or_default())
        } else {
            parent.gas_used
        };
        let base_fee = parent.base_fee_per_gas.unwrap_or_default();
        Ok(step(base_fee, metered, parent.gas_limit, params).max(floor))
    }
}

/// One step of EIP-1559. A gas limit below the elasticity leaves no target to steer to; the fee stays then.
fn step(base_fee: u64, used: u64, limit: u64, params: Eip1559Params) -> u64 {
    let target = limit / u64::from(params.elasticity());
    if target == 0 || used == target {
        return base_fee;
    }
    let change = u128::from(base_fee) * u128::from(used.abs_diff(target))
        / u128::from(target)
        / u128::from(params.denominator());
    let change = u64::try_from(change).unwrap_or(u64::MAX);
    if used > target { base_fee.saturating_add(change.max(1)) } else { base_fee.saturating_sub(change) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FORKS;

    const CONSTANTS: fn() -> BaseFeeConstants = || BaseFeeConstants {
        bedrock: Eip1559Params::new(50, 6).unwrap(),
        canyon: Eip1559Params::new(250, 6).unwrap(),
    };

    fn forks(canyon: u64, holocene: u64, jovian: u64) -> ForkSchedule {
        let mut times = [Some(0); FORKS.len()];
        times[2..6].fill(Some(canyon));
        times[6..8].fill(Some(holocene));
        times[8..].fill(Some(jovian));
        ForkSchedule::new(times).unwrap()
    }

    fn parent(timestamp: u64, gas_used: u64) -> Header {
        Header {
            timestamp,
            gas_used,
            gas_limit: 30_000_000,
            base_fee_per_gas: Some(1_000_000_000),
            ..Header::default()
        }
    }

    #[test]
    fn canyon_goes_by_the_new_blocks_time() {
        let forks = forks(10, 100, 200);
        // Full block: five times over target 5M, so +5/denominator.
        assert_eq!(CONSTANTS().next(&forks, &parent(8, 30_000_000), 9), Ok(1_100_000_000));
        assert_eq!(CONSTANTS().next(&forks, &parent(8, 30_000_000), 10), Ok(1_020_000_000));
    }

    #[test]
    fn holocene_goes_by_the_parents_time_and_extra_data() {
        let forks = forks(0, 100, 200);
        let mut first = parent(98, 30_000_000);
        assert_eq!(CONSTANTS().next(&forks, &first, 100), Ok(1_020_000_000));
        first.timestamp = 100;
        assert!(CONSTANTS().next(&forks, &first, 102).is_err());
        first.extra_data = ExtraData::Holocene(Eip1559Params::new(50, 6).unwrap()).encode();
        assert_eq!(CONSTANTS().next(&forks, &first, 102), Ok(1_100_000_000));
    }

    #[test]
    fn jovian_meters_the_footprint_and_keeps_the_floor() {
        let forks = forks(0, 0, 200);
        let mut header = parent(200, 0);
        header.extra_data =
            ExtraData::Jovian { params: Eip1559Params::new(50, 6).unwrap(), min_base_fee: 990_000_000 }
                .encode();
        assert_eq!(CONSTANTS().next(&forks, &header, 202), Ok(990_000_000));
        header.blob_gas_used = Some(30_000_000);
        assert_eq!(CONSTANTS().next(&forks, &header, 202), Ok(1_100_000_000));
    }

    #[test]
    fn extremes_do_not_overflow_or_divide_by_zero() {
        let params = Eip1559Params::new(1, 1).unwrap();
        assert_eq!(step(u64::MAX, u64::MAX, 2, params), u64::MAX);
        assert_eq!(step(7, 1, 0, params), 7);
        assert_eq!(step(0, 5, 1, params), 1);
        assert_eq!(step(u64::MAX, 0, 1, params), 0);
    }
}
