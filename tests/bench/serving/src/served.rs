//! The engine with its adapter store, asked as the API asks it.

use crate::lora::Folders;
use eyre::{Result, eyre};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{runtime::Runtime, task::JoinSet};
use tributary_adapters::{FetchPolicy, Fetcher, FileRoots, Geometry, ResidencyConfig, Source};
use tributary_cpu::{CpuBackend, Options};
use tributary_engine::{
    AdapterStore, BackendError, DraftSource, Engine, EngineConfig, Event, GenerateRequest, InferenceBackend,
    Outcome, SamplingParams, StopRules,
};
use tributary_weights::Model;

/// An engine, its threads and its model's tokens.
pub(crate) struct Served {
    pub(crate) engine: Engine,
    pub(crate) model: Arc<Parts>,
    runtime: Runtime,
}

/// What is kept of the model beside the weights.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) geometry: Geometry,
    pub(crate) tokenizer: Arc<tributary_weights::Tokenizer>,
    pub(crate) chat: Option<Arc<tributary_weights::ChatTemplate>>,
}

/// One question.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ask {
    pub(crate) prompt: Vec<u32>,
    pub(crate) adapter: Option<Source>,
    pub(crate) answer: usize,
    /// Tokens that end it.
    pub(crate) ends: Vec<u32>,
    pub(crate) drafts: Option<Arc<dyn DraftSource>>,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// From asking, adapter included.
    pub(crate) first: Duration,
    pub(crate) outcome: Outcome,
}

impl Served {
    /// The backend keeps what it prepares in `kept`, as a node's does.
    pub(crate) fn open(path: &Path, options: &Options, config: EngineConfig, kept: &Path) -> Result<Self> {
        let model = Model::open(path)?;
        let tokenizer = Arc::clone(&model.tokenizer);
        let geometry = Geometry::from(&model.config);
        let parts = Parts { geometry, tokenizer, chat: model.chat.clone() };
        let (path, kept, options, mut first) =
            (path.to_owned(), kept.to_owned(), options.clone(), Some(model));
        let factory = Box::new(move || {
            let start = |error: &dyn std::fmt::Display| BackendError::Start(error.to_string());
            let model = match first.take() {
                Some(model) => model,
                None => Model::open(&path).map_err(|error| start(&error))?,
            };
            let backend = CpuBackend::cached(model.config, model.weights, &model.hashes, &options, &kept)
                .map_err(|error| start(&error))?;
            Ok(Box::new(backend) as Box<dyn InferenceBackend>)
        });
        let engine = Engine::start(config, Arc::clone(&parts.tokenizer) as _, factory)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(engine.ready())?;
        Ok(Self { engine, model: Arc::new(parts), runtime })
    }

    /// A store of its own, empty, of so many bytes.
    pub(crate) fn store(&self, folder: &Path, budget: usize) -> Result<AdapterStore> {
        let policy = FetchPolicy { files: FileRoots::Any, ..FetchPolicy::default() };
        let cache: PathBuf = folder.join("fetched");
        let config = ResidencyConfig { budget, ..ResidencyConfig::default() };
        Ok(AdapterStore::new(self.engine.clone(), self.model.geometry, Fetcher::new(policy, cache)?, config))
    }

    /// Loads adapters; the bytes that one holds.
    pub(crate) fn warm(&self, store: &AdapterStore, sources: &[Source]) -> Result<f64> {
        self.runtime.block_on(async {
            for source in sources {
                drop(store.lease(&[(source.clone(), 1.0)]).await?);
            }
            let resident = store.resident();
            let bytes: usize = resident.iter().map(|(_, bytes, _)| bytes).sum();
            Ok(bytes as f64 / resident.len().max(1) as f64)
        })
    }

    /// Keeps `streams` questions going until all are answered; answers and seconds.
    pub(crate) fn closed(
        &self,
        store: &AdapterStore,
        streams: usize,
        asks: Vec<Ask>,
    ) -> Result<(Vec<Answer>, f64)> {
        let (asks, next) = (Arc::new(asks), Arc::new(AtomicUsize::new(0)));
        self.runtime.block_on(async {
            let start = Instant::now();
            let mut tasks = JoinSet::new();
            for _ in 0..streams {
                let (asks, next) = (Arc::clone(&asks), Arc::clone(&next));
                let (engine, store) = (self.engine.clone(), store.clone());
                tasks.spawn(async move {
                    let mut answers = Vec::new();
                    while let Some(ask) = asks.get(next.fetch_add(1, Ordering::Relaxed)) {
                        answers.push(answer(&engine, &store, ask).await?);
                    }
                    Ok::<_, eyre::Report>(answers)
                });
            }
            let mut all = Vec::new();
            while let Some(answers) = tasks.join_next().await {
                all.extend(answers??);
            }
            Ok((all, start.elapsed().as_secs_f64()))
        })
    }

    /// Asks each question at its time, whatever else runs. Its adapter's files are put out of the page cache first.
    pub(crate) fn open_loop(
        &self,
        store: &AdapterStore,
        folders: &Arc<Folders>,
        asks: Vec<(Duration, usize, Ask)>,
    ) -> Result<Vec<Answer>> {
        self.runtime.block_on(async {
            let start = Instant::now();
            let mut tasks = JoinSet::new();
            for (at, adapter, ask) in asks {
                let (engine, store, folders) = (self.engine.clone(), store.clone(), Arc::clone(folders));
                tasks.spawn(async move {
                    tokio::time::sleep_until((start + at.saturating_sub(Duration::from_millis(20))).into())
                        .await;
                    tokio::task::spawn_blocking(move || folders.forget(adapter)).await??;
                    tokio::time::sleep_until((start + at).into()).await;
                    answer(&engine, &store, &ask).await
                });
            }
            let mut all = Vec::new();
            while let Some(answer) = tasks.join_next().await {
                all.push(answer??);
            }
            Ok(all)
        })
    }
}

/// A greedy answer.
async fn answer(engine: &Engine, store: &AdapterStore, ask: &Ask) -> Result<Answer> {
    let start = Instant::now();
    let composition: Vec<(Source, f32)> = ask.adapter.iter().map(|source| (source.clone(), 1.0)).collect();
    let stop = StopRules { max_tokens: ask.answer as u32, tokens: ask.ends.clone(), ..StopRules::default() };
    let request = GenerateRequest {
        prompt: ask.prompt.clone(),
        adapters: store.lease(&composition).await?,
        sampling: SamplingParams::greedy(),
        stop,
        drafts: ask.drafts.clone(),
        ..GenerateRequest::default()
    };
    let mut generation = engine.submit(request)?;
    let mut first = None;
    while let Some(event) = generation.next().await {
        match event {
            Event::Token(_) => drop(first.get_or_insert_with(|| start.elapsed())),
            Event::Finished(outcome) => {
                let first = first.unwrap_or_else(|| start.elapsed());
                return Ok(Answer { first, outcome: *outcome });
            }
            Event::Failed(error) => return Err(eyre!("{error}")),
        }
    }
    Err(eyre!("the engine stopped"))
}

/// Tokens of all answers.
pub(crate) fn tokens(answers: &[Answer]) -> f64 {
    answers.iter().map(|answer| answer.outcome.tokens.len()).sum::<usize>() as f64
}
