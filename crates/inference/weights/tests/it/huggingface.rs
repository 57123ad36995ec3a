//! Hugging Face folders: the same model as GGUF and as a folder is one model.

use crate::writer::{byte_vocabulary, file, tiny};
use safetensors::{Dtype, tensor::TensorView};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::Path};
use tempfile::TempDir;
use tributary_weights::{Model, WeightsError};

fn config() -> Value {
    json!({
        "model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 1,
        "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 260, "max_position_embeddings": 128,
        "rms_norm_eps": 1e-5, "tie_word_embeddings": true, "hidden_act": "silu", "eos_token_id": 258,
    })
}

fn tokenizer() -> Value {
    let mut vocabulary: BTreeMap<String, usize> =
        byte_vocabulary().into_iter().enumerate().map(|(id, token)| (token, id)).collect();
    vocabulary.extend([("he".into(), 256), ("ll".into(), 257), ("<|end|>".into(), 258), ("pad".into(), 259)]);
    json!({
        "model": {"type": "BPE", "vocab": vocabulary, "merges": [["h", "e"], ["l", "l"]]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Digits", "individual_digits": true},
            {"type": "ByteLevel", "add_prefix_space": false},
        ]},
        "normalizer": null,
        "added_tokens": [],
    })
}

fn folder(config: &Value, tokenizer: &Value) -> TempDir {
    let (_file, path) = file(&tiny().bytes());
    let gguf = Model::open(&path).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let data: Vec<(String, Vec<usize>, Vec<u8>)> = gguf
        .weights
        .tensors()
        .into_iter()
        .map(|(name, t)| (name, t.shape(), t.to_f32().iter().flat_map(|v| v.to_le_bytes()).collect()))
        .collect();
    let views = data.iter().map(|(name, shape, bytes)| {
        (name.clone(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    let bytes = safetensors::serialize(views, None).unwrap();
    fs::write(folder.path().join("model.safetensors"), bytes).unwrap();
    write(folder.path(), "config.json", config);
    write(folder.path(), "tokenizer.json", tokenizer);
    folder
}

fn write(folder: &Path, name: &str, value: &Value) {
    fs::write(folder.join(name), value.to_string()).unwrap();
}

#[test]
fn the_same_model_has_the_same_hashes() {
    let (_file, path) = file(&tiny().bytes());
    let gguf = Model::open(&path).unwrap();
    let folder = folder(&config(), &tokenizer());
    let model = Model::open(folder.path()).unwrap();
    assert_eq!(model.hashes, gguf.hashes);
    assert_eq!(model.weights, gguf.weights);
    assert_eq!(model.tokenizer.encode("hell 12").unwrap(), gguf.tokenizer.encode("hell 12").unwrap());
    assert_eq!(model.tokenizer.eos(), [258]);
}

#[test]
fn what_changes_the_answer_is_refused_by_name() {
    let refusal = |config: &Value, tokenizer: &Value| {
        let folder = folder(config, tokenizer);
        match Model::open(folder.path()).unwrap_err() {
            WeightsError::Unsupported(reason) | WeightsError::Inconsistent(reason) => reason,
            other => panic!("{other}"),
        }
    };
    let edit = |key: &str, value: Value| {
        let mut config = config();
        config[key] = value;
        refusal(&config, &tokenizer())
    };
    assert!(edit("rope_scaling", json!({"rope_type": "yarn"})).contains("yarn"));
    assert!(edit("attention_bias", json!(true)).contains("biases"));
    assert!(edit("use_sliding_window", json!(true)).contains("sliding"));
    let mut mistral = config();
    (mistral["model_type"], mistral["sliding_window"]) = (json!("mistral"), json!(1));
    assert!(refusal(&mistral, &tokenizer()).contains("sliding"));
    assert!(edit("hidden_act", json!("gelu")).contains("silu"));
    assert!(edit("hidden_size", json!(u64::MAX)).contains("hidden"));
    assert!(edit("tie_word_embeddings", json!(false)).contains("lm_head"));
    assert!(edit("num_attention_heads", json!(4)).contains("not"));
    let mut other = tokenizer();
    other["pre_tokenizer"] = json!({"type": "Whitespace"});
    assert!(refusal(&config(), &other).contains("Whitespace"));
}

#[test]
fn truncated_safetensors_are_malformed() {
    let folder = folder(&config(), &tokenizer());
    let path = folder.path().join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    for length in [0, 7, 100, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&path, &bytes[..length]).unwrap();
        assert!(matches!(Model::open(folder.path()), Err(WeightsError::Malformed { .. })));
    }
}
