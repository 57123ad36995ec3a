//! Where blocks and states come from.

use crate::{RpcContext, RpcError};
use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::B256;
use alloy_rpc_types_eth::Filter;
use std::{ops::RangeInclusive, sync::Arc};
use tributary_builder::PendingBlocks;
use tributary_evm::ExecutedBlock;
use tributary_spec::{Receipt, RecoveredBlock, SealedHeader};
use tributary_state::StateRef;
use tributary_tree::{LogQuery, TreeError};

impl RpcContext {
    /// The header of a block. `pending` is the head, unless this node makes pending blocks.
    pub(crate) fn header(&self, id: BlockId) -> Result<Option<SealedHeader>, RpcError> {
        match id {
            BlockId::Hash(id) => {
                let header = self.chain.header_by_hash(id.block_hash).map_err(RpcError::internal)?;
                let pending = || Some(self.pending_of(id.block_hash)?.block.header().clone());
                match header.or_else(pending) {
                    Some(header)
                        if id.require_canonical == Some(true)
                            && self.canonical_hash(header.number)? != Some(header.hash()) =>
                    {
                        Err(RpcError::InvalidParams(format!(
                            "hash {} is not currently canonical",
                            id.block_hash
                        )))
                    }
                    header => Ok(header),
                }
            }
            BlockId::Number(BlockNumberOrTag::Latest) => Ok(Some(self.chain.head())),
            BlockId::Number(BlockNumberOrTag::Pending) => {
                let pending = self.pending_block();
                Ok(Some(pending.map_or_else(|| self.chain.head(), |it| it.block.header().clone())))
            }
            BlockId::Number(BlockNumberOrTag::Safe) => Ok(self.chain.safe()),
            BlockId::Number(BlockNumberOrTag::Finalized) => Ok(self.chain.finalized()),
            BlockId::Number(BlockNumberOrTag::Earliest) => self.header(BlockId::number(0)),
            BlockId::Number(BlockNumberOrTag::Number(number)) => {
                self.chain.header_by_number(number).map_err(RpcError::internal)
            }
        }
    }

    /// [`header`](Self::header), where a block that is not there is an error.
    pub(crate) fn header_or_error(&self, id: BlockId) -> Result<SealedHeader, RpcError> {
        self.header(id)?.ok_or(RpcError::BlockNotFound(id))
    }

    /// The hash of the canonical block at a height.
    pub(crate) fn canonical_hash(&self, number: u64) -> Result<Option<B256>, RpcError> {
        self.chain.canonical_hash(number).map_err(RpcError::internal)
    }

    /// A block with its senders.
    pub(crate) fn block(&self, id: BlockId) -> Result<Option<Arc<RecoveredBlock>>, RpcError> {
        let Some(header) = self.header(id)? else { return Ok(None) };
        let block = self.chain.block_by_hash(header.hash()).map_err(RpcError::internal)?;
        Ok(block.or_else(|| Some(Arc::new(self.pending_of(header.hash())?.block.clone()))))
    }

    /// The block in `pending`, if this node makes one.
    pub(crate) fn pending_block(&self) -> Option<Arc<ExecutedBlock>> {
        self.pending.as_ref().and_then(PendingBlocks::current)
    }

    /// The block in `pending`, if it is this one.
    fn pending_of(&self, hash: B256) -> Option<Arc<ExecutedBlock>> {
        self.pending.as_ref()?.by_hash(hash)
    }

    /// The receipts of a block.
    pub(crate) fn receipts(&self, hash: B256) -> Result<Option<Arc<Vec<Receipt>>>, RpcError> {
        let receipts = self.chain.receipts_by_hash(hash).map_err(RpcError::internal)?;
        Ok(receipts.or_else(|| Some(Arc::new(self.pending_of(hash)?.receipts.clone()))))
    }

    /// The block and the index of a transaction in the canonical chain.
    pub(crate) fn locate(&self, hash: B256) -> Result<Option<(B256, usize)>, RpcError> {
        self.chain.transaction(hash).map_err(RpcError::internal)
    }

    /// The state after a block, with the block's header.
    pub(crate) fn state(&self, id: BlockId) -> Result<(SealedHeader, StateRef), RpcError> {
        let header = self.header_or_error(id)?;
        let state = match self.pending_of(header.hash()) {
            Some(pending) => self.chain.state_after(&pending),
            None => self.chain.state_at(header.hash()),
        };
        let state = state.map_err(|error| match error {
            TreeError::UnknownBlock(_) => RpcError::BlockNotFound(id),
            TreeError::State(error) => RpcError::State(error),
            error => RpcError::internal(error),
        })?;
        Ok((header, state))
    }

    /// Blocks of a range in which a filter may find something, by the index of addresses and topics.
    pub(crate) fn candidates(
        &self,
        filter: &Filter,
        range: RangeInclusive<u64>,
    ) -> Result<Vec<u64>, RpcError> {
        let query = LogQuery {
            addresses: filter.address.iter().copied().collect(),
            topics: filter.topics.each_ref().map(|topics| topics.iter().copied().collect()),
        };
        self.chain.blocks_with_logs(&query, *range.start(), *range.end()).map_err(RpcError::internal)
    }
}
