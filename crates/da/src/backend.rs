//! The trait, and what its errors ask of the caller.

use std::fmt::Debug;

use alloy_primitives::Bytes;
use async_trait::async_trait;

/// Largest payload of a 16 MiB blob: 31 bytes to a field element, one element for the header.
pub const MAX_PAYLOAD: usize = 16_252_897;

/// Why DA did not do as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DaError {
    /// The certificate is worthless for ever: what it stands for is to be dropped.
    #[error("the certificate is to be dropped (code {code}): {message}")]
    Drop {
        /// The proxy's derivation error code.
        code: u8,
        /// Its text.
        message: String,
    },
    /// DA cannot take anything now: fail over.
    #[error("data availability is down: {0}")]
    FailOver(String),
    /// The payload can never be dispersed.
    #[error("payload refused: {0}")]
    Refused(String),
    /// Anything else: try again later.
    #[error("data availability did not answer well: {0}")]
    Retry(String),
}

/// A place that keeps bytes for whoever holds their commitment.
#[async_trait]
pub trait DaBackend: Send + Sync + Debug {
    /// What to call it in logs and answers.
    fn name(&self) -> &str;

    /// Whether it is a memstore, which promises nothing: only development chains may use one.
    async fn is_memstore(&self) -> Result<bool, DaError>;

    /// Disperses a payload; the commitment is opaque.
    async fn put(&self, payload: Bytes) -> Result<Bytes, DaError>;

    /// Fetches a payload of at most `limit` bytes.
    async fn get(&self, commitment: &Bytes, limit: usize) -> Result<Bytes, DaError>;
}
