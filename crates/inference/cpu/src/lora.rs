//! Adapters as this backend runs them: section 6 of the profile.

use crate::{
    CpuError,
    backend::PackedWeights,
    blocks::{BLOCK, Block, quantize_weights},
    dora,
    kernels::Kernels,
    memory::Arena,
    packed::{Layout, Packed, Shape},
};
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

/// A quantised adapter with its composition weight folded into B.
#[derive(Debug)]
pub(crate) struct Prepared {
    geometry: Geometry,
    /// By block and projection.
    changes: Vec<Option<Change>>,
    rank: usize,
    bytes: usize,
    dora: bool,
}

impl PreparedAdapter for Prepared {
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn composes(&self) -> bool {
        !self.dora
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Prepared {
    pub(crate) fn change(&self, layer: usize, projection: Projection) -> Option<&Change> {
        self.changes[layer * Projection::ALL.len() + projection as usize].as_ref()
    }

    /// The largest rank of any layer.
    pub(crate) const fn rank(&self) -> usize {
        self.rank
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
}

impl Preparer for Quantizer {
    fn prepare(&self, adapter: &Adapter, weight: f32) -> Result<Arc<dyn PreparedAdapter>, PrepareError> {
        for module in &adapter.modules {
            self.check(module)?;
        }
        let shapes = |module: &LoraModule| {
            let (rank, inputs, outputs) =
                (module.rank as usize, module.inputs as usize, module.outputs as usize);
            (Shape::new(Layout::Float, rank, inputs), Shape::new(Layout::Float, outputs, rank))
        };
        let total: usize = adapter.modules.iter().map(|m| shapes(m).0.bytes() + shapes(m).1.bytes()).sum();
        let arena = Arc::new(Arena::new(total).map_err(memory)?);
        let mut changes = vec![None; self.geometry.layers as usize * Projection::ALL.len()];
        let mut offset = 0;
        for module in &adapter.modules {
            let (a, b) = shapes(module);
            let scaled = scaled(module, weight)?;
            let change = Change {
                a: pack(self.kernels, a, &arena, offset, &module.a)?,
                b: pack(self.kernels, b, &arena, offset + a.bytes(), &scaled)?,
                gain: self.gain(module, &scaled)?,
            };
            offset += a.bytes() + b.bytes();
            changes[module.layer as usize * Projection::ALL.len() + module.projection as usize] =
                Some(change);
        }
        let rank = adapter.max_rank() as usize;
        let gains: usize =
            changes.iter().flatten().filter_map(|change| change.gain.as_ref()).map(|g| g.len()).sum();
        let (bytes, dora) = (total + gains * size_of::<f32>(), gains > 0);
        Ok(Arc::new(Prepared { geometry: self.geometry, changes, rank, bytes, dora }))
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

impl Quantizer {
    fn gain(&self, module: &LoraModule, scaled: &[f32]) -> Result<Option<Arc<[f32]>>, PrepareError> {
        let Some(magnitude) = &module.magnitude else { return Ok(None) };
        let base = self.weights.projection(module.layer as usize, module.projection);
        let gains = dora::gains(|row, out| base.dequantize_row(row, out), module, scaled, magnitude);
        let place = || format!("DoRA magnitude of layer {} {}", module.layer, module.projection);
        gains.map(|gains| Some(gains.into())).ok_or_else(|| PrepareError::NonFinite(place()))
    }
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
