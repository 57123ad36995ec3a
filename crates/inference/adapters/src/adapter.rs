//! A validated LoRA artifact in memory: what the parser yields and a backend quantises.

use alloy_primitives::B256;
use std::fmt;
use tributary_weights::Config;

/// A linear layer of a Llama block that an adapter may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Projection {
    /// `self_attn.q_proj`
    Q,
    /// `self_attn.k_proj`
    K,
    /// `self_attn.v_proj`
    V,
    /// `self_attn.o_proj`
    O,
    /// `mlp.gate_proj`
    Gate,
    /// `mlp.up_proj`
    Up,
    /// `mlp.down_proj`
    Down,
}

impl Projection {
    /// Every projection, in the order a block runs them.
    pub const ALL: [Self; 7] = [Self::Q, Self::K, Self::V, Self::O, Self::Gate, Self::Up, Self::Down];

    /// The module's path inside its block, as Hugging Face names it.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Q => "self_attn.q_proj",
            Self::K => "self_attn.k_proj",
            Self::V => "self_attn.v_proj",
            Self::O => "self_attn.o_proj",
            Self::Gate => "mlp.gate_proj",
            Self::Up => "mlp.up_proj",
            Self::Down => "mlp.down_proj",
        }
    }
}

impl fmt::Display for Projection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path())
    }
}

/// The sizes of a base model that an adapter has to fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Transformer blocks.
    pub layers: u32,
    /// Width of the residual stream.
    pub hidden: u32,
    /// Width of the feed-forward layer.
    pub intermediate: u32,
    /// Rows of `q_proj`: query heads × head width.
    pub query: u32,
    /// Rows of `k_proj` and `v_proj`: key heads × head width.
    pub key: u32,
}

impl Geometry {
    /// `(inputs, outputs)` of a projection.
    pub const fn shape(&self, projection: Projection) -> (u32, u32) {
        match projection {
            Projection::Q => (self.hidden, self.query),
            Projection::K | Projection::V => (self.hidden, self.key),
            Projection::O => (self.query, self.hidden),
            Projection::Gate | Projection::Up => (self.hidden, self.intermediate),
            Projection::Down => (self.intermediate, self.hidden),
        }
    }
}

impl From<&Config> for Geometry {
    fn from(config: &Config) -> Self {
        Self {
            layers: config.layers as u32,
            hidden: config.hidden as u32,
            intermediate: config.intermediate as u32,
            query: config.query() as u32,
            key: config.key() as u32,
        }
    }
}

/// The low-rank change of one linear layer: `y += scale · B(A x)`.
#[derive(Clone, PartialEq)]
pub struct LoraModule {
    /// Block index.
    pub layer: u32,
    /// Which linear layer of the block.
    pub projection: Projection,
    /// Rank, at least 1.
    pub rank: u32,
    /// Input width of the linear layer.
    pub inputs: u32,
    /// Output width of the linear layer.
    pub outputs: u32,
    /// `α/r`, or `α/√r` for rank-stabilised adapters; every operation in f32.
    pub scale: f32,
    /// `A`, row-major `[rank][inputs]`, finite.
    pub a: Vec<f32>,
    /// `B`, row-major `[outputs][rank]`, finite, without the scale.
    pub b: Vec<f32>,
    /// The magnitude vector of a DoRA adapter, `[outputs]`, finite.
    pub magnitude: Option<Vec<f32>>,
}

impl fmt::Debug for LoraModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoraModule")
            .field("layer", &self.layer)
            .field("projection", &self.projection)
            .field("rank", &self.rank)
            .field("scale", &self.scale)
            .field("dora", &self.magnitude.is_some())
            .finish_non_exhaustive()
    }
}

/// A parsed and validated adapter. Identity is the hash of its artifact, never a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    /// Hash over the two files of the artifact ([`artifact_hash`](crate::artifact_hash)).
    pub hash: B256,
    /// Changed layers, ascending by (layer, projection), at least one.
    pub modules: Vec<LoraModule>,
}

impl Adapter {
    /// The largest rank of any module.
    pub fn max_rank(&self) -> u32 {
        self.modules.iter().map(|module| module.rank).max().unwrap_or(0)
    }

    /// Whether any module carries a DoRA magnitude.
    pub fn is_dora(&self) -> bool {
        self.modules.iter().any(|module| module.magnitude.is_some())
    }

    /// The change of one layer, if the adapter touches it.
    pub fn module(&self, layer: u32, projection: Projection) -> Option<&LoraModule> {
        self.modules
            .binary_search_by_key(&(layer, projection), |module| (module.layer, module.projection))
            .ok()
            .map(|index| &self.modules[index])
    }
}
