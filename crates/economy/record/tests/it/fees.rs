use proptest::prelude::*;
use tributary_record::BILLION;
use tributary_record::fees::*;

const RATE_MAX: u128 = (1 << 96) - 1;

#[test]
fn each_side_is_rounded_up_by_itself() {
    let rates = Rates { input: 1, output: 1_000 };
    assert_eq!(fee(1, 1, rates, 5).unwrap(), 1 + 1 + 5);
    assert_eq!(fee(1_000, 0, rates, 0).unwrap(), 1);
    assert_eq!(fee(1_001, 0, rates, 0).unwrap(), 2);
    assert_eq!(fee(0, 0, rates, 0).unwrap(), 0);
}

#[test]
fn the_largest_fee_fits() {
    let rates = Rates { input: RATE_MAX, output: RATE_MAX };
    assert!(fee(u32::MAX, u32::MAX, rates, RATE_MAX).is_ok());
    assert_eq!(fee(0, 0, rates, u128::MAX).unwrap(), u128::MAX);
    assert_eq!(fee(1, 0, rates, u128::MAX), Err(FeeError::Overflow));
    assert_eq!(fee(2, 0, Rates { input: u128::MAX, output: 0 }, 0), Err(FeeError::Overflow));
}

#[test]
fn without_an_adapter_the_base_takes_the_model_part() {
    let params =
        SplitParams { platform_fee: 10, model_bps: 2_500, stakers_bps: 1_500, base_share_bps: 4_000 };
    let cut = split(1_010, &params, false).unwrap();
    assert_eq!(cut, Split { platform: 10, base: 250, adapter: 0, stakers: 150, contributors: 600 });
    let cut = split(1_010, &params, true).unwrap();
    assert_eq!((cut.base, cut.adapter, cut.model()), (100, 150, 250));
    assert_eq!(split(9, &params, true), Err(FeeError::Excess));
    assert!(split(10, &SplitParams { model_bps: 9_000, ..params }, true).is_err());
    assert!(split(10, &SplitParams { base_share_bps: 10_001, ..params }, true).is_err());
    assert_eq!(share_amount(1, BILLION + 1), Err(FeeError::Excess));
}

proptest! {
    #[test]
    fn the_parts_sum_to_the_fee(
        n_in: u32, n_out: u32, input in 0..=RATE_MAX, output in 0..=RATE_MAX, platform_fee in 0..=RATE_MAX,
        model_bps in 0u32..=5_000, stakers_bps in 0u32..=5_000, base_share_bps in 0u32..=10_000, adapter: bool,
        ppb in 0..=BILLION,
    ) {
        let params = SplitParams { platform_fee, model_bps, stakers_bps, base_share_bps };
        let fee = fee(n_in, n_out, Rates { input, output }, platform_fee).unwrap();
        let cut = split(fee, &params, adapter).unwrap();
        let sum = [cut.platform, cut.base, cut.adapter, cut.stakers, cut.contributors]
            .iter()
            .try_fold(0u128, |sum, part| sum.checked_add(*part));
        prop_assert_eq!(sum, Some(fee));
        prop_assert!(share_amount(cut.contributors, ppb).unwrap() <= cut.contributors);
        prop_assert_eq!(share_amount(cut.contributors, BILLION).unwrap(), cut.contributors);
    }
}
