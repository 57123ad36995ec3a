//! What goes over the wire, for servers and clients alike: OpenAI's shapes, and the `tributary` field.

mod adapters;
mod chat;
mod completion;
mod embeddings;
mod models;
mod payment;
mod sampling;
mod structured;
mod tokens;
mod tools;

pub use adapters::{LoadAdapterRequest, UnloadAdapterRequest, WeightedAdapter};
pub use chat::{
    ChatChoice, ChatChunk, ChatChunkChoice, ChatLogprobs, ChatMessage, ChatReply, ChatRequest, Content,
    ContentPart, Delta, TokenAlternative, TokenDetail,
};
pub use completion::{
    CompletionChoice, CompletionLogprobs, CompletionReply, CompletionRequest, Prompt, PromptLogprob,
    PromptLogprobs,
};
pub use embeddings::{Embedding, EmbeddingsReply, EmbeddingsRequest, EmbeddingsUsage, Numbers};
pub use models::{ModelCard, ModelList};
pub use payment::{PaymentRequired, Receipt, ShareView, SpanView};
pub use sampling::{PromptTokensDetails, SamplingFields, Stop, StreamOptions, Usage};
pub use structured::{JsonSchema, ResponseFormat, ShapeFields, StructuredOutputs};
pub use tokens::{DetokenizeReply, DetokenizeRequest, TokenizeReply, TokenizeRequest};
pub use tools::{
    Function, FunctionCall, FunctionDelta, FunctionName, Tool, ToolCall, ToolCallDelta, ToolChoice,
};

use serde::{Deserialize, Serialize};

/// The body of every failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorReply {
    /// What went wrong.
    pub error: ErrorBody,
    /// What a payer needs to pay, beside a status of 402.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub payment: Option<Box<PaymentRequired>>,
}

/// OpenAI's error object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// For people.
    pub message: String,
    /// A class, such as `invalid_request_error`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The field at fault.
    pub param: Option<String>,
    /// For programs, such as `model_not_found`.
    pub code: Option<String>,
}
