//! Llama in candle, f32.

use candle_core::{D, Device, Result, Tensor};
use tributary_adapters::{Adapter, Projection};
use tributary_weights::{Config, Layer, Matrix, Weights};

/// A dequantised model.
pub(crate) struct Oracle {
    config: Config,
    embedding: Tensor,
    layers: Vec<Block>,
    norm: Tensor,
    head: Tensor,
}

struct Block {
    attention_norm: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    /// Of queries, keys and values.
    bias: Option<[Tensor; 3]>,
    o: Tensor,
    mlp_norm: Tensor,
    gate: Tensor,
    up: Tensor,
    down: Tensor,
}

fn tensor(matrix: &Matrix) -> Result<Tensor> {
    Tensor::from_vec(matrix.dequantize(), (matrix.rows(), matrix.columns()), &Device::Cpu)
}

fn vector(values: &[f32]) -> Result<Tensor> {
    Tensor::from_slice(values, values.len(), &Device::Cpu)
}

impl Oracle {
    /// Dequantises, and merges adapters at their weights: W + Σ w · scale · B · A, rows of a DoRA adapter brought to their magnitude.
    pub(crate) fn new(config: &Config, weights: &Weights, adapters: &[(&Adapter, f32)]) -> Self {
        Self::build(config, weights, adapters).expect("tensors of matching shapes")
    }

    fn build(config: &Config, weights: &Weights, adapter: &[(&Adapter, f32)]) -> Result<Self> {
        let layers = weights.layers.iter().enumerate();
        let layers =
            layers.map(|(index, layer)| block(index as u32, layer, adapter)).collect::<Result<_>>()?;
        let embedding = tensor(&weights.embedding)?;
        let head = match &weights.head {
            Some(head) => tensor(head)?,
            None => embedding.clone(),
        };
        Ok(Self { config: config.clone(), embedding, layers, norm: vector(&weights.norm)?, head })
    }

    /// Logits of every position.
    pub(crate) fn logits(&self, tokens: &[u32]) -> Vec<Vec<f32>> {
        self.forward(tokens).and_then(|logits| logits.to_vec2()).expect("tensors of matching shapes")
    }

    fn forward(&self, tokens: &[u32]) -> Result<Tensor> {
        let ids = Tensor::from_slice(tokens, tokens.len(), &Device::Cpu)?;
        let mut x = self.embedding.index_select(&ids, 0)?;
        let (cos, sin, mask) =
            (self.angles(tokens.len(), f64::cos)?, self.angles(tokens.len(), f64::sin)?, mask(tokens.len())?);
        for layer in &self.layers {
            let h = self.norm(&x, &layer.attention_norm)?;
            let biased = |weight, index: usize| match &layer.bias {
                Some(bias) => linear(&h, weight)?.broadcast_add(&bias[index]),
                None => linear(&h, weight),
            };
            let (q, k) = (self.heads(&biased(&layer.q, 0)?)?, self.heads(&biased(&layer.k, 1)?)?);
            let (q, k) = (rotate(&q, &cos, &sin)?, rotate(&k, &cos, &sin)?);
            let v = self.heads(&biased(&layer.v, 2)?)?;
            x = (x + linear(&self.attend(&q, &k, &v, &mask)?, &layer.o)?)?;
            let h = self.norm(&x, &layer.mlp_norm)?;
            let gated = (linear(&h, &layer.gate)?.silu()? * linear(&h, &layer.up)?)?;
            x = (x + linear(&gated, &layer.down)?)?;
        }
        linear(&self.norm(&x, &self.norm)?, &self.head)
    }

    fn norm(&self, x: &Tensor, scale: &Tensor) -> Result<Tensor> {
        let mean = (x.sqr()?.mean_keepdim(D::Minus1)? + f64::from(self.config.norm_eps))?;
        x.broadcast_div(&mean.sqrt()?)?.broadcast_mul(scale)
    }

    /// `[tokens][heads · width]` to `[heads][tokens][width]`.
    fn heads(&self, x: &Tensor) -> Result<Tensor> {
        let (tokens, width) = x.dims2()?;
        x.reshape((tokens, width / self.config.head_dim, self.config.head_dim))?.transpose(0, 1)?.contiguous()
    }

    fn attend(&self, q: &Tensor, k: &Tensor, v: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let group = self.config.heads / self.config.kv_heads;
        let repeat = |x: &Tensor| {
            let (heads, tokens, width) = x.dims3()?;
            x.unsqueeze(1)?.expand((heads, group, tokens, width))?.reshape((heads * group, tokens, width))
        };
        let scale = 1.0 / (self.config.head_dim as f64).sqrt();
        let scores = (q.matmul(&repeat(k)?.t()?.contiguous()?)? * scale)?.broadcast_add(mask)?;
        let weights = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?)?.exp()?;
        let weights = weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?;
        let (_, tokens, _) = q.dims3()?;
        weights.matmul(&repeat(v)?.contiguous()?)?.transpose(0, 1)?.reshape((tokens, self.config.query()))
    }

    fn angles(&self, tokens: usize, of: fn(f64) -> f64) -> Result<Tensor> {
        let half = self.config.head_dim / 2;
        let theta = f64::from(self.config.rope_theta);
        let frequency = |i: usize| theta.powf(-((2 * i) as f64) / self.config.head_dim as f64);
        let values: Vec<f32> = (0..tokens)
            .flat_map(|position| (0..half).map(move |i| of(position as f64 * frequency(i)) as f32))
            .collect();
        Tensor::from_vec(values, (tokens, half), &Device::Cpu)
    }
}

fn block(index: u32, layer: &Layer, adapters: &[(&Adapter, f32)]) -> Result<Block> {
    let merged = |matrix: &Matrix, projection: Projection| -> Result<Tensor> {
        let mut merged = tensor(matrix)?;
        for (adapter, weight) in adapters {
            let Some(module) = adapter.module(index, projection) else { continue };
            let (rank, inputs, outputs) =
                (module.rank as usize, module.inputs as usize, module.outputs as usize);
            let a = Tensor::from_slice(&module.a, (rank, inputs), &Device::Cpu)?;
            let b = Tensor::from_slice(&module.b, (outputs, rank), &Device::Cpu)?;
            merged = (merged + (b.matmul(&a)? * f64::from(module.scale * weight))?)?;
            if let Some(magnitude) = &module.magnitude {
                let norm = merged.sqr()?.sum_keepdim(1)?.sqrt()?;
                let magnitude = Tensor::from_slice(magnitude, (outputs, 1), &Device::Cpu)?;
                merged = merged.broadcast_mul(&(magnitude / norm)?)?;
            }
        }
        Ok(merged)
    };
    let bias = match &layer.qkv_bias {
        Some([q, k, v]) => Some([vector(q)?, vector(k)?, vector(v)?]),
        None => None,
    };
    Ok(Block {
        attention_norm: vector(&layer.attention_norm)?,
        q: merged(&layer.q, Projection::Q)?,
        k: merged(&layer.k, Projection::K)?,
        v: merged(&layer.v, Projection::V)?,
        bias,
        o: merged(&layer.o, Projection::O)?,
        mlp_norm: vector(&layer.mlp_norm)?,
        gate: merged(&layer.gate, Projection::Gate)?,
        up: merged(&layer.up, Projection::Up)?,
        down: merged(&layer.down, Projection::Down)?,
    })
}

fn linear(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    x.matmul(&weight.t()?)
}

/// The two halves of each head turn together.
fn rotate(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    let half = x.dim(D::Minus1)? / 2;
    let (low, high) = (x.narrow(D::Minus1, 0, half)?, x.narrow(D::Minus1, half, half)?);
    let first = (low.broadcast_mul(cos)? - high.broadcast_mul(sin)?)?;
    let second = (high.broadcast_mul(cos)? + low.broadcast_mul(sin)?)?;
    Tensor::cat(&[first, second], D::Minus1)
}

fn mask(tokens: usize) -> Result<Tensor> {
    let value = |q: usize, k: usize| if k > q { f32::NEG_INFINITY } else { 0.0 };
    let values: Vec<f32> = (0..tokens).flat_map(|q| (0..tokens).map(move |k| value(q, k))).collect();
    Tensor::from_vec(values, (tokens, tokens), &Device::Cpu)
}
