//! Checks that need no execution: the header against its parent and the forks, the body against its header.

use alloy_consensus::{
    EMPTY_OMMER_ROOT_HASH, constants::EMPTY_WITHDRAWALS, proofs::calculate_transaction_root,
};
use alloy_eips::{Typed2718, eip7685::EMPTY_REQUESTS_HASH};
use alloy_primitives::U256;
use op_alloy_consensus::OpTxType;
use tributary_spec::{ChainSpec, Header, OpHardfork, RecoveredBlock, SealedHeader};

use crate::{BodyError, HeaderError};

/// Largest gas limit: what fits a signed 64-bit integer.
pub(crate) const MAX_GAS_LIMIT: u64 = i64::MAX as u64;

/// Every rule of a header that can be checked against its parent alone.
pub(crate) fn check_header(
    spec: &ChainSpec,
    parent: &SealedHeader,
    header: &Header,
) -> Result<(), HeaderError> {
    check_lineage(parent, header)?;
    check_constants(header)?;
    check_gas(header)?;
    check_extra_data(spec, header)?;
    check_base_fee(spec, parent, header)?;
    check_fork_fields(spec, header)
}

fn check_lineage(parent: &SealedHeader, header: &Header) -> Result<(), HeaderError> {
    if header.parent_hash != parent.hash() {
        return Err(HeaderError::ParentHash { found: header.parent_hash, expected: parent.hash() });
    }
    let expected = parent.number.saturating_add(1);
    if header.number != expected {
        return Err(HeaderError::Number { found: header.number, expected });
    }
    if header.timestamp <= parent.timestamp {
        return Err(HeaderError::Timestamp { found: header.timestamp, parent: parent.timestamp });
    }
    Ok(())
}

fn check_constants(header: &Header) -> Result<(), HeaderError> {
    if header.ommers_hash != EMPTY_OMMER_ROOT_HASH {
        return Err(HeaderError::Ommers);
    }
    if header.difficulty != U256::ZERO {
        return Err(HeaderError::Difficulty(header.difficulty));
    }
    if !header.nonce.is_zero() {
        return Err(HeaderError::Nonce);
    }
    if header.block_access_list_hash.is_some() {
        return Err(HeaderError::UnknownField("blockAccessListHash"));
    }
    if header.slot_number.is_some() {
        return Err(HeaderError::UnknownField("slotNumber"));
    }
    Ok(())
}

fn check_gas(header: &Header) -> Result<(), HeaderError> {
    if header.gas_limit > MAX_GAS_LIMIT {
        return Err(HeaderError::GasLimit(header.gas_limit));
    }
    if header.gas_used > header.gas_limit {
        return Err(HeaderError::GasUsed { used: header.gas_used, limit: header.gas_limit });
    }
    Ok(())
}

fn check_extra_data(spec: &ChainSpec, header: &Header) -> Result<(), HeaderError> {
    let decoded =
        spec.decode_extra_data(&header.extra_data, header.timestamp).map_err(HeaderError::ExtraData)?;
    match decoded {
        None if !header.extra_data.is_empty() => {
            Err(HeaderError::ExtraDataBeforeHolocene(header.extra_data.len()))
        }
        _ => Ok(()),
    }
}

fn check_base_fee(spec: &ChainSpec, parent: &Header, header: &Header) -> Result<(), HeaderError> {
    let expected = spec.next_base_fee(parent, header.timestamp).map_err(HeaderError::ParentExtraData)?;
    if header.base_fee_per_gas != Some(expected) {
        return Err(HeaderError::BaseFee { found: header.base_fee_per_gas, expected });
    }
    Ok(())
}

fn check_fork_fields(spec: &ChainSpec, header: &Header) -> Result<(), HeaderError> {
    let active = |fork| spec.forks().active(fork, header.timestamp);
    let isthmus = active(OpHardfork::Isthmus);
    let withdrawals_fit = match header.withdrawals_root {
        None => !active(OpHardfork::Canyon),
        Some(root) => isthmus || (active(OpHardfork::Canyon) && root == EMPTY_WITHDRAWALS),
    };
    if !withdrawals_fit {
        return Err(HeaderError::WithdrawalsRoot(header.withdrawals_root));
    }
    check_blob_fields(header, active(OpHardfork::Ecotone), active(OpHardfork::Jovian))?;
    if header.parent_beacon_block_root.is_some() != active(OpHardfork::Ecotone) {
        return Err(HeaderError::ParentBeaconRoot(header.parent_beacon_block_root));
    }
    if header.requests_hash != isthmus.then_some(EMPTY_REQUESTS_HASH) {
        return Err(HeaderError::RequestsHash(header.requests_hash));
    }
    Ok(())
}

fn check_blob_fields(header: &Header, ecotone: bool, jovian: bool) -> Result<(), HeaderError> {
    let blob_gas_fits = match header.blob_gas_used {
        None => !ecotone,
        Some(used) => ecotone && (jovian || used == 0),
    };
    if !blob_gas_fits {
        return Err(HeaderError::BlobGasUsed(header.blob_gas_used));
    }
    if header.excess_blob_gas != ecotone.then_some(0) {
        return Err(HeaderError::ExcessBlobGas(header.excess_blob_gas));
    }
    match header.blob_gas_used {
        Some(used) if used > header.gas_limit => {
            Err(HeaderError::DaFootprint { used, limit: header.gas_limit })
        }
        _ => Ok(()),
    }
}

/// The body against its header.
pub(crate) fn check_body(spec: &ChainSpec, parent: &Header, block: &RecoveredBlock) -> Result<(), BodyError> {
    let (header, body) = (block.header(), block.body());
    let (transactions, senders) = (body.transactions.len(), block.senders().len());
    if transactions != senders {
        return Err(BodyError::Senders { senders, transactions });
    }
    if !body.ommers.is_empty() {
        return Err(BodyError::Ommers);
    }
    let canyon = spec.forks().active(OpHardfork::Canyon, header.timestamp);
    let withdrawals_fit = match &body.withdrawals {
        None => !canyon,
        Some(withdrawals) => canyon && withdrawals.is_empty(),
    };
    if !withdrawals_fit {
        return Err(BodyError::Withdrawals);
    }
    check_types(spec, parent, block)
}

/// The transactions against the header's root: the dear part of the body's checks.
pub(crate) fn check_transactions_root(block: &RecoveredBlock) -> Result<(), BodyError> {
    let claimed = block.header().transactions_root;
    let computed = calculate_transaction_root(block.transactions());
    if computed == claimed { Ok(()) } else { Err(BodyError::TransactionsRoot { computed, claimed }) }
}

fn check_types(spec: &ChainSpec, parent: &Header, block: &RecoveredBlock) -> Result<(), BodyError> {
    let deposits_only = spec.deposits_only(parent.timestamp, block.header().timestamp);
    for (index, tx) in block.transactions().iter().enumerate() {
        if tx.tx_type() == OpTxType::PostExec {
            return Err(BodyError::TransactionType { index, ty: tx.ty() });
        }
        if deposits_only && !tx.is_deposit() {
            return Err(BodyError::UserTransactionAtActivation { index });
        }
    }
    Ok(())
}
