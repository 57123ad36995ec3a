//! Adapters ready for the backend: fetched, checked, quantised, kept within a memory budget.

use crate::{
    backend::{LoraPart, PreparedAdapter, Preparer},
    engine::Engine,
};
use alloy_primitives::B256;
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc};
use tokio::sync::Semaphore;
use tributary_adapters::{
    AdapterError, Artifact, Fetcher, Geometry, Lease, Residency, ResidencyConfig, ResidencyStats, Source,
};

/// An artifact at a composition weight: what is resident, and what prefixes are keyed by. Never a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PartKey {
    /// Artifact hash.
    pub hash: B256,
    /// Bits of the weight.
    pub weight: u32,
}

/// A part in a backend's form.
type FormKey = (PartKey, &'static str);

/// The adapters of a request, in memory as long as the set lives. Empty for the base model.
#[derive(Clone, Debug, Default)]
pub struct AdapterSet {
    parts: Arc<[LoraPart]>,
    /// Held for what they keep.
    #[expect(dead_code, reason = "a lease is of use by being there")]
    leases: Arc<[Lease<FormKey, LoraPart>]>,
}

impl AdapterSet {
    /// Parts that nobody evicts: whoever has the set keeps them.
    pub fn of(parts: Vec<LoraPart>) -> Self {
        Self { parts: parts.into(), leases: Arc::default() }
    }

    /// What rows carry.
    pub fn parts(&self) -> &[LoraPart] {
        &self.parts
    }

    /// Adapters held.
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// Whether this is the base model alone.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }
}

/// Loads adapters beside the running batch.
#[derive(Clone, Debug)]
pub struct AdapterStore {
    engine: Engine,
    geometry: Geometry,
    fetcher: Fetcher,
    residency: Residency<FormKey, LoraPart>,
    /// Held while a composition is gathered: two that each hold what the other waits for would wait for ever.
    gathering: Arc<tokio::sync::Mutex<()>>,
    /// Ranks of what was prepared; metrics show them.
    ranks: Arc<Mutex<HashMap<B256, u32>>>,
    /// Held while a prepared adapter is written to disk: one at a time, for it is in memory until then.
    keeping: Arc<Semaphore>,
}

/// An adapter in memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResidentAdapter {
    /// Artifact hash.
    pub hash: B256,
    /// Its weight in a composition.
    pub weight: f32,
    /// Memory held, in bytes.
    pub bytes: usize,
    /// Whether it is kept from eviction.
    pub pinned: bool,
    /// The largest rank of any of its modules.
    pub rank: u32,
}

impl AdapterStore {
    /// A store for an engine's model. Its adapters count in the engine's budget, where it has one.
    pub fn new(engine: Engine, geometry: Geometry, fetcher: Fetcher, config: ResidencyConfig) -> Self {
        let residency = match engine.memory() {
            Some(memory) => Residency::within(config, memory.clone()),
            None => Residency::new(config),
        };
        let keeping = Arc::new(Semaphore::new(1));
        Self {
            engine,
            geometry,
            fetcher,
            residency,
            gathering: Arc::default(),
            ranks: Arc::default(),
            keeping,
        }
    }

    /// Leases every adapter of a composition, in order, loading those that are absent.
    pub async fn lease(&self, composition: &[(Source, f32)]) -> Result<AdapterSet, AdapterError> {
        let mut leases = Vec::with_capacity(composition.len());
        let _turn = match composition {
            [] | [_] => None,
            _ => Some(self.gathering.lock().await),
        };
        for (source, weight) in composition {
            leases.push(self.lease_one(source, *weight).await?);
        }
        let parts: Arc<[LoraPart]> = leases.iter().map(|lease| LoraPart::clone(lease)).collect();
        if parts.len() > 1
            && let Some(alone) = parts.iter().find(|part| !part.prepared.composes())
        {
            return Err(AdapterError::Composition(alone.hash));
        }
        Ok(AdapterSet { parts, leases: leases.into() })
    }

    async fn lease_one(
        &self,
        source: &Source,
        weight: f32,
    ) -> Result<Lease<FormKey, LoraPart>, AdapterError> {
        let preparer = self.engine.info().map(|info| Arc::clone(&info.preparer)).ok_or_else(|| {
            AdapterError::Fetch { uri: source.uri.clone(), reason: "model is loading".into() }
        })?;
        let key = (PartKey { hash: source.hash, weight: weight.to_bits() }, preparer.form());
        if let Some(lease) = self.residency.get(&key) {
            return Ok(lease);
        }
        let load = Load {
            fetcher: self.fetcher.clone(),
            geometry: self.geometry,
            source: source.clone(),
            preparer,
            keeping: Arc::clone(&self.keeping),
        };
        let ranks = Arc::clone(&self.ranks);
        self.residency
            .lease(key, move || async move {
                let (hash, prepared) = (load.source.hash, load.run(weight).await?);
                ranks.lock().insert(hash, prepared.rank());
                let bytes = prepared.bytes();
                Ok((LoraPart { hash, weight, prepared }, bytes))
            })
            .await
    }

    /// Checks an adapter against the model without keeping it: the way an operator's folder is looked at.
    pub fn check(&self, artifact: &Artifact) -> Result<(), AdapterError> {
        artifact.parse(&self.geometry, self.fetcher.bounds()).map(drop)
    }

    /// Resident parts, their bytes and whether they are pinned.
    pub fn resident(&self) -> Vec<(PartKey, usize, bool)> {
        self.residency.resident().into_iter().map(|((key, _), bytes, pinned)| (key, bytes, pinned)).collect()
    }

    /// The same with their ranks.
    pub fn adapters(&self) -> Vec<ResidentAdapter> {
        let resident = self.resident();
        let mut ranks = self.ranks.lock();
        // What went away is forgotten, what is on its way comes again with its part.
        if ranks.len() > 2 * resident.len() + 64 {
            ranks.retain(|hash, _| resident.iter().any(|(key, ..)| key.hash == *hash));
        }
        let adapter = |(key, bytes, pinned): (PartKey, usize, bool)| ResidentAdapter {
            hash: key.hash,
            weight: f32::from_bits(key.weight),
            bytes,
            pinned,
            rank: ranks.get(&key.hash).copied().unwrap_or_default(),
        };
        resident.into_iter().map(adapter).collect()
    }

    /// Keeps a resident adapter from eviction, or lets it go again.
    pub fn pin(&self, hash: B256, pinned: bool) -> bool {
        let Some(info) = self.engine.info() else { return false };
        self.residency.pin(&(PartKey { hash, weight: 1f32.to_bits() }, info.preparer.form()), pinned)
    }

    /// Drops an adapter at every weight, unless rows use it.
    pub fn unload(&self, hash: B256) -> bool {
        let keys: Vec<_> = self
            .residency
            .resident()
            .into_iter()
            .map(|(key, ..)| key)
            .filter(|(key, _)| key.hash == hash)
            .collect();
        keys.iter().fold(false, |any, key| self.residency.remove(key) | any)
    }

    /// Figures for metrics.
    pub fn stats(&self) -> ResidencyStats {
        self.residency.stats()
    }
}

/// What one load needs.
struct Load {
    fetcher: Fetcher,
    geometry: Geometry,
    source: Source,
    preparer: Arc<dyn Preparer>,
    keeping: Arc<Semaphore>,
}

impl Load {
    /// What was kept of it, or else the artifact, which is checked against its hash, parsed, prepared and then kept.
    async fn run(self, weight: f32) -> Result<Arc<dyn PreparedAdapter>, AdapterError> {
        let hash = self.source.hash;
        let preparer = Arc::clone(&self.preparer);
        if let Some(prepared) = blocking(move || Ok(preparer.kept(hash, weight))).await? {
            return Ok(prepared);
        }
        let artifact = self.fetcher.fetch(&self.source).await?;
        let (bounds, geometry) = (*self.fetcher.bounds(), self.geometry);
        let preparer = Arc::clone(&self.preparer);
        let prepared = blocking(move || {
            let adapter = artifact.parse(&geometry, &bounds)?;
            preparer.prepare(&adapter, weight).map_err(|error| AdapterError::Prepare(error.to_string()))
        })
        .await?;
        // Nobody waits for the disk. What comes while another is written is kept when it is loaded again.
        if let Ok(turn) = self.keeping.try_acquire_owned() {
            let (preparer, prepared) = (self.preparer, Arc::clone(&prepared));
            drop(tokio::task::spawn_blocking(move || {
                preparer.keep(hash, weight, prepared.as_ref());
                drop(turn);
            }));
        }
        Ok(prepared)
    }
}

/// Runs blocking work off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AdapterError> + Send + 'static,
) -> Result<T, AdapterError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| AdapterError::Internal(error.to_string()))?
}
