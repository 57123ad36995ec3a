//! Whether a keystore may be decrypted at all: its cost and its sizes are whatever the file says, so they are looked at first.

use serde::Deserialize;

/// Memory that scrypt may take, in bytes: four times what geth's keystores need.
const MAX_MEMORY: u64 = 1 << 30;
/// Blocks that scrypt may mix: eight times what geth's keystores need.
const MAX_MIXES: u64 = 1 << 24;
/// Rounds of PBKDF2; keystores have 262,144.
const MAX_ROUNDS: u32 = 10_000_000;
/// Bytes of the derived key, of the secret, and of the MAC.
const KEY: usize = 32;
/// Bytes of the counter's first block.
const IV: usize = 16;

/// Why a keystore is not decrypted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum KeystoreError {
    /// Not a keystore of version 3.
    #[error("not a keystore of version 3")]
    Format,
    /// A name that is not known here.
    #[error("{field} {value:?} is not supported")]
    Unsupported { field: &'static str, value: String },
    /// Bytes of the wrong number.
    #[error("{field} has {got} bytes, not {want}")]
    Size { field: &'static str, got: usize, want: usize },
    /// A cost that is no cost, or that nobody asks for in earnest.
    #[error("its key derivation asks for {0}")]
    Cost(&'static str),
}

#[derive(Deserialize)]
struct Keystore {
    crypto: Crypto,
    version: u64,
}

#[derive(Deserialize)]
struct Crypto {
    cipher: String,
    cipherparams: CipherParams,
    ciphertext: Hex,
    kdf: String,
    kdfparams: KdfParams,
    mac: Hex,
}

#[derive(Deserialize)]
struct CipherParams {
    iv: Hex,
}

#[derive(Deserialize)]
struct KdfParams {
    dklen: usize,
    c: Option<u32>,
    prf: Option<String>,
    n: Option<u64>,
    r: Option<u64>,
    p: Option<u64>,
}

/// Bytes in hex, of which only the number matters here.
#[derive(Deserialize)]
struct Hex(String);

impl Hex {
    fn check(&self, field: &'static str, want: usize) -> Result<(), KeystoreError> {
        let got = self.0.len() / 2;
        if got == want { Ok(()) } else { Err(KeystoreError::Size { field, got, want }) }
    }
}

/// Checks what decryption would otherwise fall over, or run out of memory or patience with.
pub(crate) fn check_keystore(text: &str) -> Result<(), KeystoreError> {
    let Keystore { crypto, version: 3 } = serde_json::from_str(text).map_err(|_| KeystoreError::Format)?
    else {
        return Err(KeystoreError::Format);
    };
    supported("cipher", &crypto.cipher, "aes-128-ctr")?;
    crypto.cipherparams.iv.check("iv", IV)?;
    crypto.ciphertext.check("ciphertext", KEY)?;
    crypto.mac.check("mac", KEY)?;
    let params = &crypto.kdfparams;
    if params.dklen != KEY {
        return Err(KeystoreError::Size { field: "dklen", got: params.dklen, want: KEY });
    }
    // The two kinds of parameters tell the derivation apart, whatever the name says: they have to agree.
    match (crypto.kdf.as_str(), params) {
        ("pbkdf2", KdfParams { c: Some(rounds), prf: Some(prf), n: None, r: None, p: None, .. }) => {
            supported("prf", prf, "hmac-sha256")?;
            within((1..=MAX_ROUNDS).contains(rounds), "no rounds, or more than 10 million")
        }
        ("scrypt", KdfParams { n: Some(n), r: Some(r), p: Some(p), c: None, prf: None, .. }) => {
            within(*n > 1 && n.is_power_of_two(), "an n that is no power of two")?;
            within(*r > 0 && *p > 0, "nothing")?;
            let memory = n.saturating_mul(*r).saturating_mul(128);
            within(memory <= MAX_MEMORY, "more than 1 GiB of memory")?;
            within(n.saturating_mul(*r).saturating_mul(*p) <= MAX_MIXES, "too much work")
        }
        ("pbkdf2" | "scrypt", _) => Err(KeystoreError::Format),
        (kdf, _) => Err(KeystoreError::Unsupported { field: "kdf", value: kdf.chars().take(32).collect() }),
    }
}

fn supported(field: &'static str, value: &str, known: &str) -> Result<(), KeystoreError> {
    if value == known {
        return Ok(());
    }
    Err(KeystoreError::Unsupported { field, value: value.chars().take(32).collect() })
}

const fn within(sane: bool, what: &'static str) -> Result<(), KeystoreError> {
    if sane { Ok(()) } else { Err(KeystoreError::Cost(what)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn keystore() -> Value {
        json!({
            "version": 3, "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
            "crypto": {
                "cipher": "aes-128-ctr", "cipherparams": { "iv": "83dbcc02d8ccb40e466191a123791e0e" },
                "ciphertext": "11".repeat(32), "mac": "22".repeat(32), "kdf": "scrypt",
                "kdfparams": { "dklen": 32, "n": 262_144, "p": 1, "r": 8, "salt": "33".repeat(32) },
            },
        })
    }

    fn fault(path: &str, value: Value) -> String {
        let mut keystore = keystore();
        *keystore.pointer_mut(path).unwrap() = value;
        check_keystore(&keystore.to_string()).unwrap_err().to_string()
    }

    #[test]
    fn geths_keystores_pass() {
        check_keystore(&keystore().to_string()).unwrap();
        let mut other = keystore();
        other["crypto"]["kdf"] = json!("pbkdf2");
        other["crypto"]["kdfparams"] =
            json!({ "c": 262_144, "dklen": 32, "prf": "hmac-sha256", "salt": "33".repeat(32) });
        check_keystore(&other.to_string()).unwrap();
    }

    /// Each of these once ended the process.
    #[test]
    fn hostile_parameters_are_refused_by_name() {
        for dklen in [0, 4, 31, 255] {
            assert!(fault("/crypto/kdfparams/dklen", json!(dklen)).starts_with("dklen has"));
        }
        assert_eq!(fault("/crypto/cipherparams/iv", json!("00")), "iv has 1 bytes, not 16");
        assert_eq!(fault("/crypto/ciphertext", json!("")), "ciphertext has 0 bytes, not 32");
        assert!(fault("/crypto/kdfparams/n", json!(1_u64 << 30)).contains("more than 1 GiB"));
        assert!(fault("/crypto/kdfparams/r", json!(u64::MAX)).contains("more than 1 GiB"));
        assert!(fault("/crypto/kdfparams/p", json!(1 << 20)).contains("too much work"));
        for n in [0, 1, 3] {
            assert!(fault("/crypto/kdfparams/n", json!(n)).contains("power of two"));
        }
        assert!(fault("/crypto/kdfparams/p", json!(0)).contains("nothing"));
        assert!(fault("/crypto/kdf", json!("argon2")).contains("argon2"));
        assert!(fault("/crypto/cipher", json!("rot13")).contains("rot13"));
        for (path, value) in
            [("/version", json!(1)), ("/crypto/kdf", json!("pbkdf2")), ("/crypto/mac", json!(1))]
        {
            assert_eq!(fault(path, value), "not a keystore of version 3");
        }
        // Parameters of both kinds: the decrypter would take those of the kind that is not named.
        let mut both = keystore();
        both["crypto"]["kdfparams"]["c"] = json!(u32::MAX);
        both["crypto"]["kdfparams"]["prf"] = json!("hmac-sha256");
        assert!(check_keystore(&both.to_string()).is_err());
    }
}
