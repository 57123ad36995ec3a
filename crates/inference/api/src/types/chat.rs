use super::{
    PromptLogprobs, Receipt, SamplingFields, ShapeFields, StreamOptions, ToolCall, ToolCallDelta, ToolChoice,
    Usage, WeightedAdapter,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// `POST /v1/chat/completions`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChatRequest {
    /// The base model, or an adapter.
    pub model: String,
    /// The conversation.
    pub messages: Vec<ChatMessage>,
    /// How to choose tokens and when to stop.
    #[serde(flatten)]
    pub sampling: SamplingFields,
    /// What the answer has to look like.
    #[serde(flatten)]
    pub shape: ShapeFields,
    /// Functions that the model may call, each a [`Tool`](super::Tool) and whatever else its template shows of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<Value>>,
    /// Whether it may, or has to; `auto` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
    /// Whether it may make several calls; true when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel_tool_calls: Option<bool>,
    /// Adapters and weights of this request's own; the model is the base then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapters: Option<Vec<WeightedAdapter>>,
    /// Send tokens as they come.
    #[serde(default)]
    pub stream: Option<bool>,
    /// What else to send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_options: Option<StreamOptions>,
    /// Report log-probabilities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<bool>,
    /// Alternatives to report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_logprobs: Option<u32>,
    /// Everything else; what would change the answer is refused.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// A message of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// `system`, `user`, `assistant`, …
    pub role: String,
    /// Text, or parts of it.
    #[serde(default)]
    pub content: Option<Content>,
    /// Calls that the model made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Vec<ToolCall>>,
    /// Everything else a template may look at.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl ChatMessage {
    /// A message of plain text.
    pub fn new(role: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            role: role.into(),
            content: Some(Content::Text(text.into())),
            tool_calls: None,
            rest: Map::new(),
        }
    }
}

/// A message's content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a text, or a list of parts that have a `type`")]
pub enum Content {
    /// Text.
    Text(String),
    /// Parts; only text is understood.
    Parts(Vec<ContentPart>),
}

/// A part of a message's content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContentPart {
    /// `text`; others are refused.
    #[serde(rename = "type")]
    pub kind: String,
    /// The text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// The reply to a chat request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatReply {
    /// `chatcmpl-…`
    pub id: String,
    /// `chat.completion`
    pub object: String,
    /// Unix seconds.
    pub created: u64,
    /// As requested.
    pub model: String,
    /// The answers.
    pub choices: Vec<ChatChoice>,
    /// Tokens.
    pub usage: Usage,
    /// Log-probabilities of the prompt, if asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_logprobs: Option<PromptLogprobs>,
    /// The receipt, when there is one answer; else each choice has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tributary: Option<Box<Receipt>>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatChoice {
    /// Which.
    pub index: u32,
    /// The assistant's message.
    pub message: ChatMessage,
    /// Log-probabilities, if asked for.
    pub logprobs: Option<ChatLogprobs>,
    /// `stop`, `length` or `tool_calls`.
    pub finish_reason: Option<String>,
    /// The receipt, when there are several answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tributary: Option<Box<Receipt>>,
}

/// Log-probabilities of an answer, or of a chunk of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChatLogprobs {
    /// Token by token.
    pub content: Vec<TokenDetail>,
}

/// A token with its alternatives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenDetail {
    /// Its text.
    pub token: String,
    /// Its log-probability.
    pub logprob: f64,
    /// Its bytes.
    pub bytes: Option<Vec<u8>>,
    /// The most probable tokens there.
    pub top_logprobs: Vec<TokenAlternative>,
}

/// A token that might have been.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenAlternative {
    /// Its text.
    pub token: String,
    /// Its log-probability.
    pub logprob: f64,
    /// Its bytes.
    pub bytes: Option<Vec<u8>>,
}

/// A chunk of a streamed reply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatChunk {
    /// As in [`ChatReply`].
    pub id: String,
    /// `chat.completion.chunk`
    pub object: String,
    /// Unix seconds.
    pub created: u64,
    /// As requested.
    pub model: String,
    /// What came.
    pub choices: Vec<ChatChunkChoice>,
    /// Tokens, in the last chunk and only if asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The receipt, in the last chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tributary: Option<Box<Receipt>>,
}

/// What came of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatChunkChoice {
    /// Which.
    pub index: u32,
    /// The text that came.
    pub delta: Delta,
    /// Log-probabilities, if asked for.
    pub logprobs: Option<ChatLogprobs>,
    /// At its end.
    pub finish_reason: Option<String>,
    /// The receipt, when there are several answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tributary: Option<Box<Receipt>>,
}

/// An addition to a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// In the first chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Vec<ToolCallDelta>>,
}
