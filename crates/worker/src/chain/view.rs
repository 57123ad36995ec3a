//! The check's window on the chain, over the economy's views.

use alloy_primitives::B256;
use tributary_abi::{
    IDatanets, IModels, IParams,
    address::{MODELS, PARAMS},
};
use tributary_record::{
    AdapterAt, ChainView, ChannelAt, ContributionAt, EpochAt, ModelAt, ParamsAt, Source, Standing,
    TraceBounds, ViewError,
    fees::{Rates, SplitParams},
};

use super::{
    port::{ChainError, view},
    registry::Registry,
};
use crate::store::Store;

/// Reads through the registry, and knows what this worker has already recorded.
#[derive(Clone, Debug)]
pub struct RegistryView {
    registry: Registry,
    store: Option<Store>,
}

impl RegistryView {
    /// A view that also answers [`ChainView::recorded`] from the worker's archive.
    pub fn new(registry: Registry, store: Option<Store>) -> Self {
        Self { registry, store }
    }

    fn param(&self, params: &[IParams::Param], name: &'static str) -> Result<u128, ViewError> {
        let mut key = B256::ZERO;
        key[..name.len()].copy_from_slice(name.as_bytes());
        let found = params.iter().find(|param| param.key == key);
        found
            .and_then(|param| param.value.try_into().ok())
            .ok_or_else(|| ViewError(format!("the chain has no parameter {name}")))
    }

    fn rates(&self, id: u64, block: u64) -> Result<Rates, ViewError> {
        let rates = view(self.registry.chain(), MODELS, &IModels::ratesAtCall { id, blockNumber: block })
            .map_err(failed)?;
        Ok(Rates { input: rates.inRate.to(), output: rates.outRate.to() })
    }

    fn owner(&self, id: u64, block: u64) -> Result<alloy_primitives::Address, ViewError> {
        view(self.registry.chain(), MODELS, &IModels::ownerAtCall { id, blockNumber: block }).map_err(failed)
    }

    /// The model, if it was there in that block.
    fn model_at(&self, id: u64, block: u64) -> Result<Option<IModels::Model>, ViewError> {
        let model = self.registry.model(id).map_err(failed)?;
        Ok(model.filter(|model| model.registeredBlock <= block))
    }
}

fn failed(error: ChainError) -> ViewError {
    ViewError(error.to_string())
}

impl ChainView for RegistryView {
    fn chain_id(&self) -> u64 {
        self.registry.chain().chain_id()
    }

    fn params(&self, block: u64) -> Result<ParamsAt, ViewError> {
        let all = view(self.registry.chain(), PARAMS, &IParams::allAtCall { blockNumber: block })
            .map_err(failed)?;
        let narrow = |name| -> Result<u32, ViewError> {
            u32::try_from(self.param(&all, name)?).map_err(|_| ViewError(format!("{name} is out of range")))
        };
        Ok(ParamsAt {
            split: SplitParams {
                platform_fee: self.param(&all, "platformFee")?,
                model_bps: narrow("betaBps")?,
                stakers_bps: narrow("gammaBps")?,
                base_share_bps: narrow("baseShareBps")?,
            },
            max_record_age: narrow("maxRecordAge")?.into(),
            max_record_bytes: narrow("maxRecordBytes")?,
            bounds: TraceBounds::new(narrow("maxSpans")?, narrow("maxPayees")?),
        })
    }

    fn model(&self, id: u64, block: u64) -> Result<Option<ModelAt>, ViewError> {
        let Some(model) = self.model_at(id, block)?.filter(|model| model.baseId == 0) else {
            return Ok(None);
        };
        Ok(Some(ModelAt {
            owner: self.owner(id, block)?,
            rates: self.rates(id, block)?,
            retired: self.registry.model_retired(id, block).map_err(failed)?,
            tokenizer_hash: model.tokenizerHash,
            profile_hash: model.profileHash,
        }))
    }

    fn adapter(&self, id: u64, block: u64) -> Result<Option<AdapterAt>, ViewError> {
        let Some(model) = self.model_at(id, block)?.filter(|model| model.baseId != 0) else {
            return Ok(None);
        };
        Ok(Some(AdapterAt {
            base: model.baseId,
            owner: self.owner(id, block)?,
            rates: self.rates(id, block)?,
            retired: self.registry.model_retired(id, block).map_err(failed)?,
            sources: model.sources.iter().map(|s| Source { datanet: s.datanetId, epoch: s.epoch }).collect(),
        }))
    }

    fn epoch(&self, source: Source) -> Result<Option<EpochAt>, ViewError> {
        let Some(epoch) = self.registry.epoch(source.datanet, source.epoch).map_err(failed)? else {
            return Ok(None);
        };
        let datanet = self.registry.datanet(source.datanet).map_err(failed)?;
        Ok(datanet.map(|datanet| EpochAt { count: epoch.count, min_match: datanet.minMatch }))
    }

    fn contribution(&self, id: u64) -> Result<Option<ContributionAt>, ViewError> {
        let found = self.registry.contribution(id).map_err(failed)?;
        Ok(found.map(|found| ContributionAt {
            contributor: found.contributor,
            tokens: found.tokens,
            commit_block: found.commitBlock,
            standing: standing(&found),
        }))
    }

    fn channel(&self, id: B256) -> Result<Option<ChannelAt>, ViewError> {
        let found = self.registry.channel(id).map_err(failed)?;
        Ok(found.map(|channel| ChannelAt {
            agent_id: channel.agentId,
            signer: channel.signer,
            deposited: channel.deposited,
            settled: channel.settled,
        }))
    }

    fn recorded(&self, channel: B256, request_id: B256) -> Result<bool, ViewError> {
        match &self.store {
            None => Ok(false),
            Some(store) => {
                let place = store.place(channel, request_id).map_err(|error| ViewError(error.to_string()))?;
                Ok(place.is_some())
            }
        }
    }
}

/// Whether a contribution takes part, as its views say.
pub(crate) fn standing(contribution: &IDatanets::Contribution) -> Standing {
    match (contribution.rejected, contribution.removedEpoch) {
        (true, _) => Standing::Rejected,
        (false, 0) => Standing::Live,
        (false, from) => Standing::RemovedFrom(from),
    }
}
