//! From a checked request to answers in the engine.

use crate::{
    adapters::LoadedAdapters,
    config::ApiConfig,
    embeddings::EmbeddingDesk,
    error::{ApiError, Result},
    keys::{KeyRing, KeyUse},
    metrics::{self, AdapterNames},
    params,
    payment::{Ask, Gate, Meter},
    resolve::{ResolvedModel, Resolver},
    structured::{Asked, Compiler},
    text::TextModel,
    types::SamplingFields,
    voucher::VoucherHeader,
};
use alloy_primitives::{B256, keccak256};
use std::{
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};
use tributary_embed::Embedder;
use tributary_engine::{AdapterStore, Engine, EngineInfo, GenerateRequest, Generation};
use tributary_grammar::Compiled;

/// Renders what was counted in Prometheus' text format.
pub type MetricsHook = Arc<dyn Fn() -> String + Send + Sync>;

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

/// What is to be generated.
pub(crate) struct Order<'a> {
    pub(crate) caller: Caller,
    pub(crate) model: ResolvedModel,
    pub(crate) prompts: Vec<Vec<u32>>,
    pub(crate) fields: &'a SamplingFields,
    /// `max_tokens` where the request names none; none: whatever the context leaves.
    pub(crate) default_max: Option<u32>,
    pub(crate) logprobs: Option<u8>,
    /// What the answer has to look like, with the field that says so.
    pub(crate) shape: Option<Asked>,
    /// Report log-probabilities of the prompt.
    pub(crate) prompt_logprobs: Option<u8>,
    /// Repeat the prompt before the answer.
    pub(crate) echo: bool,
}

/// Answers being generated.
pub(crate) struct Job {
    /// Hash part of the reply's id: the first answer's request id.
    pub(crate) id: B256,
    pub(crate) created: u64,
    pub(crate) model: String,
    pub(crate) prompt_tokens: u64,
    pub(crate) answers: Vec<Answer>,
}

/// One of them.
pub(crate) struct Answer {
    pub(crate) index: u32,
    pub(crate) meter: Box<dyn Meter>,
    pub(crate) generation: Generation,
    pub(crate) tally: Tally,
    /// To be repeated, or reported of.
    pub(crate) prompt: Option<Vec<u32>>,
}

/// Counts an answer's tokens against the key of who asked; also those of an answer that nobody waited for.
pub(crate) struct Tally {
    key: Option<Arc<KeyUse>>,
    tokens: u64,
}

impl Tally {
    pub(crate) const fn token(&mut self) {
        self.tokens += 1;
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            key.tokens(self.tokens);
        }
    }
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

    pub(crate) async fn resolve(&self, name: &str) -> Result<ResolvedModel> {
        if name.is_empty() || name.len() > self.config().name_bytes {
            return Err(ApiError::invalid("model", "`model` must name a model"));
        }
        self.info()?;
        let model = match self.loaded.find(name) {
            Some(loaded) => loaded,
            None => self.parts.resolver.resolve(name).await?,
        };
        self.names.learn(&model);
        Ok(model)
    }

    /// Passes the gate, leases the adapters and puts every answer in line.
    pub(crate) async fn open(&self, order: Order<'_>) -> Result<Job> {
        let deadline = Instant::now() + self.config().request_timeout;
        let info = self.info()?;
        let n = params::choices(order.fields, order.prompts.len(), self.config())?;
        if order.caller.voucher.is_some() && n as usize * order.prompts.len() != 1 {
            return Err(ApiError::invalid("n", "a voucher pays for one answer to one prompt"));
        }
        let sampling = params::sampling(order.fields, self.config())?;
        let grammar = match order.shape.clone() {
            Some((field, shape)) => Some(self.compiler.compile(field, shape).await?),
            None => None,
        };
        let mut passed = Vec::new();
        for prompt in &order.prompts {
            let room = room(prompt, &info, self.config())?;
            let zero = order.echo || order.prompt_logprobs.is_some();
            let stop =
                params::stop_rules(order.fields, self.config(), self.text(), order.default_max, room, zero)?;
            for _ in 0..n {
                let meter = self.authorize(&order, prompt, stop.max_tokens.max(1)).await?;
                let budget = meter.max_output_tokens().unwrap_or(u32::MAX);
                if budget == 0 {
                    return Err(ApiError::invalid(
                        "max_tokens",
                        "the voucher's cap pays for no token of answer",
                    ));
                }
                let mut stop = stop.clone();
                stop.max_tokens = stop.max_tokens.min(budget);
                stop.min_tokens = stop.min_tokens.min(budget);
                passed.push((prompt, stop, meter));
            }
        }
        let loading = self.parts.store.lease(&order.model.composition);
        let adapters = tokio::time::timeout_at(deadline.into(), loading)
            .await
            .map_err(|_| ApiError::Unavailable("the adapter took too long to load".into()))??;
        let mut answers = Vec::with_capacity(passed.len());
        metrics::opened(&order, n, passed.iter().map(|(_, stop, _)| stop.max_tokens).max().unwrap_or(0));
        let salt = order.fields.cache_salt.as_ref().map(keccak256).unwrap_or_default();
        let priority = order.caller.key.as_ref().map_or(0, |key| key.priority());
        for (index, (prompt, stop, meter)) in passed.into_iter().enumerate() {
            let told = order.echo || order.prompt_logprobs.is_some();
            // A prompt without an answer is computed for the sake of its tokens.
            let silent = (stop.max_tokens == 0).then_some(0);
            let mut sampling = sampling.clone();
            sampling.choice = index as u32;
            let generation = self.parts.engine.submit(GenerateRequest {
                prompt: prompt.clone(),
                adapters: adapters.clone(),
                sampling,
                stop,
                logprobs: order.logprobs,
                prompt_logprobs: order.prompt_logprobs.or(silent),
                tenant: order.caller.tenant,
                cache_salt: salt,
                priority,
                deadline: Some(deadline),
                grammar: grammar.as_ref().map(Compiled::start),
                drafts: meter.drafts(),
            })?;
            let tally = Tally { key: order.caller.key.clone(), tokens: prompt.len() as u64 };
            let prompt = told.then(|| prompt.clone());
            answers.push(Answer { index: index as u32, meter, generation, tally, prompt });
        }
        Ok(Job {
            id: answers.first().map(|answer| answer.meter.request_id()).unwrap_or_default(),
            created: unix_now(),
            model: order.model.name,
            prompt_tokens: order.prompts.iter().map(|prompt| prompt.len() as u64).sum(),
            answers,
        })
    }

    async fn authorize(&self, order: &Order<'_>, prompt: &[u32], max_tokens: u32) -> Result<Box<dyn Meter>> {
        let ask = Ask {
            voucher: order.caller.voucher.clone(),
            model: order.model.clone(),
            prompt_tokens: prompt.len() as u32,
            max_tokens,
            body_hash: order.caller.body_hash,
        };
        Ok(self.parts.gate.authorize(ask).await?)
    }
}

/// Tokens of answer that the context leaves.
fn room(prompt: &[u32], info: &EngineInfo, config: &ApiConfig) -> Result<u32> {
    let context = info.limits.context;
    if prompt.len() > config.prompt_tokens as usize {
        let (tokens, most) = (prompt.len(), config.prompt_tokens);
        return Err(ApiError::TooLong(format!("the prompt has {tokens} tokens, this server takes {most}")));
    }
    if prompt.is_empty() {
        return Err(ApiError::invalid("prompt", "the prompt has no tokens"));
    }
    match u32::try_from(prompt.len()).ok().and_then(|prompt| context.checked_sub(prompt)) {
        None | Some(0) => Err(ApiError::TooLong(format!(
            "the prompt has {} tokens, the model's context is {context}",
            prompt.len()
        ))),
        Some(room) => Ok(room.min(config.output_tokens)),
    }
}

pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs()).unwrap_or_default()
}
