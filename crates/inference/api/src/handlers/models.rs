use crate::{
    error::{ApiError, Result},
    service::Api,
    types::{ModelCard, ModelList},
};
use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
};

async fn cards(api: &Api) -> Vec<ModelCard> {
    let context = api.parts.engine.info().map(|info| info.limits.context);
    let mut cards = api.parts.resolver.list().await;
    let base = cards.first().map(|card| card.id.clone()).unwrap_or_default();
    cards.extend(api.loaded.cards(&base));
    cards.iter_mut().for_each(|card| card.max_model_len = card.max_model_len.or(context));
    cards.extend(api.embeddings.name().map(|name| ModelCard::base(name, "embeddings")));
    cards
}

/// `GET /v1/models`
pub(crate) async fn list_models(State(api): State<Api>) -> Json<ModelList> {
    Json(ModelList { object: "list".into(), data: cards(&api).await })
}

/// `GET /v1/models/{id}`
pub(crate) async fn show_model(
    State(api): State<Api>,
    id: std::result::Result<Path<String>, PathRejection>,
) -> Result<Json<ModelCard>> {
    let Path(id) =
        id.map_err(|rejection| ApiError::Invalid { message: rejection.body_text(), param: None })?;
    let found = cards(&api).await.into_iter().find(|card| card.id == id);
    found.map(Json).ok_or_else(|| ApiError::ModelNotFound(id.chars().take(256).collect()))
}
