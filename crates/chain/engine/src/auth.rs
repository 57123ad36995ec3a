//! The secret that a rollup node and this node share, and the tokens that prove it.
//!
//! Tokens are JWTs (RFC 7519) of algorithm HS256 whose claim `iat` is within a minute of now:
//! <https://github.com/ethereum/execution-apis/blob/main/src/engine/authentication.md>.

use std::{
    fmt, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use alloy_primitives::hex;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac, digest::KeyInit};
use serde::Deserialize;
use sha2::Sha256;
use tributary_io::FileError;

/// Bytes of a secret.
const SECRET_LEN: usize = 32;
/// Seconds that `iat` may differ from now.
const MAX_SKEW: u64 = 60;
/// Largest file with a secret: one in hex, and room for some space around it.
const MAX_FILE: u64 = 4 << 10;
/// Longest token that is looked at.
const MAX_TOKEN: usize = 4 << 10;

/// The secret.
#[derive(Clone, PartialEq, Eq)]
pub struct JwtSecret([u8; SECRET_LEN]);

/// Why there is no secret, or why a token does not prove it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JwtError {
    /// The file cannot be read, or it is missing and cannot be made.
    #[error("cannot {tried} the JWT secret {}: {source}", path.display())]
    File {
        /// `read` or `make`.
        tried: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file holds something else than 32 bytes in hex.
    #[error("JWT secret {}: 32 bytes in hex wanted", path.display())]
    Secret {
        /// The file.
        path: PathBuf,
    },
    /// No `Authorization: Bearer …`.
    #[error("missing bearer token")]
    Missing,
    /// Not a token of algorithm HS256 with a time.
    #[error("malformed token")]
    Malformed,
    /// The signature is of another secret.
    #[error("invalid signature")]
    Signature,
    /// `iat` is too far from now.
    #[error("stale token: issued at {iat}, it is {now} here")]
    Stale {
        /// The token's time.
        iat: u64,
        /// The time here.
        now: u64,
    },
}

#[derive(Deserialize)]
struct Header {
    alg: String,
}

#[derive(Deserialize)]
struct Claims {
    iat: u64,
    exp: Option<u64>,
}

impl JwtSecret {
    /// A new one.
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// Reads hex, with or without `0x`.
    pub fn from_hex(text: &str) -> Option<Self> {
        hex::decode_to_array(text.trim()).ok().map(Self)
    }

    /// Reads the file, or makes it, for its owner's eyes only.
    pub fn load_or_create(path: &Path) -> Result<Self, JwtError> {
        let file = |tried| move |source| JwtError::File { tried, path: path.to_owned(), source };
        match tributary_io::read(path, MAX_FILE) {
            Ok(text) => Self::from_hex(&String::from_utf8_lossy(&text))
                .ok_or_else(|| JwtError::Secret { path: path.to_owned() }),
            Err(FileError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                let secret = Self::random();
                secret.write(path).map_err(file("make"))?;
                tracing::info!(target: "engine", path = %path.display(), "JWT secret made");
                Ok(secret)
            }
            Err(FileError::Io(error)) => Err(file("read")(error)),
            Err(error) => Err(file("read")(io::Error::other(format!("{error}; 32 bytes in hex wanted")))),
        }
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path)?.write_all(hex::encode(self.0).as_bytes())
    }

    /// A token for now.
    pub fn token(&self) -> String {
        self.token_at(unix_now())
    }

    fn token_at(&self, iat: u64) -> String {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
        let claims = URL_SAFE_NO_PAD.encode(format!(r#"{{"iat":{iat}}}"#));
        let signature = self.mac(&[&header, ".", &claims]).finalize().into_bytes();
        format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Checks the value of an `Authorization` header.
    pub(crate) fn check_header(&self, value: Option<&[u8]>) -> Result<(), JwtError> {
        let value = value.ok_or(JwtError::Missing)?;
        let value = std::str::from_utf8(value).map_err(|_| JwtError::Malformed)?;
        let (scheme, token) = value.split_once(' ').ok_or(JwtError::Missing)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(JwtError::Missing);
        }
        self.check(token.trim(), unix_now())
    }

    fn check(&self, token: &str, now: u64) -> Result<(), JwtError> {
        if token.len() > MAX_TOKEN {
            return Err(JwtError::Malformed);
        }
        let mut parts = token.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(JwtError::Malformed);
        };
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| JwtError::Malformed)?;
        // The comparison takes the same time whatever the signature is.
        self.mac(&[header, ".", claims]).verify_slice(&signature).map_err(|_| JwtError::Signature)?;
        if decode::<Header>(header)?.alg != "HS256" {
            return Err(JwtError::Malformed);
        }
        let Claims { iat, exp } = decode(claims)?;
        if iat.abs_diff(now) > MAX_SKEW || exp.is_some_and(|exp| exp < now) {
            return Err(JwtError::Stale { iat, now });
        }
        Ok(())
    }

    fn mac(&self, parts: &[&str]) -> Hmac<Sha256> {
        // HMAC fills keys up to the hash's block with zeros.
        let mut key = [0; 64];
        key[..SECRET_LEN].copy_from_slice(&self.0);
        let mut mac = <Hmac<Sha256> as KeyInit>::new(&key.into());
        for part in parts {
            mac.update(part.as_bytes());
        }
        mac
    }
}

impl fmt::Debug for JwtSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JwtSecret(..)")
    }
}

fn decode<T: for<'de> Deserialize<'de>>(part: &str) -> Result<T, JwtError> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| JwtError::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| JwtError::Malformed)
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn secret() -> JwtSecret {
        JwtSecret::from_hex("0x688f5d737bad920bdfb2fc2f488d6b6209eebda1dae949a8de91398d932c517a\n").unwrap()
    }

    /// Made by another implementation (Python's hmac).
    #[test]
    fn a_token_made_elsewhere_is_taken() {
        let token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpYXQiOjE3MDAwMDAwMDB9.s6udfviLkct8Bg3Ch-cx2E_KhCTdzhEpfNEm-PNA00U";
        secret().check(token, NOW + 60).unwrap();
        assert_eq!(secret().token_at(NOW), token);
    }

    #[test]
    fn a_minute_is_the_limit() {
        let token = secret().token_at(NOW);
        for now in [NOW - 60, NOW, NOW + 60] {
            secret().check(&token, now).unwrap();
        }
        for now in [NOW - 61, NOW + 61] {
            assert!(matches!(secret().check(&token, now), Err(JwtError::Stale { .. })));
        }
    }

    #[test]
    fn what_proves_nothing_is_refused() {
        let token = secret().token_at(NOW);
        assert!(matches!(JwtSecret::random().check(&token, NOW), Err(JwtError::Signature)));
        let (head, _) = token.rsplit_once('.').unwrap();
        for bad in ["", ".", "..", "...", head, &format!("{head}."), &format!("{token}.x"), &"a".repeat(5000)]
        {
            assert!(secret().check(bad, NOW).is_err(), "{bad}");
        }
        let unsigned = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        let claims = URL_SAFE_NO_PAD.encode(format!(r#"{{"iat":{NOW}}}"#));
        assert!(secret().check(&format!("{unsigned}.{claims}."), NOW).is_err());
        let mac = secret().mac(&[&unsigned, ".", &claims]).finalize().into_bytes();
        let signed = format!("{unsigned}.{claims}.{}", URL_SAFE_NO_PAD.encode(mac));
        assert!(matches!(secret().check(&signed, NOW), Err(JwtError::Malformed)));
        assert!(matches!(secret().check_header(None), Err(JwtError::Missing)));
        assert!(matches!(secret().check_header(Some(b"Basic abc")), Err(JwtError::Missing)));
    }

    #[test]
    fn the_file_is_made_once_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/jwt.hex");
        let made = JwtSecret::load_or_create(&path).unwrap();
        assert!(JwtSecret::load_or_create(&path).unwrap() == made);
        fs::write(&path, "0x1234").unwrap();
        assert!(matches!(JwtSecret::load_or_create(&path), Err(JwtError::Secret { .. })));
        for (bad, tried) in
            [(folder.path().to_owned(), "read"), (path.join("beneath"), "read"), ("/proc/jwt".into(), "make")]
        {
            let error = JwtSecret::load_or_create(&bad).err().unwrap().to_string();
            assert!(
                error.starts_with(&format!("cannot {tried} the JWT secret {}: ", bad.display())),
                "{error}"
            );
        }
    }

    /// A device was read until no memory was left.
    #[test]
    fn a_secret_is_in_a_small_regular_file() {
        let folder = tempfile::tempdir().unwrap();
        let (large, link) = (folder.path().join("large"), folder.path().join("link"));
        fs::write(&large, vec![b' '; 4097]).unwrap();
        for (path, why) in
            [(&large, "larger than 4096 bytes"), (&PathBuf::from("/dev/zero"), "not a regular file")]
        {
            let error = JwtSecret::load_or_create(path).err().unwrap().to_string();
            let wanted =
                format!("cannot read the JWT secret {}: {why}; 32 bytes in hex wanted", path.display());
            assert_eq!(error, wanted);
        }
        fs::write(&large, format!("{}\n", hex::encode(secret().0))).unwrap();
        std::os::unix::fs::symlink(&large, &link).unwrap();
        assert!(JwtSecret::load_or_create(&link).unwrap() == secret(), "as containers have it");
    }
}
