//! The parts, joined and kept running.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use alloy_primitives::B256;
use alloy_signer_local::PrivateKeySigner;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{Notify, broadcast},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tributary_adapters::{FetchPolicy, Fetcher, Geometry, ResidencyConfig};
use tributary_api::{Api, ApiConfig, ApiParts, MetricsHook, TextModel};
use tributary_da::DaBackend;
use tributary_embed::Embedder;
use tributary_engine::{AdapterStore, Engine};

use crate::{
    chain::{ChainPort, Registry},
    corpus::{Corpus, CorpusError},
    post::{Poster, PosterConfig, Posting, Sender},
    rpc::{WorkerApi, state_name},
    serve::{BaseModel, ChainResolver, LocalBase, PaidGate, PaymentPolicy},
    status::Status,
    store::{Store, StoreError},
    supervisor::{supervise, supervise_to_its_end},
};

/// News that a slow subscriber may miss.
const NEWS: usize = 256;

/// Why a worker did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The datanets' folder.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// The adapters' folder or the HTTP client.
    #[error(transparent)]
    Adapters(#[from] tributary_adapters::AdapterError),
    /// The API's address.
    #[error("the API cannot listen on {0}; choose another port with --api.port")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// A folder.
    #[error("{0}: {1}")]
    Folder(PathBuf, #[source] std::io::Error),
}

/// What a worker is made of.
pub struct WorkerParts {
    /// The chain it serves.
    pub chain: Arc<dyn ChainPort>,
    /// Its genesis.
    pub genesis: B256,
    /// Where it keeps its store, datanets and adapters.
    pub folder: PathBuf,
    /// The engine with the base model.
    pub engine: Engine,
    /// The base model's sizes.
    pub geometry: Geometry,
    /// Text in and out of it.
    pub text: TextModel,
    /// Its hashes.
    pub base: LocalBase,
    /// Where batches go.
    pub da: Arc<dyn DaBackend>,
    /// The operator's key.
    pub operator: PrivateKeySigner,
    /// Where uris may lead.
    pub fetch: FetchPolicy,
    /// Memory for adapters.
    pub residency: ResidencyConfig,
    /// The API's bounds.
    pub api: ApiConfig,
    /// The model of `/v1/embeddings` and its name, if there is one.
    pub embedder: Option<(String, Arc<Embedder>)>,
    /// Renders what was counted, where the API serves it.
    pub metrics: Option<MetricsHook>,
    /// Whether requests are paid for.
    pub payments: PaymentPolicy,
    /// How batches are posted.
    pub poster: PosterConfig,
}

impl std::fmt::Debug for WorkerParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkerParts")
            .field("folder", &self.folder)
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

/// A running worker.
#[derive(Debug)]
pub struct Worker {
    api: Arc<WorkerApi>,
    address: SocketAddr,
    stop: CancellationToken,
    parts: JoinSet<()>,
}

impl Worker {
    /// Starts every part; the API listens on `address` when this returns.
    pub async fn start(parts: WorkerParts, address: SocketAddr) -> Result<Self, WorkerError> {
        std::fs::create_dir_all(&parts.folder)
            .map_err(|error| WorkerError::Folder(parts.folder.clone(), error))?;
        crate::metrics::describe();
        let registry = Registry::new(Arc::clone(&parts.chain));
        let store = Store::open(&parts.folder.join("store"), parts.chain.chain_id(), parts.genesis)?;
        let fetcher = Fetcher::new(parts.fetch, parts.folder.join("adapters"))?;
        let corpus =
            Arc::new(Corpus::open(&parts.folder.join("datanets"), registry.clone(), fetcher.clone())?);
        let base = Arc::new(BaseModel::new(parts.base, registry.clone()));
        let (wake, posting) = (Arc::new(Notify::new()), Posting::default());
        let listener =
            TcpListener::bind(address).await.map_err(|error| WorkerError::Listen(address, error))?;
        let address = listener.local_addr().map_err(|error| WorkerError::Listen(address, error))?;

        let gate = PaidGate::new(
            registry.clone(),
            Arc::clone(&base),
            Arc::clone(&corpus),
            store.clone(),
            parts.operator.clone(),
            parts.poster.agent,
            parts.payments,
            Arc::clone(&wake),
            posting.clone(),
        );
        let adapters = AdapterStore::new(parts.engine.clone(), parts.geometry, fetcher, parts.residency);
        let api = Api::new(ApiParts {
            engine: parts.engine.clone(),
            store: adapters,
            text: parts.text,
            gate: Arc::new(gate),
            resolver: Arc::new(ChainResolver::new(registry.clone(), Arc::clone(&base), corpus)),
            config: parts.api,
            embedder: parts.embedder,
            metrics: parts.metrics,
        });
        let status = Arc::new(Status {
            registry: registry.clone(),
            store: store.clone(),
            base,
            engine: parts.engine,
            da: parts.poster.da_name.clone(),
            operator: parts.operator.address(),
            policy: parts.payments,
            api: format!("http://{address}"),
        });
        let sender = Sender::new(Arc::clone(&parts.chain), parts.operator);
        let poster = Arc::new(Poster::new(
            registry.clone(),
            store.clone(),
            parts.da,
            sender,
            parts.poster,
            wake,
            posting,
        ));
        let (news, _) = broadcast::channel(NEWS);
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        running.spawn(serve(listener, api, stop.clone()));
        running.spawn(post(poster, stop.clone()));
        running.spawn(tell(store.clone(), news.clone(), stop.clone()));
        let api = Arc::new(WorkerApi::new(registry, store, status, news));
        Ok(Self { api, address, stop, parts: running })
    }

    /// Answers of `tributary_*`.
    pub fn rpc(&self) -> Arc<WorkerApi> {
        Arc::clone(&self.api)
    }

    /// Where the API listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops every part; replies that are under way are finished first, for `patience` at most.
    pub async fn stop(mut self, patience: Duration) {
        self.stop.cancel();
        let all = async { while self.parts.join_next().await.is_some() {} };
        if tokio::time::timeout(patience, all).await.is_err() {
            tracing::warn!(target: "tributary::worker", "the worker was stopped with replies under way");
        }
    }
}

/// Serves the API. The socket stays open while it is started again, so clients wait rather than fail.
async fn serve(listener: TcpListener, api: Api, stop: CancellationToken) {
    let listener = match listener.into_std() {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(target: "tributary::worker", %error, "the API's socket is lost");
            return;
        }
    };
    let held = Arc::new(Mutex::new(Some(listener)));
    supervise_to_its_end("api", stop.clone(), || {
        let (held, api, stop) = (Arc::clone(&held), api.clone(), stop.clone());
        async move {
            let listener = held.lock().as_ref().map(|listener| listener.try_clone()).transpose()?;
            let Some(listener) = listener else { return Ok(()) };
            let stopped = async move {
                stop.cancelled().await;
                // Whoever comes now is refused rather than left waiting.
                held.lock().take();
            };
            tributary_api::serve(TcpListener::from_std(listener)?, api, stopped).await
        }
    })
    .await;
}

async fn post(poster: Arc<Poster>, stop: CancellationToken) {
    supervise("poster", stop.clone(), || Arc::clone(&poster).run(stop.clone())).await;
}

/// Tells subscribers of every change of a batch.
async fn tell(store: Store, news: broadcast::Sender<Value>, stop: CancellationToken) {
    supervise("news", stop, || {
        let (store, news) = (store.clone(), news.clone());
        async move {
            let mut changes = store.changes();
            loop {
                let entry = match changes.recv().await {
                    Ok(entry) => entry,
                    Err(broadcast::error::RecvError::Lagged(_)) => continue,
                    Err(broadcast::error::RecvError::Closed) => return Ok::<_, StoreError>(()),
                };
                let _ = news.send(json!({
                    "id": entry.id,
                    "agentId": alloy_primitives::U64::from(entry.header.agent_id),
                    "seq": alloy_primitives::U64::from(entry.header.seq),
                    "status": state_name(entry.state),
                    "transaction": entry.transaction,
                    "da": entry.da,
                }));
            }
        }
    })
    .await;
}
