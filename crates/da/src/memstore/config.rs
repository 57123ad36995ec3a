//! What can be changed while it runs: `/memstore/config`.

use super::duration::GoDuration;
use serde_json::{Map, Value, json};

/// Largest blob there can be.
pub(crate) const MAX_BLOB: u64 = 16 * 1024 * 1024;

/// An error that gets of what is put from now on will answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DerivationError {
    /// 1 to 4.
    pub code: u8,
    /// Free text.
    pub message: String,
}

impl DerivationError {
    /// The body of a 418, escaped as Go's encoder does.
    pub(crate) fn body(&self) -> String {
        json!({ "StatusCode": self.code, "Msg": self.message })
            .to_string()
            .replace('<', "\\u003c")
            .replace('>', "\\u003e")
            .replace('&', "\\u0026")
    }
}

/// How the memstore behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemstoreConfig {
    /// Largest blob, in bytes.
    pub max_blob: u64,
    /// How long blobs are kept; those put while it is zero are kept for ever.
    pub expiration: GoDuration,
    /// Wait before a put is answered.
    pub put_latency: GoDuration,
    /// Wait before a get is answered.
    pub get_latency: GoDuration,
    /// Puts answer 503.
    pub failover: bool,
    /// Gets of what is put from now on answer this.
    pub derivation_error: Option<DerivationError>,
}

impl Default for MemstoreConfig {
    fn default() -> Self {
        Self {
            max_blob: MAX_BLOB,
            expiration: GoDuration::from_secs(14 * 24 * 3_600),
            put_latency: GoDuration(0),
            get_latency: GoDuration(0),
            failover: false,
            derivation_error: None,
        }
    }
}

impl MemstoreConfig {
    /// The answer of GET and PATCH.
    pub(crate) fn to_json(&self) -> String {
        let error = self.derivation_error.as_ref().map_or(
            Value::Null,
            |error| json!({ "StatusCode": error.code, "Msg": error.message, "Reset": false }),
        );
        let mut text = format!(
            r#"{{"MaxBlobSizeBytes":{},"BlobExpiration":"{}","PutLatency":"{}","GetLatency":"{}","#,
            self.max_blob, self.expiration, self.put_latency, self.get_latency
        );
        text.push_str(&format!(
            r#""PutReturnsFailoverError":{},"OverwritePutWithDerivationError":{error},"CertVersion":0}}"#,
            self.failover
        ));
        text.push('\n');
        text
    }

    /// Takes over the fields of a PATCH body, in order; keys in any case, unknown ones ignored.
    ///
    /// # Errors
    /// With what is wrong; fields before it stay changed.
    pub(crate) fn patch(&mut self, body: &[u8]) -> Result<(), String> {
        let first = serde_json::Deserializer::from_slice(body).into_iter::<Value>().next();
        let fields = match first {
            Some(Ok(Value::Object(fields))) => fields,
            Some(Ok(Value::Null)) => return Ok(()),
            Some(Ok(_)) => return Err("not an object".to_owned()),
            Some(Err(error)) => return Err(error.to_string()),
            None => return Err("EOF".to_owned()),
        };
        if let Some(value) = field(&fields, "MaxBlobSizeBytes") {
            self.max_blob = value.as_u64().ok_or("MaxBlobSizeBytes is not a size")?;
        }
        for (name, target) in [
            ("BlobExpiration", &mut self.expiration),
            ("PutLatency", &mut self.put_latency),
            ("GetLatency", &mut self.get_latency),
        ] {
            if let Some(value) = field(&fields, name) {
                *target = value.as_str().ok_or_else(|| format!("{name} is not a string"))?.parse()?;
            }
        }
        if let Some(value) = field(&fields, "PutReturnsFailoverError") {
            self.failover = value.as_bool().ok_or("PutReturnsFailoverError is not a boolean")?;
        }
        if let Some(value) = field(&fields, "NullableDerivationError") {
            self.derivation_error = derivation_error(value)?;
        }
        Ok(())
    }
}

fn field<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let found = fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value).filter(|value| !value.is_null())
}

/// The original crashes on codes other than 1 to 4; this refuses them.
fn derivation_error(value: &Value) -> Result<Option<DerivationError>, String> {
    let fields = value.as_object().ok_or("NullableDerivationError is not an object")?;
    if field(fields, "Reset").and_then(Value::as_bool) == Some(true) {
        return Ok(None);
    }
    let code = field(fields, "StatusCode").and_then(Value::as_u64).unwrap_or(0);
    let code = u8::try_from(code).ok().filter(|code| (1..=4).contains(code));
    let code = code.ok_or("a derivation error's StatusCode is 1, 2, 3 or 4")?;
    let message = field(fields, "Msg").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(Some(DerivationError { code, message }))
}
