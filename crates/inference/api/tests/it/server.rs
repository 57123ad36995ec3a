//! A server of its own for every test.

use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use std::{path::Path, sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tributary_adapters::{
    Artifact, CONFIG_FILE, FetchPolicy, Fetcher, FileRoots, Geometry, ResidencyConfig, Source, TENSORS_FILE,
};
use tributary_api::{
    Api, ApiConfig, ApiParts, FreeGate, Gate, MetricsHook, StaticResolver, TextModel, serve, types::ModelCard,
};
use tributary_cpu::CpuBackend;
use tributary_embed::Embedder;
use tributary_engine::{AdapterStore, BackendError, Engine, EngineConfig, InferenceBackend};
use tributary_testkit::{AdapterSpec, artifact, model_folder};
use tributary_weights::Model;

pub(crate) const BASE: &str = "tiny";

/// What a test may change.
pub(crate) struct Options {
    pub(crate) api: ApiConfig,
    pub(crate) engine: EngineConfig,
    pub(crate) gate: Arc<dyn Gate>,
    pub(crate) adapters: Vec<(&'static str, Artifact)>,
    /// Time the model takes to load.
    pub(crate) loading: Duration,
    pub(crate) metrics: bool,
    /// Whether the model has a token that opens texts.
    pub(crate) opens: bool,
    pub(crate) embedder: Option<(String, Arc<Embedder>)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            api: ApiConfig::default(),
            engine: EngineConfig::default(),
            gate: Arc::new(FreeGate),
            adapters: Vec::new(),
            loading: Duration::ZERO,
            metrics: false,
            opens: false,
            embedder: None,
        }
    }
}

pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) client: Client,
    pub(crate) engine: Engine,
    pub(crate) store: AdapterStore,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<std::io::Result<()>>,
    _folders: [TempDir; 3],
}

impl Server {
    /// With a loaded model.
    pub(crate) async fn start(options: Options) -> Self {
        let server = Self::loading(options).await;
        server.engine.ready().await.unwrap();
        server
    }

    pub(crate) async fn plain() -> Self {
        Self::start(Options::default()).await
    }

    /// As soon as it listens.
    pub(crate) async fn loading(options: Options) -> Self {
        let folders = [model_folder(7).unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        if options.opens {
            open_texts(folders[0].path());
        }
        let model = Model::open(folders[0].path()).unwrap();
        let engine = engine(folders[0].path(), &model, &options);
        let policy = FetchPolicy { files: FileRoots::Any, private_hosts: true, ..FetchPolicy::default() };
        let fetcher = Fetcher::new(policy, folders[2].path().to_owned()).unwrap();
        let geometry = Geometry::from(&model.config);
        let store = AdapterStore::new(engine.clone(), geometry, fetcher, ResidencyConfig::default());
        let mut resolver = StaticResolver::new(ModelCard::base(BASE, "tiny-weights"));
        for (name, artifact) in &options.adapters {
            resolver = resolver.with_adapter(*name, publish(&folders[1].path().join(name), artifact));
        }
        let hook = MetricsHook { model: BASE.into(), render: Arc::new(|| "up 1\n".to_owned()) };
        let api = Api::new(ApiParts {
            engine: engine.clone(),
            store: store.clone(),
            text: TextModel::new(Arc::clone(&model.tokenizer), model.chat.clone()),
            gate: options.gate,
            resolver: Arc::new(resolver),
            config: options.api,
            embedder: options.embedder.clone(),
            metrics: options.metrics.then_some(hook),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(serve(listener, api, async move { drop(stopped.await) }));
        let client = Client::builder().no_proxy().build().unwrap();
        Self { url, client, engine, store, stop: Some(stop), serving, _folders: folders }
    }

    /// Stops listening and waits for open replies.
    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        self.serving.await.unwrap().unwrap();
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.url))
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url)).json(body)
    }

    /// The reply to a request that must succeed.
    pub(crate) async fn ok(&self, path: &str, body: Value) -> Value {
        let response = self.post(path, &body).send().await.unwrap();
        let status = response.status();
        let reply: Value = response.json().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{reply}");
        reply
    }

    pub(crate) async fn chat(&self, mut body: Value) -> Value {
        fill(&mut body, "messages", json!([{ "role": "user", "content": "Hello there" }]));
        fill(&mut body, "model", json!(BASE));
        self.ok("/v1/chat/completions", body).await
    }

    /// The chunks of a streamed reply, which must end as streams end.
    pub(crate) async fn stream(&self, path: &str, mut body: Value) -> Vec<Value> {
        body["stream"] = json!(true);
        fill(&mut body, "model", json!(BASE));
        let response = self.post(path, &body).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        chunks(response).await
    }
}

pub(crate) fn fill(body: &mut Value, field: &str, value: Value) {
    if body[field].is_null() {
        body[field] = value;
    }
}

pub(crate) async fn chunks(response: Response) -> Vec<Value> {
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/event-stream"));
    let text = response.text().await.unwrap();
    let mut events: Vec<&str> = text.split("\n\n").filter(|event| event.starts_with("data: ")).collect();
    assert_eq!(events.pop(), Some("data: [DONE]"), "{text}");
    events.iter().map(|event| serde_json::from_str(&event["data: ".len()..]).unwrap()).collect()
}

/// Writes an artifact to disk and names it.
pub(crate) fn publish(folder: &Path, artifact: &Artifact) -> Source {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join(CONFIG_FILE), artifact.config()).unwrap();
    std::fs::write(folder.join(TENSORS_FILE), artifact.tensors()).unwrap();
    Source { hash: artifact.hash(), uri: format!("file://{}", folder.display()) }
}

/// Gives a model a token that opens texts.
fn open_texts(folder: &Path) {
    for (file, field, value) in
        [("config.json", "bos_token_id", json!(256)), ("tokenizer_config.json", "add_bos_token", json!(true))]
    {
        let path = folder.join(file);
        let mut settings: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        settings[field] = value;
        std::fs::write(path, settings.to_string()).unwrap();
    }
}

pub(crate) fn adapter(seed: u64) -> Artifact {
    artifact(&AdapterSpec::new(seed))
}

fn engine(folder: &Path, model: &Model, options: &Options) -> Engine {
    let (folder, loading) = (folder.to_owned(), options.loading);
    let factory = Box::new(move || {
        std::thread::sleep(loading);
        let start = |error: &dyn std::fmt::Display| BackendError::Start(error.to_string());
        let model = Model::open(&folder).map_err(|error| start(&error))?;
        let options = tributary_cpu::Options { threads: 2, ..Default::default() };
        let backend = CpuBackend::new(model.config, model.weights, &model.hashes, &options)
            .map_err(|error| start(&error))?;
        Ok(Box::new(backend) as Box<dyn InferenceBackend>)
    });
    Engine::start(options.engine, Arc::clone(&model.tokenizer) as _, factory).unwrap()
}
