use crate::{
    error::{ApiError, Result},
    extract::Call,
    params,
    reply::{CompletionFormat, stream, whole_completion},
    service::{Api, Order},
    structured::shape,
    types::{CompletionRequest, Prompt},
};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};

/// OpenAI's default for this endpoint.
const DEFAULT_MAX_TOKENS: u32 = 16;

/// `POST /v1/completions`
pub(crate) async fn completions(
    State(api): State<Api>,
    Call { caller, body }: Call<CompletionRequest>,
) -> Result<Response> {
    params::refuse_unknown(&body.rest)?;
    let top = body.logprobs.unwrap_or(0);
    if top > api.config().top_logprobs {
        let message = format!("`logprobs` is {} at most", api.config().top_logprobs);
        return Err(ApiError::invalid("logprobs", message));
    }
    let logprobs = body.logprobs.map(|top| u8::try_from(top).unwrap_or(u8::MAX));
    let model = api.compose(api.resolve(&body.model).await?, body.adapters.as_deref()).await?;
    let prompts = prompts(&api, body.prompt).await?;
    let order = Order {
        caller,
        model,
        prompts,
        fields: &body.sampling,
        default_max: Some(DEFAULT_MAX_TOKENS),
        logprobs,
        shape: shape(&body.shape)?,
    };
    let job = api.open(order).await?;
    if body.stream.unwrap_or(false) {
        let format = CompletionFormat::new(&job, api.text().clone(), logprobs.is_some());
        return Ok(stream(job, format, body.stream_options.unwrap_or_default().include_usage));
    }
    Ok(Json(whole_completion(job, api.text(), logprobs.is_some()).await?).into_response())
}

async fn prompts(api: &Api, prompt: Prompt) -> Result<Vec<Vec<u32>>> {
    let texts = match prompt {
        Prompt::Tokens(tokens) => return Ok(vec![tokens]),
        Prompt::TokenLists(lists) => return bounded(lists, api),
        Prompt::Text(text) => vec![text],
        Prompt::Texts(texts) => bounded(texts, api)?,
    };
    let mut prompts = Vec::with_capacity(texts.len());
    for text in texts {
        prompts.push(api.text().encode(text, true).await?);
    }
    Ok(prompts)
}

fn bounded<T>(prompts: Vec<T>, api: &Api) -> Result<Vec<T>> {
    if prompts.is_empty() || prompts.len() > api.config().choices as usize {
        let message = format!("a request has between 1 and {} prompts", api.config().choices);
        return Err(ApiError::invalid("prompt", message));
    }
    Ok(prompts)
}
