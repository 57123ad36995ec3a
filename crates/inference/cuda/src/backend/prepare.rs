//! Adapters as the kernels read them: section 6 of the profile, in host memory that the device can copy from beside its work.
//!
//! ```text
//! | directory: Module [layers][7] | A of the first module: codes, scales | B: codes, scales | gains | A of the second … |
//! ```

use crate::{
    HostBytes, HostMemory,
    launch::params::Module,
    pack::{Layout, Shape, pack},
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
    pub(super) fn fits(&self, geometry: &Geometry) -> bool {
        self.geometry == *geometry
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
    pub(super) bases: Arc<Bases>,
    pub(super) memory: Arc<dyn HostMemory>,
}

impl Preparer for Quantizer {
    fn prepare(&self, adapter: &Adapter, weight: f32) -> Result<Arc<dyn PreparedAdapter>, PrepareError> {
        for module in &adapter.modules {
            check(module, &self.geometry)?;
        }
        let (plans, total) = plan(&self.geometry, &adapter.modules);
        // Offsets in the directory are words.
        if u32::try_from(total).is_err() {
            return Err(PrepareError::Mismatch(format!("{total} bytes are more than an adapter may have")));
        }
        let no_memory = |error: crate::DeviceError| PrepareError::Mismatch(error.to_string());
        let mut host = self.memory.allocate(total).map_err(no_memory)?;
        let bytes = host.bytes_mut();
        for (module, plan) in adapter.modules.iter().zip(&plans) {
            let scaled = scaled(module, weight)?;
            plan.write(module, &scaled, self.gains(module, &scaled)?.as_deref(), bytes);
        }
        let rank = adapter.max_rank() as usize;
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let (geometry, dora) = (self.geometry, adapter.is_dora());
        Ok(Arc::new(Prepared { id, geometry, rank, dora, host: Arc::from(host) }))
    }

    fn form(&self) -> &'static str {
        "cuda"
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
fn plan(geometry: &Geometry, modules: &[LoraModule]) -> (Vec<Plan>, usize) {
    let mut at = (geometry.layers as usize * Projection::ALL.len() * ENTRY).next_multiple_of(ALIGN);
    let plans = modules
        .iter()
        .map(|module| {
            let (rank, inputs, outputs) =
                (module.rank as usize, module.inputs as usize, module.outputs as usize);
            let narrow = if rank <= 16 { Layout::Narrow } else { Layout::Float };
            let a = Shape { layout: Layout::Float, rows: rank, columns: inputs };
            let b = Shape { layout: narrow, rows: outputs, columns: rank };
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
    fn write(&self, module: &LoraModule, scaled: &[f32], gains: Option<&[f32]>, out: &mut [u8]) {
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
        pack(self.a, &mut out[self.a_at..][..self.a.bytes()], &|row, b| {
            quantized(&module.a, self.a.columns, row, b)
        });
        pack(self.b, &mut out[self.b_at..][..self.b.bytes()], &|row, b| {
            quantized(scaled, self.b.columns, row, b)
        });
        let gains_at = self.gains_at.unwrap_or(out.len());
        for (to, gain) in out[gains_at..].chunks_exact_mut(4).zip(gains.unwrap_or_default()) {
            to.copy_from_slice(&gain.to_le_bytes());
        }
    }
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
