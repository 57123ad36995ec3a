use crate::{
    error::{ApiError, Result},
    extract::Call,
    params,
    reply::{ChatFormat, stream, whole_chat},
    service::{Api, Order},
    types::ChatRequest,
};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};

/// `POST /v1/chat/completions`
pub(crate) async fn chat_completions(
    State(api): State<Api>,
    Call { caller, body }: Call<ChatRequest>,
) -> Result<Response> {
    params::refuse_unknown(&body.rest)?;
    if body.messages.is_empty() || body.messages.len() > api.config().messages {
        let message = format!("a conversation has between 1 and {} messages", api.config().messages);
        return Err(ApiError::invalid("messages", message));
    }
    let logprobs = logprobs(&body, &api)?;
    let model = api.resolve(&body.model).await?;
    let prompt = api.text().encode_chat(&body.messages, true).await?;
    let order =
        Order { caller, model, prompts: vec![prompt], fields: &body.sampling, default_max: None, logprobs };
    let job = api.open(order).await?;
    if body.stream.unwrap_or(false) {
        let format = ChatFormat::new(&job, api.text().clone(), logprobs.is_some());
        return Ok(stream(job, format, body.stream_options.unwrap_or_default().include_usage));
    }
    Ok(Json(whole_chat(job, api.text(), logprobs.is_some()).await?).into_response())
}

fn logprobs(body: &ChatRequest, api: &Api) -> Result<Option<u8>> {
    let top = body.top_logprobs.unwrap_or(0);
    if top > api.config().top_logprobs {
        let message = format!("`top_logprobs` is {} at most", api.config().top_logprobs);
        return Err(ApiError::invalid("top_logprobs", message));
    }
    match body.logprobs.unwrap_or(false) {
        true => Ok(Some(u8::try_from(top).unwrap_or(u8::MAX))),
        false if top > 0 => Err(ApiError::invalid("top_logprobs", "`top_logprobs` needs `logprobs`")),
        false => Ok(None),
    }
}
