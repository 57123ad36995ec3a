//! What can go wrong, by what to do about it.

use alloy_primitives::B256;

/// Why bytes could not be put or fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DaError {
    /// The certificate will never lead to a blob (418): drop it.
    #[error("the certificate is to be dropped (code {code}): {message}")]
    Drop {
        /// Derivation error: 1 unparsable, 2 too old, 3 refused by the verifier, 4 undecodable blob.
        code: u64,
        /// Free text of the proxy.
        message: String,
    },
    /// Dispersal is down (503 on put): publish another way.
    #[error("dispersal is down, fail over: {0}")]
    FailOver(String),
    /// The proxy answered an error that may pass.
    #[error("status {status}, try again: {message}")]
    Retry {
        /// HTTP status.
        status: u16,
        /// The start of the body.
        message: String,
    },
    /// Nobody answered in time.
    #[error("no answer from the data availability layer: {0}")]
    Unavailable(String),
    /// This input can never be stored.
    #[error("not storable: {0}")]
    Rejected(String),
    /// The answer is larger than anything that could have been asked for.
    #[error("the answer exceeds {max} bytes")]
    TooLarge {
        /// The cap.
        max: usize,
    },
    /// Other bytes than the ones asked for: as good as unavailable.
    #[error("the bytes hash to {got}, not to {want}")]
    WrongBytes {
        /// Hash of what came.
        got: B256,
        /// Hash of what was asked for.
        want: B256,
    },
    /// The memstore, or a certificate of one, on a chain that is not for development.
    #[error("the memstore is for dev chains only")]
    MemstoreOffDev,
    /// The embedded server could not start or keep its blobs.
    #[error("memstore: {0}")]
    Memstore(String),
}

impl DaError {
    /// True when the same call may succeed later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Retry { .. } | Self::Unavailable(_) | Self::FailOver(_) | Self::Memstore(_))
    }
}
