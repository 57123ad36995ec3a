//! The genesis header, as geth and op-geth derive it from the genesis file.

use alloy_consensus::constants::{
    EMPTY_OMMER_ROOT_HASH, EMPTY_RECEIPTS, EMPTY_TRANSACTIONS, EMPTY_WITHDRAWALS,
};
use alloy_eips::{eip1559::INITIAL_BASE_FEE, eip7685::EMPTY_REQUESTS_HASH};
use alloy_genesis::Genesis;
use alloy_op_hardforks::OpHardfork;
use alloy_primitives::{B256, U256};
use alloy_trie::{
    EMPTY_ROOT_HASH,
    root::{state_root_ref_unhashed, storage_root_unhashed},
};

use crate::{ExtraData, ForkSchedule, Header, SpecError, predeploys::MESSAGE_PASSER};

/// The header, every field of every fork active at its time.
pub(crate) fn header(genesis: &Genesis, forks: &ForkSchedule) -> Result<Header, SpecError> {
    let active = |fork| forks.active(fork, genesis.timestamp);
    check_extra_data(genesis, forks)?;
    let isthmus = active(OpHardfork::Isthmus);
    let ecotone = active(OpHardfork::Ecotone);
    let withdrawals_root = if isthmus {
        Some(message_passer_root(genesis))
    } else {
        active(OpHardfork::Canyon).then_some(EMPTY_WITHDRAWALS)
    };
    Ok(Header {
        parent_hash: genesis.parent_hash.unwrap_or_default(),
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        beneficiary: genesis.coinbase,
        state_root: state_root_ref_unhashed(&genesis.alloc),
        transactions_root: EMPTY_TRANSACTIONS,
        receipts_root: EMPTY_RECEIPTS,
        difficulty: genesis.difficulty,
        number: genesis.number.unwrap_or_default(),
        gas_limit: genesis.gas_limit,
        timestamp: genesis.timestamp,
        extra_data: genesis.extra_data.clone(),
        mix_hash: genesis.mix_hash,
        nonce: genesis.nonce.into(),
        base_fee_per_gas: Some(base_fee(genesis)?),
        withdrawals_root,
        blob_gas_used: ecotone.then(|| genesis.blob_gas_used.unwrap_or_default()),
        excess_blob_gas: ecotone.then(|| genesis.excess_blob_gas.unwrap_or_default()),
        parent_beacon_block_root: ecotone.then_some(B256::ZERO),
        requests_hash: isthmus.then_some(EMPTY_REQUESTS_HASH),
        ..Header::default()
    })
}

/// From Holocene on the first block's base fee depends on it. Before, it is free text.
fn check_extra_data(genesis: &Genesis, forks: &ForkSchedule) -> Result<(), SpecError> {
    if forks.active(OpHardfork::Jovian, genesis.timestamp) {
        ExtraData::decode_jovian(&genesis.extra_data)?;
    } else if forks.active(OpHardfork::Holocene, genesis.timestamp) {
        ExtraData::decode_holocene(&genesis.extra_data)?;
    }
    Ok(())
}

fn base_fee(genesis: &Genesis) -> Result<u64, SpecError> {
    let Some(base_fee) = genesis.base_fee_per_gas else { return Ok(INITIAL_BASE_FEE) };
    u64::try_from(base_fee).map_err(|_| SpecError::BadValue {
        key: "baseFeePerGas".into(),
        reason: format!("{base_fee} does not fit 64 bits"),
    })
}

fn message_passer_root(genesis: &Genesis) -> B256 {
    let Some(storage) = genesis.alloc.get(&MESSAGE_PASSER).and_then(|account| account.storage.as_ref())
    else {
        return EMPTY_ROOT_HASH;
    };
    storage_root_unhashed(
        storage
            .iter()
            .filter(|(_, value)| !value.is_zero())
            .map(|(slot, value)| (*slot, U256::from_be_bytes(value.0))),
    )
}
