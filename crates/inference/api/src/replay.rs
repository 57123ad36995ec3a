//! What a request's body asked of the engine, for whoever checks an answer: the very way a server takes, without a gate.

use crate::{
    config::ApiConfig,
    error::{ApiError, Result},
    fields::parse,
    handlers::{DEFAULT_MAX_TOKENS, prompts, tools_and_shape},
    params,
    structured::{Asked, Compiler, shape},
    text::TextModel,
    types::{ChatRequest, CompletionRequest, SamplingFields, WeightedAdapter},
};
use serde_json::Value;
use tributary_engine::GenerateRequest;
use tributary_grammar::Compiled;

/// A request as the engine takes it.
#[derive(Debug)]
pub struct Replay {
    /// What the body names as `model`.
    pub model: String,
    /// The composition it asks for, by name.
    pub adapters: Vec<(String, f32)>,
    /// Prompt, sampling, bounds and grammar of one answer; its adapters are for the caller to load. The seed means nothing unless
    /// the body has one.
    pub request: GenerateRequest,
    /// Whether the body has a seed.
    pub seeded: bool,
}

/// What either endpoint's body comes to.
struct Asking {
    model: String,
    adapters: Option<Vec<WeightedAdapter>>,
    prompts: Vec<Vec<u32>>,
    fields: SamplingFields,
    default_max: Option<u32>,
    shape: Option<Asked>,
}

/// Reads the body of a chat or completion request as the server did; `choice` is the place of the answer in the reply. Bounds are those of
/// the default configuration, except where operators set others: prompts and answers have as many tokens as the context, and there are
/// as many answers as there were.
pub async fn replay(text: &TextModel, context: u32, body: &[u8], choice: u32) -> Result<Replay> {
    let config = ApiConfig {
        prompt_tokens: context,
        output_tokens: context,
        choices: u32::MAX,
        ..ApiConfig::default()
    };
    let asking = match parse::<Value>(body)?.get("messages") {
        Some(_) => chat(text, parse(body)?).await?,
        None => completion(text, &config, parse(body)?).await?,
    };
    let n = params::choices(&asking.fields, asking.prompts.len(), &config)?;
    let prompt = asking.prompts.into_iter().nth((choice / n) as usize);
    let prompt =
        prompt.ok_or_else(|| ApiError::invalid("n", format!("the request has no answer {choice}")))?;
    let room = u32::try_from(prompt.len()).ok().and_then(|prompt| context.checked_sub(prompt));
    let room = room.filter(|room| *room > 0).ok_or_else(|| ApiError::TooLong {
        message: format!("the prompt fills the context of {context} tokens"),
        param: None,
    })?;
    let mut sampling = params::sampling(&asking.fields, &config)?;
    sampling.choice = choice;
    let stop = params::stop_rules(&asking.fields, &config, text, asking.default_max, room, true)?;
    let grammar = match asking.shape {
        Some((field, shape)) => Some(Compiler::new(text.clone()).compile(field, shape).await?),
        None => None,
    };
    Ok(Replay {
        model: asking.model,
        adapters: asking
            .adapters
            .unwrap_or_default()
            .into_iter()
            .map(|part| (part.name, part.weight as f32))
            .collect(),
        seeded: asking.fields.seed.is_some(),
        request: GenerateRequest {
            prompt,
            sampling,
            stop,
            grammar: grammar.as_ref().map(Compiled::start),
            ..GenerateRequest::default()
        },
    })
}

async fn chat(text: &TextModel, body: ChatRequest) -> Result<Asking> {
    params::refuse_unknown(&body.rest)?;
    let (toolbox, shape) = tools_and_shape(&body, text)?;
    let shown = body.tools.as_deref().filter(|_| toolbox.is_some()).unwrap_or_default();
    let prompt = text.encode_chat(&body.messages, shown, true).await?;
    let ChatRequest { model, adapters, sampling: fields, .. } = body;
    Ok(Asking { model, adapters, prompts: vec![prompt], fields, default_max: None, shape })
}

async fn completion(text: &TextModel, config: &ApiConfig, body: CompletionRequest) -> Result<Asking> {
    params::refuse_unknown(&body.rest)?;
    let shape = shape(&body.shape)?;
    let prompts = prompts(text, config, body.prompt, body.add_special_tokens.unwrap_or(true)).await?;
    let CompletionRequest { model, adapters, sampling: fields, .. } = body;
    Ok(Asking { model, adapters, prompts, fields, default_max: Some(DEFAULT_MAX_TOKENS), shape })
}
