//! Adapters as this backend runs them: section 6 of the profile.

mod kept;

use crate::{
    CpuError,
    backend::PackedWeights,
    blocks::{BLOCK, Block, quantize_weights},
    dora,
    kernels::Kernels,
    memory::Arena,
    packed::{Layout, Packed, Shape},
};
use alloy_primitives::B256;
pub(crate) use kept::Kept;
use std::{any::Any, sync::Arc};
use tributary_adapters::{Adapter, Geometry, LoraModule, Projection};
use tributary_engine::{PrepareError, PreparedAdapter, Preparer};

/// One layer's change: `δ = B · Q8(A · x)`.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) a: Packed,
    pub(crate) b: Packed,
    /// DoRA: what each row is scaled by once δ is added.
    pub(crate) gain: Option<Arc<[f32]>>,
}

impl Change {
    /// What lies in `arena` from `offset` on: A, then B.
    fn at(
        arena: &Arc<Arena>,
        offset: usize,
        (a, b): (Shape, Shape),
        gain: Option<Arc<[f32]>>,
    ) -> Result<Self, CpuError> {
        let b = Packed::at(b, arena, offset + a.bytes())?;
        Ok(Self { a: Packed::at(a, arena, offset)?, b, gain })
    }

    const fn rank(&self) -> usize {
        self.a.shape.rows
    }
}

/// A and B of a module.
fn shapes(rank: u32, (inputs, outputs): (u32, u32)) -> (Shape, Shape) {
    let (rank, inputs, outputs) = (rank as usize, inputs as usize, outputs as usize);
    (Shape::shrinking(rank, inputs), Shape::new(Layout::Float, outputs, rank))
}

/// Where a module stands among all.
const fn place(layer: usize, projection: Projection) -> usize {
    layer * Projection::ALL.len() + projection as usize
}

/// A quantised adapter with its composition weight folded into B.
#[derive(Debug)]
pub(crate) struct Prepared {
    geometry: Geometry,
    /// By block and projection.
    changes: Vec<Option<Change>>,
    /// Every A and B. Nobody writes there once it is prepared.
    arena: Arc<Arena>,
}

impl PreparedAdapter for Prepared {
    fn bytes(&self) -> usize {
        self.arena.len() + self.gains().map(<[f32]>::len).sum::<usize>() * size_of::<f32>()
    }

    fn rank(&self) -> u32 {
        self.changes.iter().flatten().map(|change| change.rank() as u32).max().unwrap_or(0)
    }

    fn composes(&self) -> bool {
        self.gains().next().is_none()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Prepared {
    pub(crate) fn change(&self, layer: usize, projection: Projection) -> Option<&Change> {
        self.changes[place(layer, projection)].as_ref()
    }

    fn gains(&self) -> impl Iterator<Item = &[f32]> {
        self.changes.iter().flatten().filter_map(|change| change.gain.as_deref())
    }

    pub(crate) fn fits(&self, geometry: &Geometry) -> bool {
        self.geometry == *geometry
    }
}

/// Quantises adapters for a model.
#[derive(Clone, Debug)]
pub(crate) struct Quantizer {
    pub(crate) kernels: Kernels,
    pub(crate) geometry: Geometry,
    /// What DoRA measures.
    pub(crate) weights: Arc<PackedWeights>,
    /// Where prepared adapters lie for later.
    pub(crate) kept: Option<Arc<Kept>>,
}

impl Preparer for Quantizer {
    fn prepare(&self, adapter: &Adapter, weight: f32) -> Result<Arc<dyn PreparedAdapter>, PrepareError> {
        for module in &adapter.modules {
            self.check(module)?;
        }
        let bytes = |module: &LoraModule| {
            let (a, b) = shapes(module.rank, (module.inputs, module.outputs));
            a.bytes() + b.bytes()
        };
        let arena = Arc::new(Arena::new(adapter.modules.iter().map(bytes).sum()).map_err(memory)?);
        let mut changes = vec![None; self.geometry.layers as usize * Projection::ALL.len()];
        let mut offset = 0;
        for module in &adapter.modules {
            let base = self.weights.projection(module.layer as usize, module.projection);
            changes[place(module.layer as usize, module.projection)] =
                Some(change(self.kernels, module, weight, base, &arena, offset)?);
            offset += bytes(module);
        }
        Ok(Arc::new(Prepared { geometry: self.geometry, changes, arena }))
    }

    fn kept(&self, hash: B256, weight: f32) -> Option<Arc<dyn PreparedAdapter>> {
        let prepared = self.kept.as_ref()?.load(hash, weight)?;
        Some(Arc::new(prepared))
    }

    fn keep(&self, hash: B256, weight: f32, prepared: &dyn PreparedAdapter) {
        if let (Some(kept), Some(prepared)) = (&self.kept, prepared.as_any().downcast_ref::<Prepared>())
            && prepared.fits(&self.geometry)
        {
            kept.store(hash, weight, prepared);
        }
    }
}

impl Quantizer {
    fn check(&self, module: &LoraModule) -> Result<(), PrepareError> {
        let (inputs, outputs) = self.geometry.shape(module.projection);
        let shape =
            (module.inputs, module.outputs) == (inputs, outputs) && module.layer < self.geometry.layers;
        let rank = module.rank as usize;
        let sizes = rank > 0
            && module.a.len() == rank * inputs as usize
            && module.b.len() == rank * outputs as usize
            && module.magnitude.as_ref().is_none_or(|magnitude| magnitude.len() == outputs as usize)
            && (inputs as usize).is_multiple_of(BLOCK);
        if shape && sizes {
            return Ok(());
        }
        let (layer, projection) = (module.layer, module.projection);
        Err(PrepareError::Mismatch(format!(
            "layer {layer} {projection}: rank {rank}, {} → {}; the model has {inputs} → {outputs}",
            module.inputs, module.outputs
        )))
    }
}

/// Quantises a module into `arena` at `offset`, of which no one else writes or reads this part.
fn change(
    kernels: Kernels,
    module: &LoraModule,
    weight: f32,
    base: &Packed,
    arena: &Arc<Arena>,
    offset: usize,
) -> Result<Change, PrepareError> {
    let (a, b) = shapes(module.rank, (module.inputs, module.outputs));
    let scaled = scaled(module, weight)?;
    Ok(Change {
        a: pack(kernels, a, arena, offset, &module.a)?,
        b: pack(kernels, b, arena, offset + a.bytes(), &scaled)?,
        gain: gain(module, base, &scaled)?,
    })
}

fn gain(module: &LoraModule, base: &Packed, scaled: &[f32]) -> Result<Option<Arc<[f32]>>, PrepareError> {
    let Some(magnitude) = &module.magnitude else { return Ok(None) };
    let gains = dora::gains(|row, out| base.dequantize_row(row, out), module, scaled, magnitude);
    let place = || format!("DoRA magnitude of layer {} {}", module.layer, module.projection);
    gains.map(|gains| Some(gains.into())).ok_or_else(|| PrepareError::NonFinite(place()))
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

fn pack(
    kernels: Kernels,
    shape: Shape,
    arena: &Arc<Arena>,
    offset: usize,
    values: &[f32],
) -> Result<Packed, PrepareError> {
    let fill = |row: usize, b: usize, codes: &mut [u8; BLOCK]| {
        let row = &values[row * shape.columns..(row + 1) * shape.columns];
        let mut block = [0.0; BLOCK];
        let values = &row[b * BLOCK..shape.columns.min((b + 1) * BLOCK)];
        block[..values.len()].copy_from_slice(values);
        kernels.quantize_weights(&block, codes)
    };
    Packed::build_floats(shape, arena, offset, fill).map_err(memory)
}

/// Block `b` of a row of floats, padded with zeros.
pub(crate) fn quantized(values: &[f32], columns: usize, row: usize, b: usize) -> Block {
    let row = &values[row * columns..(row + 1) * columns];
    quantize_weights(&row[b * BLOCK..columns.min((b + 1) * BLOCK)])
}

fn memory(error: CpuError) -> PrepareError {
    PrepareError::Mismatch(error.to_string())
}
