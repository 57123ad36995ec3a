use crate::{
    error::Result,
    extract::{Admin, read_json},
    service::Api,
    types::{LoadAdapterRequest, UnloadAdapterRequest},
};
use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};

/// `POST /v1/load_lora_adapter`, as vLLM has it: a line of text comes back.
pub(crate) async fn load_adapter(
    _admin: Admin,
    State(api): State<Api>,
    request: Request,
) -> Result<Response> {
    let body: LoadAdapterRequest = read_json(request, &api).await?;
    let (name, path) = (body.lora_name.clone(), body.lora_path.clone());
    api.load_adapter(body).await?;
    tracing::info!(name, path, "Adapter loaded");
    Ok(format!("Success: LoRA adapter '{name}' added successfully.").into_response())
}

/// `POST /v1/unload_lora_adapter`
pub(crate) async fn unload_adapter(
    _admin: Admin,
    State(api): State<Api>,
    request: Request,
) -> Result<Response> {
    let body: UnloadAdapterRequest = read_json(request, &api).await?;
    api.unload_adapter(&body.lora_name)?;
    tracing::info!(name = body.lora_name, "Adapter unloaded");
    Ok(format!("Success: LoRA adapter '{}' removed successfully.", body.lora_name).into_response())
}
