//! Headers, blocks and transactions.

use super::{RpcBlock, RpcHeader, RpcTransaction};
use alloy_consensus::{
    BlockHeader,
    transaction::{Recovered, TransactionInfo},
};
use alloy_primitives::U256;
use alloy_rpc_types_eth::BlockTransactions;
use op_alloy_consensus::{
    OpReceipt,
    transaction::{OpDepositInfo, OpTransactionInfo},
};
use tributary_pool::PooledTransaction;
use tributary_spec::{Receipt, RecoveredBlock, SealedHeader, Tx};

/// A header; its size is unknown.
pub(crate) fn header_to_rpc(header: &SealedHeader) -> RpcHeader {
    RpcHeader::from_sealed(header.clone()).with_total_difficulty(None)
}

/// A block with hashes, or with whole transactions (`receipts` give deposits their nonces).
pub(crate) fn block_to_rpc(block: &RecoveredBlock, receipts: &[Receipt], full: bool) -> RpcBlock {
    let transactions = if full {
        let txs = block.recovered().enumerate().map(|(index, tx)| {
            transaction_to_rpc(tx.cloned(), block.header(), index as u64, receipts.get(index))
        });
        BlockTransactions::Full(txs.collect())
    } else {
        BlockTransactions::Hashes(block.transactions().iter().map(Tx::tx_hash).collect())
    };
    RpcBlock {
        header: header_to_rpc(block.header()).with_size(Some(U256::from(block.rlp_length()))),
        uncles: Vec::new(),
        transactions,
        withdrawals: block.body().withdrawals.clone(),
    }
}

/// A transaction of a block.
pub(crate) fn transaction_to_rpc(
    tx: Recovered<Tx>,
    header: &SealedHeader,
    index: u64,
    receipt: Option<&Receipt>,
) -> RpcTransaction {
    let inner = TransactionInfo {
        hash: Some(tx.tx_hash()),
        index: Some(index),
        block_hash: Some(header.hash()),
        block_number: Some(header.number()),
        base_fee: header.base_fee_per_gas(),
        block_timestamp: Some(header.timestamp()),
    };
    let deposit_meta = match receipt {
        Some(OpReceipt::Deposit(receipt)) => receipt.deposit_info(),
        _ => OpDepositInfo::default(),
    };
    RpcTransaction::new(tx, OpTransactionInfo { inner, deposit_meta })
}

/// A transaction that is in no block yet.
pub(crate) fn pooled_to_rpc(tx: &PooledTransaction) -> RpcTransaction {
    RpcTransaction::new(tx.transaction().clone(), OpTransactionInfo::default())
}
