//! A model's weights and cache on the device.

use crate::{
    CudaError, Device, Tier,
    launch::{LayerMap, ModelMap, params::Matrix as MatrixParams},
    pack::{Layout, Shape, pack, pack_fast},
    plan::Arena,
};
use tributary_cpu::{BLOCK, RopeTable, block};
use tributary_weights::{Config, Layer, Matrix, Weights};

/// Positions of a page.
pub(super) const PAGE: usize = 16;
/// Query heads that share a key head, and columns of a head, that the attention kernels have room for.
const MOST_GROUP: usize = 32;
const MOST_WIDTH: usize = 256;

/// Refuses what the kernels have no room for.
pub(super) fn check(config: &Config) -> Result<(), CudaError> {
    let sizes = [
        ("hidden size", config.hidden),
        ("intermediate size", config.intermediate),
        ("head width", config.head_dim),
        ("query width", config.query()),
    ];
    if let Some((what, size)) = sizes.into_iter().find(|(_, size)| size % BLOCK != 0) {
        return Err(CudaError::Model(format!("{what} {size} is not a multiple of {BLOCK}")));
    }
    if config.head_dim > MOST_WIDTH {
        return Err(CudaError::Model(format!("heads of {} columns", config.head_dim)));
    }
    let group = config.heads / config.kv_heads;
    if group > MOST_GROUP {
        return Err(CudaError::Model(format!("{group} query heads for each key head")));
    }
    Ok(())
}

/// Bytes of a key head's part of a page's layer: keys, values, and in the deterministic tier scales of both.
pub(super) const fn head_bytes(width: usize, tier: Tier) -> usize {
    if tier.is_fast() {
        return 2 * PAGE * width * 2;
    }
    2 * PAGE * width + 2 * PAGE * (width / BLOCK) * 4
}

/// Bytes of a page.
pub(super) const fn page_bytes(config: &Config, tier: Tier) -> usize {
    config.layers * config.kv_heads * head_bytes(config.head_dim, tier)
}

fn shape(matrix: &Matrix, tier: Tier) -> Shape {
    let layout = match tier {
        Tier::Deterministic => Layout::of(matrix.format()),
        Tier::Fast => Layout::Brain,
        Tier::FastFp8 => Layout::Eight,
    };
    Shape { layout, rows: matrix.rows(), columns: matrix.columns() }
}

/// The tier that says how embedding and head are kept: what decides about tokens is not made smaller than bf16.
const fn of_head(tier: Tier) -> Tier {
    match tier {
        Tier::FastFp8 => Tier::Fast,
        other => other,
    }
}

/// Something of the model with a place of its own.
enum Item<'a> {
    Matrix(&'a Matrix, Tier),
    Floats(&'a [f32]),
}

impl Item<'_> {
    fn bytes(&self) -> usize {
        match self {
            Self::Matrix(matrix, tier) => shape(matrix, *tier).bytes(),
            Self::Floats(values) => size_of_val(*values),
        }
    }

    fn packed(&self) -> Result<Vec<u8>, CudaError> {
        match self {
            Self::Matrix(matrix, tier) => {
                let shape = shape(matrix, *tier);
                let mut bytes = vec![0; shape.bytes()];
                if !tier.is_fast() {
                    pack(shape, &mut bytes, &|row, b| block(matrix, row, b));
                } else if !pack_fast(shape, &mut bytes, &|row, out| matrix.dequantize_row(row, out)) {
                    return Err(CudaError::Model("a weight is not finite in bf16".to_owned()));
                }
                Ok(bytes)
            }
            Self::Floats(values) => Ok(values.iter().flat_map(|value| value.to_le_bytes()).collect()),
        }
    }
}

/// Everything of a model, in the order in which [`Taker::model`] takes the addresses.
fn items<'a>(weights: &'a Weights, table: &'a [f32], tier: Tier) -> Vec<Item<'a>> {
    let mut items = Vec::new();
    let matrix = |matrix| Item::Matrix(matrix, tier);
    for layer in &weights.layers {
        items.push(Item::Floats(&layer.attention_norm));
        items.extend([&layer.q, &layer.k, &layer.v].map(matrix));
        items.extend(layer.qkv_bias.iter().flatten().map(|bias| Item::Floats(bias)));
        items.push(matrix(&layer.o));
        items.push(Item::Floats(&layer.mlp_norm));
        items.extend([&layer.gate, &layer.up, &layer.down].map(matrix));
    }
    items.push(Item::Floats(&weights.norm));
    let matrix = |matrix| Item::Matrix(matrix, of_head(tier));
    items.push(matrix(&weights.embedding));
    items.extend(weights.head.as_ref().map(matrix));
    items.push(Item::Floats(table));
    items
}

/// Allocates and fills a model's memory. Its cache is still to come.
pub(super) fn upload(
    device: &mut dyn Device,
    config: &Config,
    weights: &Weights,
    table: &RopeTable,
    context: usize,
    tier: Tier,
) -> Result<ModelMap, CudaError> {
    let table: Vec<f32> = (0..context)
        .flat_map(|position| {
            let (cos, sin) = table.at(position);
            [cos, sin].concat()
        })
        .collect();
    let items = items(weights, &table, tier);
    let mut arena = Arena::new();
    let offsets: Vec<u64> = items.iter().map(|item| arena.constant("weights", item.bytes())).collect();
    let base = device.allocate(&arena)?;
    for (item, offset) in items.iter().zip(&offsets) {
        device.write(base + offset, &item.packed()?)?;
    }
    let mut taker = Taker { addresses: offsets.into_iter().map(|offset| base + offset), tier };
    Ok(taker.model(config, weights))
}

/// Hands the addresses out in the order of [`items`].
struct Taker<I> {
    addresses: I,
    tier: Tier,
}

impl<I: Iterator<Item = u64>> Taker<I> {
    fn next(&mut self) -> u64 {
        self.addresses.next().unwrap_or_default()
    }

    fn matrix(&mut self, matrix: &Matrix, column: usize) -> MatrixParams {
        matrix_at(self.next(), &shape(matrix, self.tier), column)
    }

    fn layer(&mut self, layer: &Layer) -> LayerMap {
        let attention_norm = self.next();
        let (rows, keys) = (layer.q.rows(), layer.k.rows());
        let mut qkv =
            [self.matrix(&layer.q, 0), self.matrix(&layer.k, rows), self.matrix(&layer.v, rows + keys)];
        if layer.qkv_bias.is_some() {
            qkv.iter_mut().for_each(|matrix| matrix.bias = self.next());
        }
        LayerMap {
            attention_norm,
            qkv,
            o: [self.matrix(&layer.o, 0)],
            mlp_norm: self.next(),
            gate_up: [self.matrix(&layer.gate, 0), self.matrix(&layer.up, layer.gate.rows())],
            down: [self.matrix(&layer.down, 0)],
        }
    }

    fn model(&mut self, config: &Config, weights: &Weights) -> ModelMap {
        // Config bounds every size far below 2³².
        let layers = weights.layers.iter().map(|layer| self.layer(layer)).collect();
        let norm = self.next();
        let tier = self.tier;
        self.tier = of_head(tier);
        let embedding = self.matrix(&weights.embedding, 0);
        let head = weights.head.as_ref().map_or(embedding, |head| self.matrix(head, 0));
        ModelMap {
            embedding,
            layers,
            norm,
            head,
            cos_sin: self.next(),
            cache: 0,
            page_bytes: page_bytes(config, tier) as u64,
            head_bytes: head_bytes(config.head_dim, tier) as u32,
            hidden: config.hidden as u32,
            intermediate: config.intermediate as u32,
            heads: config.heads as u32,
            kv_heads: config.kv_heads as u32,
            head_dim: config.head_dim as u32,
            eps: config.norm_eps,
            scale: 1.0 / (config.head_dim as f32).sqrt(),
            tier,
        }
    }
}

/// What kernels are told of a packed matrix.
pub(super) fn matrix_at(address: u64, shape: &Shape, column: usize) -> MatrixParams {
    MatrixParams {
        codes: address,
        scales: address + shape.scales_at() as u64,
        mins: address + shape.mins_at() as u64,
        halves: address + shape.halves_at() as u64,
        bias: 0,
        layout: shape.layout as u32,
        rows: shape.rows as u32,
        blocks: shape.blocks() as u32,
        column: column as u32,
    }
}

/// Bytes that [`upload`] allocates.
pub(super) fn bytes(weights: &Weights, context: usize, head_dim: usize, tier: Tier) -> u64 {
    let mut arena = Arena::new();
    for item in items(weights, &[], tier) {
        arena.constant("weights", item.bytes());
    }
    arena.bytes() + (context * head_dim * 4) as u64
}
