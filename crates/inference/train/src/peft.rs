//! The folder that Hugging Face's `peft` loads: `adapter_config.json` and `adapter_model.safetensors` in bf16.

use std::{collections::BTreeMap, path::Path};

use half::bf16;
use safetensors::{Dtype, tensor::TensorView};
use serde_json::json;
use tributary_adapters::Projection;

use crate::{LoraWeights, TrainError};

/// Name of the configuration file in the folder.
pub const CONFIG_FILE: &str = "adapter_config.json";
/// Name of the weight file in the folder.
pub const WEIGHTS_FILE: &str = "adapter_model.safetensors";

/// Writes an adapter folder, made if need be. `base_model` names the base for people and for `peft`.
///
/// # Errors
/// [`TrainError::Io`] when the folder cannot be written.
pub fn save(weights: &LoraWeights, base_model: &str, folder: &Path) -> Result<(), TrainError> {
    std::fs::create_dir_all(folder).map_err(TrainError::io(folder))?;
    let path = folder.join(CONFIG_FILE);
    let config = serde_json::to_string_pretty(&config(weights, base_model));
    let config = config.map_err(|error| TrainError::format(&path, error))?;
    std::fs::write(&path, config + "\n").map_err(TrainError::io(&path))?;
    let path = folder.join(WEIGHTS_FILE);
    let bytes = serialize(weights)?;
    std::fs::write(&path, bytes).map_err(TrainError::io(&path))
}

fn config(weights: &LoraWeights, base_model: &str) -> serde_json::Value {
    let targets: Vec<&str> = Projection::ALL.iter().filter_map(|p| p.path().split('.').next_back()).collect();
    json!({
        "alpha_pattern": {},
        "base_model_name_or_path": base_model,
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
        "init_lora_weights": true,
        "lora_alpha": weights.alpha(),
        "lora_dropout": 0.0,
        "modules_to_save": null,
        "peft_type": "LORA",
        "r": weights.rank(),
        "rank_pattern": {},
        "target_modules": targets,
        "task_type": "CAUSAL_LM",
        "use_dora": false,
        "use_rslora": false,
    })
}

fn serialize(weights: &LoraWeights) -> Result<Vec<u8>, TrainError> {
    let mut tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)> = BTreeMap::new();
    for module in weights.modules() {
        let prefix = format!("base_model.model.model.layers.{}.{}", module.layer, module.projection.path());
        for (name, var) in [("lora_A", &module.a), ("lora_B", &module.b)] {
            let values = var.flatten_all()?.to_vec1::<f32>()?;
            let bytes = values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect();
            tensors.insert(format!("{prefix}.{name}.weight"), (var.dims().to_vec(), bytes));
        }
    }
    let views = tensors.iter().map(|(name, (shape, bytes))| {
        let view = TensorView::new(Dtype::BF16, shape.clone(), bytes);
        view.map(|view| (name.clone(), view)).map_err(|error| TrainError::Base(error.to_string()))
    });
    let views: Vec<_> = views.collect::<Result<_, TrainError>>()?;
    let metadata = std::collections::HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize(views, Some(metadata)).map_err(|error| TrainError::Base(error.to_string()))
}
