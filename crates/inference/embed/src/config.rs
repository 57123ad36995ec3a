//! `config.json` of a BERT encoder.

use crate::EmbedError;
use serde::Deserialize;

/// Sizes beyond which a file is no such model.
const MAX_LAYERS: usize = 64;
const MAX_HIDDEN: usize = 8192;
const MAX_VOCAB: usize = 1 << 20;

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Config {
    model_type: String,
    hidden_act: String,
    #[serde(default = "absolute")]
    position_embedding_type: String,
    pub(crate) vocab_size: usize,
    pub(crate) hidden_size: usize,
    pub(crate) num_hidden_layers: usize,
    pub(crate) num_attention_heads: usize,
    pub(crate) intermediate_size: usize,
    pub(crate) max_position_embeddings: usize,
    pub(crate) type_vocab_size: usize,
    pub(crate) layer_norm_eps: f64,
}

fn absolute() -> String {
    "absolute".to_owned()
}

impl Config {
    pub(crate) fn parse(text: &[u8]) -> Result<Self, EmbedError> {
        let model = |what: String| EmbedError::Model(what);
        let config: Self =
            serde_json::from_slice(text).map_err(|error| model(format!("config.json: {error}")))?;
        let named = [
            ("model_type", &config.model_type, "bert"),
            ("hidden_act", &config.hidden_act, "gelu"),
            ("position_embedding_type", &config.position_embedding_type, "absolute"),
        ];
        if let Some((field, value, _)) = named.iter().find(|(_, value, known)| value.as_str() != *known) {
            return Err(model(format!("{field} {value:?} is not supported")));
        }
        let heads = config.num_attention_heads;
        let sane = (1..=MAX_LAYERS).contains(&config.num_hidden_layers)
            && (1..=MAX_HIDDEN).contains(&config.hidden_size)
            && (1..=4 * MAX_HIDDEN).contains(&config.intermediate_size)
            && (1..=MAX_VOCAB).contains(&config.vocab_size)
            && (1..=MAX_HIDDEN).contains(&config.max_position_embeddings)
            && (1..=16).contains(&config.type_vocab_size)
            && heads > 0
            && config.hidden_size.is_multiple_of(heads)
            && config.layer_norm_eps > 0.0;
        if sane { Ok(config) } else { Err(model("config.json: sizes that no such model has".into())) }
    }
}
