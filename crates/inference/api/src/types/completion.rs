use super::{Receipt, SamplingFields, ShapeFields, StreamOptions, Usage, WeightedAdapter};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// `POST /v1/completions`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompletionRequest {
    /// The base model, or an adapter.
    pub model: String,
    /// Text or tokens.
    pub prompt: Prompt,
    /// How to choose tokens and when to stop.
    #[serde(flatten)]
    pub sampling: SamplingFields,
    /// What the answer has to look like.
    #[serde(flatten)]
    pub shape: ShapeFields,
    /// Adapters and weights of this request's own; the model is the base then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapters: Option<Vec<WeightedAdapter>>,
    /// Send tokens as they come.
    #[serde(default)]
    pub stream: Option<bool>,
    /// What else to send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_options: Option<StreamOptions>,
    /// Report log-probabilities with this many alternatives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<u32>,
    /// Repeat the prompt before the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub echo: Option<bool>,
    /// Put the model's opening token before a prompt that is text; true when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add_special_tokens: Option<bool>,
    /// Everything else; what would change the answer is refused.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// One prompt or several, as text or tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a text, token ids, or a list of either")]
pub enum Prompt {
    /// A text.
    Text(String),
    /// Tokens.
    Tokens(Vec<u32>),
    /// Several texts.
    Texts(Vec<String>),
    /// Several token lists.
    TokenLists(Vec<Vec<u32>>),
}

/// The reply to a completion request, whole or a chunk of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompletionReply {
    /// `cmpl-…`
    pub id: String,
    /// `text_completion`
    pub object: String,
    /// Unix seconds.
    pub created: u64,
    /// As requested.
    pub model: String,
    /// The answers.
    pub choices: Vec<CompletionChoice>,
    /// Tokens; in a stream only in the last chunk and if asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The receipt, when there is one answer; in a stream in the last chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tributary: Option<Box<Receipt>>,
}

/// An answer, or what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompletionChoice {
    /// Which.
    pub index: u32,
    /// Its text.
    pub text: String,
    /// Log-probabilities, if asked for.
    pub logprobs: Option<CompletionLogprobs>,
    /// `stop` or `length`.
    pub finish_reason: Option<String>,
    /// Log-probabilities of the prompt, if asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_logprobs: Option<PromptLogprobs>,
    /// The receipt, when there are several answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tributary: Option<Box<Receipt>>,
}

/// Log-probabilities in the older shape.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CompletionLogprobs {
    /// Texts of the tokens.
    pub tokens: Vec<String>,
    /// Their log-probabilities; none of a prompt's first.
    pub token_logprobs: Vec<Option<f64>>,
    /// The most probable tokens at each.
    pub top_logprobs: Vec<Option<BTreeMap<String, f64>>>,
    /// Where each begins in the text, in characters.
    pub text_offset: Vec<usize>,
}

/// Log-probabilities of a prompt in vLLM's shape: by place, then by token id; none at the first.
pub type PromptLogprobs = Vec<Option<BTreeMap<String, PromptLogprob>>>;

/// A token at a place of a prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PromptLogprob {
    /// Its log-probability.
    pub logprob: f64,
    /// 1 for the most probable.
    pub rank: u32,
    /// Its text.
    pub decoded_token: String,
}
