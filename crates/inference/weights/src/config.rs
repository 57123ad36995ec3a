//! The shape of a Llama-family model.

use crate::{WeightsError, gguf::GgufFile};
use serde_json::{Value, json};

/// The widest head.
pub(crate) const MAX_HEAD_DIM: usize = 1 << 10;

/// Block designs that load. They differ in biases and in how GGUF orders rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// Llama 2 and 3, SmolLM, Mistral.
    Llama,
    /// Qwen2 and Qwen2.5: as Llama, with biases on q, k and v.
    Qwen2,
}

impl Architecture {
    /// Its name in files and hashes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
        }
    }

    pub(crate) fn from_name(name: &str) -> Result<Self, WeightsError> {
        match name {
            "llama" | "mistral" => Ok(Self::Llama),
            "qwen2" => Ok(Self::Qwen2),
            other => Err(WeightsError::Unsupported(format!("architecture {other:?}"))),
        }
    }
}

/// Sizes and constants of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Block design.
    pub architecture: Architecture,
    /// Transformer blocks.
    pub layers: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width of the feed-forward layer.
    pub intermediate: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head, even.
    pub head_dim: usize,
    /// Tokens in the vocabulary.
    pub vocab: usize,
    /// Positions the model was trained for.
    pub context: usize,
    /// Base of the rotary frequencies.
    pub rope_theta: f32,
    /// Divisors of the rotary frequencies, `head_dim / 2` of them, where the model has them (Llama 3.1).
    pub rope_factors: Option<Vec<f32>>,
    /// ε of the RMS norms.
    pub norm_eps: f32,
}

impl Config {
    /// Rows of `q_proj`.
    pub const fn query(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Rows of `k_proj` and `v_proj`.
    pub const fn key(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// The canonical form that hashes take: keys sorted, floats as their bits in hex.
    pub fn canonical(&self) -> Value {
        let bits = |value: f32| format!("{:08x}", value.to_bits());
        json!({
            "architecture": self.architecture.name(),
            "context": self.context,
            "headDim": self.head_dim,
            "heads": self.heads,
            "hidden": self.hidden,
            "intermediate": self.intermediate,
            "kvHeads": self.kv_heads,
            "layers": self.layers,
            "normEps": bits(self.norm_eps),
            "ropeFactors": self.rope_factors.as_ref().map(|f| f.iter().copied().map(bits).collect::<Vec<_>>()),
            "ropeTheta": bits(self.rope_theta),
            "vocab": self.vocab,
        })
    }

    pub(crate) fn from_gguf(file: &GgufFile) -> Result<Self, WeightsError> {
        let name = file
            .value("general.architecture")
            .and_then(|value| value.as_str())
            .ok_or_else(|| missing("general.architecture"))?;
        let architecture = Architecture::from_name(name)?;
        let key = |suffix: &str| format!("{name}.{suffix}");
        let count = |suffix: &str| -> Result<usize, WeightsError> {
            let value = file.value(&key(suffix)).ok_or_else(|| missing(&key(suffix)))?;
            value.as_u64().and_then(|v| usize::try_from(v).ok()).ok_or_else(|| missing(&key(suffix)))
        };
        let or = |suffix: &str, default: usize| match file.value(&key(suffix)) {
            None => Ok(default),
            Some(_) => count(suffix),
        };
        let float =
            |suffix: &str| file.value(&key(suffix)).and_then(|value| value.as_f64()).map(|v| v as f32);
        if let Some(scaling) = file.value(&key("rope.scaling.type")).and_then(|value| value.as_str())
            && scaling != "none"
        {
            return Err(WeightsError::Unsupported(format!("rope scaling {scaling:?}")));
        }
        let hidden = count("embedding_length")?;
        let heads = count("attention.head_count")?;
        let head_dim = or("attention.key_length", hidden.checked_div(heads).unwrap_or(0))?;
        if or("attention.value_length", head_dim)? != head_dim
            || or("rope.dimension_count", head_dim)? != head_dim
        {
            return Err(WeightsError::Unsupported("heads with parts of other widths".into()));
        }
        let vocab = file.tensors().get("token_embd.weight").ok_or_else(|| missing("token_embd.weight"))?.rows;
        let rope_factors = match file.tensors().get("rope_freqs.weight") {
            None => None,
            Some(info) => Some(crate::model::vector(file, info, "rope_freqs.weight", head_dim / 2)?),
        };
        Self {
            architecture,
            layers: count("block_count")?,
            hidden,
            intermediate: count("feed_forward_length")?,
            heads,
            kv_heads: or("attention.head_count_kv", heads)?,
            head_dim,
            vocab,
            context: count("context_length")?,
            rope_theta: float("rope.freq_base").unwrap_or(10_000.0),
            rope_factors,
            norm_eps: float("attention.layer_norm_rms_epsilon")
                .ok_or_else(|| missing("the norm's epsilon"))?,
        }
        .validated()
    }

    /// Bounds every size, so that products of them cannot overflow and absurd headers are refused by name.
    pub(crate) fn validated(self) -> Result<Self, WeightsError> {
        let bounds = [
            ("layers", self.layers, 1 << 10),
            ("hidden size", self.hidden, 1 << 16),
            ("intermediate size", self.intermediate, 1 << 18),
            ("heads", self.heads, 1 << 10),
            ("key heads", self.kv_heads, 1 << 10),
            ("head width", self.head_dim, MAX_HEAD_DIM),
            ("vocabulary", self.vocab, 1 << 20),
            ("context", self.context, 1 << 21),
        ];
        for (what, value, most) in bounds {
            if value == 0 || value > most {
                return Err(WeightsError::Inconsistent(format!("{what} of {value}")));
            }
        }
        if !self.heads.is_multiple_of(self.kv_heads) || !self.head_dim.is_multiple_of(2) {
            let (heads, kv) = (self.heads, self.kv_heads);
            return Err(WeightsError::Inconsistent(format!(
                "{heads} heads over {kv} key heads of {}",
                self.head_dim
            )));
        }
        let positive = |value: f32| value.is_finite() && value > 0.0;
        let factors = self.rope_factors.iter().flatten().copied().all(positive);
        if !positive(self.rope_theta) || !positive(self.norm_eps) || !factors {
            return Err(WeightsError::Inconsistent("rotary base, factors or epsilon not positive".into()));
        }
        Ok(self)
    }
}

fn missing(what: &str) -> WeightsError {
    WeightsError::Inconsistent(format!("{what} is missing or not of its type"))
}
