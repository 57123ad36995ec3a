//! A Llama-family model with frozen weights and trained low-rank changes, on padded batches of short sequences.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use tributary_adapters::{Geometry, Projection};
use tributary_weights::{Config, Layer, Matrix, Weights};

use crate::{
    TrainError,
    lora::LoraWeights,
    ops::{CausalSoftmax, FrozenLinear, LoraLinear, RmsNorm, Rope, RopeTable, SwiGlu},
};

#[derive(Debug)]
struct Block {
    attention_norm: Arc<[f32]>,
    mlp_norm: Arc<[f32]>,
    /// In the order of [`Projection::ALL`].
    linears: [Tensor; 7],
    /// Of q, k and v, where the architecture has them.
    biases: Option<[Tensor; 3]>,
}

/// The frozen model, dequantised to `f32`.
#[derive(Debug)]
pub struct Base {
    config: Config,
    embedding: Tensor,
    head: Tensor,
    norm: Arc<[f32]>,
    blocks: Vec<Block>,
    rope: Arc<RopeTable>,
}

/// Right-padded token ids, with what is to be predicted where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    /// Sequences × positions, row-major.
    pub(crate) tokens: Vec<u32>,
    /// Positions a sequence has, padding included.
    pub(crate) positions: usize,
    /// Indexes into `tokens` whose logits are wanted.
    pub(crate) wanted: Vec<u32>,
    /// The token that follows each of them.
    pub(crate) targets: Vec<u32>,
}

impl Base {
    /// Dequantises a loaded model; sequences may have `positions` tokens.
    ///
    /// # Errors
    /// [`TrainError::Tensor`] when the weights do not fit the configuration.
    pub fn new(config: &Config, weights: &Weights, positions: usize) -> Result<Self, TrainError> {
        let embedding = dequantise(&weights.embedding)?;
        let head = weights.head.as_ref().map_or_else(|| Ok(embedding.clone()), dequantise)?;
        let blocks = weights.layers.iter().map(Block::new).collect::<Result<_, TrainError>>()?;
        let rope = Arc::new(RopeTable::new(config, positions.min(config.context)));
        Ok(Self {
            config: config.clone(),
            embedding,
            head,
            norm: weights.norm.as_slice().into(),
            blocks,
            rope,
        })
    }

    /// Tokens a sequence may have.
    #[must_use]
    pub fn positions(&self) -> usize {
        self.rope.positions()
    }

    /// The sizes an adapter depends on.
    #[must_use]
    pub fn geometry(&self) -> Geometry {
        let config = &self.config;
        Geometry {
            layers: self.blocks.len() as u32,
            hidden: config.hidden as u32,
            intermediate: config.intermediate as u32,
            query: config.query() as u32,
            key: config.key() as u32,
        }
    }

    /// Logits in float after each of `positions` of one sequence: what the quantised engine approximates.
    ///
    /// # Errors
    /// [`TrainError::Input`] for a sequence that is empty or too long, or a position or token out of range.
    pub fn score(
        &self,
        tokens: &[u32],
        positions: &[u32],
        lora: Option<&LoraWeights>,
    ) -> Result<Vec<Vec<f32>>, TrainError> {
        let known = tokens.iter().all(|token| (*token as usize) < self.config.vocab);
        let inside = positions.iter().all(|position| (*position as usize) < tokens.len());
        if tokens.is_empty() || tokens.len() > self.positions() || !known || !inside {
            return Err(TrainError::Input(format!("cannot score {} tokens at {positions:?}", tokens.len())));
        }
        let (tokens, wanted) = (tokens.to_vec(), positions.to_vec());
        let batch = Batch { positions: tokens.len(), tokens, wanted, targets: Vec::new() };
        Ok(self.logits(&batch, lora)?.to_vec2::<f32>()?)
    }

    /// Logits of the wanted positions, (wanted, vocabulary).
    pub(crate) fn logits(&self, batch: &Batch, lora: Option<&LoraWeights>) -> Result<Tensor, TrainError> {
        let ids = Tensor::new(batch.tokens.as_slice(), &Device::Cpu)?;
        let mut x = self.embedding.index_select(&ids, 0)?;
        for (layer, block) in self.blocks.iter().enumerate() {
            let pass = BlockPass { base: self, block, layer, lora, positions: batch.positions };
            x = (&x + pass.attention(&x)?)?;
            x = (&x + pass.mlp(&x)?)?;
        }
        let wanted = Tensor::new(batch.wanted.as_slice(), &Device::Cpu)?;
        let x = self.normed(&x.index_select(&wanted, 0)?, &self.norm)?;
        Ok(x.apply_op1(FrozenLinear { weight: self.head.clone() })?)
    }

    fn normed(&self, x: &Tensor, weight: &Arc<[f32]>) -> candle_core::Result<Tensor> {
        x.apply_op1(RmsNorm { weight: weight.clone(), epsilon: self.config.norm_eps })
    }
}

fn dequantise(matrix: &Matrix) -> Result<Tensor, TrainError> {
    Ok(Tensor::from_vec(matrix.dequantize(), (matrix.rows(), matrix.columns()), &Device::Cpu)?)
}

impl Block {
    fn new(layer: &Layer) -> Result<Self, TrainError> {
        let Layer { q, k, v, o, gate, up, down, .. } = layer;
        let linear = dequantise;
        let linears =
            [linear(q)?, linear(k)?, linear(v)?, linear(o)?, linear(gate)?, linear(up)?, linear(down)?];
        let bias = |values: &[f32]| Tensor::new(values, &Device::Cpu);
        let biases = match &layer.qkv_bias {
            Some([q, k, v]) => Some([bias(q)?, bias(k)?, bias(v)?]),
            None => None,
        };
        let (attention_norm, mlp_norm) =
            (layer.attention_norm.as_slice().into(), layer.mlp_norm.as_slice().into());
        Ok(Self { attention_norm, mlp_norm, linears, biases })
    }
}

struct BlockPass<'a> {
    base: &'a Base,
    block: &'a Block,
    layer: usize,
    lora: Option<&'a LoraWeights>,
    positions: usize,
}

impl BlockPass<'_> {
    fn linear(&self, projection: Projection, x: &Tensor) -> candle_core::Result<Tensor> {
        let weight = self.block.linears[projection as usize].clone();
        let y = match self.lora.and_then(|lora| Some((lora, lora.module(self.layer, projection)?))) {
            Some((lora, module)) => {
                x.apply_op3(&module.a, &module.b, LoraLinear { weight, scale: lora.scale() })?
            }
            None => x.apply_op1(FrozenLinear { weight })?,
        };
        match self.block.biases.as_ref().and_then(|biases| biases.get(projection as usize)) {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }

    fn attention(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let Config { heads, kv_heads, head_dim, .. } = self.base.config;
        let n = self.positions;
        let x = self.base.normed(x, &self.block.attention_norm)?;
        let sequences = x.dim(0)? / n;
        let by_head = |x: Tensor, heads: usize| {
            x.reshape((sequences, n, heads, head_dim))?.transpose(1, 2)?.contiguous()
        };
        let turn = |x: Tensor| x.apply_op1(Rope { table: self.base.rope.clone(), back: false });
        let q = turn(by_head(self.linear(Projection::Q, &x)?, heads)?)?;
        let k = turn(by_head(self.linear(Projection::K, &x)?, kv_heads)?)?;
        let v = by_head(self.linear(Projection::V, &x)?, kv_heads)?;
        // The query heads of one key head follow each other: as one block they need no repeated keys.
        let q = q.reshape((sequences, kv_heads, heads / kv_heads * n, head_dim))?;
        let scores = q.matmul(&k.t()?)?;
        let weights = scores.apply_op1(CausalSoftmax { scale: (head_dim as f32).sqrt().recip() })?;
        let mixed =
            weights.matmul(&v)?.reshape((sequences, heads, n, head_dim))?.transpose(1, 2)?.contiguous()?;
        self.linear(Projection::O, &mixed.reshape((sequences * n, heads * head_dim))?)
    }

    fn mlp(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let x = self.base.normed(x, &self.block.mlp_norm)?;
        let gate = self.linear(Projection::Gate, &x)?;
        let up = self.linear(Projection::Up, &x)?;
        self.linear(Projection::Down, &gate.apply_op2(&up, SwiGlu)?)
    }
}
