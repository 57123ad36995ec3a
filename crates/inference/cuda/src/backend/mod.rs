//! The backend: weights, cache, adapters and programs on a device, and the trait.

mod adapters;
mod alone;
mod buffers;
mod choices;
mod model;
mod prepare;
mod sound;
mod step;
mod vectors;

use crate::{
    CudaError, Device, DeviceError, Tier,
    launch::ModelMap,
    plan::Arena,
    sources::{SOURCES, digest},
};
use adapters::DeviceAdapters;
use alloy_primitives::{B256, hex, keccak256};
use buffers::Workspace;
use model::PAGE;
use prepare::{Bases, Quantizer};
use serde_json::json;
use std::sync::Arc;
use step::Programs;
use tributary_adapters::Geometry;
use tributary_cpu::{BLOCK, RopeTable, check_contract, profile_hash_with};
use tributary_engine::{
    Admission, BackendError, Health, Identity, InferenceBackend, Limits, LoraPart, Preparer, Row, SeqId,
    StepOutput,
};
use tributary_weights::{Config, Hashes, Layer, Weights};

/// How much of the device to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Positions the cache holds over all sequences; 0: what fits beside everything else, up to a million.
    pub cache_tokens: usize,
    /// Bytes for adapters. More of them than fit take turns.
    pub adapter_bytes: u64,
    /// Longest sequence; the model's own context bounds it.
    pub context: usize,
    /// Tokens of a step.
    pub step_tokens: usize,
    /// Rows of a step.
    pub rows: usize,
    /// Bytes that attention over split positions may use as workspace.
    pub split_bytes: usize,
    /// The arithmetic.
    pub tier: Tier,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_tokens: 0,
            adapter_bytes: 2 << 30,
            context: 8_192,
            step_tokens: 512,
            rows: 256,
            split_bytes: 1 << 30,
            tier: Tier::Deterministic,
        }
    }
}

/// A Llama-family model on a device, by profile `f32-q8-1` or in a fast tier.
#[derive(Debug)]
pub struct CudaBackend {
    name: String,
    device: Box<dyn Device>,
    limits: Limits,
    identity: Identity,
    geometry: Geometry,
    options: Options,
    model: ModelMap,
    /// Kept for DoRA.
    bases: Arc<Bases>,
    workspace: Workspace,
    adapters: DeviceAdapters,
    programs: Programs,
    /// By page, for [`check_contract`].
    owners: Vec<u32>,
    metadata: Vec<u8>,
}

impl CudaBackend {
    /// Checks the device against the committed vectors and moves the model there.
    pub fn new(
        device: Box<dyn Device>,
        config: &Config,
        weights: Weights,
        hashes: &Hashes,
        options: &Options,
    ) -> Result<Self, CudaError> {
        let mut backend = Self::copying(device, config, &weights, hashes, options)?;
        Self::keep([&mut backend], weights.layers);
        Ok(backend)
    }

    /// The same with a copy of the weights: it knows nothing of DoRA before it is given the layers to [keep](Self::keep).
    pub(crate) fn copying(
        mut device: Box<dyn Device>,
        config: &Config,
        weights: &Weights,
        hashes: &Hashes,
        options: &Options,
    ) -> Result<Self, CudaError> {
        let tier = options.tier;
        tier.check(device.capability())?;
        model::check(config)?;
        if tier.is_fast() {
            device = sound::check(device, tier)?;
        } else {
            vectors::check(device.as_mut())?;
        }
        choices::check(device.as_mut())?;
        let backend = Self::unchecked(device, config, weights, hashes, options)?;
        let (profile, pages) = (backend.identity.profile, backend.limits.pages);
        tracing::info!(backend = backend.name, %profile, pages, "inference backend ready");
        Ok(backend)
    }

    /// On a device that was looked at.
    fn unchecked(
        mut device: Box<dyn Device>,
        config: &Config,
        weights: &Weights,
        hashes: &Hashes,
        options: &Options,
    ) -> Result<Self, CudaError> {
        let tier = options.tier;
        let context = options.context.clamp(1, config.context);
        let table = RopeTable::new(config, context);
        let identity = Identity {
            profile: profile(config, weights, &table, device.as_ref(), tier),
            weights: hashes.weights,
        };
        let geometry = Geometry::from(config);
        let limits = limits(device.as_ref(), config, weights, options, context)?;
        let mut model = model::upload(device.as_mut(), config, weights, &table, context, tier)?;
        model.cache = allocate_cache(device.as_mut(), limits.pages, model.page_bytes)?;
        let workspace = Workspace::new(device.as_mut(), &model, limits.step_tokens as usize)?;
        let adapters = DeviceAdapters::new(device.as_mut(), options.adapter_bytes, geometry, tier)?;
        let name =
            if tier.is_fast() { format!("{} {tier}", device.name()) } else { device.name().to_owned() };
        let bases = Arc::new(Bases::default());
        let owners = vec![0; limits.pages as usize];
        Ok(Self {
            name,
            device,
            limits,
            identity,
            geometry,
            options: *options,
            model,
            bases,
            workspace,
            adapters,
            programs: Programs::default(),
            owners,
            metadata: Vec::new(),
        })
    }

    /// Gives the layers that they were made of to backends, which have them together.
    pub(crate) fn keep<'a>(backends: impl IntoIterator<Item = &'a mut Self>, layers: Vec<Layer>) {
        let bases = Arc::new(Bases::new(layers));
        for backend in backends {
            backend.limits.weight_bytes = bases.bytes();
            backend.bases = Arc::clone(&bases);
        }
    }

    /// The device it runs on.
    pub fn device(&self) -> &dyn Device {
        self.device.as_ref()
    }
}

/// What answers depend on. A fast tier's also on the kernels' text and on what the device's matrix instructions round, which differs
/// between compute capabilities.
fn profile(config: &Config, weights: &Weights, table: &RopeTable, device: &dyn Device, tier: Tier) -> B256 {
    let base = profile_hash_with(config, weights, table);
    if !tier.is_fast() {
        return base;
    }
    let digests = tier.sources().iter().map(|index| hex::encode(digest(&SOURCES[*index])));
    let (major, minor) = device.capability();
    let mut value = json!({
        "base": base,
        "capability": format!("{major}.{minor}"),
        "kernels": digests.collect::<Vec<_>>(),
        "profile": tier.profile(),
    });
    value.sort_all_objects();
    keccak256(value.to_string())
}

fn allocate_cache(device: &mut dyn Device, pages: u32, page_bytes: u64) -> Result<u64, DeviceError> {
    let bytes = u64::from(pages) * page_bytes;
    let mut arena = Arena::new();
    let offset = arena.add("cache", bytes as usize);
    let address = device.allocate(&arena)? + offset;
    // What was never written is read only by who breaks the contract; then it is zeros rather than somebody's answers.
    device.clear(address, bytes)?;
    Ok(address)
}

/// Tokens of a vocabulary that the device chooses from.
const MOST_CHOSEN: u32 = 1 << 19;
/// Positions of a cache whose size is left to the device.
const MOST_CACHED: usize = 1 << 20;
/// Device memory left to workspaces that grow, to programs and to the driver.
const SPARE: u64 = 2 << 30;

fn limits(
    device: &dyn Device,
    config: &Config,
    weights: &Weights,
    options: &Options,
    context: usize,
) -> Result<Limits, CudaError> {
    let page = model::page_bytes(config, options.tier) as u64;
    let pages = if options.cache_tokens > 0 {
        options.cache_tokens.div_ceil(PAGE)
    } else {
        let free = device.free_memory()?;
        let weights = model::bytes(weights, context, config.head_dim, options.tier);
        if weights > free {
            return Err(CudaError::TooLarge { weights, free });
        }
        let taken = options.adapter_bytes.saturating_add(weights + SPARE);
        let left = free.checked_sub(taken).filter(|left| *left >= page);
        let left = left.ok_or(DeviceError::OutOfMemory { wanted: taken.saturating_add(page), free })?;
        usize::try_from(left / page).unwrap_or(usize::MAX).min(MOST_CACHED / PAGE)
    };
    let small = |what: &str, value: usize| {
        u32::try_from(value).map_err(|_| CudaError::Model(format!("{what} of {value} is too large")))
    };
    Ok(Limits {
        context: small("context", context)?,
        vocab: small("vocabulary", config.vocab)?,
        normed_bytes: small("hidden size", config.hidden + config.hidden / BLOCK * 4)?,
        page_tokens: PAGE as u32,
        // Slots are words: page · 16 + place.
        pages: small("cache", pages.max(1))?.min(u32::MAX / PAGE as u32),
        rows: small("rows", options.rows.max(1))?,
        step_tokens: small("step", options.step_tokens.max(1))?,
        // The budget is the host's; pages are in the device's memory.
        page_bytes: 0,
        weight_bytes: 0,
    })
}

impl InferenceBackend for CudaBackend {
    fn name(&self) -> &str {
        &self.name
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn health(&self) -> Health {
        Health::Ok
    }

    fn preparer(&self) -> Arc<dyn Preparer> {
        let (geometry, bases) = (self.geometry, Arc::clone(&self.bases));
        Arc::new(Quantizer { geometry, tier: self.options.tier, bases, memory: self.device.host_memory() })
    }

    fn admit(&mut self, seq: SeqId, lora: &[LoraPart]) -> Result<Admission, BackendError> {
        Ok(self.adapters.admit(self.device.as_mut(), seq, lora)?)
    }

    fn step(&mut self, rows: &[Row<'_>], out: &mut StepOutput) -> Result<(), BackendError> {
        check_contract(rows, &self.limits, &mut self.owners)?;
        // Beyond, sums of weights times a million would not fit 64 bits.
        if self.limits.vocab <= MOST_CHOSEN {
            out.begin_choosing(&self.limits, rows);
        } else {
            out.begin(&self.limits, rows);
        }
        Ok(self.run(rows, out)?)
    }

    fn release(&mut self, seq: SeqId) {
        self.adapters.release(seq);
    }
}
