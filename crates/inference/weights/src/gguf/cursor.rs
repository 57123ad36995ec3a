//! Bounded reading of little-endian values.

use super::value::{Array, Value};
use std::io::Read;

/// Longest string a header may hold: chat templates and token strings are far shorter.
const MAX_STRING: u64 = 1 << 20;
/// Longest array a header may hold: vocabularies and merges are at most a few hundred thousand long.
const MAX_ARRAY: u64 = 1 << 22;

/// Reads from `inner` and knows how many bytes may still come.
pub(super) struct Cursor<R> {
    inner: R,
    position: u64,
    length: u64,
}

type Parsed<T> = Result<T, String>;

impl<R: Read> Cursor<R> {
    pub(super) fn new(inner: R, length: u64) -> Self {
        Self { inner, position: 0, length }
    }

    pub(super) const fn position(&self) -> u64 {
        self.position
    }

    const fn left(&self) -> u64 {
        self.length.saturating_sub(self.position)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Parsed<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Parsed<()> {
        if bytes.len() as u64 > self.left() {
            return Err(format!("truncated at byte {}", self.position));
        }
        self.inner.read_exact(bytes).map_err(|error| format!("at byte {}: {error}", self.position))?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    pub(super) fn u32(&mut self) -> Parsed<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Parsed<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn string(&mut self) -> Parsed<String> {
        let at = self.position;
        let length = self.u64()?;
        if length > MAX_STRING || length > self.left() {
            return Err(format!("string of {length} bytes at byte {at}"));
        }
        let mut bytes = vec![0; length as usize];
        self.fill(&mut bytes)?;
        String::from_utf8(bytes).map_err(|_| format!("string at byte {at} is not UTF-8"))
    }

    pub(super) fn value(&mut self) -> Parsed<Value> {
        let kind = self.u32()?;
        if kind == 9 {
            return self.list().map(Value::Array);
        }
        self.scalar(kind)
    }

    fn scalar(&mut self, kind: u32) -> Parsed<Value> {
        Ok(match kind {
            0 => Value::Unsigned(self.array::<1>()?[0].into()),
            1 => Value::Signed(i8::from_le_bytes(self.array()?).into()),
            2 => Value::Unsigned(u16::from_le_bytes(self.array()?).into()),
            3 => Value::Signed(i16::from_le_bytes(self.array()?).into()),
            4 => Value::Unsigned(self.u32()?.into()),
            5 => Value::Signed(i32::from_le_bytes(self.array()?).into()),
            6 => Value::Float(f32::from_le_bytes(self.array()?).into()),
            7 => match self.array::<1>()?[0] {
                0 => Value::Bool(false),
                1 => Value::Bool(true),
                other => return Err(format!("boolean of value {other}")),
            },
            8 => Value::String(self.string()?),
            10 => Value::Unsigned(self.u64()?),
            11 => Value::Signed(i64::from_le_bytes(self.array()?)),
            12 => Value::Float(f64::from_le_bytes(self.array()?)),
            other => return Err(format!("metadata value of unknown type {other}")),
        })
    }

    fn list(&mut self) -> Parsed<Array> {
        let kind = self.u32()?;
        let count = self.u64()?;
        let least: u64 = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            8 | 10..=12 => 8,
            other => return Err(format!("array of values of type {other}")),
        };
        if count > MAX_ARRAY || count.saturating_mul(least) > self.left() {
            return Err(format!("array of {count} values at byte {}", self.position));
        }
        if kind == 8 {
            let mut strings = Vec::with_capacity(count as usize);
            for _ in 0..count {
                strings.push(self.string()?);
            }
            return Ok(Array::Strings(strings));
        }
        let mut values = Vec::with_capacity(count as usize);
        for _ in 0..count {
            values.push(self.scalar(kind)?);
        }
        Ok(Array::Scalars(values))
    }
}
