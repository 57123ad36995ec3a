//! From a model's name to an adapter in the chain's registry, with its data at hand.

use std::sync::Arc;

use async_trait::async_trait;
use tributary_abi::IModels;
use tributary_adapters::Source as Artifact;
use tributary_api::{ResolveError, ResolvedModel, Resolver, types::ModelCard};
use tributary_record::Source;

use super::base::BaseModel;
use crate::{
    chain::{ChainError, Registry},
    corpus::{Corpus, CorpusError},
};

/// Most models that `/v1/models` lists.
const MAX_LISTED: u64 = 10_000;

/// Resolves names in the chain's registry.
#[derive(Debug)]
pub struct ChainResolver {
    registry: Registry,
    base: Arc<BaseModel>,
    corpus: Arc<Corpus>,
}

impl ChainResolver {
    /// Adapters of `base`.
    pub fn new(registry: Registry, base: Arc<BaseModel>, corpus: Arc<Corpus>) -> Self {
        Self { registry, base, corpus }
    }

    fn find(&self, name: &str) -> Result<Option<IModels::Model>, ChainError> {
        match name.strip_prefix("adapter:") {
            Some(id) => match id.parse() {
                Ok(id) => self.registry.model(id),
                Err(_) => Ok(None),
            },
            None if is_name(name) => self.registry.model_named(name),
            None => Ok(None),
        }
    }

    fn base_only(&self, name: &str, id: Option<u64>) -> ResolvedModel {
        ResolvedModel {
            name: name.to_owned(),
            model_id: id.unwrap_or_default(),
            adapter_id: 0,
            composition: Vec::new(),
        }
    }

    /// What the chain says of a name: this base, or an adapter of it that is in service.
    fn served(&self, name: &str) -> Result<Option<(u64, IModels::Model)>, ChainError> {
        let (Some(base), Some(model)) = (self.base.id()?, self.find(name)?) else { return Ok(None) };
        let head = self.registry.chain().head().number;
        let serves =
            model.id == base || model.baseId == base && !self.registry.model_retired(model.id, head)?;
        Ok(serves.then_some((base, model)))
    }

    async fn adapter(
        &self,
        name: &str,
        base: u64,
        model: IModels::Model,
    ) -> Result<ResolvedModel, ResolveError> {
        let sources: Vec<Source> =
            model.sources.iter().map(|s| Source { datanet: s.datanetId, epoch: s.epoch }).collect();
        self.corpus.pin(&sources).await.map_err(|error| match &error {
            CorpusError::Load(why) => match &**why {
                CorpusError::Chain(chain) => unavailable(chain.clone()),
                _ => ResolveError::DataUnavailable(error.to_string()),
            },
            _ => ResolveError::DataUnavailable(error.to_string()),
        })?;
        let artifact = Artifact { hash: model.hash, uri: model.uri };
        Ok(ResolvedModel {
            name: name.to_owned(),
            model_id: base,
            adapter_id: model.id,
            composition: vec![(artifact, 1.0)],
        })
    }

    fn cards(&self) -> Result<Vec<ModelCard>, ChainError> {
        let Some(base) = self.base.id()? else { return Ok(Vec::new()) };
        let head = self.registry.chain().head().number;
        let parent =
            self.registry.model(base)?.map_or_else(|| self.base.local.name.clone(), |model| model.name);
        let mut cards = Vec::new();
        for id in 1..=self.registry.model_count()?.min(MAX_LISTED) {
            let Some(model) = self.registry.model(id)? else { continue };
            let active = model.retiredFrom == 0 || model.retiredFrom > head;
            if active && (model.baseId == base || id == base) {
                let owner = model.owner.to_string();
                let card = if id == base {
                    ModelCard::base(model.name, model.uri)
                } else {
                    ModelCard::adapter(model.name, model.uri, parent.as_str())
                };
                cards.push(ModelCard { owned_by: owner, ..card });
            }
        }
        // The base first, as clients that take the first model expect.
        cards.sort_by_key(|card| card.parent.is_some());
        Ok(cards)
    }
}

/// What the registry could know: anything else need not be asked.
fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}

fn unavailable(error: ChainError) -> ResolveError {
    ResolveError::Unavailable(error.to_string())
}

#[async_trait]
impl Resolver for ChainResolver {
    async fn resolve(&self, name: &str) -> Result<ResolvedModel, ResolveError> {
        if name == self.base.local.name {
            return Ok(self.base_only(name, self.base.id().map_err(unavailable)?));
        }
        let not_found = || ResolveError::NotFound(name.to_owned());
        let (base, model) = self.served(name).map_err(unavailable)?.ok_or_else(not_found)?;
        if model.id == base {
            return Ok(self.base_only(name, Some(base)));
        }
        self.adapter(name, base, model).await
    }

    async fn exists(&self, name: &str) -> Result<bool, ResolveError> {
        Ok(name == self.base.local.name || self.served(name).map_err(unavailable)?.is_some())
    }

    async fn list(&self) -> Vec<ModelCard> {
        let cards = self.cards().unwrap_or_else(|error| {
            tracing::warn!(target: "tributary::worker", %error, "the registry cannot be listed");
            Vec::new()
        });
        if cards.is_empty() { vec![ModelCard::base(self.base.local.name.as_str(), "local")] } else { cards }
    }
}
