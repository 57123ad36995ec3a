//! The body and the headers of a call, bounded and typed.

use crate::{
    error::{ApiError, Result},
    service::{Api, Caller},
    voucher::{VOUCHER_HEADER, VoucherHeader},
};
use alloy_primitives::keccak256;
use axum::{
    body::Bytes,
    extract::{ConnectInfo, FromRequest, FromRequestParts, Request},
};
use http::{HeaderMap, StatusCode, header, request::Parts};
use serde::de::DeserializeOwned;
use std::net::{IpAddr, SocketAddr};

/// A JSON body with who sent it.
pub(crate) struct Call<T> {
    pub(crate) caller: Caller,
    pub(crate) body: T,
}

impl<T: DeserializeOwned> FromRequest<Api> for Call<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self> {
        let (mut parts, body) = request.into_parts();
        Authorized::from_request_parts(&mut parts, api).await?;
        let voucher = voucher(&parts.headers)?;
        let tenant = tenant(&parts, voucher.as_ref());
        let request = Request::from_parts(parts, body);
        let bytes =
            Bytes::from_request(request, api).await.map_err(|rejection| match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => ApiError::BodyTooLarge(api.config().body_bytes),
                _ => ApiError::Invalid { message: rejection.body_text(), param: None },
            })?;
        let body = serde_json::from_slice(&bytes)
            .map_err(|error| ApiError::Invalid { message: error.to_string(), param: None })?;
        let caller = Caller { voucher, body_hash: keccak256(&bytes), tenant };
        Ok(Self { caller, body })
    }
}

fn voucher(headers: &HeaderMap) -> Result<Option<VoucherHeader>> {
    let mut values = headers.get_all(VOUCHER_HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(ApiError::Invalid { message: "more than one voucher header".into(), param: None });
    }
    let text = value.to_str().map_err(|_| crate::voucher::VoucherError::Base64)?;
    Ok(Some(VoucherHeader::parse(text)?))
}

/// Whose share of the machine a call counts against: its channel's, its key's, or its address's.
fn tenant(parts: &Parts, voucher: Option<&VoucherHeader>) -> u64 {
    let hash = if let Some(voucher) = voucher {
        keccak256(voucher.channel)
    } else if let Some(key) = bearer(&parts.headers) {
        keccak256(key)
    } else {
        match parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip()) {
            Some(IpAddr::V4(ip)) => keccak256(ip.octets()),
            // One site has 2⁶⁴ of these.
            Some(IpAddr::V6(ip)) => keccak256(&ip.octets()[..8]),
            None => return 0,
        }
    };
    hash.first_chunk().map_or(0, |head| u64::from_be_bytes(*head))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// A call with a known API key, or any call where none are set.
pub(crate) struct Authorized;

impl FromRequestParts<Api> for Authorized {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self> {
        let keys = &api.config().api_keys;
        // Hashes are compared, so time tells nothing of a key.
        let known = |key: &str| {
            let hash = keccak256(key);
            keys.iter().fold(false, |any, known| (keccak256(known) == hash) | any)
        };
        if keys.is_empty() || bearer(&parts.headers).is_some_and(known) {
            Ok(Self)
        } else {
            Err(ApiError::Unauthorized)
        }
    }
}
