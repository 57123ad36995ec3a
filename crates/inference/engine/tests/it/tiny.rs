//! A tiny model behind an engine.

use alloy_primitives::B256;
use std::{path::Path, sync::Arc, time::Duration};
use tempfile::TempDir;
use tributary_adapters::{
    CONFIG_FILE, FetchPolicy, Fetcher, FileRoots, Memory, ResidencyConfig, Source, TENSORS_FILE,
};
use tributary_cpu::{CpuBackend, Options};
use tributary_engine::{
    AdapterSet, AdapterStore, BackendFactory, Engine, EngineConfig, GenerateError, GenerateRequest,
    InferenceBackend, Outcome, PPM, SamplingParams, StopRules,
};
use tributary_testkit::{AdapterSpec, EOS, GEOMETRY, artifact, model_folder};
use tributary_weights::{Model, Tokenizer};

/// Tokens of a KV page.
const PAGE: usize = 16;

/// A model on disk and adapters beside it.
pub(crate) struct Tiny {
    pub(crate) folder: TempDir,
    adapters: TempDir,
    _cache: TempDir,
    fetcher: Fetcher,
    pub(crate) tokenizer: Arc<Tokenizer>,
}

impl Tiny {
    pub(crate) fn new() -> Self {
        let folder = model_folder(7).unwrap();
        let cache = tempfile::tempdir().unwrap();
        let policy = FetchPolicy { files: FileRoots::Any, private_hosts: true, ..FetchPolicy::default() };
        Self {
            adapters: tempfile::tempdir().unwrap(),
            fetcher: Fetcher::new(policy, cache.path().to_owned()).unwrap(),
            _cache: cache,
            tokenizer: Model::open(folder.path()).unwrap().tokenizer,
            folder,
        }
    }

    pub(crate) fn model(&self) -> Model {
        Model::open(self.folder.path()).unwrap()
    }

    pub(crate) fn backend(&self, pages: u32) -> CpuBackend {
        let model = self.model();
        let options = Options { threads: 2, cache_tokens: pages as usize * PAGE, ..Options::default() };
        CpuBackend::new(model.config, model.weights, &model.hashes, &options).unwrap()
    }

    /// An engine whose backend keeps what it prepares, as a node's does.
    pub(crate) fn keeping(&self, kept: &Path) -> Engine {
        let model = self.model();
        let options = Options { threads: 2, cache_tokens: 64 * PAGE, ..Options::default() };
        let backend = CpuBackend::cached(model.config, model.weights, &model.hashes, &options, kept).unwrap();
        let mut backend = Some(backend);
        self.engine_over(quick(), Box::new(move || Ok(Box::new(backend.take().unwrap()) as _)))
    }

    /// A source for an adapter, written to disk.
    pub(crate) fn adapter(&self, spec: &AdapterSpec) -> Source {
        self.adapter_at(&format!("{:x}", artifact(spec).hash()), spec)
    }

    /// The same under a name of its own, over what is there.
    pub(crate) fn adapter_at(&self, name: &str, spec: &AdapterSpec) -> Source {
        let artifact = artifact(spec);
        let folder = self.adapters.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(CONFIG_FILE), artifact.config()).unwrap();
        std::fs::write(folder.join(TENSORS_FILE), artifact.tensors()).unwrap();
        Source { hash: artifact.hash(), uri: format!("file://{}", folder.display()) }
    }

    pub(crate) fn store(&self, engine: &Engine, budget: usize) -> AdapterStore {
        let config = ResidencyConfig { budget, ..ResidencyConfig::default() };
        AdapterStore::new(engine.clone(), GEOMETRY, self.fetcher.clone(), config)
    }

    /// An engine whose pages count in `memory`, as its adapters do.
    pub(crate) fn engine_within(
        &self,
        memory: Memory,
        config: EngineConfig,
        factory: BackendFactory,
    ) -> Engine {
        Engine::within(memory, config, Arc::clone(&self.tokenizer) as _, factory).unwrap()
    }

    /// An engine over plain backends with this many KV pages.
    pub(crate) fn engine(&self, config: EngineConfig, pages: u32) -> Engine {
        let mut backend = Some(self.backend(pages));
        self.engine_over(config, Box::new(move || Ok(Box::new(backend.take().unwrap()) as _)))
    }

    pub(crate) fn engine_over(&self, config: EngineConfig, factory: BackendFactory) -> Engine {
        Engine::start(config, Arc::clone(&self.tokenizer) as _, factory).unwrap()
    }
}

/// Fast restarts, so that tests of failures take no time.
pub(crate) fn quick() -> EngineConfig {
    EngineConfig {
        restart_first: Duration::from_millis(5),
        restart_max: Duration::from_millis(20),
        ..EngineConfig::default()
    }
}

pub(crate) fn request(prompt: &str, max_tokens: u32) -> GenerateRequest {
    GenerateRequest {
        prompt: prompt.bytes().map(u32::from).collect(),
        adapters: AdapterSet::default(),
        sampling: SamplingParams::greedy(),
        stop: StopRules { max_tokens, min_tokens: 0, tokens: vec![EOS], strings: Vec::new() },
        ..GenerateRequest::default()
    }
}

pub(crate) fn sampled(seed: u64) -> SamplingParams {
    SamplingParams { temperature: 0.9, top_k: 50, top_p: PPM - 50_000, seed, ..SamplingParams::default() }
}

pub(crate) async fn run(engine: &Engine, request: GenerateRequest) -> Result<Outcome, GenerateError> {
    engine.submit(request).unwrap().finish().await.map(|(_, outcome)| outcome)
}

/// Tokens, hash of what went in, head of the chain.
pub(crate) type Bits = (Vec<u32>, B256, B256);

/// The bits of an answer.
pub(crate) fn bits(outcome: &Outcome) -> Bits {
    (outcome.tokens.clone(), outcome.exec_hash, outcome.logits_root)
}

/// Passes calls on to a real backend; wrappers change what they must.
pub(crate) type Inner = Box<dyn InferenceBackend>;
