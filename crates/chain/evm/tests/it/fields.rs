//! Fields of a header and of a body that are of another fork.

use alloy_consensus::constants::EMPTY_WITHDRAWALS;
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_primitives::{B256, Bytes, bytes};
use tributary_evm::{BodyError, HeaderError, InvalidBlock};
use tributary_spec::{ExtraDataError, OpHardfork};

use crate::{
    chain::TestChain,
    invalid::{invalid, with_body, with_header},
};

/// What Holocene's blocks say, and Jovian's.
const HOLOCENE: Bytes = bytes!("00000000fa00000006");
const JOVIAN: Bytes = bytes!("01000000fa000000060000000000000000");

macro_rules! fork_rules {
    ($($name:ident: $fork:ident, $change:expr => $error:pat,)+) => {$(
        #[test]
        fn $name() {
            let (chain, child) = TestChain::at_first_block_of(OpHardfork::$fork);
            chain.import(child.block.clone()).unwrap();
            let broken = invalid(&chain, with_header(&child, $change));
            assert!(matches!(broken, InvalidBlock::Header($error)), "{broken}");
        }
    )+};
}

fork_rules! {
    a_withdrawals_root_before_canyon: Regolith, |h| h.withdrawals_root = Some(EMPTY_WITHDRAWALS) =>
        HeaderError::WithdrawalsRoot(Some(_)),
    no_withdrawals_root_in_canyon: Canyon, |h| h.withdrawals_root = None => HeaderError::WithdrawalsRoot(None),
    a_withdrawals_root_of_something_before_isthmus: Holocene, |h| h.withdrawals_root = Some(B256::ZERO) =>
        HeaderError::WithdrawalsRoot(Some(_)),
    blob_gas_used_before_ecotone: Canyon, |h| h.blob_gas_used = Some(0) => HeaderError::BlobGasUsed(Some(0)),
    no_blob_gas_used_in_ecotone: Ecotone, |h| h.blob_gas_used = None => HeaderError::BlobGasUsed(None),
    blobs_before_jovian: Isthmus, |h| h.blob_gas_used = Some(131_072) => HeaderError::BlobGasUsed(Some(131_072)),
    excess_blob_gas_before_ecotone: Canyon, |h| h.excess_blob_gas = Some(0) => HeaderError::ExcessBlobGas(Some(0)),
    no_excess_blob_gas_in_ecotone: Ecotone, |h| h.excess_blob_gas = None => HeaderError::ExcessBlobGas(None),
    a_beacon_root_before_ecotone: Canyon, |h| h.parent_beacon_block_root = Some(B256::ZERO) =>
        HeaderError::ParentBeaconRoot(Some(_)),
    no_beacon_root_in_ecotone: Ecotone, |h| h.parent_beacon_block_root = None => HeaderError::ParentBeaconRoot(None),
    a_requests_hash_before_isthmus: Holocene, |h| h.requests_hash = Some(EMPTY_REQUESTS_HASH) =>
        HeaderError::RequestsHash(Some(_)),
    no_requests_hash_in_isthmus: Isthmus, |h| h.requests_hash = None => HeaderError::RequestsHash(None),
    extra_data_before_holocene: Granite, |h| h.extra_data = HOLOCENE => HeaderError::ExtraDataBeforeHolocene(9),
    extra_data_of_bedrock_in_holocene: Holocene, |h| h.extra_data = Bytes::new() =>
        HeaderError::ExtraData(ExtraDataError::Length { found: 0, .. }),
    extra_data_of_jovian_before_it: Isthmus, |h| h.extra_data = JOVIAN =>
        HeaderError::ExtraData(ExtraDataError::Length { found: 17, .. }),
    extra_data_of_holocene_in_jovian: Jovian, |h| h.extra_data = HOLOCENE =>
        HeaderError::ExtraData(ExtraDataError::Length { found: 9, .. }),
    no_base_fee_in_bedrock: Bedrock, |h| h.base_fee_per_gas = None => HeaderError::BaseFee { found: None, .. },
    a_base_fee_that_is_off_in_canyon: Canyon, |h| h.base_fee_per_gas = h.base_fee_per_gas.map(|fee| fee - 1) =>
        HeaderError::BaseFee { .. },
}

#[test]
fn withdrawals_before_canyon_and_none_since() {
    for (fork, withdrawals) in [(OpHardfork::Regolith, Some(Default::default())), (OpHardfork::Canyon, None)]
    {
        let (chain, child) = TestChain::at_first_block_of(fork);
        let broken = invalid(&chain, with_body(&child, |body, _| body.withdrawals = withdrawals));
        assert!(matches!(broken, InvalidBlock::Body(BodyError::Withdrawals)), "{broken}");
    }
}
