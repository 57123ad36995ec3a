use crate::{
    error::{ApiError, Result},
    extract::Call,
    order::Order,
    params,
    reply::{ChatFormat, Dress, stream, whole_chat},
    service::Api,
    structured::{Asked, shape},
    text::TextModel,
    tools::Toolbox,
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
    params::check_messages(&body.messages, api.config())?;
    let (logprobs, streams) = (logprobs(&body, &api)?, body.stream.unwrap_or(false));
    let (toolbox, shape) = tools_and_shape(&body, api.text())?;
    let model = api.compose(api.resolve(&body.model).await?, body.adapters.as_deref()).await?;
    let shown = body.tools.as_deref().filter(|_| toolbox.is_some()).unwrap_or_default();
    let prompt = api.text().encode_chat(&body.messages, shown, true).await?;
    let order = Order {
        caller,
        model,
        prompts: vec![prompt],
        input: "messages",
        fields: &body.sampling,
        default_max: None,
        logprobs,
        shape,
        prompt_logprobs: params::prompt_logprobs(&body.sampling, streams, api.config())?,
        echo: false,
    };
    let job = api.open(order).await?;
    let dress = Dress {
        text: api.text().clone(),
        logprobs: logprobs.is_some(),
        toolbox,
        prompt_logprobs: body.sampling.prompt_logprobs.is_some(),
    };
    if streams {
        let format = ChatFormat::new(&job, dress);
        let include_usage = body.stream_options.unwrap_or_default().include_usage.unwrap_or_default();
        return Ok(stream(job, format, include_usage));
    }
    Ok(Json(whole_chat(job, &dress).await?).into_response())
}

/// What may be called, and what binds the answer: calls that have to be made, the form of words, or either.
pub(crate) fn tools_and_shape(
    body: &ChatRequest,
    text: &TextModel,
) -> Result<(Option<Toolbox>, Option<Asked>)> {
    let style = text.call_style();
    let toolbox =
        Toolbox::new(body.tools.as_deref(), body.tool_choice.as_ref(), body.parallel_tool_calls, style)?;
    let asked = shape(&body.shape)?;
    let Some(tools) = &toolbox else { return Ok((toolbox, asked)) };
    if let (true, Some((field, _))) = (tools.is_bound(), &asked) {
        return Err(ApiError::invalid(field, "an answer that has to be a call cannot have another form"));
    }
    let (field, words) = match asked {
        Some((field, words)) => (field, Some(words)),
        None => ("tools", None),
    };
    let bound = tools.shape(words).map(|shape| (field, shape));
    Ok((toolbox, bound))
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
