use crate::{
    error::{ApiError, Result},
    extract::Call,
    keys::Tally,
    params,
    service::Api,
    types::{Embedding, EmbeddingsReply, EmbeddingsRequest, EmbeddingsUsage, Numbers},
};
use axum::{Json, extract::State};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;

/// `POST /v1/embeddings`
pub(crate) async fn embeddings(
    State(api): State<Api>,
    Call { caller, body }: Call<EmbeddingsRequest>,
) -> Result<Json<EmbeddingsReply>> {
    let EmbeddingsRequest { model, input, encoding_format, truncate_prompt_tokens, mut rest } = body;
    let embedder = api.embeddings.embedder(&model)?;
    // The model's own number is no change.
    if rest.get("dimensions").and_then(Value::as_u64) == Some(embedder.dimensions() as u64) {
        rest.remove("dimensions");
    }
    // They are added in any case.
    if rest.remove("add_special_tokens") == Some(Value::Bool(false)) {
        return Err(ApiError::Unsupported("add_special_tokens".into()));
    }
    params::refuse_unknown(&rest)?;
    let pack = match encoding_format.as_deref() {
        None | Some("float") => Numbers::Floats,
        Some("base64") => base64,
        Some(_) => {
            let message = "`encoding_format` is float or base64";
            return Err(ApiError::invalid("encoding_format", message));
        }
    };
    let cut = match truncate_prompt_tokens {
        None => None,
        Some(-1) => Some(embedder.limit()),
        Some(count) => Some(usize::try_from(count).ok().filter(|count| *count > 0).ok_or_else(|| {
            ApiError::invalid("truncate_prompt_tokens", "`truncate_prompt_tokens` is -1, or above 0")
        })?),
    };
    let texts = api.embeddings.tokens(embedder, input, cut).await?;
    let tokens: u64 = texts.iter().map(|text| text.len() as u64).sum();
    let tally =
        Tally::reserve(caller.key.as_ref(), tokens).map_err(|short| ApiError::short(short, tokens))?;
    let embedding = api.embeddings.embed(embedder, texts, caller.tenant, tally);
    let all = tokio::time::timeout(api.config().request_timeout, embedding)
        .await
        .map_err(|_| ApiError::Unavailable("the embeddings took too long".into()))??;
    let embedding =
        |(index, numbers)| Embedding { object: "embedding".into(), index, embedding: pack(numbers) };
    Ok(Json(EmbeddingsReply {
        object: "list".into(),
        data: all.into_iter().enumerate().map(embedding).collect(),
        model,
        usage: EmbeddingsUsage { prompt_tokens: tokens, total_tokens: tokens },
    }))
}

fn base64(numbers: Vec<f32>) -> Numbers {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    Numbers::Base64(BASE64_STANDARD.encode(bytes))
}
