//! `tokenizer.json`, read as a vocabulary rather than run as a program: what is not understood is refused.

use super::{config::Settings, json, optional};
use crate::{
    PreTokenizer, Tokenizer, WeightsError,
    tokenizer::{Kind, Vocabulary},
};
use serde_json::Value;
use std::path::Path;

pub(super) fn read(folder: &Path, settings: &Settings) -> Result<Tokenizer, WeightsError> {
    let file = json(folder, "tokenizer.json")?;
    let extra = optional(folder, "tokenizer_config.json")?;
    let model = &file["model"];
    if model["type"].as_str().is_some_and(|kind| kind != "BPE") {
        return Err(WeightsError::Unsupported(format!("tokenizer model {}", model["type"])));
    }
    let adds_bos = extra.as_ref().and_then(|v| v["add_bos_token"].as_bool()).unwrap_or(false);
    Tokenizer::new(Vocabulary {
        pre: pre_tokenizer(&file)?,
        tokens: tokens(&file, settings.config.vocab)?,
        merges: merges(&model["merges"])?,
        bos: settings.bos,
        eos: settings.eos.clone(),
        adds_bos,
    })
}

fn bad(reason: impl Into<String>) -> WeightsError {
    WeightsError::Tokenizer(reason.into())
}

/// Tokens by id. Ids without a token, which models pad their embeddings with, get a name of their own.
fn tokens(file: &Value, size: usize) -> Result<Vec<(String, Kind)>, WeightsError> {
    let mut tokens: Vec<Option<(String, Kind)>> = vec![None; size];
    let mut put = |id: Option<u64>, token: (String, Kind)| {
        let slot = id
            .and_then(|id| tokens.get_mut(id as usize))
            .ok_or_else(|| bad(format!("{:?} has no embedding", token.0)))?;
        *slot = Some(token);
        Ok::<_, WeightsError>(())
    };
    for (name, id) in file["model"]["vocab"].as_object().ok_or_else(|| bad("no vocabulary"))? {
        put(id.as_u64(), (name.clone(), Kind::Normal))?;
    }
    for added in file["added_tokens"].as_array().into_iter().flatten() {
        let name = added["content"].as_str().ok_or_else(|| bad("an added token without content"))?;
        if ["lstrip", "rstrip", "single_word"].iter().any(|key| added[key].as_bool() == Some(true)) {
            return Err(WeightsError::Unsupported(format!("token {name:?} that takes in its surroundings")));
        }
        let kind = if added["special"].as_bool() == Some(true) { Kind::Control } else { Kind::UserDefined };
        put(added["id"].as_u64(), (name.to_owned(), kind))?;
    }
    let unused = |id: usize| (format!("[PAD{id}]"), Kind::Control);
    Ok(tokens.into_iter().enumerate().map(|(id, token)| token.unwrap_or_else(|| unused(id))).collect())
}

/// Merges are pairs, or in older files strings with a space.
fn merges(value: &Value) -> Result<Vec<(String, String)>, WeightsError> {
    let pair = |merge: &Value| match merge {
        Value::String(text) => text.split_once(' ').map(|(l, r)| (l.to_owned(), r.to_owned())),
        Value::Array(pair) => match pair.as_slice() {
            [Value::String(left), Value::String(right)] => Some((left.clone(), right.clone())),
            _ => None,
        },
        _ => None,
    };
    let list = value.as_array().ok_or_else(|| bad("no merges"))?;
    list.iter().map(pair).collect::<Option<_>>().ok_or_else(|| bad("a merge is not two tokens"))
}

fn pre_tokenizer(file: &Value) -> Result<PreTokenizer, WeightsError> {
    let value = &file["pre_tokenizer"];
    let steps: Vec<&Value> = match value["type"].as_str() {
        Some("Sequence") => value["pretokenizers"].as_array().into_iter().flatten().collect(),
        _ => vec![value],
    };
    let kind = |step: &Value| step["type"].as_str().unwrap_or_default().to_owned();
    let kinds: Vec<String> = steps.iter().map(|step| kind(step)).collect();
    let kinds: Vec<&str> = kinds.iter().map(String::as_str).collect();
    let found = match kinds.as_slice() {
        ["ByteLevel"] => Some(PreTokenizer::Gpt2),
        ["Digits", "ByteLevel"] if steps[0]["individual_digits"] == true => Some(PreTokenizer::SmolLm),
        ["Split", "ByteLevel"] => {
            let pattern = steps[0]["pattern"]["Regex"].as_str();
            [PreTokenizer::Llama3, PreTokenizer::Qwen2].into_iter().find(|pre| pre.pattern() == pattern)
        }
        _ => None,
    };
    let found = found.filter(|_| steps.iter().all(|step| step["add_prefix_space"] != true));
    let found = found.ok_or_else(|| WeightsError::Unsupported(format!("pre-tokenizer {value}")))?;
    let normal = match (&file["normalizer"]["type"], found) {
        (Value::Null, PreTokenizer::Qwen2) => false,
        (Value::Null, _) => true,
        (Value::String(name), PreTokenizer::Qwen2) => name == "NFC",
        _ => false,
    };
    if normal {
        Ok(found)
    } else {
        Err(WeightsError::Unsupported(format!("normalizer {}", file["normalizer"])))
    }
}
