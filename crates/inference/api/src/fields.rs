//! Bodies, and which of their fields is at fault where one cannot be read.

use crate::{
    error::{ApiError, Result},
    types::{
        ChatRequest, CompletionRequest, DetokenizeRequest, EmbeddingsRequest, LoadAdapterRequest,
        SamplingFields, ShapeFields, TokenizeRequest, UnloadAdapterRequest,
    },
};
use serde::de::{Deserialize, DeserializeOwned};
use serde_json::Value;
use std::fmt::Display;

/// Characters of what was found instead of what was wanted.
const SHOWN: usize = 100;

/// What a body is read as.
pub(crate) trait Body: DeserializeOwned {
    /// Which of a body's fields is at fault, and why.
    fn fault(body: &Value) -> Option<Fault> {
        fault_in::<Self>(body)
    }
}

impl Body for EmbeddingsRequest {}
impl Body for TokenizeRequest {}
impl Body for DetokenizeRequest {}
impl Body for LoadAdapterRequest {}
impl Body for UnloadAdapterRequest {}
impl Body for Value {}

impl Body for ChatRequest {
    fn fault(body: &Value) -> Option<Fault> {
        fault_beside_common::<Self>(body)
    }
}

impl Body for CompletionRequest {
    fn fault(body: &Value) -> Option<Fault> {
        fault_beside_common::<Self>(body)
    }
}

/// Reads a body.
pub(crate) fn parse<T: Body>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| explain::<T>(bytes, &error).into())
}

/// Reads it once more, for the field.
fn explain<T: Body>(bytes: &[u8], error: &serde_json::Error) -> Fault {
    let body = serde_json::from_slice::<Value>(bytes).ok();
    body.and_then(|body| T::fault(&body)).unwrap_or_else(|| Fault::new(String::new(), error))
}

/// Fields that two kinds of request have in common are looked at by themselves: of an error in a flattened struct nobody knows the field.
fn fault_beside_common<T: Body>(body: &Value) -> Option<Fault> {
    let common = || fault_in::<SamplingFields>(body).or_else(|| fault_in::<ShapeFields>(body));
    body.is_object().then(common).flatten().or_else(|| fault_in::<T>(body))
}

fn fault_in<'a, T: Deserialize<'a>>(body: &'a Value) -> Option<Fault> {
    let error = serde_path_to_error::deserialize::<_, T>(body).err()?;
    let path = if error.path().iter().len() == 0 { String::new() } else { error.path().to_string() };
    Some(Fault::new(cut(&path), error.inner()))
}

/// What is wrong with a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The field as `messages[0].role`; empty for the body as a whole.
    path: String,
    message: String,
}

impl Fault {
    fn new(path: String, error: &serde_json::Error) -> Self {
        let raw = error.to_string();
        for (what, verdict) in [("missing field `", "is missing"), ("duplicate field `", "is there twice")] {
            if let Some((field, _)) = raw.strip_prefix(what).and_then(|rest| rest.split_once('`')) {
                let path = if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") };
                return Self { message: format!("`{path}` {verdict}"), path };
            }
        }
        let said = said(error);
        Self { message: if path.is_empty() { said } else { format!("`{path}`: {said}") }, path }
    }
}

impl From<Fault> for ApiError {
    fn from(Fault { path, message }: Fault) -> Self {
        let param = (!path.is_empty()).then(|| path.into());
        Self::Invalid { message, param }
    }
}

/// An error in a client's words instead of Rust's.
pub(crate) fn said(error: &impl Display) -> String {
    let said = error.to_string();
    match said.rsplit_once(", expected ") {
        Some((found, wanted)) => format!("{}, expected {}", cut(found), plain(wanted)),
        None => said,
    }
}

/// A type by what JSON calls it.
fn plain(wanted: &str) -> &str {
    match wanted {
        "f32" | "f64" => "a number",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number from 0 up",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "a sequence" => "an array",
        "a map" => "an object",
        _ if wanted.starts_with("struct ") => "an object",
        _ => wanted,
    }
}

/// Not more of what a client wrote than helps to find it.
fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fault<T: Body + std::fmt::Debug>(body: &str) -> (Option<String>, String) {
        let reply = parse::<T>(body.as_bytes()).unwrap_err().reply().error;
        (reply.param, reply.message)
    }

    fn chat(more: Value) -> (String, String) {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let (param, message) = fault::<ChatRequest>(&body.to_string());
        (param.unwrap_or_default(), message)
    }

    #[test]
    fn a_field_of_another_type_is_named() {
        for (more, field) in [
            (json!({"temperature": "hot"}), "temperature"),
            (json!({"max_tokens": -1}), "max_tokens"),
            (json!({"max_tokens": 1.5}), "max_tokens"),
            (json!({"n": [1]}), "n"),
            (json!({"seed": "x"}), "seed"),
            (json!({"stop": 5}), "stop"),
            (json!({"stop": ["a", 5]}), "stop"),
            (json!({"stop_token_ids": [1, "2"]}), "stop_token_ids[1]"),
            (json!({"logit_bias": {"5": "much"}}), "logit_bias.5"),
            (json!({"guided_choice": [1]}), "guided_choice[0]"),
            (json!({"response_format": "json"}), "response_format"),
            (json!({"response_format": {"type": 1}}), "response_format.type"),
            (json!({"structured_outputs": {"regex": 1}}), "structured_outputs.regex"),
            (json!({"stream": "yes"}), "stream"),
            (json!({"stream_options": {"include_usage": 1}}), "stream_options.include_usage"),
            (json!({"tools": {}}), "tools"),
            (json!({"tool_choice": 1}), "tool_choice"),
            (json!({"adapters": [{"name": "a", "weight": "b"}]}), "adapters[0].weight"),
            (json!({"adapters": [{}]}), "adapters[0].name"),
            (json!({"logprobs": 3}), "logprobs"),
            (json!({"model": 1}), "model"),
            (json!({"messages": "x"}), "messages"),
            (json!({"messages": ["x"]}), "messages[0]"),
            (json!({"messages": [{"content": "x"}]}), "messages[0].role"),
            (json!({"messages": [{"role": "user", "content": 5}]}), "messages[0].content"),
            (json!({"messages": [{"role": "a", "tool_calls": [{"id": 1}]}]}), "messages[0].tool_calls[0].id"),
        ] {
            let (param, message) = chat(more.clone());
            assert_eq!(param, field, "{more}: {message}");
            assert!(message.contains(&format!("`{field}`")), "{more}: {message}");
            for rust in ["struct", "enum", "f64", "u32", "variant", "at line"] {
                assert!(!message.replace(field, "").contains(rust), "{more}: {message}");
            }
        }
        let of = |body| fault::<CompletionRequest>(body).0.unwrap_or_default();
        assert_eq!(of(r#"{"model": "m", "prompt": {"a": 1}}"#), "prompt");
        assert_eq!(of(r#"{"model": "m", "prompt": "a", "top_p": "b"}"#), "top_p");
        assert_eq!(fault::<DetokenizeRequest>(r#"{"tokens": [1, -2]}"#).0.as_deref(), Some("tokens[1]"));
        assert_eq!(fault::<EmbeddingsRequest>(r#"{"model": "m", "input": 5}"#).0.as_deref(), Some("input"));
    }

    #[test]
    fn what_is_missing_or_there_twice_is_named() {
        assert_eq!(fault::<ChatRequest>("{}"), (Some("model".into()), "`model` is missing".into()));
        let twice = r#"{"model": "a", "model": "b", "messages": []}"#;
        assert_eq!(fault::<ChatRequest>(twice), (Some("model".into()), "`model` is there twice".into()));
        assert_eq!(fault::<UnloadAdapterRequest>("{}").0.as_deref(), Some("lora_name"));
    }

    #[test]
    fn what_is_no_object_has_no_field() {
        for body in ["", "{", "null", "5", "[\"x\"]", r#"{"model": "m",}"#] {
            let (param, message) = fault::<ChatRequest>(body);
            assert!(
                param.is_none() && !message.is_empty() && !message.contains("struct"),
                "{body}: {message}"
            );
        }
        assert!(fault::<CompletionRequest>("[]").1.contains("expected an object"));
    }

    #[test]
    fn what_a_client_wrote_is_not_repeated_at_length() {
        let (_, message) = chat(json!({"temperature": "é".repeat(5000)}));
        assert!(message.len() < 400, "{message}");
        assert_eq!(chat(json!({"temperature": ", expected u32"})).1.matches("a number").count(), 1);
        let name = "a".repeat(5000);
        let (param, message) = chat(json!({"logit_bias": {name: "x"}}));
        assert!(param.len() + message.len() < 500, "{message}");
    }
}
