use crate::noise::Noise;
use safetensors::{Dtype, tensor::TensorView};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, io, path::Path};
use tempfile::TempDir;
use tributary_adapters::{Geometry, Projection};

/// Sizes of the tiny model.
pub const GEOMETRY: Geometry = Geometry { layers: 2, hidden: 128, intermediate: 192, query: 128, key: 64 };

/// Its vocabulary: bytes, then control tokens.
pub const VOCAB: u32 = 260;

/// The token that ends its answers.
pub const EOS: u32 = 258;

const TEMPLATE: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + \
    message['content'] + '<|im_end|>' + '\n' }}{% endfor %}\
    {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// A model folder with weights drawn from `seed`.
pub fn model_folder(seed: u64) -> io::Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("tiny-model-").tempdir()?;
    write_model(folder.path(), seed, false)?;
    Ok(folder)
}

/// Writes a model into a folder: a Llama, or a Qwen2, whose queries, keys and values have biases.
pub fn write_model(folder: &Path, seed: u64, biased: bool) -> io::Result<()> {
    write(folder, "config.json", &config(biased))?;
    write(folder, "tokenizer.json", &tokenizer())?;
    write(folder, "tokenizer_config.json", &json!({ "chat_template": TEMPLATE }))?;
    fs::write(folder.join("model.safetensors"), weights(seed, biased)?)
}

fn write(folder: &Path, name: &str, value: &Value) -> io::Result<()> {
    fs::write(folder.join(name), value.to_string())
}

fn config(biased: bool) -> Value {
    json!({
        "model_type": if biased { "qwen2" } else { "llama" },
        "hidden_size": GEOMETRY.hidden,
        "intermediate_size": GEOMETRY.intermediate,
        "num_hidden_layers": GEOMETRY.layers,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 64,
        "vocab_size": VOCAB,
        "max_position_embeddings": 1024,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": true,
        "hidden_act": "silu",
        "eos_token_id": EOS,
    })
}

/// One token for every byte, named as byte-level BPE names them, and no merges.
fn tokenizer() -> Value {
    let printable = |byte: u32| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let mut next = 0x100;
    let mut vocabulary = BTreeMap::new();
    for byte in 0..256u32 {
        let code = if printable(byte) {
            byte
        } else {
            next += 1;
            next - 1
        };
        vocabulary.insert(char::from_u32(code).unwrap_or_default().to_string(), byte);
    }
    let control = |id: u32, content: &str| json!({ "id": id, "content": content, "special": true });
    json!({
        "model": { "type": "BPE", "vocab": vocabulary, "merges": [] },
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false },
        "normalizer": null,
        "added_tokens": [
            control(256, "<|endoftext|>"),
            control(257, "<|im_start|>"),
            control(EOS, "<|im_end|>"),
            control(259, "<|pad|>"),
        ],
    })
}

fn weights(seed: u64, biased: bool) -> io::Result<Vec<u8>> {
    let mut noise = Noise::new(seed);
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    let mut matrix = |name: String, rows: u32, columns: u32, scale: f32| {
        let shape = vec![rows as usize, columns as usize];
        tensors.push((name, shape, noise.tensor((rows * columns) as usize, scale)));
    };
    matrix("model.embed_tokens.weight".into(), VOCAB, GEOMETRY.hidden, 0.5);
    for layer in 0..GEOMETRY.layers {
        for projection in Projection::ALL {
            let (inputs, outputs) = GEOMETRY.shape(projection);
            let name = format!("model.layers.{layer}.{}.weight", projection.path());
            matrix(name, outputs, inputs, 2.5 / (inputs as f32).sqrt());
        }
    }
    let ones = || 1f32.to_le_bytes().repeat(GEOMETRY.hidden as usize);
    let mut norm = |name: String| tensors.push((name, vec![GEOMETRY.hidden as usize], ones()));
    for layer in 0..GEOMETRY.layers {
        norm(format!("model.layers.{layer}.input_layernorm.weight"));
        norm(format!("model.layers.{layer}.post_attention_layernorm.weight"));
    }
    norm("model.norm.weight".into());
    let with_bias = [Projection::Q, Projection::K, Projection::V];
    for layer in 0..if biased { GEOMETRY.layers } else { 0 } {
        for projection in with_bias {
            let (_, outputs) = GEOMETRY.shape(projection);
            let name = format!("model.layers.{layer}.{}.bias", projection.path());
            tensors.push((name, vec![outputs as usize], noise.tensor(outputs as usize, 0.5)));
        }
    }
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(io::Error::other)?;
    safetensors::serialize(views, None).map_err(io::Error::other)
}
