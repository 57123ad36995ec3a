//! The base model's tokenizer and chat template.

use crate::{
    error::{ApiError, Result},
    types::{ChatMessage, Content},
};
use serde_json::{Map, Value};
use std::sync::Arc;
use tributary_weights::{ChatInput, ChatTemplate, Tokenizer};

/// Text in and out of the base model, shared by all its adapters.
#[derive(Clone, Debug)]
pub struct TextModel {
    tokenizer: Arc<Tokenizer>,
    template: Option<Arc<ChatTemplate>>,
}

impl TextModel {
    /// A tokenizer, and a template if the model can chat.
    pub fn new(tokenizer: Arc<Tokenizer>, template: Option<Arc<ChatTemplate>>) -> Self {
        Self { tokenizer, template }
    }

    pub(crate) fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Tokens of a plain prompt. Runs on a thread of its own: a prompt may be large.
    pub(crate) async fn encode(&self, text: String, opening: bool) -> Result<Vec<u32>> {
        let this = self.clone();
        blocking(move || {
            let bos = this.tokenizer.bos().filter(|_| opening && this.tokenizer.adds_bos());
            let tokens = this.tokenizer.encode_prompt(&text).map_err(|error| bad_prompt(&error))?;
            Ok(bos.into_iter().chain(tokens).collect())
        })
        .await
    }

    /// Tokens of a conversation, the assistant's turn opened.
    pub(crate) async fn encode_chat(&self, messages: &[ChatMessage], open: bool) -> Result<Vec<u32>> {
        let Some(template) = self.template.clone() else {
            return Err(ApiError::invalid("messages", "the model has no chat template"));
        };
        let messages = messages.iter().map(flatten).collect::<Result<Vec<_>>>()?;
        let this = self.clone();
        blocking(move || {
            let input = ChatInput { messages: &messages, tools: None, add_generation_prompt: open };
            let text = template.render(&input).map_err(|error| bad_prompt(&error))?;
            this.tokenizer.encode_prompt(&text).map_err(|error| bad_prompt(&error))
        })
        .await
    }

    /// The text of one token, as log-probabilities show it.
    pub(crate) fn piece(&self, token: u32) -> String {
        String::from_utf8_lossy(self.bytes(token)).into_owned()
    }

    pub(crate) fn bytes(&self, token: u32) -> &[u8] {
        self.tokenizer.token_bytes(token).unwrap_or_default()
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| ApiError::Internal(error.to_string()))?
}

fn bad_prompt(error: &tributary_weights::WeightsError) -> ApiError {
    ApiError::invalid("messages", error.to_string())
}

/// A message as templates know it: content is one string.
fn flatten(message: &ChatMessage) -> Result<Map<String, Value>> {
    let text = match &message.content {
        None => Value::Null,
        Some(Content::Text(text)) => Value::from(text.as_str()),
        Some(Content::Parts(parts)) => {
            let mut text = String::new();
            for part in parts {
                match &part.text {
                    Some(more) if part.kind == "text" => text.push_str(more),
                    _ => return Err(ApiError::Unsupported(format!("messages.content.{}", part.kind))),
                }
            }
            Value::from(text)
        }
    };
    if text.is_null() && message.role != "assistant" {
        return Err(ApiError::invalid("messages", format!("a {} message needs content", message.role)));
    }
    // OpenAI's newer name for the same role; templates know the older one.
    let role = if message.role == "developer" { "system" } else { &message.role };
    let mut fields = message.rest.clone();
    fields.insert("role".into(), Value::from(role));
    fields.insert("content".into(), if text.is_null() { Value::from("") } else { text });
    Ok(fields)
}
