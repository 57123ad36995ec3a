use super::ChatMessage;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// `POST /tokenize`: a text, or a conversation as the model would see it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TokenizeRequest {
    /// Any model served; all share the base's tokenizer, so it may be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// The conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<Vec<ChatMessage>>,
    /// Functions that the model may call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<Value>>,
    /// Put the model's opening token before a text, as `/v1/completions` does; true when absent. A conversation's are its template's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add_special_tokens: Option<bool>,
    /// Open the assistant's turn, as `/v1/chat/completions` does; true when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add_generation_prompt: Option<bool>,
    /// Show the tokens' texts, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub return_token_strs: Option<bool>,
    /// Everything else; what would change the tokens is refused.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// Its tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenizeReply {
    /// How many.
    pub count: usize,
    /// Tokens of context.
    pub max_model_len: u32,
    /// The ids.
    pub tokens: Vec<u32>,
    /// Their texts, if asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_strs: Option<Vec<String>>,
}

/// `POST /detokenize`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetokenizeRequest {
    /// Any model served, or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The ids.
    pub tokens: Vec<u32>,
}

/// Their text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetokenizeReply {
    /// The text, control tokens among it.
    pub prompt: String,
}
