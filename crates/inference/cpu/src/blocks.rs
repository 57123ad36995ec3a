//! What a weight block is worth: `(q, d, m)` of the profile's section 3, from each stored format, and Q8 of floats.

use half::{bf16, f16};
use tributary_weights::{Format, Matrix};

/// Values in a block.
pub const BLOCK: usize = 32;

/// Magnitudes below this quantise to zero: 2⁻¹⁰⁰.
pub(crate) const TINY: u32 = (127 - 100) << 23;
/// Magnitudes from here on are not finite.
pub(crate) const INFINITE: u32 = 0x7f80_0000;

/// Thirty-two weights: `w = d · scales · q + m`, `scales` over each half and 1 outside Q6_K.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Block {
    /// The codes q.
    pub q: [i16; BLOCK],
    /// The scale d.
    pub d: f32,
    /// The minimum m.
    pub m: f32,
    /// Inner scales.
    pub scales: [i8; 2],
}

impl Block {
    /// All weights zero.
    pub const ZERO: Self = Self { q: [0; BLOCK], d: 0.0, m: 0.0, scales: [1; 2] };

    /// Its weights as the embedding defines them: rn(d·q), with a minimum fma(d, q, m); Q6_K's q is scale · code.
    pub(crate) fn dequantize(&self, has_min: bool, out: &mut [f32]) {
        for (k, value) in out.iter_mut().enumerate() {
            let q = f32::from(self.q[k]) * f32::from(self.scales[k / 16]);
            *value = if has_min { self.d.mul_add(q, self.m) } else { self.d * q };
        }
    }
}

/// Block `index` of a row, exactly as the profile defines it for the matrix's format.
pub fn block(matrix: &Matrix, row: usize, index: usize) -> Block {
    let (bytes, format) = (matrix.row(row), matrix.format());
    let stored = |size: usize| &bytes[index * size..][..size];
    let large = |size: usize| (&bytes[index / 8 * size..][..size], index % 8);
    match format {
        Format::F32 | Format::F16 | Format::Bf16 => floats(matrix, row, index),
        Format::Q4_0 => nibbles(&stored(18)[2..], half_at(stored(18), 0), 0.0, 8),
        Format::Q4_1 => nibbles(&stored(20)[4..], half_at(stored(20), 0), half_at(stored(20), 2), 0),
        Format::Q5_0 => fives(stored(22)),
        Format::Q8_0 => {
            let block = stored(34);
            let q = std::array::from_fn(|k| i16::from(block[2 + k] as i8));
            Block { q, d: half_at(block, 0), ..Block::ZERO }
        }
        Format::Q4K => {
            let (block, group) = large(144);
            four_k(block, group)
        }
        Format::Q5K => {
            let (block, group) = large(176);
            five_k(block, group)
        }
        Format::Q6K => {
            let (block, group) = large(210);
            six_k(block, group)
        }
    }
}

/// Q8 of float weights: the scale is rounded up to bf16, so that it costs two bytes. Values must be finite.
pub fn quantize_weights(values: &[f32]) -> Block {
    let largest = values.iter().fold(0, |most: u32, value| most.max(value.to_bits() & 0x7fff_ffff));
    if largest < TINY {
        return Block::ZERO;
    }
    let up = ((f32::from_bits(largest) / 127.0).to_bits() + 0xffff) & 0xffff_0000;
    let d = bf16::from_bits((up >> 16) as u16).to_f32();
    let mut block = Block { d, ..Block::ZERO };
    for (q, value) in block.q.iter_mut().zip(values) {
        *q = (value / d).round_ties_even() as i16;
    }
    block
}

fn floats(matrix: &Matrix, row: usize, index: usize) -> Block {
    let (format, bytes) = (matrix.format(), matrix.row(row));
    let mut values = [0.0; BLOCK];
    let stored = bytes.chunks_exact(format.block_bytes()).skip(index * BLOCK);
    for (value, number) in values.iter_mut().zip(stored) {
        format.dequantize_block(number, std::slice::from_mut(value));
    }
    quantize_weights(&values)
}

fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

fn nibbles(codes: &[u8], d: f32, m: f32, offset: i16) -> Block {
    let q = std::array::from_fn(|k| i16::from(codes[k % 16] >> (k / 16 * 4) & 15) - offset);
    Block { q, d, m, scales: [1; 2] }
}

fn fives(block: &[u8]) -> Block {
    let high = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
    let q = std::array::from_fn(|k| {
        let low = block[6 + k % 16] >> (k / 16 * 4) & 15;
        i16::from(low | ((high >> k & 1) as u8) << 4) - 16
    });
    Block { q, d: half_at(block, 0), ..Block::ZERO }
}

/// The 6-bit scale and minimum of a group of a K-quant.
fn k_scale(scales: &[u8], group: usize) -> (f32, f32) {
    let (scale, min) = if group < 4 {
        (scales[group] & 63, scales[group + 4] & 63)
    } else {
        let (low, high) = (scales[group + 4], group - 4);
        (low & 15 | (scales[high] >> 6) << 4, low >> 4 | (scales[group] >> 6) << 4)
    };
    (f32::from(scale), f32::from(min))
}

fn four_k(block: &[u8], group: usize) -> Block {
    let (scale, min) = k_scale(&block[4..16], group);
    let q = std::array::from_fn(|k| i16::from(block[16 + group / 2 * 32 + k] >> (group % 2 * 4) & 15));
    Block { q, d: half_at(block, 0) * scale, m: -half_at(block, 2) * min, scales: [1; 2] }
}

fn five_k(block: &[u8], group: usize) -> Block {
    let (scale, min) = k_scale(&block[4..16], group);
    let q = std::array::from_fn(|k| {
        let low = block[48 + group / 2 * 32 + k] >> (group % 2 * 4) & 15;
        i16::from(low | (block[16 + k] >> group & 1) << 4)
    });
    Block { q, d: half_at(block, 0) * scale, m: -half_at(block, 2) * min, scales: [1; 2] }
}

fn six_k(block: &[u8], group: usize) -> Block {
    let (half, quarter) = (group / 4, group % 4);
    let q = std::array::from_fn(|k| {
        let low = block[half * 64 + quarter % 2 * 32 + k] >> (quarter / 2 * 4) & 15;
        let high = block[128 + half * 32 + k] >> (quarter * 2) & 3;
        i16::from(low | high << 4) - 32
    });
    let scales = [block[192 + group * 2] as i8, block[193 + group * 2] as i8];
    Block { q, d: half_at(block, 208), m: 0.0, scales }
}
