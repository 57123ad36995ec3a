//! A whole forward pass by the definition.

use super::primitives as p;
use crate::{
    blocks::{self, BLOCK, Block, quantize_weights},
    kernels::QBlock,
    packed::Layout,
    rope::RopeTable,
};
use tributary_adapters::{Adapter, LoraModule, Projection};
use tributary_engine::RowError;
use tributary_weights::{Config, Matrix, Weights};

/// An adapter of a composition and its weight.
#[derive(Clone, Copy, Debug)]
pub struct Lora<'a> {
    /// The adapter.
    pub adapter: &'a Adapter,
    /// Its weight.
    pub weight: f32,
}

/// One sequence run through a model by the definition.
#[derive(Debug)]
pub struct Reference<'a> {
    config: &'a Config,
    weights: &'a Weights,
    lora: &'a [Lora<'a>],
    table: RopeTable,
    /// By block.
    cache: Vec<LayerCache>,
}

/// Keys and values of each position, heads one after the other.
#[derive(Clone, Debug, Default)]
struct LayerCache {
    keys: Vec<Vec<QBlock>>,
    values: Vec<Vec<QBlock>>,
}

/// Logits and the quantised final vector of a position.
pub type Position = (Vec<f32>, Vec<u8>);

impl<'a> Reference<'a> {
    /// An empty sequence.
    pub fn new(config: &'a Config, weights: &'a Weights, lora: &'a [Lora<'a>]) -> Self {
        let cache = vec![LayerCache::default(); weights.layers.len()];
        Self { config, weights, lora, table: RopeTable::new(config, config.context), cache }
    }

    /// Runs the next token.
    pub fn push(&mut self, token: u32) -> Result<Position, RowError> {
        let position = self.cache.first().map_or(0, |cache| cache.keys.len());
        let mut x = embedding(&self.weights.embedding, token as usize);
        for index in 0..self.weights.layers.len() {
            let attention = self.attention(index, position, &x)?;
            add(&mut x, &attention);
            let mlp = self.mlp(index, &x)?;
            add(&mut x, &mlp);
        }
        let normed = p::norm(&x, &self.weights.norm, self.config.norm_eps);
        let q = quantize(&normed)?;
        let head = self.weights.head.as_ref().unwrap_or(&self.weights.embedding);
        Ok((base(head, None, &q), commitment(&q)))
    }

    fn attention(&mut self, index: usize, position: usize, x: &[f32]) -> Result<Vec<f32>, RowError> {
        let (layer, width) = (&self.weights.layers[index], self.config.head_dim);
        let x = quantize(&p::norm(x, &layer.attention_norm, self.config.norm_eps))?;
        let bias = |which: usize| layer.qkv_bias.as_ref().map(|all| all[which].as_slice());
        let mut q = self.linear(index, Projection::Q, &layer.q, bias(0), &x)?;
        let mut k = self.linear(index, Projection::K, &layer.k, bias(1), &x)?;
        let v = self.linear(index, Projection::V, &layer.v, bias(2), &x)?;
        let (cos, sin) = self.table.at(position);
        q.chunks_mut(width).for_each(|head| p::rope(head, cos, sin));
        k.chunks_mut(width).for_each(|head| p::rope(head, cos, sin));
        let q = quantize(&q)?;
        let cache = &mut self.cache[index];
        cache.keys.push(quantize(&k)?);
        cache.values.push(quantize(&v)?);
        let (blocks, group) = (width / BLOCK, self.config.heads / self.config.kv_heads);
        let scale = 1.0 / (width as f32).sqrt();
        let mut out = Vec::with_capacity(self.config.query());
        for (head, query) in q.chunks(blocks).enumerate() {
            let part = head / group * blocks..(head / group + 1) * blocks;
            let keys: Vec<&[QBlock]> = cache.keys.iter().map(|key| &key[part.clone()]).collect();
            let values: Vec<&[QBlock]> = cache.values.iter().map(|value| &value[part.clone()]).collect();
            out.extend(p::attend(query, &keys, &values, scale));
        }
        self.linear(index, Projection::O, &layer.o, None, &quantize(&out)?)
    }

    fn mlp(&self, index: usize, x: &[f32]) -> Result<Vec<f32>, RowError> {
        let layer = &self.weights.layers[index];
        let x = quantize(&p::norm(x, &layer.mlp_norm, self.config.norm_eps))?;
        let gate = self.linear(index, Projection::Gate, &layer.gate, None, &x)?;
        let up = self.linear(index, Projection::Up, &layer.up, None, &x)?;
        let h: Vec<f32> = gate.iter().zip(&up).map(|(g, u)| p::silu_mul(*g, *u)).collect();
        self.linear(index, Projection::Down, &layer.down, None, &quantize(&h)?)
    }

    /// Section 5 and 6.
    fn linear(
        &self,
        layer: usize,
        projection: Projection,
        matrix: &Matrix,
        bias: Option<&[f32]>,
        x: &[QBlock],
    ) -> Result<Vec<f32>, RowError> {
        let modules: Vec<(&LoraModule, f32)> = self
            .lora
            .iter()
            .filter_map(|part| Some((part.adapter.module(layer as u32, projection)?, part.weight)))
            .collect();
        let scales = modules.iter().any(|(module, _)| module.magnitude.is_some());
        let mut y = base(matrix, bias.filter(|_| !scales), x);
        for (module, weight) in modules {
            let factor = weight * module.scale;
            let b: Vec<f32> = module.b.iter().map(|value| factor * value).collect();
            let u = p::linear(&rows(&module.a, module.inputs as usize), false, None, x);
            let delta = p::linear(&rows(&b, module.rank as usize), false, None, &quantize(&u)?);
            add(&mut y, &delta);
            if let Some(magnitude) = &module.magnitude {
                for (row, y) in y.iter_mut().enumerate() {
                    *y *= gain(&dequantized(matrix, row), module, &b, magnitude, row);
                }
            }
        }
        if let Some(bias) = bias.filter(|_| scales) {
            add(&mut y, bias);
        }
        Ok(y)
    }
}

fn quantize(x: &[f32]) -> Result<Vec<QBlock>, RowError> {
    p::quantize(x).ok_or(RowError::NonFinite)
}

fn add(x: &mut [f32], y: &[f32]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}

fn base(matrix: &Matrix, bias: Option<&[f32]>, x: &[QBlock]) -> Vec<f32> {
    let row = |row| (0..matrix.columns() / BLOCK).map(|b| blocks::block(matrix, row, b)).collect();
    let rows: Vec<Vec<Block>> = (0..matrix.rows()).map(row).collect();
    p::linear(&rows, Layout::of(matrix.format()).has_min(), bias, x)
}

/// Q8 of a float matrix, rows padded with zeros to whole blocks.
fn rows(values: &[f32], columns: usize) -> Vec<Vec<Block>> {
    values.chunks(columns).map(|row| row.chunks(BLOCK).map(quantize_weights).collect()).collect()
}

/// Section 6, DoRA: g of one row. `b` has the scale and the weight in it.
pub(crate) fn gain(base: &[f32], module: &LoraModule, b: &[f32], magnitude: &[f32], row: usize) -> f32 {
    let (rank, inputs) = (module.rank as usize, module.inputs as usize);
    let mut squares = 0.0f64;
    for (k, base) in base.iter().enumerate() {
        let mut value = f64::from(*base);
        for j in 0..rank {
            value += f64::from(b[row * rank + j]) * f64::from(module.a[j * inputs + k]);
        }
        squares += value * value;
    }
    (f64::from(magnitude[row]) / squares.sqrt()) as f32
}

/// Section 7, last sentence.
fn embedding(matrix: &Matrix, token: usize) -> Vec<f32> {
    dequantized(matrix, token)
}

/// A row in floats.
pub(crate) fn dequantized(matrix: &Matrix, row: usize) -> Vec<f32> {
    let has_min = Layout::of(matrix.format()).has_min();
    (0..matrix.columns())
        .map(|column| {
            let block = blocks::block(matrix, row, column / BLOCK);
            let k = column % BLOCK;
            let q = f32::from(block.q[k]) * f32::from(block.scales[k / 16]);
            if has_min { block.d.mul_add(q, block.m) } else { block.d * q }
        })
        .collect()
}

/// Section 13: the Q8 bytes, then the scales, big-endian.
fn commitment(q: &[QBlock]) -> Vec<u8> {
    let values = q.iter().flat_map(|block| block.q.map(|q| q as u8));
    let scales = q.iter().flat_map(|block| block.scale.to_bits().to_be_bytes());
    values.chain(scales).collect()
}
