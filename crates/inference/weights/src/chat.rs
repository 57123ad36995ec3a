//! Chat templates: Jinja as Hugging Face runs it.

use crate::WeightsError;
use minijinja::{Environment, Error, ErrorKind, Value, context};
use serde::Serialize;

/// What a template is given besides the special tokens.
#[derive(Clone, Debug, Serialize)]
pub struct ChatInput<'a, M: Serialize> {
    /// The conversation, each message with `role` and `content`.
    pub messages: &'a [M],
    /// Tools in OpenAI's form, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<&'a serde_json::Value>,
    /// Whether to open the assistant's turn.
    pub add_generation_prompt: bool,
}

/// A compiled template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    source: String,
    bos: String,
    eos: String,
}

const NAME: &str = "chat";
/// Steps a template may take: a conversation of many thousand messages needs far fewer.
const FUEL: u64 = 5_000_000;

impl ChatTemplate {
    /// Compiles `source`.
    pub fn new(source: &str, bos: String, eos: String) -> Result<Self, WeightsError> {
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_fuel(Some(FUEL));
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_template_owned(NAME, source.to_owned()).map_err(template_error)?;
        Ok(Self { environment, source: source.to_owned(), bos, eos })
    }

    /// The template's text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The prompt for a conversation; encode it with [`Tokenizer::encode_prompt`](crate::Tokenizer::encode_prompt).
    pub fn render<M: Serialize>(&self, input: &ChatInput<'_, M>) -> Result<String, WeightsError> {
        let template = self.environment.get_template(NAME).map_err(template_error)?;
        let values =
            context! { bos_token => self.bos, eos_token => self.eos, ..Value::from_serialize(input) };
        template.render(values).map_err(template_error)
    }
}

fn template_error(error: Error) -> WeightsError {
    WeightsError::Template(format!("{error:#}"))
}
