//! The reversible mapping of bytes to printable characters that GPT-2 introduced, and every byte-level BPE since has used.

/// The byte that a character of a token string stands for.
pub(super) fn from_char(c: char) -> Option<u8> {
    let code = u32::from(c);
    match code {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => u8::try_from(code).ok(),
        0x100..=0x143 => Some(unprintable((code - 0x100) as u8)),
        _ => None,
    }
}

/// The bytes without a printable character of their own, in order.
const fn unprintable(index: u8) -> u8 {
    match index {
        0..=32 => index,
        33..=66 => index - 33 + 0x7f,
        _ => 0xad,
    }
}

/// The bytes of a token string, or `None` if it has a character that stands for no byte.
pub(super) fn decode(token: &str) -> Option<Vec<u8>> {
    token.chars().map(from_char).collect()
}
