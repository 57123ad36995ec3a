use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Fields of both kinds of request that say what the answer has to look like: OpenAI's, vLLM's older and newer ones. At most one of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ShapeFields {
    /// OpenAI's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_format: Option<ResponseFormat>,
    /// vLLM's newer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub structured_outputs: Option<StructuredOutputs>,
    /// A JSON schema, or its text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guided_json: Option<Value>,
    /// A regular expression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guided_regex: Option<String>,
    /// One of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guided_choice: Option<Vec<String>>,
    /// A grammar in Lark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guided_grammar: Option<String>,
}

/// `response_format`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ResponseFormat {
    /// `text`, `json_object` or `json_schema`.
    #[serde(rename = "type")]
    pub kind: String,
    /// With `json_schema`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json_schema: Option<JsonSchema>,
}

/// A schema with its name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JsonSchema {
    /// For the caller.
    #[serde(default)]
    pub name: String,
    /// The schema; absent: any object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
    /// The rest; `strict` is always so.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// `structured_outputs`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StructuredOutputs {
    /// A JSON schema, or its text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json: Option<Value>,
    /// A regular expression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    /// One of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub choice: Option<Vec<String>>,
    /// A grammar in Lark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grammar: Option<String>,
    /// Any JSON object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json_object: Option<bool>,
    /// Everything else; what would change the answer is refused.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}
