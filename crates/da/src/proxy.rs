//! Client of eigenda-proxy's REST contract, in standard mode.

use crate::backend::DaBackend;
use crate::error::DaError;
use alloy_primitives::Bytes;
use async_trait::async_trait;
use futures::StreamExt;
use reqwest::{Client, Response, StatusCode, redirect};
use serde::Deserialize;
use std::time::Duration;
use url::Url;

/// The largest payload that a 16 MiB blob holds.
pub(crate) const MAX_PAYLOAD: usize = 16_252_897;
/// No error body is read further.
const MAX_ERROR_BODY: usize = 5_000;
/// The chain takes commitments up to this.
const MAX_COMMITMENT: usize = 8 * 1024;

/// How the proxy is reached.
#[derive(Debug, Clone)]
pub struct ProxyConfig {
    /// Its address; a path is kept.
    pub url: Url,
    /// To connect.
    pub connect_timeout: Duration,
    /// For a whole put: dispersal waits for signatures.
    pub put_timeout: Duration,
    /// For a whole get.
    pub get_timeout: Duration,
    /// Most bytes that a get takes.
    pub max_bytes: usize,
}

impl ProxyConfig {
    /// The usual limits: 5 s to connect, 3 min to put, 1 min to get.
    #[must_use]
    pub const fn new(url: Url) -> Self {
        Self {
            url,
            connect_timeout: Duration::from_secs(5),
            put_timeout: Duration::from_secs(180),
            get_timeout: Duration::from_secs(60),
            max_bytes: MAX_PAYLOAD,
        }
    }
}

/// A client of one proxy. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ProxyClient {
    client: Client,
    config: ProxyConfig,
}

impl ProxyClient {
    /// A client; nothing is connected yet.
    ///
    /// # Errors
    /// When the URL cannot be one of a proxy or no client can be made.
    pub fn new(config: ProxyConfig) -> Result<Self, DaError> {
        if config.url.cannot_be_a_base() {
            return Err(DaError::Rejected(format!("{} is not a proxy's address", config.url)));
        }
        let client = Client::builder()
            .connect_timeout(config.connect_timeout)
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|error| DaError::Unavailable(chain_of(&error)))?;
        Ok(Self { client, config })
    }

    /// The proxy's address.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.config.url
    }

    /// True when the proxy answers its health route.
    pub async fn healthy(&self) -> bool {
        let request = self.client.get(self.route(&["health"])).timeout(self.config.connect_timeout);
        request.send().await.is_ok_and(|response| response.status().is_success())
    }

    fn route(&self, path: &[&str]) -> Url {
        let mut url = self.config.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    fn standard(&self, path: &[&str]) -> Url {
        let mut url = self.route(path);
        url.query_pairs_mut().append_pair("commitment_mode", "standard");
        url
    }
}

#[async_trait]
impl DaBackend for ProxyClient {
    async fn put(&self, bytes: Bytes) -> Result<Bytes, DaError> {
        if bytes.is_empty() {
            return Err(DaError::Rejected("an empty payload".to_owned()));
        }
        if bytes.len() > MAX_PAYLOAD {
            return Err(DaError::Rejected(format!("{} bytes, {MAX_PAYLOAD} fit a blob", bytes.len())));
        }
        let request = self.client.post(self.standard(&["put"])).body(bytes.0);
        let response = request.timeout(self.config.put_timeout).send().await.map_err(unanswered)?;
        match response.status() {
            StatusCode::OK => {
                let commitment = read(response, MAX_COMMITMENT).await?;
                if commitment.len() < 2 {
                    return Err(DaError::Retry { status: 200, message: "no commitment came".to_owned() });
                }
                Ok(commitment)
            }
            StatusCode::BAD_REQUEST => Err(DaError::Rejected(error_body(response).await)),
            StatusCode::SERVICE_UNAVAILABLE => Err(DaError::FailOver(error_body(response).await)),
            status => Err(DaError::Retry { status: status.as_u16(), message: error_body(response).await }),
        }
    }

    async fn get(&self, commitment: &Bytes) -> Result<Bytes, DaError> {
        let url = self.standard(&["get", &format!("0x{}", hex::encode(commitment))]);
        let request = self.client.get(url).timeout(self.config.get_timeout);
        let response = request.send().await.map_err(unanswered)?;
        match response.status() {
            StatusCode::OK => read(response, self.config.max_bytes).await,
            StatusCode::IM_A_TEAPOT => Err(dropped(&error_body(response).await)),
            status => Err(DaError::Retry { status: status.as_u16(), message: error_body(response).await }),
        }
    }
}

fn unanswered(error: reqwest::Error) -> DaError {
    DaError::Unavailable(chain_of(&error))
}

/// An error with its causes: reqwest's own text names none of them. The URL, which may carry a key, is left out.
fn chain_of(error: &reqwest::Error) -> String {
    let mut text = match (error.is_timeout(), error.is_connect()) {
        (true, _) => "timed out".to_owned(),
        (_, true) => "could not connect".to_owned(),
        _ => "the exchange failed".to_owned(),
    };
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Reads a body up to a cap, whatever length it announces.
async fn read(response: Response, max: usize) -> Result<Bytes, DaError> {
    let mut body = Vec::new();
    let mut stream = response.bytes_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(unanswered)?;
        if body.len() + chunk.len() > max {
            return Err(DaError::TooLarge { max });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.into())
}

/// The start of an error body as one line of text.
async fn error_body(response: Response) -> String {
    let mut body = Vec::new();
    let mut stream = response.bytes_stream();
    while let Some(Ok(chunk)) = stream.next().await {
        body.extend_from_slice(&chunk);
        if body.len() >= MAX_ERROR_BODY {
            body.truncate(MAX_ERROR_BODY);
            break;
        }
    }
    String::from_utf8_lossy(&body).trim().replace(char::is_control, " ")
}

/// The body of a 418.
#[derive(Debug, Deserialize)]
struct Derivation {
    #[serde(rename = "StatusCode")]
    code: u64,
    #[serde(rename = "Msg", default)]
    message: String,
}

fn dropped(body: &str) -> DaError {
    match serde_json::from_str::<Derivation>(body) {
        Ok(Derivation { code, message }) => DaError::Drop { code, message },
        Err(_) => DaError::Drop { code: 0, message: body.to_owned() },
    }
}
