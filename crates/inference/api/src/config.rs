use crate::keys::ApiKey;
use std::time::Duration;

/// Bounds and keys of the API.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// Connections that are served at the same time. Of more, a few wait, and what operators ask is answered.
    pub connections: usize,
    /// Time to receive a request's head, the pause since the last answer included.
    pub header_timeout: Duration,
    /// Time that an answer may lie unread before the connection ends.
    pub unread_timeout: Duration,
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Time to receive a body.
    pub body_timeout: Duration,
    /// Time for an answer, waiting included.
    pub request_timeout: Duration,
    /// Time after which a step of the backend counts as stalled, and the node as not healthy.
    pub stall: Duration,
    /// Keys that are let in; none: everybody.
    pub api_keys: Vec<ApiKey>,
    /// The key of who may load and unload adapters; none: nobody may.
    pub admin_key: Option<ApiKey>,
    /// Origins that browsers may call from; `*` for any.
    pub cors: Vec<String>,
    /// Tokens of a prompt, where the model's context is larger.
    pub prompt_tokens: u32,
    /// Tokens of an answer; who asks for more, or for no number, gets this many at most.
    pub output_tokens: u32,
    /// Messages of a conversation.
    pub messages: usize,
    /// Answers of a request, over all its prompts.
    pub choices: u32,
    /// Stop strings, and stop tokens, of a request.
    pub stops: usize,
    /// Bytes of a stop string.
    pub stop_bytes: usize,
    /// Entries of `logit_bias`.
    pub biases: usize,
    /// Alternatives that log-probabilities report.
    pub top_logprobs: u32,
    /// Bytes of a model's name.
    pub name_bytes: usize,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            connections: 1000,
            header_timeout: Duration::from_secs(10),
            unread_timeout: Duration::from_secs(30),
            body_bytes: 1 << 20,
            body_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(600),
            stall: Duration::from_secs(60),
            api_keys: Vec::new(),
            admin_key: None,
            cors: vec!["*".into()],
            prompt_tokens: u32::MAX,
            output_tokens: u32::MAX,
            messages: 1024,
            choices: 16,
            stops: 16,
            stop_bytes: 256,
            biases: 1024,
            top_logprobs: 20,
            name_bytes: 256,
        }
    }
}
