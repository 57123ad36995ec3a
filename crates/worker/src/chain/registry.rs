//! Typed reads of the economy's six addresses, at the head.

use std::{collections::HashMap, sync::Arc};

use alloy_primitives::{Address, B256};
use alloy_sol_types::SolError;
use parking_lot::Mutex;
use tributary_abi::{
    IAgents, IAttribution, IDatanets, IModels, ISettlement,
    address::{AGENTS, ATTRIBUTION, DATANETS, MODELS, SETTLEMENT},
};

use super::port::{ChainError, ChainPort, view};

/// Contributions asked for in one call.
const PAGE: u32 = 256;

/// The economy as its views tell it. Unknown ids are `None`, everything else that reverts is an error.
#[derive(Clone, Debug)]
pub struct Registry {
    chain: Arc<dyn ChainPort>,
    /// The agent found for an operator, looked at first the next time.
    serving: Arc<Mutex<HashMap<Address, u64>>>,
}

fn known<T, E: SolError>(result: Result<T, ChainError>) -> Result<Option<T>, ChainError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(ChainError::Reverted(data)) if data.starts_with(&E::SELECTOR) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Registry {
    /// Reads through `chain`.
    pub fn new(chain: Arc<dyn ChainPort>) -> Self {
        Self { chain, serving: Arc::default() }
    }

    /// The chain that is read.
    pub fn chain(&self) -> &dyn ChainPort {
        self.chain.as_ref()
    }

    /// A base model or an adapter.
    pub fn model(&self, id: u64) -> Result<Option<IModels::Model>, ChainError> {
        known::<_, IModels::UnknownModel>(view(self.chain(), MODELS, &IModels::getCall { id }))
    }

    /// A base model or an adapter by its name.
    pub fn model_named(&self, name: &str) -> Result<Option<IModels::Model>, ChainError> {
        let id = view(self.chain(), MODELS, &IModels::idOfCall { name: name.to_owned() })?;
        if id == 0 { Ok(None) } else { self.model(id) }
    }

    /// How many models there are; ids run from 1.
    pub fn model_count(&self) -> Result<u64, ChainError> {
        view(self.chain(), MODELS, &IModels::countCall {})
    }

    /// Whether a model is retired as of a block.
    pub fn model_retired(&self, id: u64, block: u64) -> Result<bool, ChainError> {
        view(self.chain(), MODELS, &IModels::retiredAtCall { id, blockNumber: block })
    }

    /// An agent.
    pub fn agent(&self, id: u64) -> Result<Option<IAgents::Agent>, ChainError> {
        known::<_, IAgents::UnknownAgent>(view(self.chain(), AGENTS, &IAgents::getCall { id }))
    }

    /// How many agents there are; ids run from 1.
    pub fn agent_count(&self) -> Result<u64, ChainError> {
        view(self.chain(), AGENTS, &IAgents::countCall {})
    }

    /// The oldest agent in service whose operator key is `operator`. Anyone can name any operator, so that a newer agent
    /// never takes the place of one that serves.
    pub fn agent_of_operator(&self, operator: Address) -> Result<Option<IAgents::Agent>, ChainError> {
        let serves =
            |agent: &IAgents::Agent| agent.operator == operator && agent.kind == 0 && agent.retiredFrom == 0;
        let known = self.serving.lock().get(&operator).copied();
        if let Some(agent) = known.map(|id| self.agent(id)).transpose()?.flatten().filter(serves) {
            return Ok(Some(agent));
        }
        for id in 1..=self.agent_count()? {
            if let Some(agent) = self.agent(id)?.filter(serves) {
                self.serving.lock().insert(operator, id);
                return Ok(Some(agent));
            }
        }
        Ok(None)
    }

    /// A datanet.
    pub fn datanet(&self, id: u64) -> Result<Option<IDatanets::Datanet>, ChainError> {
        known::<_, IDatanets::UnknownDatanet>(view(self.chain(), DATANETS, &IDatanets::getCall { id }))
    }

    /// A sealed epoch.
    pub fn epoch(&self, datanet: u64, epoch: u64) -> Result<Option<IDatanets::Epoch>, ChainError> {
        let answer = view(self.chain(), DATANETS, &IDatanets::getEpochCall { id: datanet, epoch });
        match known::<_, IDatanets::UnknownEpoch>(answer) {
            Err(ChainError::Reverted(data)) if data.starts_with(&IDatanets::UnknownDatanet::SELECTOR) => {
                Ok(None)
            }
            answer => answer,
        }
    }

    /// A contribution.
    pub fn contribution(&self, id: u64) -> Result<Option<IDatanets::Contribution>, ChainError> {
        let answer = view(self.chain(), DATANETS, &IDatanets::getContributionCall { contributionId: id });
        match known::<_, IDatanets::UnknownContribution>(answer) {
            Err(ChainError::Reverted(data)) if data.starts_with(&IDatanets::UnknownDatanet::SELECTOR) => {
                Ok(None)
            }
            answer => answer,
        }
    }

    /// The first `count` contributions of a datanet, in the order of their index.
    pub fn contributions(
        &self,
        datanet: u64,
        count: u32,
    ) -> Result<Vec<IDatanets::Contribution>, ChainError> {
        let mut all = Vec::with_capacity(count as usize);
        while (all.len() as u32) < count {
            let first = all.len() as u32;
            let limit = PAGE.min(count - first);
            let page =
                view(self.chain(), DATANETS, &IDatanets::contributionsCall { id: datanet, first, limit })?;
            if page.is_empty() {
                return Err(ChainError::Shape("contributions"));
            }
            all.extend(page);
        }
        Ok(all)
    }

    /// A channel.
    pub fn channel(&self, id: B256) -> Result<Option<ISettlement::Channel>, ChainError> {
        known::<_, ISettlement::UnknownChannel>(view(
            self.chain(),
            SETTLEMENT,
            &ISettlement::getChannelCall { channel: id },
        ))
    }

    /// What an account has claimed from an agent's batches.
    pub fn claimed(&self, agent: u64, account: Address) -> Result<u128, ChainError> {
        view(self.chain(), SETTLEMENT, &ISettlement::claimedOfCall { agentId: agent, account })
    }

    /// A batch.
    pub fn batch(&self, id: B256) -> Result<Option<IAttribution::Batch>, ChainError> {
        known::<_, IAttribution::UnknownBatch>(view(
            self.chain(),
            ATTRIBUTION,
            &IAttribution::getBatchCall { batchId: id },
        ))
    }

    /// How far an agent's batches have come.
    pub fn batches_of(&self, agent: u64) -> Result<IAttribution::chainOfReturn, ChainError> {
        view(self.chain(), ATTRIBUTION, &IAttribution::chainOfCall { agentId: agent })
    }

    /// The id of an agent's batch by its sequence number; zero when there is none.
    pub fn batch_of(&self, agent: u64, seq: u64) -> Result<B256, ChainError> {
        view(self.chain(), ATTRIBUTION, &IAttribution::batchOfCall { agentId: agent, seq })
    }
}
