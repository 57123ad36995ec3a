//! The API and what it is made of.

use crate::{
    adapters::LoadedAdapters,
    config::ApiConfig,
    embeddings::EmbeddingDesk,
    error::{ApiError, Result},
    keys::{KeyRing, KeyUse},
    metrics::{AdapterNames, MetricsHook},
    payment::Gate,
    resolve::{ResolvedModel, Resolver},
    structured::Compiler,
    text::TextModel,
    voucher::VoucherHeader,
};
use alloy_primitives::B256;
use std::sync::Arc;
use tributary_embed::Embedder;
use tributary_engine::{AdapterStore, Engine, EngineInfo};

/// What an API is made of.
#[derive(Clone)]
pub struct ApiParts {
    /// Generates.
    pub engine: Engine,
    /// Loads adapters.
    pub store: AdapterStore,
    /// Tokenizes.
    pub text: TextModel,
    /// Decides who pays.
    pub gate: Arc<dyn Gate>,
    /// Knows models by name.
    pub resolver: Arc<dyn Resolver>,
    /// Bounds and keys.
    pub config: ApiConfig,
    /// The model of `/v1/embeddings` and its name, if there is one.
    pub embedder: Option<(String, Arc<Embedder>)>,
    /// Serves `/metrics`, if it is served here.
    pub metrics: Option<MetricsHook>,
}

/// The API of one node; clones share it.
#[derive(Clone)]
pub struct Api {
    pub(crate) parts: Arc<ApiParts>,
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) compiler: Compiler,
    pub(crate) loaded: Arc<LoadedAdapters>,
    pub(crate) embeddings: Arc<EmbeddingDesk>,
    pub(crate) names: Arc<AdapterNames>,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("engine", &self.parts.engine).finish_non_exhaustive()
    }
}

/// What a request brings besides its fields.
pub(crate) struct Caller {
    pub(crate) voucher: Option<VoucherHeader>,
    pub(crate) body_hash: B256,
    pub(crate) tenant: u64,
    pub(crate) key: Option<Arc<KeyUse>>,
}

impl Api {
    /// Puts the parts together.
    pub fn new(parts: ApiParts) -> Self {
        let keys = Arc::new(KeyRing::new(&parts.config.api_keys));
        let compiler = Compiler::new(parts.text.clone());
        let embeddings = Arc::new(EmbeddingDesk::new(parts.embedder.clone()));
        Self {
            parts: Arc::new(parts),
            keys,
            compiler,
            loaded: Arc::default(),
            embeddings,
            names: Arc::default(),
        }
    }

    pub(crate) fn checks_vouchers(&self) -> bool {
        self.parts.gate.checks_vouchers()
    }

    pub(crate) fn config(&self) -> &ApiConfig {
        &self.parts.config
    }

    pub(crate) fn text(&self) -> &TextModel {
        &self.parts.text
    }

    /// The loaded engine, or why there is none.
    pub(crate) fn info(&self) -> Result<Arc<EngineInfo>> {
        self.parts.engine.info().ok_or_else(|| ApiError::Unavailable("the model is being loaded".into()))
    }

    fn check_name(&self, name: &str) -> Result<()> {
        if name.is_empty() || name.len() > self.config().name_bytes {
            return Err(ApiError::invalid("model", "`model` must name a model"));
        }
        Ok(())
    }

    /// Whether there is a model of that name.
    pub(crate) async fn exists(&self, name: &str) -> Result<bool> {
        self.check_name(name)?;
        Ok(self.loaded.find(name).is_some() || self.parts.resolver.exists(name).await?)
    }

    pub(crate) async fn resolve(&self, name: &str) -> Result<ResolvedModel> {
        self.check_name(name)?;
        self.info()?;
        let model = match self.loaded.find(name) {
            Some(loaded) => loaded,
            None => self.parts.resolver.resolve(name).await?,
        };
        self.names.learn(&model);
        Ok(model)
    }
}
