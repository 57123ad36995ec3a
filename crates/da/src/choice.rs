//! The one flag: `--da memstore` or `--da URL`.

use crate::certificate::is_memstore;
use crate::error::DaError;
use std::fmt;
use std::str::FromStr;
use url::Url;

/// Where batches go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DaChoice {
    /// The embedded memstore.
    Memstore,
    /// An eigenda-proxy.
    Proxy(Url),
}

impl DaChoice {
    /// Refuses the embedded memstore where it must not be used.
    ///
    /// # Errors
    /// [`DaError::MemstoreOffDev`] when the chain's genesis does not say dev.
    pub fn check(&self, dev_chain: bool) -> Result<(), DaError> {
        if *self == Self::Memstore && !dev_chain { Err(DaError::MemstoreOffDev) } else { Ok(()) }
    }
}

/// Refuses a certificate that a memstore made, wherever it came from, on a chain that is not for development.
///
/// # Errors
/// [`DaError::MemstoreOffDev`] when it is one.
pub fn refuse_memstore(commitment: &[u8], dev_chain: bool) -> Result<(), DaError> {
    if !dev_chain && is_memstore(commitment) { Err(DaError::MemstoreOffDev) } else { Ok(()) }
}

impl FromStr for DaChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "memstore" {
            return Ok(Self::Memstore);
        }
        let url = Url::parse(text).map_err(|error| format!("neither memstore nor a URL: {error}"))?;
        if matches!(url.scheme(), "http" | "https") && url.has_host() {
            Ok(Self::Proxy(url))
        } else {
            Err("an eigenda-proxy is reached by http or https".to_owned())
        }
    }
}

impl fmt::Display for DaChoice {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memstore => to.write_str("memstore"),
            Self::Proxy(url) => url.fmt(to),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_takes_memstore_or_a_url() {
        assert_eq!("memstore".parse(), Ok(DaChoice::Memstore));
        let proxy: DaChoice = "http://127.0.0.1:3100".parse().expect("a URL");
        assert!(matches!(proxy, DaChoice::Proxy(_)));
        for wrong in ["", "eigenda", "ftp://host/x", "file:///etc/passwd", "http://"] {
            assert!(wrong.parse::<DaChoice>().is_err(), "{wrong}");
        }
        assert_eq!(DaChoice::Memstore.check(false), Err(DaError::MemstoreOffDev));
        assert!(DaChoice::Memstore.check(true).is_ok() && proxy.check(false).is_ok());
    }
}
