use crate::{
    error::{ApiError, Result},
    extract::Call,
    params,
    resolve::ResolveError,
    service::Api,
    types::{DetokenizeReply, DetokenizeRequest, TokenizeReply, TokenizeRequest},
};
use axum::{Json, extract::State};
use serde_json::{Map, Value};

/// `POST /tokenize`: exactly the tokens that the two generating endpoints would count.
pub(crate) async fn tokenize(
    State(api): State<Api>,
    Call { body, .. }: Call<TokenizeRequest>,
) -> Result<Json<TokenizeReply>> {
    check_model(&api, body.model.as_deref()).await?;
    refuse_changing(&body.rest)?;
    let tokens = match (body.prompt, body.messages) {
        (Some(text), None) => api.text().encode(text, body.add_special_tokens.unwrap_or(true)).await?,
        (None, Some(messages)) => {
            params::check_messages(&messages, api.config())?;
            if body.add_special_tokens == Some(true) {
                return Err(ApiError::Unsupported("add_special_tokens".into()));
            }
            let tools = body.tools.unwrap_or_default();
            api.text().encode_chat(&messages, &tools, body.add_generation_prompt.unwrap_or(true)).await?
        }
        _ => return Err(ApiError::invalid("prompt", "give either `prompt` or `messages`")),
    };
    let max_model_len = api.info()?.limits.context;
    let shown = body.return_token_strs.unwrap_or(false);
    let token_strs = shown.then(|| tokens.iter().map(|token| api.text().piece(*token)).collect());
    Ok(Json(TokenizeReply { count: tokens.len(), max_model_len, tokens, token_strs }))
}

/// `POST /detokenize`: whatever the tokens stand for, control tokens too.
pub(crate) async fn detokenize(
    State(api): State<Api>,
    Call { body, .. }: Call<DetokenizeRequest>,
) -> Result<Json<DetokenizeReply>> {
    check_model(&api, body.model.as_deref()).await?;
    let vocab = api.text().tokenizer().vocab();
    if let Some(token) = body.tokens.iter().find(|token| **token as usize >= vocab) {
        return Err(ApiError::invalid("tokens", format!("token {token} is not in the vocabulary")));
    }
    Ok(Json(DetokenizeReply { prompt: api.text().decode(&body.tokens) }))
}

/// All models have the same tokens, but one that is not there is somebody's mistake.
async fn check_model(api: &Api, name: Option<&str>) -> Result<()> {
    match name {
        Some(name) if !api.exists(name).await? => Err(ResolveError::NotFound(name.to_owned()).into()),
        _ => Ok(()),
    }
}

/// Refuses what would change the tokens and is not honoured; anything else that a request has is of no matter here.
fn refuse_changing(rest: &Map<String, Value>) -> Result<()> {
    const CHANGING: [&str; 4] =
        ["continue_final_message", "chat_template", "chat_template_kwargs", "documents"];
    params::refuse_unknown(
        &rest
            .iter()
            .filter(|(field, _)| CHANGING.contains(&field.as_str()))
            .map(|(field, value)| (field.clone(), value.clone()))
            .collect(),
    )
}
