//! What the path of a get names, as the original's route patterns read it.

use alloy_primitives::hex;

/// What a get asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A certificate, with its version byte.
    Certificate { version: u8, rlp: Vec<u8> },
    /// A blob by its keccak hash, which takes a store that is not here.
    Keccak,
}

/// Why a path names nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BadPath {
    /// No route matches: 404.
    NoRoute,
    /// A route matches, what it holds does not: 400.
    Malformed(String),
}

/// Reads the path of a get: hex of either case, `0x` before it or not.
pub(super) fn wanted(path: &str, standard: bool) -> Result<Wanted, BadPath> {
    let digits = path.strip_prefix("0x").unwrap_or(path);
    let all_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if digits.len() == 2 && all_hex {
        return Err(BadPath::Malformed(format!("unsupported commitment type {digits}")));
    }
    if standard {
        let certificate = (digits.len() > 2 && all_hex).then_some(digits);
        return decode(certificate.ok_or(BadPath::NoRoute)?);
    }
    match digits.get(..2) {
        Some("00") => {
            let key = digits.len() == 66 && all_hex;
            key.then_some(Wanted::Keccak).ok_or(BadPath::NoRoute)
        }
        Some("01") => {
            let head_is_hex =
                digits.get(2..6).is_some_and(|head| head.bytes().all(|b| b.is_ascii_hexdigit()));
            let certificate = digits.get(4..).filter(|rest| rest.len() > 2 && head_is_hex);
            decode(certificate.ok_or(BadPath::NoRoute)?)
        }
        _ => Err(BadPath::NoRoute),
    }
}

fn decode(digits: &str) -> Result<Wanted, BadPath> {
    let bytes = hex::decode(digits).map_err(|error| BadPath::Malformed(format!("bad hex: {error}")))?;
    match bytes.split_first() {
        Some((version, rlp)) => Ok(Wanted::Certificate { version: *version, rlp: rlp.to_vec() }),
        None => Err(BadPath::NoRoute),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_as_the_original_reads_them() {
        let certificate = |version| Ok(Wanted::Certificate { version, rlp: vec![0xc0, 0xff] });
        assert_eq!(wanted("0x010003c0ff", false), certificate(3));
        assert_eq!(wanted("01ff03C0fF", false), certificate(3));
        assert_eq!(wanted("0x03c0ff", true), certificate(3));
        assert_eq!(wanted(&format!("0x00{}", "ab".repeat(32)), false), Ok(Wanted::Keccak));
        for missed in ["0x0200c0", "0x03c0ff", "0x010003", "0x00abcd", "", "zz", "0X010003c0ff", "é€"] {
            assert_eq!(wanted(missed, false), Err(BadPath::NoRoute), "{missed}");
        }
        assert_eq!(wanted("0x03zz", true), Err(BadPath::NoRoute));
        for malformed in ["0x010003c", "0x010003zz", "0x02"] {
            assert!(matches!(wanted(malformed, false), Err(BadPath::Malformed(_))), "{malformed}");
        }
        assert!(matches!(wanted("0x03c", true), Err(BadPath::Malformed(_))));
    }
}
