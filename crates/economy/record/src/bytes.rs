//! Bounded reading and writing of the big-endian formats.

use alloy_primitives::{Address, B256};

/// Why bytes are not in the protocol's format, or a value cannot be put into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end inside a field.
    #[error("the bytes end inside {0}")]
    Truncated(&'static str),
    /// Bytes follow the last field.
    #[error("{0} bytes after the end")]
    Trailing(usize),
    /// The batch does not begin with "TRIB".
    #[error("not a batch: wrong magic")]
    Magic,
    /// A version this code does not know.
    #[error("unknown version {0}")]
    Version(u8),
    /// A list, record or batch above its bound.
    #[error("{what}: {got} is above the bound of {max}")]
    TooLong {
        /// What was too long.
        what: &'static str,
        /// Its length.
        got: usize,
        /// The bound.
        max: usize,
    },
    /// A signature is 65 bytes or absent.
    #[error("a signature of {0} bytes")]
    SignatureLength(usize),
}

/// Refuses a length above its bound.
pub(crate) const fn bounded(what: &'static str, got: usize, max: usize) -> Result<usize, DecodeError> {
    if got > max { Err(DecodeError::TooLong { what, got, max }) } else { Ok(got) }
}

/// Reads fields off the front of a slice.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn take(&mut self, what: &'static str, len: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::Truncated(what))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated(what))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        Ok(u8::from_be_bytes(self.array(what)?))
    }

    pub(crate) fn u16(&mut self, what: &'static str) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array(what)?))
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array(what)?))
    }

    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array(what)?))
    }

    pub(crate) fn u128(&mut self, what: &'static str) -> Result<u128, DecodeError> {
        Ok(u128::from_be_bytes(self.array(what)?))
    }

    pub(crate) fn b256(&mut self, what: &'static str) -> Result<B256, DecodeError> {
        Ok(B256::new(self.array(what)?))
    }

    pub(crate) fn address(&mut self, what: &'static str) -> Result<Address, DecodeError> {
        Ok(Address::new(self.array(what)?))
    }

    /// A list preceded by a u16 count of at most `max`.
    pub(crate) fn list<T>(
        &mut self,
        what: &'static str,
        max: usize,
        item: impl Fn(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = bounded(what, usize::from(self.u16(what)?), max)?;
        (0..count).map(|_| item(self)).collect()
    }

    pub(crate) const fn end(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing(self.rest.len())) }
    }
}

/// Appends fields to a buffer.
#[derive(Debug, Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes(&value.to_be_bytes());
    }

    pub(crate) fn u128(&mut self, value: u128) {
        self.bytes(&value.to_be_bytes());
    }

    pub(crate) fn b256(&mut self, value: B256) {
        self.bytes(value.as_slice());
    }

    /// A list preceded by a u16 count of at most `max`.
    pub(crate) fn list<T>(
        &mut self,
        what: &'static str,
        max: usize,
        items: &[T],
        item: impl Fn(&mut Self, &T),
    ) -> Result<(), DecodeError> {
        let max = if max > usize::from(u16::MAX) { usize::from(u16::MAX) } else { max };
        let count = bounded(what, items.len(), max)?;
        self.u16(count as u16);
        items.iter().for_each(|entry| item(self, entry));
        Ok(())
    }
}
