//! What an answer has to look like: from the fields of a request to a compiled grammar.

use crate::{
    error::{ApiError, Result},
    params::refuse_unknown,
    text::TextModel,
    types::{ResponseFormat, ShapeFields},
};
use serde_json::Value;
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::sync::Semaphore;
use tributary_grammar::{Compiled, GrammarError, Grammars, Shape};

/// Grammars that are compiled at a time.
const COMPILING: usize = 2;
/// Time for one, waiting included. Its work is bounded by itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// A shape, and the field that asks for it.
pub(crate) type Asked = (&'static str, Shape);

/// The one shape that a request's fields ask for.
pub(crate) fn shape(fields: &ShapeFields) -> Result<Option<Asked>> {
    let mut asked: Vec<Asked> = Vec::new();
    if let Some(format) = &fields.response_format
        && let Some(shape) = response_format(format)?
    {
        asked.push(("response_format", shape));
    }
    if let Some(schema) = &fields.guided_json {
        asked.push(("guided_json", json_schema("guided_json", schema)?));
    }
    asked.extend(fields.guided_regex.clone().map(|text| ("guided_regex", Shape::Regex(text))));
    asked.extend(fields.guided_choice.clone().map(|choices| ("guided_choice", Shape::Choice(choices))));
    asked.extend(fields.guided_grammar.clone().map(|text| ("guided_grammar", Shape::Lark(text))));
    if let Some(outputs) = &fields.structured_outputs {
        const FIELD: &str = "structured_outputs";
        refuse_unknown(&outputs.rest).map_err(|error| match error {
            ApiError::Unsupported(field) => ApiError::Unsupported(format!("{FIELD}.{field}")),
            error => error,
        })?;
        if let Some(schema) = &outputs.json {
            asked.push((FIELD, json_schema(FIELD, schema)?));
        }
        asked.extend(outputs.regex.clone().map(|text| (FIELD, Shape::Regex(text))));
        asked.extend(outputs.choice.clone().map(|choices| (FIELD, Shape::Choice(choices))));
        asked.extend(outputs.grammar.clone().map(|text| (FIELD, Shape::Lark(text))));
        asked.extend(outputs.json_object.filter(|on| *on).map(|_| (FIELD, Shape::JsonObject)));
    }
    let only = asked.pop();
    match asked.first() {
        None => Ok(only),
        Some((field, _)) => {
            Err(ApiError::invalid(field, "a request may say in one way only what its answer looks like"))
        }
    }
}

fn response_format(format: &ResponseFormat) -> Result<Option<Shape>> {
    match (format.kind.as_str(), &format.json_schema) {
        ("text", _) => Ok(None),
        ("json_object", _) => Ok(Some(Shape::JsonObject)),
        ("json_schema", Some(named)) => match &named.schema {
            Some(schema) => Ok(Some(json_schema("response_format", schema)?)),
            None => Ok(Some(Shape::JsonObject)),
        },
        ("json_schema", None) => {
            Err(ApiError::invalid("response_format", "`json_schema` is missing in `response_format`"))
        }
        _ => Err(ApiError::Unsupported("response_format.type".into())),
    }
}

/// A schema, or its text.
fn json_schema(field: &'static str, schema: &Value) -> Result<Shape> {
    let schema = match schema {
        Value::String(text) => serde_json::from_str(text)
            .map_err(|error| ApiError::invalid(field, format!("the schema is no JSON: {error}")))?,
        schema => schema.clone(),
    };
    if schema.is_object() {
        Ok(Shape::JsonSchema(schema))
    } else {
        Err(ApiError::invalid(field, "a schema has to be an object"))
    }
}

/// Compiles grammars beside the runtime.
#[derive(Clone)]
pub(crate) struct Compiler {
    text: TextModel,
    /// Made with the first grammar: most servers never need it.
    grammars: Arc<OnceLock<std::result::Result<Grammars, GrammarError>>>,
    places: Arc<Semaphore>,
}

impl Compiler {
    pub(crate) fn new(text: TextModel) -> Self {
        Self { text, grammars: Arc::default(), places: Arc::new(Semaphore::new(COMPILING)) }
    }

    pub(crate) async fn compile(&self, field: &'static str, shape: Shape) -> Result<Compiled> {
        let late = || ApiError::Busy {
            message: "the grammar takes too long to compile".into(),
            retry_after: Duration::from_secs(1),
        };
        tokio::time::timeout(PATIENCE, self.compile_in_turn(field, shape)).await.map_err(|_| late())?
    }

    async fn compile_in_turn(&self, field: &'static str, shape: Shape) -> Result<Compiled> {
        let gone = |error: &dyn std::fmt::Display| ApiError::Internal(error.to_string());
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|error| gone(&error))?;
        let (text, grammars) = (self.text.clone(), Arc::clone(&self.grammars));
        let compiled = tokio::task::spawn_blocking(move || {
            let _place = place;
            match grammars.get_or_init(|| Grammars::new(text.tokenizer())) {
                Ok(grammars) => grammars.compile(&shape),
                Err(error) => Err(error.clone()),
            }
        });
        let compiled = compiled.await.map_err(|error| gone(&error))?;
        compiled.map_err(|error| ApiError::invalid(field, error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn asked(fields: Value) -> Result<Option<(&'static str, Shape)>> {
        shape(&serde_json::from_value(fields).unwrap())
    }

    #[test]
    fn every_way_of_asking_is_understood() {
        let schema = json!({"type": "array"});
        let text = schema.to_string();
        for (fields, field, want) in [
            (json!({"response_format": {"type": "json_object"}}), "response_format", Shape::JsonObject),
            (
                json!({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "strict": true, "schema": schema}}}),
                "response_format",
                Shape::JsonSchema(schema.clone()),
            ),
            (json!({"guided_json": schema}), "guided_json", Shape::JsonSchema(schema.clone())),
            (json!({"guided_json": text}), "guided_json", Shape::JsonSchema(schema.clone())),
            (json!({"guided_regex": "a"}), "guided_regex", Shape::Regex("a".into())),
            (json!({"guided_choice": ["a"]}), "guided_choice", Shape::Choice(vec!["a".into()])),
            (json!({"guided_grammar": "start: \"a\""}), "guided_grammar", Shape::Lark("start: \"a\"".into())),
            (
                json!({"structured_outputs": {"json": schema}}),
                "structured_outputs",
                Shape::JsonSchema(schema.clone()),
            ),
            (
                json!({"structured_outputs": {"choice": ["a"]}}),
                "structured_outputs",
                Shape::Choice(vec!["a".into()]),
            ),
            (json!({"structured_outputs": {"json_object": true}}), "structured_outputs", Shape::JsonObject),
        ] {
            assert_eq!(asked(fields.clone()).unwrap(), Some((field, want)), "{fields}");
        }
        for nothing in [
            json!({}),
            json!({"response_format": {"type": "text"}}),
            json!({"structured_outputs": {"json_object": false}}),
        ] {
            assert_eq!(asked(nothing).unwrap(), None);
        }
    }

    #[test]
    fn what_is_no_shape_is_named() {
        for (fields, field) in [
            (json!({"guided_regex": "a", "guided_choice": ["b"]}), "guided_regex"),
            (json!({"structured_outputs": {"json_object": true, "regex": "a"}}), "structured_outputs"),
            (json!({"response_format": {"type": "json_schema"}}), "response_format"),
            (
                json!({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": 7}}}),
                "response_format",
            ),
            (json!({"guided_json": "{"}), "guided_json"),
            (json!({"guided_json": "7"}), "guided_json"),
        ] {
            match asked(fields.clone()).unwrap_err() {
                ApiError::Invalid { param: Some(param), .. } => assert_eq!(param, field, "{fields}"),
                other => panic!("{fields}: {other}"),
            }
        }
        for unsupported in [
            json!({"response_format": {"type": "structural_tag"}}),
            json!({"structured_outputs": {"whitespace_pattern": "x"}}),
        ] {
            assert!(matches!(asked(unsupported), Err(ApiError::Unsupported(_))));
        }
    }
}
