use super::Prompt;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// `POST /v1/embeddings`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EmbeddingsRequest {
    /// The embedding model.
    pub model: String,
    /// One text or several, or their tokens.
    pub input: Prompt,
    /// `float`, or `base64`: little-endian f32. `float` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding_format: Option<String>,
    /// Cut longer texts to so many tokens; −1: to what the model takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncate_prompt_tokens: Option<i64>,
    /// Everything else; what would change the answer is refused.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// Its reply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EmbeddingsReply {
    /// `list`
    pub object: String,
    /// In the order of the input.
    pub data: Vec<Embedding>,
    /// As requested.
    pub model: String,
    /// Tokens.
    pub usage: EmbeddingsUsage,
}

/// An embedding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Embedding {
    /// `embedding`
    pub object: String,
    /// Which.
    pub index: usize,
    /// Its numbers.
    pub embedding: Numbers,
}

/// Numbers in one of two forms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Numbers {
    /// As they are.
    Floats(Vec<f32>),
    /// base64 of little-endian f32.
    Base64(String),
}

/// Tokens of a request without an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmbeddingsUsage {
    /// Of the texts.
    pub prompt_tokens: u64,
    /// The same.
    pub total_tokens: u64,
}
