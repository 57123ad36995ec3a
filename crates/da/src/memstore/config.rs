//! The settings that `/memstore/config` shows and changes.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::duration;

/// Settings of a memstore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemstoreConfig {
    /// Largest blob, in bytes: a power of two.
    pub max_blob_size: u64,
    /// How long a blob is kept; zero: for ever.
    pub expiration: Duration,
    /// Added to each dispersal.
    pub put_latency: Duration,
    /// Added to each retrieval.
    pub get_latency: Duration,
    /// Answer 503 to dispersals, as a proxy whose disperser is down.
    pub put_fails_over: bool,
    /// Give dispersed blobs a certificate whose retrieval answers 418 with this code and text.
    pub derivation_error: Option<(u8, String)>,
}

impl Default for MemstoreConfig {
    fn default() -> Self {
        Self {
            max_blob_size: 16 * 1024 * 1024,
            // As long as EigenDA keeps blobs.
            expiration: Duration::from_secs(14 * 24 * 3600),
            put_latency: Duration::ZERO,
            get_latency: Duration::ZERO,
            put_fails_over: false,
            derivation_error: None,
        }
    }
}

impl MemstoreConfig {
    /// The JSON of the control route.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "MaxBlobSizeBytes": self.max_blob_size,
            "BlobExpiration": duration::format(self.expiration),
            "PutLatency": duration::format(self.put_latency),
            "GetLatency": duration::format(self.get_latency),
            "PutReturnsFailoverError": self.put_fails_over,
            "OverwritePutWithDerivationError":
                self.derivation_error.as_ref().map(|(code, message)| json!({"StatusCode": code, "Msg": message})),
            "CertVersion": 0,
        })
    }

    /// Takes a subset of settings, keys in any case. Fields before a bad one stay applied, as in the proxy.
    pub(super) fn patch(&mut self, patch: &Map<String, Value>) -> Result<(), String> {
        for (key, value) in patch {
            match key.to_ascii_lowercase().as_str() {
                "maxblobsizebytes" => {
                    self.max_blob_size = value.as_u64().ok_or_else(|| bad(key, "an unsigned integer"))?;
                }
                "blobexpiration" => self.expiration = go_duration(key, value)?,
                "putlatency" => self.put_latency = go_duration(key, value)?,
                "getlatency" => self.get_latency = go_duration(key, value)?,
                "putreturnsfailovererror" => {
                    self.put_fails_over = value.as_bool().ok_or_else(|| bad(key, "a boolean"))?;
                }
                "nullablederivationerror" => self.derivation_error = derivation_error(key, value)?,
                _ => {}
            }
        }
        Ok(())
    }
}

fn derivation_error(key: &str, value: &Value) -> Result<Option<(u8, String)>, String> {
    let field = |name: &str| {
        value.as_object().and_then(|object| {
            object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        })
    };
    if field("Reset").and_then(Value::as_bool).unwrap_or(false) {
        return Ok(None);
    }
    let code =
        field("StatusCode").and_then(Value::as_u64).ok_or_else(|| bad(key, "an object with StatusCode"))?;
    let code = u8::try_from(code).ok().filter(|code| (1..=4).contains(code));
    let code = code.ok_or_else(|| bad(key, "a StatusCode of 1 to 4"))?;
    let message = field("Msg").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(Some((code, message)))
}

fn go_duration(key: &str, value: &Value) -> Result<Duration, String> {
    value.as_str().and_then(duration::parse).ok_or_else(|| bad(key, "a duration such as 25m0s"))
}

fn bad(key: &str, wanted: &str) -> String {
    format!("{key}: not {wanted}")
}
