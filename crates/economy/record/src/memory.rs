//! A chain made of plain values.

use crate::record::Source;
use crate::view::{AdapterAt, ChainView, ChannelAt, ContributionAt, EpochAt, ModelAt, ParamsAt, ViewError};
use alloy_primitives::B256;
use std::collections::{BTreeMap, BTreeSet};

/// A [`ChainView`] over maps, for tests and for tools that replay events. Values hold at every block; models,
/// adapters and parameters can be given a history of (first block, value).
#[derive(Debug, Clone, Default)]
pub struct MemoryView {
    /// The chain's id.
    pub chain_id: u64,
    /// Parameters by first block.
    pub params: BTreeMap<u64, ParamsAt>,
    /// Base models by (id, first block).
    pub models: BTreeMap<(u64, u64), ModelAt>,
    /// Adapters by (id, first block).
    pub adapters: BTreeMap<(u64, u64), AdapterAt>,
    /// Sealed epochs.
    pub epochs: BTreeMap<Source, EpochAt>,
    /// Contributions by id.
    pub contributions: BTreeMap<u64, ContributionAt>,
    /// Channels by id.
    pub channels: BTreeMap<B256, ChannelAt>,
    /// Requests of earlier batches.
    pub recorded: BTreeSet<(B256, B256)>,
}

impl ChainView for MemoryView {
    fn chain_id(&self) -> u64 {
        self.chain_id
    }

    fn params(&self, block: u64) -> Result<ParamsAt, ViewError> {
        let last = self.params.range(..=block).next_back();
        last.map(|(_, params)| *params).ok_or_else(|| ViewError(format!("no parameters at block {block}")))
    }

    fn model(&self, id: u64, block: u64) -> Result<Option<ModelAt>, ViewError> {
        Ok(self.models.range((id, 0)..=(id, block)).next_back().map(|(_, model)| *model))
    }

    fn adapter(&self, id: u64, block: u64) -> Result<Option<AdapterAt>, ViewError> {
        Ok(self.adapters.range((id, 0)..=(id, block)).next_back().map(|(_, adapter)| adapter.clone()))
    }

    fn epoch(&self, source: Source) -> Result<Option<EpochAt>, ViewError> {
        Ok(self.epochs.get(&source).copied())
    }

    fn contribution(&self, id: u64) -> Result<Option<ContributionAt>, ViewError> {
        Ok(self.contributions.get(&id).copied())
    }

    fn channel(&self, id: B256) -> Result<Option<ChannelAt>, ViewError> {
        Ok(self.channels.get(&id).copied())
    }

    fn recorded(&self, channel: B256, request_id: B256) -> Result<bool, ViewError> {
        Ok(self.recorded.contains(&(channel, request_id)))
    }
}
