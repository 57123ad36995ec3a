//! The body and the headers of a call, bounded and typed.

use crate::{
    error::{ApiError, Result},
    fields::{Body, parse},
    keys::KeyUse,
    service::{Api, Caller},
    voucher::{VOUCHER_HEADER, VoucherHeader},
};
use alloy_primitives::keccak256;
use axum::{
    body::Bytes,
    extract::{ConnectInfo, FromRequest, FromRequestParts, Request},
};
use http::{HeaderMap, StatusCode, header, request::Parts};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// A JSON body with who sent it.
pub(crate) struct Call<T> {
    pub(crate) caller: Caller,
    pub(crate) body: T,
}

impl<T: Body> FromRequest<Api> for Call<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self> {
        let (mut parts, body) = request.into_parts();
        let Authorized(key) = Authorized::from_request_parts(&mut parts, api).await?;
        if let Some(key) = &key {
            key.request().map_err(|retry_after| ApiError::Busy {
                message: "the API key's requests of this minute are used".into(),
                retry_after,
            })?;
        }
        let voucher = voucher(&parts.headers)?;
        let paid = voucher.as_ref().filter(|_| api.checks_vouchers());
        let tenant = tenant(&parts, key.is_some(), paid);
        let request = Request::from_parts(parts, body);
        let bytes = read(request, api).await?;
        let body = parse(&bytes)?;
        let caller = Caller { voucher, body_hash: keccak256(&bytes), tenant, key };
        Ok(Self { caller, body })
    }
}

/// All of a body, within a time: one that came a byte now and then would keep its connection's place.
async fn read(request: Request, api: &Api) -> Result<Bytes> {
    let body = tokio::time::timeout(api.config().body_timeout, Bytes::from_request(request, api)).await;
    body.map_err(|_| ApiError::LateBody)?.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::BodyTooLarge(api.config().body_bytes),
        _ => ApiError::Invalid { message: rejection.body_text(), param: None },
    })
}

/// A body by itself.
pub(crate) async fn read_json<T: Body>(request: Request, api: &Api) -> Result<T> {
    parse(&read(request, api).await?)
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

/// Whose share of the machine a call counts against, and whose prefixes it shares: its channel's, its key's, or its address's. What
/// anybody can make up counts for nothing: vouchers that nobody checks, keys where none are set.
fn tenant(parts: &Parts, keyed: bool, voucher: Option<&VoucherHeader>) -> u64 {
    let hash = if let Some(voucher) = voucher {
        keccak256(voucher.channel)
    } else if let Some(key) = bearer(&parts.headers).filter(|_| keyed) {
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

/// The key. The scheme's name has no case (RFC 9110, 11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim_start_matches(' '))
}

/// A call with a known API key, or any call where none are set.
pub(crate) struct Authorized(pub(crate) Option<Arc<KeyUse>>);

impl FromRequestParts<Api> for Authorized {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self> {
        if api.keys.is_open() {
            return Ok(Self(None));
        }
        let found = bearer(&parts.headers).and_then(|key| api.keys.find(key));
        found.map(|key| Self(Some(key))).ok_or(ApiError::Unauthorized)
    }
}

/// A call with the admin's key.
pub(crate) struct Admin;

impl FromRequestParts<Api> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self> {
        let Some(admin) = &api.config().admin_key else { return Err(ApiError::Forbidden) };
        match bearer(&parts.headers) {
            Some(key) if admin.is(key) => Ok(Self),
            Some(key) if api.keys.find(key).is_some() => Err(ApiError::Forbidden),
            _ => Err(ApiError::Unauthorized),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{B256, U256};

    fn parts(bearer: &str, peer: &str) -> Parts {
        let request = http::Request::builder().header(header::AUTHORIZATION, format!("Bearer {bearer}"));
        let peer = ConnectInfo(SocketAddr::new(peer.parse().unwrap(), 1));
        request.extension(peer).body(()).unwrap().into_parts().0
    }

    /// Made-up keys and vouchers once gave a turn more each, and the prefixes of whoever's channel was named.
    #[test]
    fn what_anybody_can_make_up_is_nobodys_tenant() {
        let of = |bearer, peer, keyed| tenant(&parts(bearer, peer), keyed, None);
        assert_eq!(of("one", "10.0.0.1", false), of("two", "10.0.0.1", false));
        assert_ne!(of("one", "10.0.0.1", false), of("one", "10.0.0.2", false));
        assert_ne!(of("one", "10.0.0.1", true), of("two", "10.0.0.1", true));
        assert_eq!(of("one", "10.0.0.1", true), of("one", "10.0.0.2", true));
        assert_eq!(of("a", "2001:db8::1", false), of("b", "2001:db8::2", false));
    }

    #[test]
    fn a_keys_scheme_has_no_case() {
        let of = |text: &str| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, text.parse().unwrap())]);
            bearer(&headers).map(str::to_owned)
        };
        for text in ["Bearer k", "bearer k", "BEARER  k"] {
            assert_eq!(of(text).as_deref(), Some("k"), "{text}");
        }
        assert_eq!([of("Basic k"), of("Bearerk"), of("k")], [None, None, None]);
    }

    #[test]
    fn a_checked_vouchers_channel_comes_first() {
        let of = |channel: u8, bearer| {
            let voucher = VoucherHeader {
                channel: B256::repeat_byte(channel),
                cumulative: U256::ZERO,
                request_id: B256::ZERO,
                l2_block: 0,
                n_in: 0,
                max_fee: 0,
                privacy: 0,
                signature: alloy_primitives::Bytes::new(),
            };
            tenant(&parts(bearer, "10.0.0.1"), true, Some(&voucher))
        };
        assert_eq!(of(1, "one"), of(1, "two"));
        assert_ne!(of(1, "one"), of(2, "one"));
    }
}
