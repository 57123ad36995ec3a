//! Transactions: those of blocks, those of the pool, and new ones.

use crate::{
    RpcContext, RpcError, RpcReceipt, RpcTransaction,
    convert::{pooled_to_rpc, transaction_to_rpc},
};
use alloy_consensus::Transaction;
use alloy_eips::{BlockId, Encodable2718};
use alloy_primitives::{B256, Bytes};
use std::sync::Arc;
use tributary_pool::{Origin, PoolError, PooledTransaction};
use tributary_spec::RecoveredBlock;

impl RpcContext {
    /// A transaction of a block or of the pool.
    pub(crate) fn rpc_transaction(&self, hash: B256) -> Result<Option<RpcTransaction>, RpcError> {
        match self.mined(hash)? {
            Some((block, index)) => self.rpc_transaction_at(&block, index),
            None => Ok(self.pool.get(&hash).map(|tx| pooled_to_rpc(&tx))),
        }
    }

    /// A transaction of a block.
    pub(crate) fn rpc_transaction_in(
        &self,
        id: BlockId,
        index: usize,
    ) -> Result<Option<RpcTransaction>, RpcError> {
        match self.block(id)? {
            Some(block) => self.rpc_transaction_at(&block, index),
            None => Ok(None),
        }
    }

    fn rpc_transaction_at(
        &self,
        block: &RecoveredBlock,
        index: usize,
    ) -> Result<Option<RpcTransaction>, RpcError> {
        let Some(tx) = block.recovered().nth(index) else { return Ok(None) };
        let receipts = self.receipts(block.hash())?.unwrap_or_default();
        Ok(Some(transaction_to_rpc(tx.cloned(), block.header(), index as u64, receipts.get(index))))
    }

    /// The bytes of a transaction.
    pub(crate) fn raw_transaction(&self, hash: B256) -> Result<Option<Bytes>, RpcError> {
        match self.mined(hash)? {
            Some((block, index)) => Ok(block.transactions().get(index).map(|tx| tx.encoded_2718().into())),
            None => Ok(self.pool.get(&hash).map(|tx| tx.encoded().clone())),
        }
    }

    /// The receipt of a transaction in a block.
    pub(crate) fn rpc_receipt(&self, hash: B256) -> Result<Option<RpcReceipt>, RpcError> {
        let Some((block, index)) = self.mined(hash)? else { return Ok(None) };
        Ok(self.receipts_of(&block)?.into_iter().nth(index))
    }

    /// Where a transaction is in the chain.
    pub(crate) fn mined(&self, hash: B256) -> Result<Option<(Arc<RecoveredBlock>, usize)>, RpcError> {
        let Some((block, index)) = self.locate(hash)? else { return Ok(None) };
        Ok(self.block(BlockId::hash(block))?.map(|block| (block, index)))
    }

    /// Puts a signed transaction into the pool.
    pub(crate) fn send(&self, bytes: &[u8]) -> Result<B256, RpcError> {
        Ok(self.pool.add(self.check_sent(bytes)?)?)
    }

    /// Decodes a signed transaction that somebody sends.
    pub(crate) fn check_sent(&self, bytes: &[u8]) -> Result<PooledTransaction, RpcError> {
        if bytes.is_empty() {
            return Err(RpcError::InvalidParams("empty transaction data".to_owned()));
        }
        let tx = PooledTransaction::decode(bytes, Origin::Local).map_err(undecodable)?;
        let fee = tx.fee_cap().saturating_mul(u128::from(tx.transaction().gas_limit()));
        let cap = self.config.tx_fee_cap;
        if cap > 0 && fee > cap {
            return Err(RpcError::FeeCap { fee, cap });
        }
        Ok(tx)
    }
}

/// Bytes that are no transaction are a bad parameter, not a refused transaction.
fn undecodable(error: PoolError) -> RpcError {
    match error {
        PoolError::UnsupportedType(_) => {
            RpcError::InvalidParams(format!("failed to decode signed transaction: {error}"))
        }
        error => RpcError::InvalidParams(error.to_string()),
    }
}
