//! The client of an eigenda-proxy, in standard commitment mode.

use std::time::Duration;

use alloy_primitives::{Bytes, hex};
use async_trait::async_trait;
use reqwest::{Client, Response, StatusCode, redirect};
use serde::Deserialize;
use url::Url;

use crate::backend::{DaBackend, DaError, MAX_PAYLOAD};

/// Longest error text that is read.
const MAX_ERROR: usize = 4096;
/// Longest certificate that is read; today's are about 420 bytes.
const MAX_COMMITMENT: usize = 8 * 1024;

/// Time limits.
#[derive(Clone, Copy, Debug)]
pub struct ProxyOptions {
    /// For a connection.
    pub connect: Duration,
    /// For a dispersal, from end to end: certificates take up to a minute or more on a live network.
    pub put: Duration,
    /// For a retrieval.
    pub get: Duration,
}

impl Default for ProxyOptions {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), put: Duration::from_secs(180), get: Duration::from_secs(60) }
    }
}

/// A proxy at a URL.
#[derive(Clone, Debug)]
pub struct ProxyClient {
    client: Client,
    base: Url,
    name: String,
    options: ProxyOptions,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DerivationError {
    status_code: u8,
    msg: String,
}

impl ProxyClient {
    /// A client of the proxy at `base`.
    pub fn new(base: Url, options: ProxyOptions) -> Result<Self, DaError> {
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(DaError::Refused(format!("{base} is no http URL")));
        }
        let client = Client::builder()
            .connect_timeout(options.connect)
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|error| DaError::Retry(error.to_string()))?;
        let name = format!("eigenda-proxy {base}");
        Ok(Self { client, base, name, options })
    }

    fn url(&self, path: &str) -> Result<Url, DaError> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| DaError::Refused(format!("{} is no http URL", self.base)))?
            .pop_if_empty()
            .extend(path.split('/'));
        Ok(url)
    }
}

#[async_trait]
impl DaBackend for ProxyClient {
    fn name(&self) -> &str {
        &self.name
    }

    /// Only a proxy in memstore mode has this route.
    async fn is_memstore(&self) -> Result<bool, DaError> {
        let url = self.url("memstore/config")?;
        let response = self.client.get(url).timeout(self.options.get).send().await.map_err(transport)?;
        match response.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            status => Err(DaError::Retry(format!("status {status} to GET /memstore/config"))),
        }
    }

    async fn put(&self, payload: Bytes) -> Result<Bytes, DaError> {
        if payload.is_empty() {
            return Err(DaError::Refused("an empty payload".to_owned()));
        }
        if payload.len() > MAX_PAYLOAD {
            return Err(DaError::Refused(format!("{} bytes, at most {MAX_PAYLOAD}", payload.len())));
        }
        let mut url = self.url("put")?;
        url.set_query(Some("commitment_mode=standard"));
        let request = self.client.post(url).timeout(self.options.put).body(payload.0);
        let response = request.send().await.map_err(transport)?;
        match response.status() {
            StatusCode::OK => {
                let commitment = read(response, MAX_COMMITMENT).await?;
                if commitment.is_empty() {
                    return Err(DaError::Retry("an empty commitment".to_owned()));
                }
                Ok(commitment)
            }
            StatusCode::SERVICE_UNAVAILABLE => Err(DaError::FailOver(text(response).await)),
            StatusCode::BAD_REQUEST => Err(DaError::Refused(text(response).await)),
            status => Err(DaError::Retry(format!("status {status}: {}", text(response).await))),
        }
    }

    async fn get(&self, commitment: &Bytes, limit: usize) -> Result<Bytes, DaError> {
        let mut url = self.url(&format!("get/0x{}", hex::encode(commitment)))?;
        url.set_query(Some("commitment_mode=standard"));
        let response = self.client.get(url).timeout(self.options.get).send().await.map_err(transport)?;
        match response.status() {
            StatusCode::OK => read(response, limit).await,
            StatusCode::IM_A_TEAPOT => Err(dropped(&text(response).await)),
            status => Err(DaError::Retry(format!("status {status}: {}", text(response).await))),
        }
    }
}

fn dropped(body: &str) -> DaError {
    match serde_json::from_str::<DerivationError>(body) {
        Ok(error) => DaError::Drop { code: error.status_code, message: error.msg },
        Err(_) => DaError::Drop { code: 0, message: body.to_owned() },
    }
}

fn transport(error: reqwest::Error) -> DaError {
    DaError::Retry(error.to_string())
}

/// Reads a body that may not be longer than `limit`.
async fn read(mut response: Response, limit: usize) -> Result<Bytes, DaError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(transport)? {
        if body.len() + chunk.len() > limit {
            return Err(DaError::Retry(format!("an answer of more than {limit} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.into())
}

/// The beginning of an error's text, on one line.
async fn text(mut response: Response) -> String {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() >= MAX_ERROR {
            body.truncate(MAX_ERROR);
            break;
        }
    }
    String::from_utf8_lossy(&body).trim().replace(['\r', '\n'], " ")
}
