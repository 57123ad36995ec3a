//! Adapters as the kernels read them: section 6 of the profile, or bf16 in the fast tiers, in host memory that the device can copy from
//! beside its work.
//!
//! ```text
//! | directory: Module [layers][7] | A of the first module: codes, scales | B: codes, scales | gains | A of the second … |
//! ```

use crate::{
    HostBytes, HostMemory, Tier,
    launch::params::Module,
    pack::{Layout, Shape, pack, pack_fast},
};
use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tributary_adapters::{Adapter, Geometry, LoraModule, Projection};
use tributary_cpu::{BLOCK, Block, dora_gains, quantize_weights};
use tributary_engine::{PrepareError, PreparedAdapter, Preparer};
use tributary_weights::{Layer, Matrix};

/// Where sections begin, in bytes.
const ALIGN: usize = 256;
/// Bytes of a directory's entry.
pub(super) const ENTRY: usize = 40;

/// Each prepared adapter has a number of its own.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// A quantised adapter with its composition weight folded into B.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) id: u64,
    geometry: Geometry,
    tier: Tier,
    pub(super) rank: usize,
    /// Whether a module scales what it changes.
    pub(super) dora: bool,
    pub(super) host: Arc<dyn HostBytes>,
}

impl PreparedAdapter for Prepared {
    fn bytes(&self) -> usize {
        self.host.bytes().len()
    }

    fn rank(&self) -> u32 {
        u32::try_from(self.rank).unwrap_or(u32::MAX)
    }

    fn composes(&self) -> bool {
        !self.dora
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Prepared {
    pub(super) fn fits(&self, geometry: &Geometry, tier: Tier) -> bool {
        self.geometry == *geometry && self.tier.is_fast() == tier.is_fast()
    }
}

/// The matrices that adapters change, by layer, as the file has them: what DoRA measures. They stay in host memory.
#[derive(Debug, Default)]
pub(super) struct Bases(pub(super) Vec<[Matrix; 7]>);

impl Bases {
    pub(super) fn new(layers: Vec<Layer>) -> Self {
        let of = |layer: Layer| [layer.q, layer.k, layer.v, layer.o, layer.gate, layer.up, layer.down];
        Self(layers.into_iter().map(of).collect())
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.iter().flatten().map(|matrix| matrix.data().len()).sum()
    }
}

/// Quantises adapters for models of one shape.
#[derive(Clone, Debug)]
pub(super) struct Quantizer {
    pub(super) geometry: Geometry,
    pub(super) tier: Tier,
    pub(super) bases: Arc<Bases>,
    pub(super) memory: Arc<dyn HostMemory>,
}

impl Preparer for Quantizer {
    fn prepare(&self, adapter: &Adapter, weight: f32) -> Result<Arc<dyn PreparedAdapter>, PrepareError> {
        for module in &adapter.modules {
            check(module, &self.geometry)?;
        }
        let (plans, total) = plan(&self.geometry, &adapter.modules, self.tier);
        // Offsets in the directory are words.
        if u32::try_from(total).is_err() {
            return Err(PrepareError::Mismatch(format!("{total} bytes are more than an adapter may have")));
        }
        let no_memory = |error: crate::DeviceError| PrepareError::Mismatch(error.to_string());
        let mut host = self.memory.allocate(total).map_err(no_memory)?;
        let bytes = host.bytes_mut();
        for (module, plan) in adapter.modules.iter().zip(&plans) {
            let scaled = scaled(module, weight)?;
            let gains = self.gains(module, &scaled)?;
            if !plan.write(module, &scaled, gains.as_deref(), bytes) {
                return Err(PrepareError::NonFinite(format!("layer {} {}", module.layer, module.projection)));
            }
        }
        let rank = adapter.max_rank() as usize;
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let (geometry, tier, dora) = (self.geometry, self.tier, adapter.is_dora());
        Ok(Arc::new(Prepared { id, geometry, tier, rank, dora, host: Arc::from(host) }))
    }

    fn form(&self) -> &'static str {
        if self.tier.is_fast() { "cuda-bf16" } else { "cuda" }
    }
}

impl Quantizer {
    /// What DoRA scales the rows of a module by.
    fn gains(&self, module: &LoraModule, scaled: &[f32]) -> Result<Option<Vec<f32>>, PrepareError> {
        let Some(magnitude) = &module.magnitude else { return Ok(None) };
        let base = self.bases.0.get(module.layer as usize).map(|layer| &layer[module.projection as usize]);
        let base = base.ok_or(PrepareError::Unsupported("DoRA"))?;
        let gains = dora_gains(base, module, scaled, magnitude);
        let place = || format!("DoRA magnitude of layer {} {}", module.layer, module.projection);
        gains.map(Some).ok_or_else(|| PrepareError::NonFinite(place()))
    }
}

/// Where a module's parts go.
#[derive(Clone, Copy, Debug)]
struct Plan {
    a: Shape,
    b: Shape,
    a_at: usize,
    b_at: usize,
    /// Not 0: the directory comes first.
    gains_at: Option<usize>,
}

/// Places for all modules, and the size of it all.
fn plan(geometry: &Geometry, modules: &[LoraModule], tier: Tier) -> (Vec<Plan>, usize) {
    let mut at = (geometry.layers as usize * Projection::ALL.len() * ENTRY).next_multiple_of(ALIGN);
    let plans = modules
        .iter()
        .map(|module| {
            let (rank, inputs, outputs) =
                (module.rank as usize, module.inputs as usize, module.outputs as usize);
            let layouts = match rank {
                _ if tier.is_fast() => [Layout::Brain; 2],
                0..=16 => [Layout::Float, Layout::Narrow],
                _ => [Layout::Float; 2],
            };
            let a = Shape { layout: layouts[0], rows: rank, columns: inputs };
            let b = Shape { layout: layouts[1], rows: outputs, columns: rank };
            let a_at = at;
            let b_at = (a_at + a.bytes()).next_multiple_of(ALIGN);
            at = (b_at + b.bytes()).next_multiple_of(ALIGN);
            let gains_at = module.magnitude.is_some().then_some(at);
            at += gains_at.map_or(0, |_| (outputs * size_of::<f32>()).next_multiple_of(ALIGN));
            Plan { a, b, a_at, b_at, gains_at }
        })
        .collect();
    (plans, at)
}

impl Plan {
    /// Into zeros. False if a value has no place in the form.
    fn write(&self, module: &LoraModule, scaled: &[f32], gains: Option<&[f32]>, out: &mut [u8]) -> bool {
        // Smaller than 2³² all of them, as is their sum.
        let entry = Module {
            rank: module.rank,
            a_codes: self.a_at as u32,
            a_scales: (self.a_at + self.a.scales_at()) as u32,
            a_blocks: self.a.blocks() as u32,
            b_codes: self.b_at as u32,
            b_scales: (self.b_at + self.b.scales_at()) as u32,
            b_blocks: self.b.blocks() as u32,
            b_layout: self.b.layout as u32,
            gains: self.gains_at.unwrap_or(0) as u32,
            pad: 0,
        };
        let index = module.layer as usize * Projection::ALL.len() + module.projection as usize;
        out[index * ENTRY..][..ENTRY].copy_from_slice(&entry.bytes());
        let parts = [(self.a, self.a_at, &*module.a), (self.b, self.b_at, scaled)];
        let good = parts.map(|(shape, at, values)| packed(shape, values, &mut out[at..][..shape.bytes()]));
        let gains_at = self.gains_at.unwrap_or(out.len());
        for (to, gain) in out[gains_at..].chunks_exact_mut(4).zip(gains.unwrap_or_default()) {
            to.copy_from_slice(&gain.to_le_bytes());
        }
        good == [true; 2]
    }
}

fn packed(shape: Shape, values: &[f32], out: &mut [u8]) -> bool {
    let columns = shape.columns;
    if shape.layout.is_fast() {
        let row = |row: usize, out: &mut [f32]| out.copy_from_slice(&values[row * columns..][..columns]);
        return pack_fast(shape, out, &row);
    }
    pack(shape, out, &|row, b| quantized(values, columns, row, b));
    true
}

/// Block `b` of a row of floats, padded with zeros.
fn quantized(values: &[f32], columns: usize, row: usize, b: usize) -> Block {
    let row = &values[row * columns..(row + 1) * columns];
    quantize_weights(&row[b * BLOCK..columns.min((b + 1) * BLOCK)])
}

fn check(module: &LoraModule, geometry: &Geometry) -> Result<(), PrepareError> {
    let (inputs, outputs) = geometry.shape(module.projection);
    let rank = module.rank as usize;
    let fits = (module.inputs, module.outputs) == (inputs, outputs)
        && module.layer < geometry.layers
        && rank > 0
        && module.a.len() == rank * inputs as usize
        && module.b.len() == rank * outputs as usize
        && module.magnitude.as_ref().is_none_or(|magnitude| magnitude.len() == outputs as usize)
        && (inputs as usize).is_multiple_of(BLOCK);
    if fits {
        return Ok(());
    }
    let (layer, projection) = (module.layer, module.projection);
    Err(PrepareError::Mismatch(format!(
        "layer {layer} {projection}: rank {rank}, {} → {}; the model has {inputs} → {outputs}",
        module.inputs, module.outputs
    )))
}

/// w · scale · B, left to right.
fn scaled(module: &LoraModule, weight: f32) -> Result<Vec<f32>, PrepareError> {
    let factor = weight * module.scale;
    let scaled: Vec<f32> = module.b.iter().map(|value| factor * value).collect();
    if scaled.iter().chain(&module.a).all(|value| value.is_finite()) {
        return Ok(scaled);
    }
    Err(PrepareError::NonFinite(format!("layer {} {}", module.layer, module.projection)))
}
