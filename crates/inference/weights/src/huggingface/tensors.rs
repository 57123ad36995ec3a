//! `*.safetensors`.

use super::config::Settings;
use crate::{Architecture, Format, Layer, Matrix, Weights, WeightsError};
use safetensors::{Dtype, SafeTensors};
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

/// Reads every shard, one at a time, and puts the tensors in their places.
pub(super) fn read(folder: &Path, settings: &Settings) -> Result<Weights, WeightsError> {
    let mut tensors = Tensors(HashMap::new());
    for path in shards(folder)? {
        let bytes = fs::read(&path).map_err(WeightsError::io(&path))?;
        let malformed = |reason: String| WeightsError::Malformed { path: path.clone(), reason };
        let shard = SafeTensors::deserialize(&bytes).map_err(|error| malformed(error.to_string()))?;
        for (name, view) in shard.tensors() {
            let format = match view.dtype() {
                Dtype::F32 => Format::F32,
                Dtype::F16 => Format::F16,
                Dtype::BF16 => Format::Bf16,
                other => return Err(WeightsError::Unsupported(format!("{name} in {other:?}"))),
            };
            let (rows, columns) = match view.shape() {
                [length] => (1, *length),
                [rows, columns] => (*rows, *columns),
                other => return Err(WeightsError::Unsupported(format!("{name} of shape {other:?}"))),
            };
            let matrix = Matrix::new(format, rows, columns, view.data().to_vec())
                .map_err(|error| WeightsError::Inconsistent(format!("{name}: {error}")))?;
            if tensors.0.insert(name.clone(), matrix).is_some() {
                return Err(malformed(format!("tensor {name} twice")));
            }
        }
    }
    place(tensors, settings)
}

fn shards(folder: &Path) -> Result<Vec<PathBuf>, WeightsError> {
    let entries = fs::read_dir(folder).map_err(WeightsError::io(folder))?;
    let mut paths: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"))
        .collect();
    paths.sort();
    if paths.is_empty() {
        return Err(WeightsError::Inconsistent(format!("{} has no safetensors", folder.display())));
    }
    Ok(paths)
}

struct Tensors(HashMap<String, Matrix>);

impl Tensors {
    fn matrix(&mut self, name: &str, rows: usize, columns: usize) -> Result<Matrix, WeightsError> {
        let matrix = self
            .0
            .remove(name)
            .ok_or_else(|| WeightsError::Inconsistent(format!("tensor {name} is missing")))?;
        if (matrix.rows(), matrix.columns()) == (rows, columns) {
            return Ok(matrix);
        }
        let reason = format!("{name} is {} × {}, not {rows} × {columns}", matrix.rows(), matrix.columns());
        Err(WeightsError::Inconsistent(reason))
    }

    fn vector(&mut self, name: &str, length: usize) -> Result<Vec<f32>, WeightsError> {
        self.matrix(name, 1, length).map(|matrix| matrix.dequantize())
    }
}

fn place(mut tensors: Tensors, settings: &Settings) -> Result<Weights, WeightsError> {
    let config = &settings.config;
    let embedding = tensors.matrix("model.embed_tokens.weight", config.vocab, config.hidden)?;
    let layers =
        (0..config.layers).map(|index| layer(&mut tensors, settings, index)).collect::<Result<_, _>>()?;
    let norm = tensors.vector("model.norm.weight", config.hidden)?;
    let stored = tensors.0.remove("lm_head.weight");
    let head = match (settings.tied, stored) {
        (true, _) => None,
        (false, Some(matrix)) => {
            tensors.0.insert("lm_head.weight".into(), matrix);
            Some(tensors.matrix("lm_head.weight", config.vocab, config.hidden)?)
        }
        (false, None) => return Err(WeightsError::Inconsistent("tensor lm_head.weight is missing".into())),
    };
    // Rotary frequencies are buffers of old exports, computed here from the configuration.
    match tensors.0.keys().find(|name| !name.ends_with("rotary_emb.inv_freq")) {
        None => Ok(Weights { embedding, layers, norm, head }),
        Some(name) => Err(WeightsError::Unsupported(format!("tensor {name}"))),
    }
}

fn layer(tensors: &mut Tensors, settings: &Settings, index: usize) -> Result<Layer, WeightsError> {
    let config = &settings.config;
    let (hidden, wide, query, key) = (config.hidden, config.intermediate, config.query(), config.key());
    let name = |part: &str| format!("model.layers.{index}.{part}");
    let qkv_bias = match config.architecture {
        Architecture::Llama => None,
        Architecture::Qwen2 => Some([
            tensors.vector(&name("self_attn.q_proj.bias"), query)?,
            tensors.vector(&name("self_attn.k_proj.bias"), key)?,
            tensors.vector(&name("self_attn.v_proj.bias"), key)?,
        ]),
    };
    Ok(Layer {
        attention_norm: tensors.vector(&name("input_layernorm.weight"), hidden)?,
        q: tensors.matrix(&name("self_attn.q_proj.weight"), query, hidden)?,
        k: tensors.matrix(&name("self_attn.k_proj.weight"), key, hidden)?,
        v: tensors.matrix(&name("self_attn.v_proj.weight"), key, hidden)?,
        qkv_bias,
        o: tensors.matrix(&name("self_attn.o_proj.weight"), hidden, query)?,
        mlp_norm: tensors.vector(&name("post_attention_layernorm.weight"), hidden)?,
        gate: tensors.matrix(&name("mlp.gate_proj.weight"), wide, hidden)?,
        up: tensors.matrix(&name("mlp.up_proj.weight"), wide, hidden)?,
        down: tensors.matrix(&name("mlp.down_proj.weight"), hidden, wide)?,
    })
}
