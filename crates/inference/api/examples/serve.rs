//! Serves a model without a chain: `serve MODEL ADDRESS [NAME=ADAPTER_FOLDER]…`
//!
//! MODEL is a GGUF file or a Hugging Face folder. Nobody pays and nothing is traced.

use std::{env, error::Error, io, path::Path, sync::Arc};
use tokio::net::TcpListener;
use tributary_adapters::{
    Artifact, Bounds, FetchPolicy, Fetcher, FileRoots, Geometry, ResidencyConfig, Source,
};
use tributary_api::{Api, ApiConfig, ApiParts, FreeGate, StaticResolver, TextModel, serve, types::ModelCard};
use tributary_cpu::{CpuBackend, Options};
use tributary_engine::{AdapterStore, BackendError, Engine, EngineConfig, InferenceBackend};
use tributary_weights::Model;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(path), Some(address)) = (arguments.next(), arguments.next()) else {
        return Err("usage: serve MODEL ADDRESS [NAME=ADAPTER_FOLDER]…".into());
    };
    let model = Model::open(Path::new(&path))?;
    let engine = engine(&path, &model)?;
    let policy = FetchPolicy { files: FileRoots::Any, ..FetchPolicy::default() };
    let fetcher = Fetcher::new(policy, env::temp_dir().join("tributary-adapters"))?;
    let geometry = Geometry::from(&model.config);
    let mut resolver = StaticResolver::new(ModelCard::base(model.name.as_str(), path.as_str()));
    for argument in arguments {
        let (name, folder) = argument.split_once('=').ok_or("an adapter is NAME=FOLDER")?;
        let folder = Path::new(folder).canonicalize()?;
        let hash = Artifact::read(&folder, &Bounds::default())?.hash();
        resolver = resolver.with_adapter(name, Source { hash, uri: format!("file://{}", folder.display()) });
    }
    let api = Api::new(ApiParts {
        store: AdapterStore::new(engine.clone(), geometry, fetcher, ResidencyConfig::default()),
        engine: engine.clone(),
        text: TextModel::new(Arc::clone(&model.tokenizer), model.chat.clone()),
        gate: Arc::new(FreeGate),
        resolver: Arc::new(resolver),
        config: ApiConfig::default(),
        embedder: None,
        metrics: None,
    });
    engine.ready().await?;
    let listener = TcpListener::bind(&address).await?;
    println!("{} on http://{}/v1", model.name, listener.local_addr()?);
    serve(listener, api, async { drop(tokio::signal::ctrl_c().await) }).await?;
    engine.drain().await;
    Ok(())
}

fn engine(path: &str, model: &Model) -> io::Result<Engine> {
    let path = path.to_owned();
    let factory = Box::new(move || {
        let start = |error: &dyn std::fmt::Display| BackendError::Start(error.to_string());
        let model = Model::open(Path::new(&path)).map_err(|error| start(&error))?;
        let backend = CpuBackend::new(model.config, model.weights, &model.hashes, &Options::default())
            .map_err(|error| start(&error))?;
        Ok(Box::new(backend) as Box<dyn InferenceBackend>)
    });
    Engine::start(EngineConfig::default(), Arc::clone(&model.tokenizer) as _, factory)
}
