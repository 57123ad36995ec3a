//! Blocks and their parts as they are hashed.

use crate::{RpcContext, RpcError};
use alloy_consensus::{Eip2718EncodableReceipt, TxReceipt};
use alloy_eips::{BlockId, Encodable2718};
use alloy_primitives::Bytes;
use std::sync::Arc;
use tributary_spec::{Receipt, RecoveredBlock};

impl RpcContext {
    fn block_or_error(&self, id: BlockId) -> Result<Arc<RecoveredBlock>, RpcError> {
        self.block(id)?.ok_or(RpcError::BlockNotFound(id))
    }

    pub(super) fn raw_header(&self, id: BlockId) -> Result<Bytes, RpcError> {
        Ok(alloy_rlp::encode(self.header_or_error(id)?.inner()).into())
    }

    pub(super) fn raw_block(&self, id: BlockId) -> Result<Bytes, RpcError> {
        Ok(self.block_or_error(id)?.rlp().into())
    }

    pub(super) fn raw_transactions(&self, id: BlockId) -> Result<Vec<Bytes>, RpcError> {
        Ok(self.block_or_error(id)?.transactions().iter().map(|tx| tx.encoded_2718().into()).collect())
    }

    pub(super) fn raw_receipts(&self, id: BlockId) -> Result<Vec<Bytes>, RpcError> {
        let header = self.header_or_error(id)?;
        let receipts = self.receipts(header.hash())?.ok_or(RpcError::BlockNotFound(id))?;
        Ok(receipts.iter().map(encode_receipt).collect())
    }
}

fn encode_receipt(receipt: &Receipt) -> Bytes {
    let mut bytes = Vec::with_capacity(receipt.eip2718_encoded_length_with_bloom(&receipt.bloom()));
    receipt.eip2718_encode_with_bloom(&receipt.bloom(), &mut bytes);
    bytes.into()
}
