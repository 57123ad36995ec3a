//! Adapters ready for the backend: fetched, checked, quantised, kept within a memory budget.

use crate::{
    backend::{LoraPart, Preparer},
    engine::Engine,
};
use alloy_primitives::B256;
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc};
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
        Self { engine, geometry, fetcher, residency, gathering: Arc::default(), ranks: Arc::default() }
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
        let (fetcher, geometry, source) = (self.fetcher.clone(), self.geometry, source.clone());
        let ranks = Arc::clone(&self.ranks);
        self.residency
            .lease(key, move || async move {
                let artifact = fetcher.fetch(&source).await?;
                let bounds = *fetcher.bounds();
                tokio::task::spawn_blocking(move || {
                    let (part, bytes, rank) =
                        prepare(&artifact, &geometry, &bounds, preparer.as_ref(), weight)?;
                    ranks.lock().insert(part.hash, rank);
                    Ok((part, bytes))
                })
                .await
                .map_err(|error| AdapterError::Internal(error.to_string()))?
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

fn prepare(
    artifact: &Artifact,
    geometry: &Geometry,
    bounds: &tributary_adapters::Bounds,
    preparer: &dyn Preparer,
    weight: f32,
) -> Result<(LoraPart, usize, u32), AdapterError> {
    let adapter = artifact.parse(geometry, bounds)?;
    let prepared =
        preparer.prepare(&adapter, weight).map_err(|error| AdapterError::Prepare(error.to_string()))?;
    let bytes = prepared.bytes();
    Ok((LoraPart { hash: adapter.hash, weight, prepared }, bytes, adapter.max_rank()))
}
