//! The encoder, for one sequence without padding.

use crate::config::Config;
use candle_core::{D, Device, Result, Tensor};
use candle_nn::{
    Embedding, LayerNorm, Linear, Module, VarBuilder, embedding, layer_norm, linear, ops::softmax,
};

#[derive(Debug)]
pub(crate) struct Bert {
    words: Embedding,
    positions: Embedding,
    /// What the first segment's tokens have in common.
    segment: Tensor,
    norm: LayerNorm,
    layers: Vec<Layer>,
}

#[derive(Debug)]
struct Layer {
    heads: usize,
    query: Linear,
    key: Linear,
    value: Linear,
    attended: Linear,
    attended_norm: LayerNorm,
    up: Linear,
    down: Linear,
    norm: LayerNorm,
}

impl Bert {
    pub(crate) fn load(config: &Config, vars: VarBuilder<'_>) -> Result<Self> {
        let (hidden, eps) = (config.hidden_size, config.layer_norm_eps);
        let table = vars.pp("embeddings");
        let types = embedding(config.type_vocab_size, hidden, table.pp("token_type_embeddings"))?
            .embeddings()
            .get(0)?;
        let layers = (0..config.num_hidden_layers)
            .map(|index| Layer::load(config, vars.pp("encoder.layer").pp(index)))
            .collect::<Result<_>>()?;
        Ok(Self {
            words: embedding(config.vocab_size, hidden, table.pp("word_embeddings"))?,
            positions: embedding(config.max_position_embeddings, hidden, table.pp("position_embeddings"))?,
            segment: types,
            norm: layer_norm(hidden, eps, table.pp("LayerNorm"))?,
            layers,
        })
    }

    /// The last layer, a row for each token.
    pub(crate) fn forward(&self, tokens: &[u32]) -> Result<Tensor> {
        let positions: Vec<u32> = (0..tokens.len() as u32).collect();
        let words = self.words.forward(&Tensor::new(tokens, &Device::Cpu)?)?;
        let places = self.positions.forward(&Tensor::new(positions, &Device::Cpu)?)?;
        let mut x = self.norm.forward(&(words + places)?.broadcast_add(&self.segment)?)?;
        for layer in &self.layers {
            x = layer.forward(&x)?;
        }
        Ok(x)
    }
}

impl Layer {
    fn load(config: &Config, vars: VarBuilder<'_>) -> Result<Self> {
        let (hidden, inner, eps) = (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
        let (attention, output) = (vars.pp("attention"), vars.pp("output"));
        Ok(Self {
            heads: config.num_attention_heads,
            query: linear(hidden, hidden, attention.pp("self.query"))?,
            key: linear(hidden, hidden, attention.pp("self.key"))?,
            value: linear(hidden, hidden, attention.pp("self.value"))?,
            attended: linear(hidden, hidden, attention.pp("output.dense"))?,
            attended_norm: layer_norm(hidden, eps, attention.pp("output.LayerNorm"))?,
            up: linear(hidden, inner, vars.pp("intermediate.dense"))?,
            down: linear(inner, hidden, output.pp("dense"))?,
            norm: layer_norm(hidden, eps, output.pp("LayerNorm"))?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (query, key, value) = (
            self.split(&self.query.forward(x)?)?,
            self.split(&self.key.forward(x)?)?,
            self.split(&self.value.forward(x)?)?,
        );
        let scale = (query.dim(D::Minus1)? as f64).sqrt();
        let scores = (query.matmul(&key.t()?.contiguous()?)? / scale)?;
        let mixed = softmax(&scores, D::Minus1)?.matmul(&value)?;
        let mixed = self.attended.forward(&mixed.transpose(0, 1)?.flatten_from(1)?)?;
        let x = self.attended_norm.forward(&(mixed + x)?)?;
        let inner = self.down.forward(&self.up.forward(&x)?.gelu_erf()?)?;
        self.norm.forward(&(inner + x)?)
    }

    /// Tokens × hidden to heads × tokens × part of a head.
    fn split(&self, x: &Tensor) -> Result<Tensor> {
        let (tokens, hidden) = x.dims2()?;
        x.reshape((tokens, self.heads, hidden / self.heads))?.transpose(0, 1)?.contiguous()
    }
}
