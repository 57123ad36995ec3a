//! The base model's tokenizer and chat template.

use crate::{
    error::{ApiError, Result},
    tools::instructions,
    types::{ChatMessage, Content, ToolCall},
};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use tributary_grammar::CallStyle;
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
            let tokens = this.tokenizer.encode_prompt(&text).map_err(|error| bad("prompt", &error))?;
            Ok(bos.into_iter().chain(tokens).collect())
        })
        .await
    }

    /// Whether the template shows tools to the model.
    fn knows_tools(&self) -> bool {
        self.template.as_ref().is_some_and(|template| template.source().contains("tools"))
    }

    /// How the model writes calls, as far as its template tells.
    pub(crate) fn call_style(&self) -> CallStyle {
        let source = self.template.as_ref().map_or("", |template| template.source());
        let bare = self.knows_tools() && !source.contains("<tool_call>") && source.contains("\"parameters\"");
        if bare { CallStyle::Bare } else { CallStyle::Tagged }
    }

    /// Tokens of a conversation, the assistant's turn opened.
    pub(crate) async fn encode_chat(
        &self,
        messages: &[ChatMessage],
        tools: &[Value],
        open: bool,
    ) -> Result<Vec<u32>> {
        let Some(template) = self.template.clone() else {
            return Err(ApiError::invalid("messages", "the model has no chat template"));
        };
        let knows = self.knows_tools();
        let mut messages = (0..)
            .zip(messages)
            .map(|(at, message)| flatten(at, message, knows))
            .collect::<Result<Vec<_>>>()?;
        if !tools.is_empty() && !knows {
            tell_of(tools, &mut messages);
        }
        let tools = (!tools.is_empty() && knows).then(|| Value::from(tools));
        let this = self.clone();
        blocking(move || {
            let input = ChatInput { messages: &messages, tools: tools.as_ref(), add_generation_prompt: open };
            let text = template.render(&input).map_err(|error| bad("messages", &error))?;
            this.tokenizer.encode_prompt(&text).map_err(|error| bad("messages", &error))
        })
        .await
    }

    /// The text of tokens, control tokens among it.
    pub(crate) fn decode(&self, tokens: &[u32]) -> String {
        let bytes: Vec<u8> = tokens.iter().flat_map(|token| self.bytes(*token)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
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

fn bad(field: &'static str, error: &tributary_weights::WeightsError) -> ApiError {
    ApiError::invalid(field, error.to_string())
}

/// Puts what the template does not show into the system message.
fn tell_of(tools: &[Value], messages: &mut Vec<Map<String, Value>>) {
    let told = instructions(tools);
    if let Some(first) = messages.first_mut().filter(|first| first["role"] == "system") {
        let system = first["content"].as_str().unwrap_or_default();
        first.insert("content".into(), Value::from(format!("{system}\n\n{told}")));
    } else {
        let system = json!({"role": "system", "content": told});
        messages.insert(0, system.as_object().cloned().unwrap_or_default());
    }
}

/// A message as templates know it: content is one string, the arguments of calls are objects.
fn flatten(at: usize, message: &ChatMessage, knows_tools: bool) -> Result<Map<String, Value>> {
    let calls = message.tool_calls.as_deref().unwrap_or_default();
    let mut text = match &message.content {
        None if message.role != "assistant" => {
            let role: String = message.role.chars().take(64).collect();
            let (message, param) =
                (format!("a {role} message needs content"), format!("messages[{at}].content"));
            return Err(ApiError::Invalid { message, param: Some(param.into()) });
        }
        None => String::new(),
        Some(Content::Text(text)) => text.clone(),
        Some(Content::Parts(parts)) => {
            let mut text = String::new();
            for (part, one) in parts.iter().enumerate() {
                let path = format!("messages[{at}].content[{part}]");
                match (one.kind.as_str(), &one.text) {
                    ("text", Some(more)) => text.push_str(more),
                    ("text", None) => {
                        let param = Some(format!("{path}.text").into());
                        return Err(ApiError::Invalid {
                            message: "a part of text needs `text`".into(),
                            param,
                        });
                    }
                    (kind, _) => {
                        let kind: String = kind.chars().take(64).collect();
                        return Err(ApiError::Unsupported(format!("{path}.{kind}")));
                    }
                }
            }
            text
        }
    };
    let mut fields = message.rest.clone();
    if !calls.is_empty() {
        let shown: Vec<Value> = calls.iter().map(call_for_template).collect();
        if knows_tools {
            fields.insert("tool_calls".into(), Value::from(shown));
        } else {
            for call in shown {
                let break_ = if text.is_empty() { "" } else { "\n" };
                let line =
                    json!({"name": call["function"]["name"], "arguments": call["function"]["arguments"]});
                text.push_str(&format!("{break_}<tool_call>\n{line}\n</tool_call>"));
            }
        }
    }
    // OpenAI's newer name for the same role; templates know the older one.
    let role = if message.role == "developer" { "system" } else { &message.role };
    fields.insert("role".into(), Value::from(role));
    fields.insert("content".into(), Value::from(text));
    Ok(fields)
}

/// Clients send arguments as text, templates write them as JSON.
fn call_for_template(call: &ToolCall) -> Value {
    let arguments = serde_json::from_str::<Value>(&call.function.arguments)
        .ok()
        .filter(Value::is_object)
        .unwrap_or_else(|| Value::from(call.function.arguments.as_str()));
    json!({
        "id": call.id, "type": call.kind,
        "function": {"name": call.function.name, "arguments": arguments},
    })
}
