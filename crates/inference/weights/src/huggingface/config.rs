//! `config.json`.

use super::{json, optional, rope};
use crate::{Architecture, Config, WeightsError};
use serde_json::Value;
use std::path::Path;

/// The model's shape, and what else its files say.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) config: Config,
    pub(super) tied: bool,
    pub(super) bos: Option<u32>,
    pub(super) eos: Vec<u32>,
}

impl Settings {
    pub(super) fn read(folder: &Path) -> Result<Self, WeightsError> {
        let value = json(folder, "config.json")?;
        let config = config(&value)?;
        let generation = optional(folder, "generation_config.json")?;
        let ids = |key: &str| {
            let found = generation.as_ref().and_then(|g| g.get(key)).or_else(|| value.get(key));
            let list = match found {
                Some(Value::Array(list)) => list.clone(),
                Some(one) => vec![one.clone()],
                None => Vec::new(),
            };
            list.iter()
                .filter_map(Value::as_u64)
                .filter(|id| *id < config.vocab as u64)
                .map(|id| id as u32)
                .collect()
        };
        let bos: Vec<u32> = ids("bos_token_id");
        let tied = value.get("tie_word_embeddings").and_then(Value::as_bool).unwrap_or(false);
        Ok(Self { tied, bos: bos.first().copied(), eos: ids("eos_token_id"), config })
    }
}

fn config(value: &Value) -> Result<Config, WeightsError> {
    let wrong =
        |key: &str| WeightsError::Inconsistent(format!("config.json: {key} is missing or not of its type"));
    let count = |key: &str| -> Result<usize, WeightsError> {
        let found = value.get(key).and_then(Value::as_u64).ok_or_else(|| wrong(key))?;
        usize::try_from(found).map_err(|_| wrong(key))
    };
    let or =
        |key: &str, default| if value.get(key).is_none_or(Value::is_null) { Ok(default) } else { count(key) };
    let float = |key: &str| value.get(key).and_then(Value::as_f64).map(|v| v as f32);
    let name = value.get("model_type").and_then(Value::as_str).ok_or_else(|| wrong("model_type"))?;
    refuse(value)?;
    let (hidden, heads) = (count("hidden_size")?, count("num_attention_heads")?);
    let nested = value.get("rope_parameters").and_then(|v| v.get("rope_theta")).and_then(Value::as_f64);
    let rope_theta = float("rope_theta").or(nested.map(|v| v as f32)).unwrap_or(10_000.0);
    let head_dim = or("head_dim", hidden.checked_div(heads).unwrap_or(0))?;
    Config {
        architecture: Architecture::from_name(name)?,
        layers: count("num_hidden_layers")?,
        hidden,
        intermediate: count("intermediate_size")?,
        heads,
        kv_heads: or("num_key_value_heads", heads)?,
        head_dim,
        vocab: count("vocab_size")?,
        context: count("max_position_embeddings")?,
        rope_theta,
        rope_factors: rope::factors(value, rope_theta, head_dim)?,
        norm_eps: float("rms_norm_eps").ok_or_else(|| wrong("rms_norm_eps"))?,
    }
    .validated()
}

/// Settings that would change the answer and are not implemented.
fn refuse(value: &Value) -> Result<(), WeightsError> {
    let unsupported = |what: &str| Err(WeightsError::Unsupported(what.to_owned()));
    if value.get("hidden_act").and_then(Value::as_str).is_some_and(|name| name != "silu") {
        return unsupported("an activation other than silu");
    }
    let truthy = |key: &str| value.get(key).and_then(Value::as_bool).unwrap_or(false);
    if truthy("attention_bias") || truthy("mlp_bias") {
        return unsupported("biases on every projection");
    }
    // Qwen2 says whether its window counts; Mistral's counts wherever it is narrower than the context.
    let size = |key: &str| value.get(key).and_then(Value::as_u64);
    let narrow = value["model_type"] == "mistral"
        && size("sliding_window").is_some_and(|window| Some(window) < size("max_position_embeddings"));
    if truthy("use_sliding_window") || narrow {
        return unsupported("sliding windows");
    }
    Ok(())
}
