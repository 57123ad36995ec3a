//! A tiny sentence encoder of random numbers, in the shape of BERT.

use crate::noise::Noise;
use safetensors::{Dtype, tensor::TensorView};
use serde_json::{Value, json};
use std::{collections::BTreeMap, io};
use tempfile::TempDir;

/// Its width.
pub const BERT_HIDDEN: usize = 32;
/// Its heads.
pub const BERT_HEADS: usize = 4;
const INNER: usize = 48;
/// Its layers.
pub const BERT_LAYERS: usize = 2;
const POSITIONS: usize = 40;

/// Its vocabulary; those with brackets are control tokens.
pub const BERT_WORDS: [&str; 12] =
    ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "a", "river", "runs", "to", "sea", "##s", "fish"];

/// A model folder, and its tensors with their shapes.
#[derive(Debug)]
pub struct TinyBert {
    /// Where it lies.
    pub folder: TempDir,
    /// Shapes and values.
    pub tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

impl TinyBert {
    /// A model drawn from `seed`.
    pub fn new(seed: u64) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let config = json!({
            "model_type": "bert", "hidden_act": "gelu", "vocab_size": BERT_WORDS.len(), "hidden_size": BERT_HIDDEN,
            "num_hidden_layers": BERT_LAYERS, "num_attention_heads": BERT_HEADS, "intermediate_size": INNER,
            "max_position_embeddings": POSITIONS, "type_vocab_size": 2, "layer_norm_eps": 1e-12,
        });
        std::fs::write(folder.path().join("config.json"), config.to_string())?;
        std::fs::write(folder.path().join("tokenizer.json"), tokenizer().to_string())?;
        let tensors = tensors(seed);
        let bytes: Vec<(&String, &Vec<usize>, Vec<u8>)> = tensors
            .iter()
            .map(|(name, (shape, values))| {
                (name, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect())
            })
            .collect();
        let views = bytes
            .iter()
            .map(|(name, shape, data)| Ok((*name, TensorView::new(Dtype::F32, (*shape).clone(), data)?)))
            .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
            .map_err(io::Error::other)?;
        let file = safetensors::serialize(views, None).map_err(io::Error::other)?;
        std::fs::write(folder.path().join("model.safetensors"), file)?;
        Ok(Self { folder, tensors })
    }
}

fn tensors(seed: u64) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let mut noise = Noise::new(seed);
    let mut all = BTreeMap::new();
    let mut add = |name: String, shape: &[usize], middle: f32| {
        let values = (0..shape.iter().product()).map(|_| middle + noise.float(0.5)).collect();
        all.insert(name, (shape.to_vec(), values));
    };
    for (name, rows) in [("word", BERT_WORDS.len()), ("position", POSITIONS), ("token_type", 2)] {
        add(format!("embeddings.{name}_embeddings.weight"), &[rows, BERT_HIDDEN], 0.0);
    }
    let mut norms = vec!["embeddings.LayerNorm".to_owned()];
    let mut linears = Vec::new();
    for layer in 0..BERT_LAYERS {
        let layer = format!("encoder.layer.{layer}");
        norms.extend([format!("{layer}.attention.output.LayerNorm"), format!("{layer}.output.LayerNorm")]);
        for part in ["self.query", "self.key", "self.value", "output.dense"] {
            linears.push((format!("{layer}.attention.{part}"), BERT_HIDDEN, BERT_HIDDEN));
        }
        linears.push((format!("{layer}.intermediate.dense"), INNER, BERT_HIDDEN));
        linears.push((format!("{layer}.output.dense"), BERT_HIDDEN, INNER));
    }
    for norm in norms {
        add(format!("{norm}.weight"), &[BERT_HIDDEN], 1.0);
        add(format!("{norm}.bias"), &[BERT_HIDDEN], 0.0);
    }
    for (name, outputs, inputs) in linears {
        add(format!("{name}.weight"), &[outputs, inputs], 0.0);
        add(format!("{name}.bias"), &[outputs], 0.0);
    }
    all
}

fn tokenizer() -> Value {
    let vocabulary: serde_json::Map<String, Value> =
        BERT_WORDS.iter().enumerate().map(|(id, word)| ((*word).to_owned(), json!(id))).collect();
    let added = |id: u32| json!({"id": id, "content": BERT_WORDS[id as usize], "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false});
    json!({
        "version": "1.0",
        // Settings that this crate must not follow.
        "truncation": {"max_length": 4, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        "padding": {"strategy": {"Fixed": 8}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"},
        "added_tokens": (0..4).map(added).collect::<Vec<_>>(),
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]}, "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}},
        },
        "decoder": null,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocabulary},
    })
}
