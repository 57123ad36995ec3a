//! Revert data in the words of the economy's custom errors.

use alloy_primitives::Bytes;
use alloy_provider::transport::{RpcError, TransportErrorKind};
use eyre::{Report, eyre};
use tributary_abi::decode_error;

/// The error of a call, with the custom error it reverted with by name.
pub(crate) fn explain_revert(what: &str, error: &RpcError<TransportErrorKind>) -> Report {
    let Some(payload) = error.as_error_resp() else {
        return eyre!("{what}: {error}");
    };
    let data: Option<Bytes> = payload.data.as_ref().and_then(|raw| serde_json::from_str(raw.get()).ok());
    match data.as_ref().and_then(|data| decode_error(data)) {
        Some(name) => eyre!("{what} reverts with {name}"),
        None => eyre!("{what}: {}", payload.message),
    }
}
