//! Blocks and their receipts.

use crate::{
    RpcBlock, RpcContext, RpcError, RpcHeader, RpcReceipt,
    convert::{block_receipts, block_to_rpc, header_to_rpc},
};
use alloy_consensus::BlockHeader;
use alloy_eips::BlockId;
use tributary_spec::{RecoveredBlock, SealedHeader};

impl RpcContext {
    /// A header as JSON-RPC shows it.
    pub(crate) fn rpc_header(&self, id: BlockId) -> Result<Option<RpcHeader>, RpcError> {
        let Some(block) = self.block(id)? else { return Ok(None) };
        Ok(Some(
            header_to_rpc(block.header()).with_size(Some(alloy_primitives::U256::from(block.rlp_length()))),
        ))
    }

    /// A block as JSON-RPC shows it.
    pub(crate) fn rpc_block(&self, id: BlockId, full: bool) -> Result<Option<RpcBlock>, RpcError> {
        let Some(block) = self.block(id)? else { return Ok(None) };
        let receipts =
            if full { self.receipts(block.hash())?.unwrap_or_default() } else { Default::default() };
        Ok(Some(block_to_rpc(&block, &receipts, full)))
    }

    /// How many transactions a block has.
    pub(crate) fn transaction_count_of(&self, id: BlockId) -> Result<Option<usize>, RpcError> {
        Ok(self.block(id)?.map(|block| block.transactions().len()))
    }

    /// All receipts of a block, as JSON-RPC shows them.
    pub(crate) fn rpc_receipts(&self, id: BlockId) -> Result<Option<Vec<RpcReceipt>>, RpcError> {
        let Some(block) = self.block(id)? else { return Ok(None) };
        Ok(Some(self.receipts_of(&block)?))
    }

    /// All receipts of a block at hand.
    pub(crate) fn receipts_of(&self, block: &RecoveredBlock) -> Result<Vec<RpcReceipt>, RpcError> {
        let receipts = self
            .receipts(block.hash())?
            .ok_or_else(|| RpcError::Internal(format!("receipts of block {} are missing", block.hash())))?;
        Ok(block_receipts(block, &receipts, self.fork_of(block.header())))
    }

    /// The fork a block belongs to, as the EVM numbers them.
    pub(crate) fn fork_of(&self, header: &SealedHeader) -> op_revm::OpSpecId {
        self.executor.spec_id(header.timestamp())
    }
}
