//! `adapter_config.json` as PEFT writes it.
//!
//! A field that changes the answer is honoured or refused by name; a field this parser has never heard of
//! is accepted only with a value that means "off".

use crate::error::AdapterError;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Map, Value};
use std::{fmt, marker::PhantomData};

/// Names or a pattern, as `target_modules` and `exclude_modules` are given.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum ModuleSelector {
    /// Module names; each matches a path that equals it or ends in `.name`.
    Names(Vec<String>),
    /// A regular expression matched against the whole path, or `all-linear`.
    Pattern(String),
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

/// The part of a PEFT LoRA configuration that decides what an adapter computes.
#[derive(Clone, Debug, PartialEq)]
pub struct PeftConfig {
    /// Rank of modules that no pattern names.
    pub r: u32,
    /// α of modules that no pattern names.
    pub alpha: f32,
    /// Modules that carry an adapter.
    pub targets: ModuleSelector,
    /// Modules taken out again.
    pub excludes: Option<ModuleSelector>,
    /// Blocks that carry an adapter; all when empty.
    pub layers: Vec<u32>,
    /// Scale by α/√r instead of α/r.
    pub rslora: bool,
    /// DoRA: a magnitude vector per module.
    pub dora: bool,
    /// Ranks by path pattern, the first match counts.
    pub rank_pattern: Vec<(String, u32)>,
    /// α by path pattern, the first match counts.
    pub alpha_pattern: Vec<(String, f32)>,
}

#[derive(Deserialize)]
struct Raw {
    peft_type: String,
    #[serde(default)]
    task_type: Option<String>,
    r: u32,
    lora_alpha: f64,
    #[serde(default)]
    target_modules: Option<ModuleSelector>,
    #[serde(default)]
    exclude_modules: Option<ModuleSelector>,
    #[serde(default)]
    layers_to_transform: Option<OneOrMany<u32>>,
    #[serde(default)]
    layers_pattern: Option<OneOrMany<String>>,
    #[serde(default)]
    use_rslora: Option<bool>,
    #[serde(default)]
    use_dora: Option<bool>,
    #[serde(default)]
    bias: Option<String>,
    #[serde(default)]
    init_lora_weights: Option<Value>,
    #[serde(default)]
    rank_pattern: Option<Ordered<u32>>,
    #[serde(default)]
    alpha_pattern: Option<Ordered<f64>>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// Fields that say how an adapter was made or stored, not what it computes. `fan_in_fan_out` is about how
/// the base layer's weight is laid out, and PEFT itself drops it on the linear layers of a Llama.
const HARMLESS: &[&str] = &[
    "auto_mapping",
    "base_model_name_or_path",
    "corda_config",
    "eva_config",
    "fan_in_fan_out",
    "inference_mode",
    "loftq_config",
    "lora_dropout",
    "lora_ga_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
];

/// Initialisations that leave the base weights alone. The others (PiSSA, OLoRA, CorDA, LoftQ) subtract
/// something from the base at load, so the adapter alone is not the whole change.
const PLAIN_INIT: &[&str] = &["gaussian", "eva", "orthogonal", "lora_ga"];

impl PeftConfig {
    /// Parses the file's bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, AdapterError> {
        let raw: Raw =
            serde_json::from_slice(bytes).map_err(|error| AdapterError::Config(error.to_string()))?;
        raw.refuse_unsupported()?;
        raw.check()
    }
}

impl Raw {
    fn refuse_unsupported(&self) -> Result<(), AdapterError> {
        if !self.peft_type.eq_ignore_ascii_case("lora") {
            return Err(unsupported("peft_type", &Value::from(self.peft_type.as_str())));
        }
        if let Some(task) = self.task_type.as_deref().filter(|task| *task != "CAUSAL_LM") {
            return Err(unsupported("task_type", &Value::from(task)));
        }
        if let Some(bias) = self.bias.as_deref().filter(|bias| *bias != "none") {
            return Err(unsupported("bias", &Value::from(bias)));
        }
        if let Some(init) = self.init_lora_weights.as_ref().filter(|init| !plain_init(init)) {
            return Err(unsupported("init_lora_weights", init));
        }
        if let Some(OneOrMany::Many(patterns)) = &self.layers_pattern
            && patterns.iter().any(|pattern| pattern != "layers")
        {
            return Err(unsupported("layers_pattern", &Value::from(patterns.clone())));
        }
        if let Some(OneOrMany::One(pattern)) = &self.layers_pattern
            && !pattern.is_empty()
            && pattern != "layers"
        {
            return Err(unsupported("layers_pattern", &Value::from(pattern.as_str())));
        }
        for (field, value) in &self.rest {
            if !HARMLESS.contains(&field.as_str()) && !is_off(value) {
                return Err(unsupported(field, value));
            }
        }
        Ok(())
    }

    fn check(self) -> Result<PeftConfig, AdapterError> {
        let targets = self
            .target_modules
            .filter(|targets| !matches!(targets, ModuleSelector::Names(names) if names.is_empty()))
            .ok_or_else(|| AdapterError::Config("target_modules is empty".into()))?;
        let rank_pattern = self.rank_pattern.map(|ordered| ordered.0).unwrap_or_default();
        if self.r == 0 || rank_pattern.iter().any(|(_, rank)| *rank == 0) {
            return Err(AdapterError::Config("a rank is 0".into()));
        }
        let alpha_pattern = self.alpha_pattern.map(|ordered| ordered.0).unwrap_or_default();
        Ok(PeftConfig {
            r: self.r,
            alpha: alpha(self.lora_alpha)?,
            targets,
            excludes: self.exclude_modules,
            layers: self.layers_to_transform.map(OneOrMany::into_vec).unwrap_or_default(),
            rslora: self.use_rslora.unwrap_or(false),
            dora: self.use_dora.unwrap_or(false),
            rank_pattern,
            alpha_pattern: alpha_pattern
                .into_iter()
                .map(|(pattern, value)| Ok((pattern, alpha(value)?)))
                .collect::<Result<_, AdapterError>>()?,
        })
    }
}

fn alpha(value: f64) -> Result<f32, AdapterError> {
    let value = value as f32;
    if value.is_finite() { Ok(value) } else { Err(AdapterError::Config("lora_alpha is not finite".into())) }
}

fn plain_init(init: &Value) -> bool {
    match init {
        Value::Null | Value::Bool(_) => true,
        Value::String(name) => PLAIN_INIT.contains(&name.as_str()),
        _ => false,
    }
}

fn is_off(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(on) => !on,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Number(_) => false,
    }
}

fn unsupported(field: &str, value: &Value) -> AdapterError {
    let value: String = value.to_string().chars().take(80).collect();
    AdapterError::Unsupported { field: field.chars().take(80).collect(), value }
}

/// A JSON object in the order it was written: PEFT takes the first pattern that matches.
#[derive(Clone, Debug, PartialEq)]
struct Ordered<T>(Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Ordered<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Pairs<T> {
            type Value = Ordered<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Ordered(pairs))
            }
        }
        deserializer.deserialize_map(Pairs(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = r#"{"peft_type":"LORA","task_type":"CAUSAL_LM","r":8,"lora_alpha":16,
        "target_modules":["q_proj","v_proj"],"bias":"none","lora_dropout":0.05,"use_rslora":false,
        "modules_to_save":null,"rank_pattern":{},"alpha_pattern":{},"layer_replication":null}"#;

    fn with(field: &str, value: &str) -> Result<PeftConfig, AdapterError> {
        let mut object: Map<String, Value> = serde_json::from_str(PLAIN).unwrap();
        object.insert(field.into(), serde_json::from_str(value).unwrap());
        PeftConfig::parse(serde_json::to_string(&object).unwrap().as_bytes())
    }

    #[test]
    fn plain_configuration() {
        let config = PeftConfig::parse(PLAIN.as_bytes()).unwrap();
        assert_eq!((config.r, config.alpha), (8, 16.0));
        assert!(!config.rslora && !config.dora);
    }

    #[test]
    fn what_changes_the_answer_is_refused_by_name() {
        for (field, value) in [
            ("bias", "\"all\""),
            ("modules_to_save", "[\"lm_head\"]"),
            ("lora_bias", "true"),
            ("layer_replication", "[[0,4],[2,5]]"),
            ("init_lora_weights", "\"pissa\""),
            ("init_lora_weights", "\"olora\""),
            ("trainable_token_indices", "[1]"),
            ("target_parameters", "[\"experts\"]"),
            ("use_qalora", "true"),
            ("alora_invocation_tokens", "[5]"),
            ("megatron_config", "{\"a\":1}"),
            ("peft_type", "\"IA3\""),
            ("task_type", "\"SEQ_CLS\""),
            ("never_heard_of", "3"),
            ("layers_pattern", "[\"h\"]"),
        ] {
            let error = with(field, value).unwrap_err();
            assert!(
                matches!(&error, AdapterError::Unsupported { field: named, .. } if named == field),
                "{error}"
            );
        }
    }

    #[test]
    fn harmless_fields_pass() {
        for (field, value) in [
            ("fan_in_fan_out", "true"),
            ("base_model_name_or_path", "\"HuggingFaceTB/SmolLM2-135M-Instruct\""),
            ("runtime_config", "{\"ephemeral_gpu_offload\":false}"),
            ("init_lora_weights", "true"),
            ("init_lora_weights", "\"gaussian\""),
            ("megatron_core", "\"megatron.core\""),
            ("never_heard_of", "null"),
            ("never_heard_of", "{}"),
        ] {
            with(field, value).unwrap();
        }
    }

    #[test]
    fn broken_configurations() {
        for (field, value) in [
            ("r", "0"),
            ("r", "-1"),
            ("r", "\"x\""),
            ("lora_alpha", "1e300"),
            ("target_modules", "[]"),
            ("target_modules", "null"),
            ("rank_pattern", "{\"q_proj\":0}"),
        ] {
            assert!(matches!(with(field, value), Err(AdapterError::Config(_))), "{field} = {value}");
        }
        assert!(matches!(PeftConfig::parse(b"{"), Err(AdapterError::Config(_))));
        assert!(matches!(PeftConfig::parse(b"[]"), Err(AdapterError::Config(_))));
    }

    #[test]
    fn patterns_keep_their_order() {
        let text =
            PLAIN.replace("\"rank_pattern\":{}", "\"rank_pattern\":{\"z_proj\":1,\"a_proj\":2,\"m_proj\":3}");
        let config = PeftConfig::parse(text.as_bytes()).unwrap();
        let names: Vec<_> = config.rank_pattern.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["z_proj", "a_proj", "m_proj"]);
    }
}
