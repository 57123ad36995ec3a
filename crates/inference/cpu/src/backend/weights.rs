//! Packed weights, all in one arena, in the order a token reads them.

use super::cache::PackCache;
use crate::{
    CpuError,
    blocks::block,
    kernels::Kernels,
    memory::Arena,
    packed::{Layout, Packed, Shape},
    pool::Pool,
};
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};
use tributary_adapters::Projection;
use tributary_weights::{Layer, Matrix, Weights};

/// One block.
#[derive(Debug)]
pub(crate) struct PackedLayer {
    pub(crate) attention_norm: Vec<f32>,
    pub(crate) q: Packed,
    pub(crate) k: Packed,
    pub(crate) v: Packed,
    pub(crate) qkv_bias: Option<[Vec<f32>; 3]>,
    pub(crate) o: Packed,
    pub(crate) mlp_norm: Vec<f32>,
    pub(crate) gate: Packed,
    pub(crate) up: Packed,
    pub(crate) down: Packed,
}

impl PackedLayer {
    /// What is multiplied with the layer's input.
    pub(crate) const fn first(&self) -> [&Packed; 3] {
        [&self.q, &self.k, &self.v]
    }
}

/// A model's weights.
#[derive(Debug)]
pub(crate) struct PackedWeights {
    pub(crate) embedding: Packed,
    pub(crate) layers: Vec<PackedLayer>,
    pub(crate) norm: Vec<f32>,
    head: Option<Packed>,
    arena: Arc<Arena>,
    streamed: usize,
}

struct Packer {
    arena: Arc<Arena>,
    offset: usize,
    /// Whether the arena is filled already.
    filled: bool,
}

impl Packer {
    /// Packs and frees.
    fn pack(&mut self, matrix: Matrix) -> Result<Packed, CpuError> {
        let (shape, arena, offset) = (shape(&matrix), &self.arena, self.offset);
        let packed = match self.filled {
            true => Packed::at(shape, arena, offset)?,
            false => Packed::build(shape, arena, offset, |row, b| block(&matrix, row, b))?,
        };
        self.offset += packed.shape.bytes();
        Ok(packed)
    }

    fn layer(&mut self, layer: Layer) -> Result<PackedLayer, CpuError> {
        Ok(PackedLayer {
            attention_norm: layer.attention_norm,
            q: self.pack(layer.q)?,
            k: self.pack(layer.k)?,
            v: self.pack(layer.v)?,
            qkv_bias: layer.qkv_bias,
            o: self.pack(layer.o)?,
            mlp_norm: layer.mlp_norm,
            gate: self.pack(layer.gate)?,
            up: self.pack(layer.up)?,
            down: self.pack(layer.down)?,
        })
    }
}

fn shape(matrix: &Matrix) -> Shape {
    Shape::new(Layout::of(matrix.format()), matrix.rows(), matrix.columns())
}

fn matrices(layer: &Layer) -> [&Matrix; 7] {
    [&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down]
}

impl PackedWeights {
    /// Packs, or takes what was packed before.
    pub(crate) fn new(weights: Weights, cache: Option<&PackCache>) -> Result<Self, CpuError> {
        let bytes = |matrix: &Matrix| shape(matrix).bytes();
        let blocks: usize = weights.layers.iter().flat_map(matrices).map(bytes).sum();
        let head = weights.head.as_ref().map_or(0, bytes);
        let embedding = bytes(&weights.embedding);
        let mut arena = Arena::new(blocks + embedding + head)?;
        let filled = cache.is_some_and(|cache| cache.load(&mut arena));
        let arena = Arc::new(arena);
        let mut packer = Packer { arena: Arc::clone(&arena), offset: 0, filled };
        let layers = weights.layers.into_iter().map(|layer| packer.layer(layer)).collect::<Result<_, _>>()?;
        let streamed = blocks + if head > 0 { head } else { embedding };
        let head = weights.head.map(|head| packer.pack(head)).transpose()?;
        let embedding = packer.pack(weights.embedding)?;
        if let (Some(cache), false) = (cache, filled) {
            // SAFETY: packing is done, and nothing writes to packed weights.
            cache.store(unsafe { arena.bytes() });
        }
        Ok(Self { embedding, layers, norm: weights.norm, head, arena, streamed })
    }

    /// One linear layer of a block.
    pub(crate) fn projection(&self, layer: usize, projection: Projection) -> &Packed {
        let layer = &self.layers[layer];
        match projection {
            Projection::Q => &layer.q,
            Projection::K => &layer.k,
            Projection::V => &layer.v,
            Projection::O => &layer.o,
            Projection::Gate => &layer.gate,
            Projection::Up => &layer.up,
            Projection::Down => &layer.down,
        }
    }

    /// What makes logits.
    pub(crate) fn head(&self) -> &Packed {
        self.head.as_ref().unwrap_or(&self.embedding)
    }

    /// What is read after a layer: the next one, or the head.
    pub(crate) fn after(&self, layer: usize) -> Vec<&Packed> {
        self.layers.get(layer + 1).map_or_else(|| vec![self.head()], |next| next.first().to_vec())
    }

    /// Bytes in memory.
    pub(crate) fn memory(&self) -> usize {
        self.arena.len()
    }

    /// Bytes that a token reads.
    pub(crate) const fn bytes(&self) -> usize {
        self.streamed
    }

    /// Reads what a token reads, shared out as a step would.
    pub(crate) fn read_pass(&self, kernels: Kernels, pool: &mut Pool) -> Result<f32, CpuError> {
        const PIECE: usize = 1 << 20;
        let most = AtomicU32::new(0);
        pool.run(self.streamed.div_ceil(PIECE), &|piece, _| {
            let start = piece * PIECE;
            let len = PIECE.min(self.streamed - start) / 4;
            // SAFETY: inside the arena, aligned to 64 bytes, and written only before the weights were complete.
            let words =
                unsafe { std::slice::from_raw_parts(self.arena.start().add(start).cast::<f32>(), len) };
            most.fetch_max(kernels.read(words).to_bits(), Ordering::Relaxed);
        })?;
        Ok(f32::from_bits(most.into_inner()))
    }
}
