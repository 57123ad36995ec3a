//! Block formats: sizes, and the exact value of each block.
//!
//! The layouts are ggml's (`ggml-common.h`, `ggml-quants.c`); dequantisation is one f32 operation per step in the
//! order of ggml's reference code.

use half::{bf16, f16};
use std::fmt;

/// How a tensor's numbers are stored. Quantised formats come in blocks along a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// IEEE binary32.
    F32,
    /// IEEE binary16.
    F16,
    /// bfloat16.
    Bf16,
    /// 32 × 4 bits, a scale; values −8…7.
    Q4_0,
    /// 32 × 4 bits, a scale and a minimum.
    Q4_1,
    /// 32 × 5 bits, a scale; values −16…15.
    Q5_0,
    /// 32 × 8 bits, a scale.
    Q8_0,
    /// 256 × 4 bits, eight 6-bit scales and minima.
    Q4K,
    /// 256 × 5 bits, eight 6-bit scales and minima.
    Q5K,
    /// 256 × 6 bits, sixteen 8-bit scales.
    Q6K,
}

impl Format {
    /// From ggml's type number.
    pub const fn from_ggml(code: u32) -> Option<Self> {
        Some(match code {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            8 => Self::Q8_0,
            12 => Self::Q4K,
            13 => Self::Q5K,
            14 => Self::Q6K,
            30 => Self::Bf16,
            _ => return None,
        })
    }

    /// Its name, as ggml spells it; part of hashes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q8_0 => "Q8_0",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
        }
    }

    /// Values in a block.
    pub const fn block_len(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q8_0 => 32,
            Self::Q4K | Self::Q5K | Self::Q6K => 256,
        }
    }

    /// Bytes of a block.
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q8_0 => 34,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
        }
    }

    /// Whether the numbers are floats rather than blocks.
    pub const fn is_float(self) -> bool {
        self.block_len() == 1
    }

    /// Bytes of a tensor, or `None` if rows are not whole blocks or the size overflows.
    pub const fn bytes(self, rows: u64, columns: u64) -> Option<u64> {
        if !columns.is_multiple_of(self.block_len() as u64) {
            return None;
        }
        match (columns / self.block_len() as u64).checked_mul(self.block_bytes() as u64) {
            Some(row) => row.checked_mul(rows),
            None => None,
        }
    }

    /// Dequantises one block. `block` and `out` have the format's block sizes.
    pub fn dequantize_block(self, block: &[u8], out: &mut [f32]) {
        match self {
            Self::F32 => out[0] = f32::from_le_bytes([block[0], block[1], block[2], block[3]]),
            Self::F16 => out[0] = half_at(block, 0),
            Self::Bf16 => out[0] = bf16::from_le_bytes([block[0], block[1]]).to_f32(),
            Self::Q4_0 => nibbles(&block[2..18], out, |q| f32::from(q as i8 - 8) * half_at(block, 0)),
            Self::Q4_1 => {
                nibbles(&block[4..20], out, |q| f32::from(q) * half_at(block, 0) + half_at(block, 2))
            }
            Self::Q5_0 => fives(block, out),
            Self::Q8_0 => {
                let d = half_at(block, 0);
                for (value, q) in out.iter_mut().zip(&block[2..34]) {
                    *value = f32::from(*q as i8) * d;
                }
            }
            Self::Q4K => four_k(block, out),
            Self::Q5K => five_k(block, out),
            Self::Q6K => six_k(block, out),
        }
    }

    /// Whether every scale of a block (or the value itself) is finite.
    pub fn block_is_finite(self, block: &[u8]) -> bool {
        match self {
            Self::F32 => f32::from_le_bytes([block[0], block[1], block[2], block[3]]).is_finite(),
            Self::F16 | Self::Q4_0 | Self::Q5_0 | Self::Q8_0 => half_at(block, 0).is_finite(),
            Self::Bf16 => bf16::from_le_bytes([block[0], block[1]]).is_finite(),
            Self::Q4_1 | Self::Q4K | Self::Q5K => {
                half_at(block, 0).is_finite() && half_at(block, 2).is_finite()
            }
            Self::Q6K => half_at(block, 208).is_finite(),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

fn nibbles(codes: &[u8], out: &mut [f32], value: impl Fn(u8) -> f32) {
    for (index, code) in codes.iter().enumerate() {
        out[index] = value(code & 15);
        out[index + 16] = value(code >> 4);
    }
}

fn fives(block: &[u8], out: &mut [f32]) {
    let d = half_at(block, 0);
    let high = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
    for (index, code) in block[6..22].iter().enumerate() {
        let low = code & 15 | ((high >> index & 1) as u8) << 4;
        let top = code >> 4 | ((high >> (index + 16) & 1) as u8) << 4;
        out[index] = f32::from(low as i8 - 16) * d;
        out[index + 16] = f32::from(top as i8 - 16) * d;
    }
}

/// The 6-bit scale and minimum of 32-value group `group` of a Q4_K or Q5_K block.
pub(crate) fn k_scale(scales: &[u8], group: usize) -> (u8, u8) {
    if group < 4 {
        return (scales[group] & 63, scales[group + 4] & 63);
    }
    let scale = scales[group + 4] & 15 | (scales[group - 4] >> 6) << 4;
    let min = scales[group + 4] >> 4 | (scales[group] >> 6) << 4;
    (scale, min)
}

fn four_k(block: &[u8], out: &mut [f32]) {
    let (d, dmin) = (half_at(block, 0), half_at(block, 2));
    for group in 0..8 {
        let (scale, min) = k_scale(&block[4..16], group);
        let (d, m) = (d * f32::from(scale), dmin * f32::from(min));
        let codes = &block[16 + group / 2 * 32..][..32];
        for (value, code) in out[group * 32..][..32].iter_mut().zip(codes) {
            *value = d * f32::from(code >> (group % 2 * 4) & 15) - m;
        }
    }
}

fn five_k(block: &[u8], out: &mut [f32]) {
    let (d, dmin) = (half_at(block, 0), half_at(block, 2));
    for group in 0..8 {
        let (scale, min) = k_scale(&block[4..16], group);
        let (d, m) = (d * f32::from(scale), dmin * f32::from(min));
        let codes = &block[48 + group / 2 * 32..][..32];
        let high = &block[16..48];
        for (index, value) in out[group * 32..][..32].iter_mut().enumerate() {
            let q = codes[index] >> (group % 2 * 4) & 15 | (high[index] >> group & 1) << 4;
            *value = d * f32::from(q) - m;
        }
    }
}

/// The 6-bit code at `index` of a Q6_K block, −32…31.
pub(crate) fn six_k_code(block: &[u8], index: usize) -> i8 {
    let (half, within) = (index / 128, index % 128);
    let (quarter, lane) = (within / 32, within % 32);
    let low = block[half * 64 + quarter % 2 * 32 + lane] >> (quarter / 2 * 4) & 15;
    let high = block[128 + half * 32 + lane] >> (quarter * 2) & 3;
    (low | high << 4) as i8 - 32
}

fn six_k(block: &[u8], out: &mut [f32]) {
    let d = half_at(block, 208);
    for (index, value) in out.iter_mut().enumerate() {
        let scale = block[192 + index / 16] as i8;
        *value = d * f32::from(scale) * f32::from(six_k_code(block, index));
    }
}
