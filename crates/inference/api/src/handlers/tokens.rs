use crate::{
    error::{ApiError, Result},
    extract::Call,
    service::Api,
    types::{DetokenizeReply, DetokenizeRequest, TokenizeReply, TokenizeRequest},
};
use axum::{Json, extract::State};

/// `POST /tokenize`: exactly the tokens that the two generating endpoints would count.
pub(crate) async fn tokenize(
    State(api): State<Api>,
    Call { body, .. }: Call<TokenizeRequest>,
) -> Result<Json<TokenizeReply>> {
    let tokens = match (body.prompt, body.messages) {
        (Some(text), None) => api.text().encode(text, body.add_special_tokens.unwrap_or(true)).await?,
        (None, Some(messages)) => {
            if messages.len() > api.config().messages {
                return Err(ApiError::invalid("messages", "too many messages"));
            }
            let tools = body.tools.unwrap_or_default();
            api.text().encode_chat(&messages, &tools, body.add_generation_prompt.unwrap_or(true)).await?
        }
        _ => return Err(ApiError::invalid("prompt", "give either `prompt` or `messages`")),
    };
    let max_model_len = api.info()?.limits.context;
    Ok(Json(TokenizeReply { count: tokens.len(), max_model_len, tokens }))
}

/// `POST /detokenize`
pub(crate) async fn detokenize(
    State(api): State<Api>,
    Call { body, .. }: Call<DetokenizeRequest>,
) -> Result<Json<DetokenizeReply>> {
    let tokenizer = api.text().tokenizer();
    if let Some(token) = body.tokens.iter().find(|token| tokenizer.token_bytes(**token).is_none()) {
        return Err(ApiError::invalid("tokens", format!("token {token} is not in the vocabulary")));
    }
    Ok(Json(DetokenizeReply { prompt: tokenizer.decode(&body.tokens) }))
}
