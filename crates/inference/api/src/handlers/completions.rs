use crate::{
    config::ApiConfig,
    error::{ApiError, Result},
    extract::Call,
    order::Order,
    params,
    reply::{CompletionDress, CompletionFormat, stream, whole_completion},
    service::Api,
    structured::shape,
    text::TextModel,
    types::{CompletionRequest, Prompt},
};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};

/// OpenAI's default for this endpoint.
pub(crate) const DEFAULT_MAX_TOKENS: u32 = 16;

/// `POST /v1/completions`
pub(crate) async fn completions(
    State(api): State<Api>,
    Call { caller, body }: Call<CompletionRequest>,
) -> Result<Response> {
    params::refuse_unknown(&body.rest)?;
    let (streams, echo) = (body.stream.unwrap_or(false), body.echo.unwrap_or(false));
    if echo && streams && body.logprobs.is_some() {
        return Err(ApiError::invalid("echo", "`echo` with `logprobs` and `stream` exclude each other"));
    }
    let top = body.logprobs.unwrap_or(0);
    if top > api.config().top_logprobs {
        let message = format!("`logprobs` is {} at most", api.config().top_logprobs);
        return Err(ApiError::invalid("logprobs", message));
    }
    let logprobs = body.logprobs.map(|top| u8::try_from(top).unwrap_or(u8::MAX));
    let model = api.compose(api.resolve(&body.model).await?, body.adapters.as_deref()).await?;
    let opening = body.add_special_tokens.unwrap_or(true);
    let prompts = prompts(api.text(), api.config(), body.prompt, opening).await?;
    let order = Order {
        caller,
        model,
        prompts,
        input: "prompt",
        fields: &body.sampling,
        default_max: Some(DEFAULT_MAX_TOKENS),
        logprobs,
        shape: shape(&body.shape)?,
        prompt_logprobs: params::prompt_logprobs(&body.sampling, streams, api.config())?
            .or(logprobs.filter(|_| echo)),
        echo,
    };
    let job = api.open(order).await?;
    let dress = CompletionDress {
        text: api.text().clone(),
        logprobs: logprobs.is_some(),
        echo,
        prompt_logprobs: body.sampling.prompt_logprobs.is_some(),
    };
    if streams {
        let format = CompletionFormat::new(&job, dress);
        let include_usage = body.stream_options.unwrap_or_default().include_usage.unwrap_or_default();
        return Ok(stream(job, format, include_usage));
    }
    Ok(Json(whole_completion(job, &dress).await?).into_response())
}

/// The prompts' tokens; those of texts with the model's opening one, if it has one and that is wanted.
pub(crate) async fn prompts(
    model: &TextModel,
    config: &ApiConfig,
    prompt: Prompt,
    opening: bool,
) -> Result<Vec<Vec<u32>>> {
    let texts = match prompt {
        Prompt::Tokens(tokens) => return Ok(vec![tokens]),
        Prompt::TokenLists(lists) => return bounded(lists, config),
        Prompt::Text(text) => vec![text],
        Prompt::Texts(texts) => bounded(texts, config)?,
    };
    let mut prompts = Vec::with_capacity(texts.len());
    for text in texts {
        prompts.push(model.encode(text, opening).await?);
    }
    Ok(prompts)
}

fn bounded<T>(prompts: Vec<T>, config: &ApiConfig) -> Result<Vec<T>> {
    if prompts.is_empty() || prompts.len() > config.choices as usize {
        let message = format!("a request has between 1 and {} prompts", config.choices);
        return Err(ApiError::invalid("prompt", message));
    }
    Ok(prompts)
}
