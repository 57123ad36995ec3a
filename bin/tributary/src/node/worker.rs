//! The worker's half of a node: engine, DA, operator's key.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use alloy_signer_local::PrivateKeySigner;
use eyre::{Context, OptionExt, Result, bail, ensure};
use metrics_exporter_prometheus::PrometheusHandle;
use parking_lot::Mutex;
use tracing::{info, warn};
use tributary_adapters::{FetchPolicy, FileRoots, Memory, ResidencyConfig};
use tributary_api::{ApiConfig, ApiKey, MetricsHook, TextModel};
use tributary_cpu::{Affinity, CpuBackend, CpuError, Options, page_size};
use tributary_cuda::{CudaDevice, CudaError, Device, Options as GpuOptions, Starter};
use tributary_da::{
    DaBackend, DaChoice, ProxyClient, ProxyConfig,
    memstore::{Memstore, MemstoreConfig},
};
use tributary_embed::Embedder;
use tributary_engine::{BackendError, BackendFactory, Engine, EngineConfig, InferenceBackend, Status};
use tributary_weights::{EMBEDDING_MODEL, Model, cache_dir};
use tributary_worker::{LocalBase, PaymentPolicy, PosterConfig, Worker, WorkerApi, WorkerParts};

use super::{NodeCommand, chain::ChainParts, memory, metrics};
use crate::{
    args::{InferenceArgs, Layout, Payments},
    commands::{chain_name, model_path, open_model, served_name},
    files::read_text,
    wallet::{dev_signer, load_signer},
};

/// The dev account whose key a dev node posts with when none is named.
const DEV_OPERATOR: u32 = 8;
/// Largest file of keys.
const MAX_KEYS: u64 = 1 << 20;
/// How long DA may fail before the node serves a batch itself.
const DA_PATIENCE: Duration = Duration::from_secs(120);

/// A worker and what it needs to live.
pub(super) struct RunningWorker {
    worker: Worker,
    memstore: Option<Memstore>,
    pub(super) da: String,
    pub(super) operator: alloy_primitives::Address,
}

impl RunningWorker {
    /// Loads the model and starts every part.
    pub(super) async fn start(
        node: &NodeCommand,
        chain: &ChainParts,
        layout: &Layout,
        counted: PrometheusHandle,
    ) -> Result<Self> {
        let operator = operator(node, chain)?;
        let (da, memstore, da_name) = data_availability(node, layout).await?;
        let path = model_path(node.inference.model.as_deref())?;
        let model = tokio::task::spawn_blocking({
            let path = path.clone();
            move || open_model(&path)
        })
        .await??;
        let text = TextModel::new(Arc::clone(&model.tokenizer), model.chat.clone());
        let geometry = tributary_cpu::geometry(&model.config);
        let (weights, tokenizer) = (model.hashes.weights, model.hashes.tokenizer);
        let name = served_name(&model, node.inference.model.is_none());
        let vocabulary = Arc::clone(&model.tokenizer);
        // An engine counts as soon as it is there.
        metrics::name_model(&name);
        let memory = memory::budget(&node.inference, &path);
        let factories = tokio::task::spawn_blocking({
            let args = node.inference.clone();
            move || backends(&args, path, model, memory)
        })
        .await?
        .map_err(|error| eyre::eyre!("the model cannot be served: {error:#}"))?;
        let engine = Engine::several(Some(Memory::new(memory)), engine_config(node), vocabulary, factories)?;
        let profile = engine
            .ready()
            .await
            .map_err(|error| match engine.status() {
                Status::Failed(reason) => eyre::eyre!("the model cannot be served: {reason}"),
                _ => eyre::eyre!("the model cannot be served: {error:#}"),
            })?
            .identity
            .profile;
        let address = operator.address();
        let shown = MetricsHook { model: name.clone(), render: Arc::new(move || counted.render()) };
        let parts = WorkerParts {
            chain: Arc::clone(&chain.port) as Arc<_>,
            genesis: chain.spec.genesis_hash(),
            folder: layout.worker(),
            engine,
            geometry,
            text,
            base: LocalBase { name, weights, tokenizer, profile },
            da,
            operator,
            fetch: fetch_policy(node, chain.spec.economy.dev),
            residency: ResidencyConfig {
                budget: memory::cap(node.inference.adapter_memory).min(memory),
                ..ResidencyConfig::default()
            },
            api: api_config(node)?,
            embedder: embedder(node).await?,
            metrics: (!node.inference.no_metrics).then_some(shown),
            payments: match node.inference.payments {
                Payments::Required => PaymentPolicy::Required,
                Payments::Off => PaymentPolicy::Off,
            },
            poster: PosterConfig {
                da_name: da_name.clone(),
                interval: node.settlement.batch_interval,
                da_patience: DA_PATIENCE,
                agent: node.settlement.agent,
            },
        };
        let listen = SocketAddr::from((node.inference.api_addr, node.inference.api_port));
        let folder = layout.worker();
        let worker = Worker::start(parts, listen)
            .await
            .wrap_err_with(|| format!("the worker of {} does not start", folder.display()))?;
        info!(target: "tributary::worker", url = %worker.address(), operator = %address, da = %da_name, "API server started");
        Ok(Self { worker, memstore, da: da_name, operator: address })
    }

    pub(super) fn rpc(&self) -> Arc<WorkerApi> {
        self.worker.rpc()
    }

    /// Whether the embedded stand-in keeps the batches.
    pub(super) const fn is_memstore(&self) -> bool {
        self.memstore.is_some()
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.worker.address()
    }

    pub(super) async fn stop(self, patience: Duration) {
        self.worker.stop(patience).await;
        if let Some(memstore) = self.memstore {
            memstore.stop().await;
        }
    }
}

fn operator(node: &NodeCommand, chain: &ChainParts) -> Result<PrivateKeySigner> {
    if let Some(path) = &node.settlement.key {
        return load_signer(path, node.settlement.password_file.as_deref());
    }
    if !chain.spec.economy.dev {
        bail!("--api needs the operator's key: name a keystore with --operator.key");
    }
    warn!(target: "tributary::worker", account = DEV_OPERATOR, "Operating with a well-known dev account");
    dev_signer(DEV_OPERATOR)
}

async fn data_availability(
    node: &NodeCommand,
    layout: &Layout,
) -> Result<(Arc<dyn DaBackend>, Option<Memstore>, String)> {
    match &node.da.da {
        DaChoice::Proxy(url) => {
            let client = ProxyClient::new(ProxyConfig::new(url.clone()))?;
            Ok((Arc::new(client), None, url.to_string()))
        }
        DaChoice::Memstore => {
            let address = SocketAddr::from(([127, 0, 0, 1], node.da.memstore_port));
            let memstore =
                Memstore::start(address, Some(layout.memstore()), MemstoreConfig::default()).await?;
            warn!(target: "tributary::da", url = %memstore.url()?, "Embedded memstore started: a stand-in for EigenDA that promises nothing");
            let (client, name) = (memstore.client()?, memstore.url()?.to_string());
            Ok((Arc::new(client), Some(memstore), name))
        }
    }
}

fn engine_config(node: &NodeCommand) -> EngineConfig {
    EngineConfig { max_running: node.inference.max_num_seqs.max(1), ..EngineConfig::default() }
}

/// What builds the backend of each engine: of each GPU that is wanted and works, else the CPU's.
fn backends(
    args: &InferenceArgs,
    path: PathBuf,
    mut model: Model,
    memory: usize,
) -> Result<Vec<BackendFactory>> {
    let starters = starters(args, &mut model)?;
    let cpu = Arc::new(Mutex::new(Cpu::new(args, path, model, memory)?));
    let factory = |mut starter: Starter| {
        let cpu = Arc::clone(&cpu);
        Box::new(move || match starter.backend()? {
            Some(backend) => Ok(Box::new(backend) as Box<dyn InferenceBackend>),
            None => cpu.lock().backend(),
        }) as BackendFactory
    };
    Ok(starters.into_iter().map(factory).collect())
}

/// What is wrong where the CPU serves instead of GPUs.
const STANDS_IN: &str = "no GPU is left, the CPU serves until the node is started again";

/// Builds the CPU's backend; where a GPU took the weights, or after it broke, from the file again.
struct Cpu {
    path: PathBuf,
    options: Options,
    packed: Option<PathBuf>,
    loaded: Option<Model>,
    /// Whether GPUs served first: whoever looks at the node should see that they do no more.
    stands_in: bool,
    has_served: bool,
}

impl Cpu {
    fn new(args: &InferenceArgs, path: PathBuf, model: Model, memory: usize) -> Result<Self, CpuError> {
        let (page, tokens) = page_size(&model.config);
        let pages = memory::cap(args.kv_memory).min(memory) / page.max(1);
        let options = Options {
            cache_tokens: pages.max(1).saturating_mul(tokens),
            threads: if args.threads == 0 { args.cpus.threads()? } else { usize::from(args.threads) },
            affinity: args.cpus.clone(),
            ..Options::default()
        };
        let packed = cache_dir().map(|cache| cache.join("packed"));
        let stands_in = model.weights.layers.is_empty();
        let loaded = (!stands_in).then_some(model);
        Ok(Self { path, options, packed, loaded, stands_in, has_served: false })
    }

    /// CPUs that were taken from the process since it began are no reason to serve no more.
    fn give_up_lost_cpus(&mut self) {
        if self.has_served
            && let Err(error) = self.options.affinity.check(self.options.threads)
        {
            warn!(target: "tributary", %error, "--inference.cpus can no longer be had: the system chooses");
            self.options.affinity = Affinity::System;
        }
    }

    fn backend(&mut self) -> Result<Box<dyn InferenceBackend>, BackendError> {
        self.give_up_lost_cpus();
        let model = match self.loaded.take() {
            Some(model) => model,
            None => Model::open(&self.path).map_err(|error| BackendError::Start(error.to_string()))?,
        };
        let (config, weights, hashes) = (model.config, model.weights, &model.hashes);
        let backend = match &self.packed {
            Some(folder) => CpuBackend::cached(config, weights, hashes, &self.options, folder),
            None => CpuBackend::new(config, weights, hashes, &self.options),
        };
        let backend = backend.map_err(|error| BackendError::Start(error.to_string()))?;
        self.has_served = true;
        Ok(Box::new(if self.stands_in { backend.standing_in(STANDS_IN) } else { backend }))
    }
}

/// The GPUs, if they are wanted and there.
fn starters(args: &InferenceArgs, model: &mut Model) -> Result<Vec<Starter>, CudaError> {
    let adapter_bytes = args.gpu_adapter_memory.saturating_mul(1 << 20);
    let tier = args.tier;
    let options = GpuOptions { adapter_bytes, tier, ..GpuOptions::default() };
    let nvrtc = args.nvrtc.clone();
    let kernels = cache_dir().and_then(|models| Some(models.parent()?.join("kernels")));
    let open = move |ordinal| {
        let device = CudaDevice::open(ordinal, nvrtc.as_deref(), kernels.as_deref(), tier)?;
        Ok(Box::new(device) as Box<dyn Device>)
    };
    let devices = args.device.devices(&args.gpus, CudaDevice::count);
    let model = (&model.config, &mut model.weights, &model.hashes);
    Starter::start((args.device, &args.gpus), &devices, &options, Box::new(open), model)
}

/// A dev node trusts its user's files and network; others open what the operator names.
fn fetch_policy(node: &NodeCommand, dev: bool) -> FetchPolicy {
    for root in &node.inference.file_roots {
        if !root.is_dir() {
            warn!(target: "tributary", root = %root.display(), "--inference.file-root names no folder: nothing is read there");
        }
    }
    let files = match (&*node.inference.file_roots, dev) {
        ([], true) => FileRoots::Any,
        (roots, _) => FileRoots::Under(roots.to_vec()),
    };
    FetchPolicy { files, private_hosts: dev, ..FetchPolicy::default() }
}

/// Bounds and keys of the API.
fn api_config(node: &NodeCommand) -> Result<ApiConfig> {
    let (args, default) = (&node.inference, ApiConfig::default());
    Ok(ApiConfig {
        api_keys: args.api_keys.as_deref().map(api_keys).transpose()?.unwrap_or_default(),
        admin_key: args.admin_key.as_deref().map(admin_key).transpose()?,
        connections: args.api_connections as usize,
        header_timeout: args.api_header_timeout,
        request_timeout: args.api_request_timeout,
        body_bytes: args.api_max_body,
        prompt_tokens: args.max_prompt_tokens.unwrap_or(default.prompt_tokens),
        output_tokens: args.max_output_tokens.unwrap_or(default.output_tokens),
        choices: args.max_answers,
        ..default
    })
}

fn api_keys(path: &Path) -> Result<Vec<ApiKey>> {
    let what = || format!("--api.keys {}", path.display());
    let text = read_text(path, MAX_KEYS).wrap_err_with(what)?;
    let keys = ApiKey::parse_file(&text).wrap_err_with(what)?;
    ensure!(!keys.is_empty(), "{}: no key in it", what());
    Ok(keys)
}

fn admin_key(path: &Path) -> Result<ApiKey> {
    let what = || format!("--api.admin-key {}", path.display());
    let text = read_text(path, MAX_KEYS).wrap_err_with(what)?;
    ensure!(!text.trim().is_empty(), "{}: no key in it", what());
    Ok(ApiKey::new(text.trim()))
}

/// The model of `/v1/embeddings`.
async fn embedder(node: &NodeCommand) -> Result<Option<(String, Arc<Embedder>)>> {
    let Some(named) = &node.inference.embeddings else { return Ok(None) };
    let (name, folder) = match named {
        Some(folder) => {
            let name = folder.file_name().map(|name| chain_name(&name.to_string_lossy()));
            (name.unwrap_or_else(|| "embeddings".to_owned()), folder.clone())
        }
        None => {
            let cache = cache_dir().ok_or_eyre("neither XDG_CACHE_HOME nor HOME is set")?;
            let (name, folder) = (EMBEDDING_MODEL.name, EMBEDDING_MODEL.path(&cache));
            ensure!(folder.exists(), "the embedding model is not here: run `tributary model pull {name}`");
            (name.to_owned(), folder)
        }
    };
    let shown = folder.display().to_string();
    let embedder = tokio::task::spawn_blocking(move || Embedder::open(&folder)).await?;
    Ok(Some((name, Arc::new(embedder.wrap_err_with(|| format!("--embeddings {shown}"))?))))
}
