//! Hugging Face folders: `config.json`, `*.safetensors`, `tokenizer.json`.

mod config;
mod rope;
mod tensors;
mod vocabulary;

use crate::{ChatTemplate, Model, Tokenizer, WeightsError};
use config::Settings;
use serde_json::Value;
use std::{fs, path::Path};

/// Longest JSON file that is read.
const MAX_JSON: u64 = 64 << 20;

pub(crate) fn open(folder: &Path) -> Result<Model, WeightsError> {
    let settings = Settings::read(folder)?;
    let tokenizer = vocabulary::read(folder, &settings)?;
    let chat = chat_template(folder, &tokenizer)?;
    let weights = tensors::read(folder, &settings)?;
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Model::assemble(name, settings.config, weights, tokenizer, chat))
}

pub(crate) fn tokenizer(folder: &Path) -> Result<Tokenizer, WeightsError> {
    vocabulary::read(folder, &Settings::read(folder)?)
}

fn chat_template(folder: &Path, tokenizer: &Tokenizer) -> Result<Option<ChatTemplate>, WeightsError> {
    let file = folder.join("chat_template.jinja");
    let source = if file.exists() {
        Some(fs::read_to_string(&file).map_err(WeightsError::io(&file))?)
    } else {
        optional(folder, "tokenizer_config.json")?
            .and_then(|value| value.get("chat_template").and_then(Value::as_str).map(str::to_owned))
    };
    source.map(|text| ChatTemplate::new(&text, tokenizer.bos_text(), tokenizer.eos_text())).transpose()
}

fn optional(folder: &Path, name: &str) -> Result<Option<Value>, WeightsError> {
    if folder.join(name).exists() { json(folder, name).map(Some) } else { Ok(None) }
}

fn json(folder: &Path, name: &str) -> Result<Value, WeightsError> {
    let path = folder.join(name);
    let length = path.metadata().map_err(WeightsError::io(&path))?.len();
    if length > MAX_JSON {
        return Err(WeightsError::Malformed { path, reason: format!("{length} bytes of JSON") });
    }
    let text = fs::read(&path).map_err(WeightsError::io(&path))?;
    serde_json::from_slice(&text).map_err(|error| WeightsError::Malformed { path, reason: error.to_string() })
}
