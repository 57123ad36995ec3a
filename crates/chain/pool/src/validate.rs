//! Which transactions are admissible: first by themselves, then at the head's state.

use crate::{Head, PoolConfig, PoolError, PooledTransaction, sender::Account, transaction::is_set_code};
use alloy_consensus::Transaction;
use alloy_primitives::U256;
use revm::{
    context_interface::cfg::gas::calculate_initial_tx_gas,
    primitives::{eip3860::MAX_INITCODE_SIZE, eip7825::TX_GAS_LIMIT_CAP},
};
use tributary_evm::OpSpecId;

/// Rules that need no account.
pub(crate) fn check_static(
    tx: &PooledTransaction,
    config: &PoolConfig,
    chain_id: u64,
    head: &Head,
) -> Result<(), PoolError> {
    check_form(tx, config, chain_id, head.fork())?;
    check_fees(tx, config)?;
    check_gas(tx, head)
}

/// Rules about the account that pays; answers the worst-case cost.
pub(crate) fn check_account(
    tx: &PooledTransaction,
    account: &Account,
    head: &Head,
) -> Result<U256, PoolError> {
    if tx.nonce() < account.nonce {
        return Err(PoolError::NonceTooLow { next: account.nonce, nonce: tx.nonce() });
    }
    let want = cost(tx, head);
    if want > account.balance {
        return Err(PoolError::InsufficientFunds { have: account.balance, want });
    }
    Ok(want)
}

/// Value, gas at the fee cap, L1 fee and worst-case operator fee.
pub(crate) fn cost(tx: &PooledTransaction, head: &Head) -> U256 {
    let gas = tx.transaction().gas_limit();
    U256::from(gas)
        .saturating_mul(U256::from(tx.fee_cap()))
        .saturating_add(tx.transaction().value())
        .saturating_add(head.rollup_cost(tx.encoded(), gas))
}

fn check_form(
    tx: &PooledTransaction,
    config: &PoolConfig,
    chain_id: u64,
    fork: OpSpecId,
) -> Result<(), PoolError> {
    let inner = tx.transaction();
    if tx.size() > config.max_tx_size {
        return Err(PoolError::Oversized { size: tx.size(), limit: config.max_tx_size });
    }
    if let Some(have) = inner.chain_id().filter(|have| *have != chain_id) {
        return Err(PoolError::ChainId { have, want: chain_id });
    }
    if is_set_code(inner) {
        if !fork.is_enabled_in(OpSpecId::ISTHMUS) {
            return Err(PoolError::UnsupportedType(4));
        }
        if inner.authorization_list().is_none_or(<[_]>::is_empty) {
            return Err(PoolError::EmptyAuthorizations);
        }
    }
    let initcode = if inner.is_create() { inner.input().len() } else { 0 };
    if fork.is_enabled_in(OpSpecId::CANYON) && initcode > MAX_INITCODE_SIZE {
        return Err(PoolError::InitcodeTooLarge { size: initcode, limit: MAX_INITCODE_SIZE });
    }
    if tx.nonce() == u64::MAX {
        return Err(PoolError::NonceMax);
    }
    Ok(())
}

fn check_fees(tx: &PooledTransaction, config: &PoolConfig) -> Result<(), PoolError> {
    let inner = tx.transaction();
    let (cap, tip) = (tx.fee_cap(), inner.max_priority_fee_per_gas().unwrap_or_else(|| tx.fee_cap()));
    if tip > cap {
        return Err(PoolError::TipAboveFeeCap { tip, cap });
    }
    if cap < config.minimal_protocol_fee {
        return Err(PoolError::Underpriced { have: cap, want: config.minimal_protocol_fee });
    }
    if tip < config.minimum_priority_fee {
        return Err(PoolError::Underpriced { have: tip, want: config.minimum_priority_fee });
    }
    Ok(())
}

fn check_gas(tx: &PooledTransaction, head: &Head) -> Result<(), PoolError> {
    let inner = tx.transaction();
    let gas = inner.gas_limit();
    if head.fork().is_enabled_in(OpSpecId::KARST) && gas > TX_GAS_LIMIT_CAP {
        return Err(PoolError::GasLimitTooHigh { gas, cap: TX_GAS_LIMIT_CAP });
    }
    if gas > head.max_gas() {
        return Err(PoolError::ExceedsBlockGas { gas, limit: head.max_gas() });
    }
    let list = inner.access_list();
    let needed = calculate_initial_tx_gas(
        head.fork().into_eth_spec(),
        inner.input(),
        inner.is_create(),
        list.map_or(0, |list| list.len()) as u64,
        list.map_or(0, |list| list.storage_keys_count()) as u64,
        inner.authorization_list().map_or(0, <[_]>::len) as u64,
    );
    if gas < needed.initial_total_gas {
        return Err(PoolError::IntrinsicGas { have: gas, want: needed.initial_total_gas });
    }
    if gas < needed.floor_gas {
        return Err(PoolError::FloorDataGas { have: gas, want: needed.floor_gas });
    }
    Ok(())
}
