//! Sending transactions on to the sequencer.

use crate::{RpcContext, RpcError};
use alloy_primitives::{B256, Bytes};
use http::HeaderMap;
use jsonrpsee::{
    core::{ClientError, client::ClientT, params::ArrayParams},
    http_client::{HttpClient, HttpClientBuilder},
    rpc_params,
};
use std::time::Duration;

/// How long the sequencer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The sequencer's endpoint.
#[derive(Clone, Debug)]
pub struct Forwarder {
    client: HttpClient,
    retain: bool,
}

/// The sequencer cannot be named like this.
#[derive(Debug, thiserror::Error)]
#[error("sequencer endpoint {url}: {source}")]
pub struct ForwarderError {
    url: String,
    source: ClientError,
}

impl Forwarder {
    /// Over HTTP, with these headers. `retain`: what was sent on is kept in the pool here, too.
    pub fn new(url: &str, headers: HeaderMap, retain: bool) -> Result<Self, ForwarderError> {
        let client = HttpClientBuilder::default().request_timeout(PATIENCE).set_headers(headers).build(url);
        let client = client.map_err(|source| ForwarderError { url: url.to_owned(), source })?;
        Ok(Self { client, retain })
    }

    /// Hands a request on.
    pub(crate) async fn forward(&self, method: &str, params: ArrayParams) -> Result<B256, RpcError> {
        self.client.request(method, params).await.map_err(|error| match error {
            ClientError::Call(refusal) => RpcError::Sequencer(refusal),
            error => RpcError::Internal(format!("the sequencer does not answer: {error}")),
        })
    }
}

impl RpcContext {
    /// Puts a signed transaction into the pool, or sends it on to who makes the blocks.
    pub(crate) async fn submit(&self, bytes: Bytes) -> Result<B256, RpcError> {
        let Some(sequencer) = self.sequencer.clone() else {
            return self.read_inner(move |context| context.send(&bytes)).await;
        };
        let hash = {
            let bytes = bytes.clone();
            self.read_inner(move |context| context.check_sent(&bytes).map(|tx| tx.hash())).await?
        };
        sequencer.forward("eth_sendRawTransaction", rpc_params![&bytes]).await?;
        if sequencer.retain
            && let Err(error) = self.read_inner(move |context| context.send(&bytes)).await
        {
            tracing::debug!(target: "rpc", %hash, %error, "Forwarded transaction not retained");
        }
        Ok(hash)
    }
}
