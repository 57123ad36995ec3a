//! The paths of `/get/…`: which commitment they name, and how the proxy answers those that name none.

use alloy_primitives::hex;
use axum::http::StatusCode;

use super::cert::VERSION_V4;

/// How the caller writes commitments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Version byte and certificate.
    Standard,
    /// OP's generic commitment: type, DA layer, version byte, certificate.
    OpGeneric,
}

impl Mode {
    /// The query decides; anything but exactly `standard` is op generic.
    pub(super) fn of(commitment_mode: Option<&str>) -> Self {
        if commitment_mode == Some("standard") { Self::Standard } else { Self::OpGeneric }
    }

    /// A certificate's RLP as this mode's commitment.
    pub(super) fn commitment(self, rlp: &[u8]) -> Vec<u8> {
        let prefix: &[u8] = match self {
            Self::Standard => &[VERSION_V4],
            Self::OpGeneric => &[0x01, 0x00, VERSION_V4],
        };
        [prefix, rlp].concat()
    }
}

/// What a path asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// A certificate of a version that memstore keeps or kept.
    Certificate {
        /// Its version byte.
        version: u8,
        /// Its RLP.
        rlp: Vec<u8>,
    },
    /// A blob by its keccak hash, which needs a store that is not configured.
    Keccak,
}

/// Why a path names no commitment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) StatusCode, pub(super) &'static str);

/// Reads a path.
pub(super) fn parse(path: &str, mode: Mode) -> Result<Asked, Refusal> {
    let digits = path.strip_prefix("0x").unwrap_or(path);
    let not_found = Refusal(StatusCode::NOT_FOUND, "404 page not found");
    let bad = |text| Refusal(StatusCode::BAD_REQUEST, text);
    if digits.is_empty() {
        return Err(not_found);
    }
    let is_hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_hex {
        return Err(if mode == Mode::Standard { not_found } else { bad("commitment is not hex") });
    }
    let Ok(bytes) = hex::decode(digits) else { return Err(bad("commitment has an odd number of digits")) };
    match mode {
        Mode::Standard => match bytes.split_first() {
            Some((_, [])) | None => Err(not_found),
            Some((version, rlp)) => certificate(*version, rlp),
        },
        Mode::OpGeneric => match bytes.as_slice() {
            [0x00, key @ ..] if key.len() == 32 => Ok(Asked::Keccak),
            [0x02] => Err(bad("unknown commitment type")),
            [0x01, _layer, version, rlp @ ..] if !rlp.is_empty() => certificate(*version, rlp),
            _ => Err(not_found),
        },
    }
}

fn certificate(version: u8, rlp: &[u8]) -> Result<Asked, Refusal> {
    if version > VERSION_V4 {
        return Err(Refusal(StatusCode::BAD_REQUEST, "unknown certificate version"));
    }
    Ok(Asked::Certificate { version, rlp: rlp.to_vec() })
}
