//! The seam between batches and wherever they are kept.

use crate::error::DaError;
use alloy_primitives::{B256, Bytes, keccak256};
use async_trait::async_trait;

/// A place for batch bytes.
#[async_trait]
pub trait DaBackend: Send + Sync + std::fmt::Debug {
    /// Stores bytes and returns the commitment that fetches them. Two puts of the same bytes may return
    /// different commitments; both stay good.
    async fn put(&self, bytes: Bytes) -> Result<Bytes, DaError>;
    /// Fetches the bytes of a commitment. They are not checked against anything: see [`get_checked`].
    async fn get(&self, commitment: &Bytes) -> Result<Bytes, DaError>;
}

/// Fetches a batch and checks that it is the one that was committed.
///
/// # Errors
/// [`DaError::WrongBytes`] when it is not, and whatever the backend says.
pub async fn get_checked(
    backend: &dyn DaBackend,
    commitment: &Bytes,
    batch_hash: B256,
) -> Result<Bytes, DaError> {
    let bytes = backend.get(commitment).await?;
    let got = keccak256(&bytes);
    if got == batch_hash { Ok(bytes) } else { Err(DaError::WrongBytes { got, want: batch_hash }) }
}
