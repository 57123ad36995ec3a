//! From a model's name to what answers for it.

use crate::types::ModelCard;
use async_trait::async_trait;
use std::collections::BTreeMap;
use tributary_adapters::Source;

/// What answers for a name.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedModel {
    /// The name, as replies show it.
    pub name: String,
    /// The base model on chain, 0 without a chain.
    pub model_id: u64,
    /// The adapter on chain, 0 for none.
    pub adapter_id: u64,
    /// Adapters and their weights, in order; empty for the base model.
    pub composition: Vec<(Source, f32)>,
}

/// Why a name has no model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// Neither served nor registered: 404.
    #[error("the model `{0}` does not exist")]
    NotFound(String),
    /// Registered, but its data cannot be had or is not what was registered: 503.
    #[error("{0}")]
    DataUnavailable(String),
    /// The registry cannot be asked now: 503.
    #[error("{0}")]
    Unavailable(String),
}

/// Finds models.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// The model of a name: the base's, an adapter's, or `adapter:<id>`.
    async fn resolve(&self, name: &str) -> Result<ResolvedModel, ResolveError>;

    /// Whether there is a model of that name, which need not be ready to answer.
    async fn exists(&self, name: &str) -> Result<bool, ResolveError>;

    /// What `/v1/models` lists.
    async fn list(&self) -> Vec<ModelCard>;
}

/// A base model and adapters from the command line.
#[derive(Clone, Debug)]
pub struct StaticResolver {
    base: ModelCard,
    adapters: BTreeMap<String, Source>,
}

impl StaticResolver {
    /// The base model under its name.
    pub fn new(base: ModelCard) -> Self {
        Self { base, adapters: BTreeMap::new() }
    }

    /// Adds an adapter under a name.
    #[must_use]
    pub fn with_adapter(mut self, name: impl Into<String>, source: Source) -> Self {
        self.adapters.insert(name.into(), source);
        self
    }
}

#[async_trait]
impl Resolver for StaticResolver {
    async fn resolve(&self, name: &str) -> Result<ResolvedModel, ResolveError> {
        let model =
            |composition| ResolvedModel { name: name.to_owned(), model_id: 0, adapter_id: 0, composition };
        if name == self.base.id {
            return Ok(model(Vec::new()));
        }
        match self.adapters.get(name) {
            Some(source) => Ok(model(vec![(source.clone(), 1.0)])),
            None => Err(ResolveError::NotFound(name.to_owned())),
        }
    }

    async fn exists(&self, name: &str) -> Result<bool, ResolveError> {
        Ok(name == self.base.id || self.adapters.contains_key(name))
    }

    async fn list(&self) -> Vec<ModelCard> {
        let adapters = self.adapters.iter().map(|(name, source)| {
            ModelCard::adapter(name.as_str(), source.uri.as_str(), self.base.id.as_str())
        });
        std::iter::once(self.base.clone()).chain(adapters).collect()
    }
}
