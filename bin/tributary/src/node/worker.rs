//! The worker's half of a node: engine, DA, operator's key.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use alloy_signer_local::PrivateKeySigner;
use eyre::{Context, OptionExt, Result, bail};
use tracing::{info, warn};
use tributary_adapters::{FetchPolicy, FileRoots, ResidencyConfig};
use tributary_api::{ApiConfig, TextModel};
use tributary_cpu::{CpuBackend, Options};
use tributary_da::{
    DaBackend, DaChoice, ProxyClient, ProxyConfig,
    memstore::{Memstore, MemstoreConfig},
};
use tributary_engine::{BackendError, BackendFactory, Engine, EngineConfig, InferenceBackend};
use tributary_weights::{DEFAULT_MODEL, Model};
use tributary_worker::{LocalBase, PaymentPolicy, PosterConfig, Worker, WorkerApi, WorkerParts};

use super::{NodeCommand, chain::ChainParts};
use crate::{
    args::{Layout, Payments},
    commands::{model_path, open_model},
    wallet::{dev_signer, load_signer},
};

/// The dev account whose key a dev node posts with when none is named.
const DEV_OPERATOR: u32 = 8;
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
    pub(super) async fn start(node: &NodeCommand, chain: &ChainParts, layout: &Layout) -> Result<Self> {
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
        let name = if node.inference.model.is_none() {
            DEFAULT_MODEL.name.to_owned()
        } else {
            chain_name(&model.name)
        };
        let vocabulary = Arc::clone(&model.tokenizer);
        let engine = Engine::start(engine_config(node), vocabulary, backend(node, path, model))?;
        let profile = engine
            .ready()
            .await
            .map_err(|error| eyre::eyre!("the model cannot be served: {error}"))?
            .identity
            .profile;
        let address = operator.address();
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
                budget: node.inference.adapter_memory << 20,
                ..ResidencyConfig::default()
            },
            api: ApiConfig { api_keys: api_keys(node)?, ..ApiConfig::default() },
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
        let worker = Worker::start(parts, listen).await?;
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

/// Builds the backend; after it broke, from the file again.
fn backend(node: &NodeCommand, path: PathBuf, model: Model) -> BackendFactory {
    let mut options = Options::default();
    if node.inference.threads > 0 {
        options.threads = node.inference.threads;
    }
    let mut loaded = Some(model);
    Box::new(move || {
        let model = match loaded.take() {
            Some(model) => model,
            None => Model::open(&path).map_err(|error| BackendError::Start(error.to_string()))?,
        };
        let backend = CpuBackend::new(model.config, model.weights, &model.hashes, &options)
            .map_err(|error| BackendError::Start(error.to_string()))?;
        Ok(Box::new(backend) as Box<dyn InferenceBackend>)
    })
}

/// A dev node trusts its user's files and network; others open what the operator names.
fn fetch_policy(node: &NodeCommand, dev: bool) -> FetchPolicy {
    let files = match (&*node.inference.file_roots, dev) {
        ([], true) => FileRoots::Any,
        (roots, _) => FileRoots::Under(roots.to_vec()),
    };
    FetchPolicy { files, private_hosts: dev, ..FetchPolicy::default() }
}

fn api_keys(node: &NodeCommand) -> Result<Vec<String>> {
    let Some(path) = &node.inference.api_keys else { return Ok(Vec::new()) };
    let text = std::fs::read_to_string(path).wrap_err_with(|| format!("--api.keys {}", path.display()))?;
    let keys: Vec<String> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    keys.first().ok_or_eyre(format!("--api.keys {}: no key in it", path.display()))?;
    Ok(keys)
}

/// A model's own name in the letters that names on chain have.
fn chain_name(name: &str) -> String {
    let letter = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c.to_ascii_lowercase() } else { '-' }
    };
    name.chars().take(64).map(letter).collect()
}
