//! Values to bytes and back. Decoders never panic: what does not decode is corruption.

mod block;
mod diff;
mod leaf;
mod node;

pub(crate) use block::{
    decode_body, decode_header, decode_receipts, decode_whole, encode_body, encode_header, encode_receipts,
    encode_whole, header_hash,
};
pub(crate) use diff::{Later, decode_diff, encode_leaf_diff, encode_node_diff};
pub(crate) use leaf::{decode_leaf, decode_value, encode_leaf, encode_value};
pub(crate) use node::{decode_node, decode_partial, encode_node, encode_partial};

use crate::StoreError;
use alloy_primitives::B256;
use alloy_trie::Nibbles;

/// First byte of bodies, receipts and diffs; raised when their layout changes.
pub(crate) const FORMAT: u8 = 1;

/// Takes values off the front of a slice.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    pub(crate) fn error(&self, why: &str) -> StoreError {
        StoreError::corrupt(format!("{}: {why}", self.what))
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], StoreError> {
        if self.rest.len() < length {
            return Err(self.error("ends too early"));
        }
        let (head, rest) = self.rest.split_at(length);
        self.rest = rest;
        Ok(head)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, StoreError> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn hash(&mut self) -> Result<B256, StoreError> {
        Ok(B256::from_slice(self.take(32)?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, StoreError> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    pub(crate) fn format(&mut self) -> Result<(), StoreError> {
        match self.byte()? {
            FORMAT => Ok(()),
            other => Err(self.error(&format!("format {other} is not known"))),
        }
    }

    /// LEB128.
    pub(crate) fn varint(&mut self) -> Result<u64, StoreError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.error("integer too long"))
    }

    /// A count of things that take at least `each` bytes, so that a corrupt one cannot allocate at will.
    pub(crate) fn count(&mut self, each: usize) -> Result<usize, StoreError> {
        let count = self.varint()?;
        let most = self.rest.len() / each.max(1);
        usize::try_from(count)
            .ok()
            .filter(|count| *count <= most)
            .ok_or_else(|| self.error("count too large"))
    }

    /// A length, then that many bytes.
    pub(crate) fn chunk(&mut self) -> Result<&'a [u8], StoreError> {
        let length = self.count(1)?;
        self.take(length)
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn finish(self) -> Result<(), StoreError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.error("has bytes left over")) }
    }
}

pub(crate) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn put_chunk(bytes: &[u8], out: &mut Vec<u8>) {
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

pub(crate) fn decode_path(bytes: &[u8]) -> Result<Nibbles, StoreError> {
    if bytes.len() > 64 || bytes.iter().any(|nibble| *nibble > 0xf) {
        return Err(StoreError::corrupt("path of a trie node: not nibbles"));
    }
    Ok(Nibbles::from_nibbles_unchecked(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            put_varint(value, &mut bytes);
            let mut reader = Reader::new(&bytes, "test");
            assert_eq!(reader.varint().unwrap(), value);
            reader.finish().unwrap();
        }
    }

    #[test]
    fn overlong_and_truncated_varints_are_refused() {
        assert!(Reader::new(&[0xff; 11], "test").varint().is_err());
        assert!(Reader::new(&[0x80], "test").varint().is_err());
        let mut too_big = vec![0xff; 9];
        too_big.push(2);
        assert!(Reader::new(&too_big, "test").varint().is_err());
    }

    #[test]
    fn a_corrupt_count_does_not_allocate() {
        let mut bytes = Vec::new();
        put_varint(u64::MAX, &mut bytes);
        assert!(Reader::new(&bytes, "test").count(32).is_err());
    }
}
