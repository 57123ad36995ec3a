//! Adapters that requests bring about: loaded by an administrator under a name, or composed for one request.

use crate::{
    error::{ApiError, Result},
    fields::said,
    resolve::{ResolveError, ResolvedModel},
    service::Api,
    types::{LoadAdapterRequest, ModelCard, WeightedAdapter},
};
use parking_lot::RwLock;
use std::{collections::BTreeMap, path::PathBuf};
use tributary_adapters::{AdapterError, Artifact, Bounds, Source};
use url::Url;

/// Names that an administrator may give.
const MAX_LOADED: usize = 10_000;
/// Adapters of one composition.
const MAX_PARTS: usize = 8;
/// The largest weight of one.
const MAX_WEIGHT: f64 = 100.0;

/// Adapters that an administrator loaded, until the node stops.
#[derive(Debug, Default)]
pub(crate) struct LoadedAdapters(RwLock<BTreeMap<String, Source>>);

impl LoadedAdapters {
    pub(crate) fn find(&self, name: &str) -> Option<ResolvedModel> {
        let source = self.0.read().get(name)?.clone();
        let composition = vec![(source, 1.0)];
        Some(ResolvedModel { name: name.to_owned(), model_id: 0, adapter_id: 0, composition })
    }

    pub(crate) fn cards(&self, parent: &str) -> Vec<ModelCard> {
        let card = |(name, source): (&String, &Source)| ModelCard::adapter(name, &source.uri, parent);
        self.0.read().iter().map(card).collect()
    }
}

impl Api {
    /// Loads an adapter from a folder of this machine and gives it a name.
    pub(crate) async fn load_adapter(&self, request: LoadAdapterRequest) -> Result<()> {
        let LoadAdapterRequest { lora_name: name, lora_path, load_inplace } = request;
        let bad = |message: String| ApiError::invalid("lora_name", message);
        if name.is_empty() || name.len() > self.config().name_bytes || name.chars().any(char::is_control) {
            return Err(bad("`lora_name` must name the adapter".into()));
        }
        self.info()?;
        let taken = format!("the model `{name}` exists already");
        match self.parts.resolver.resolve(&name).await {
            Err(ResolveError::NotFound(_)) => {}
            Ok(_) | Err(ResolveError::DataUnavailable(_)) => return Err(bad(taken)),
            Err(error) => return Err(error.into()),
        }
        if self.embeddings.name() == Some(&name) || !load_inplace && self.loaded.find(&name).is_some() {
            return Err(bad(taken));
        }
        let source = source(lora_path).await?;
        // Checked and quantised before anybody can name it.
        self.parts.store.lease(&[(source.clone(), 1.0)]).await.map_err(of_path)?;
        let mut loaded = self.loaded.0.write();
        if loaded.len() >= MAX_LOADED {
            return Err(bad(format!("{MAX_LOADED} adapters are loaded already")));
        }
        if !load_inplace && loaded.contains_key(&name) {
            return Err(bad(taken));
        }
        let replaced = loaded.insert(name.clone(), source);
        drop(loaded);
        if let Some(model) = self.loaded.find(&name) {
            self.names.learn(&model);
        }
        if let Some(old) = replaced {
            self.forget(&old);
        }
        Ok(())
    }

    /// Takes a name back. Answers under way go on.
    pub(crate) fn unload_adapter(&self, name: &str) -> Result<()> {
        let removed = self.loaded.0.write().remove(name);
        let source = removed.ok_or_else(|| ApiError::AdapterNotLoaded(name.chars().take(256).collect()))?;
        self.forget(&source);
        Ok(())
    }

    fn forget(&self, source: &Source) {
        if !self.loaded.0.read().values().any(|other| other.hash == source.hash) {
            self.parts.store.unload(source.hash);
        }
    }

    /// The base model under a composition of a request's own. It has no place in a record, so it is served unpaid only.
    pub(crate) async fn compose(
        &self,
        model: ResolvedModel,
        adapters: Option<&[WeightedAdapter]>,
    ) -> Result<ResolvedModel> {
        let Some(adapters) = adapters.filter(|adapters| !adapters.is_empty()) else { return Ok(model) };
        let bad = |message: &str| ApiError::invalid("adapters", message);
        if !model.composition.is_empty() {
            return Err(bad("with `adapters`, `model` must name the base model"));
        }
        if adapters.len() > MAX_PARTS {
            return Err(bad("a composition has 8 adapters at most"));
        }
        let mut composition = Vec::with_capacity(adapters.len());
        for (at, WeightedAdapter { name, weight }) in adapters.iter().enumerate() {
            if !weight.is_finite() || weight.abs() > MAX_WEIGHT {
                return Err(bad("a weight is between -100 and 100"));
            }
            let part = self.resolve(name).await.map_err(|error| match error {
                ApiError::ModelNotFound(name) => ApiError::PartNotFound { name, at },
                error => error,
            })?;
            if part.composition.is_empty() {
                return Err(bad("a composition consists of adapters"));
            }
            for (source, own) in part.composition {
                if composition.iter().any(|(known, _): &(Source, f32)| known.hash == source.hash) {
                    return Err(bad(&format!("`{name}` is the same adapter as one before it")));
                }
                composition.push((source, own * *weight as f32));
            }
        }
        Ok(ResolvedModel { name: model.name, model_id: 0, adapter_id: 0, composition })
    }
}

/// A folder's adapter by its hash.
async fn source(path: String) -> Result<Source> {
    let read = move || {
        let folder = folder(&path)?.canonicalize().map_err(|error| error.to_string())?;
        let artifact = Artifact::read(&folder, &Bounds::default()).map_err(|error| error.to_string())?;
        let uri = Url::from_file_path(&folder).map_err(|()| "not an absolute path")?;
        Ok(Source { hash: artifact.hash(), uri: uri.into() })
    };
    let read = tokio::task::spawn_blocking(read).await;
    read.map_err(|error| ApiError::Internal(error.to_string()))?.map_err(|why: String| {
        ApiError::invalid("lora_path", format!("no adapter can be read there: {}", said(&why)))
    })
}

/// A path as it is, or that of a `file:` uri.
fn folder(path: &str) -> std::result::Result<PathBuf, String> {
    if !path.starts_with("file:") {
        return Ok(path.into());
    }
    let url = Url::parse(path).map_err(|error| error.to_string())?;
    url.to_file_path().map_err(|()| "not a path of this machine".into())
}

/// An adapter that an administrator named is at fault itself, not something that may be mended by waiting.
fn of_path(error: AdapterError) -> ApiError {
    match error {
        AdapterError::Busy(_) | AdapterError::Internal(_) => error.into(),
        error => ApiError::invalid("lora_path", format!("the adapter cannot be loaded: {}", said(&error))),
    }
}
