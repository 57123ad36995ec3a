//! Inputs from a seed.

use half::f16;
use tributary_weights::{Format, Matrix};

/// SplitMix64.
#[derive(Clone, Debug)]
pub(super) struct Source(u64);

impl Source {
    /// A stream of its own for each seed and name.
    pub(super) fn new(seed: u64, name: &str) -> Self {
        let mixed = name
            .bytes()
            .fold(seed ^ 0x243f_6a88_85a3_08d3, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        Self(mixed)
    }

    pub(super) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.word() % end as u64) as usize
    }

    /// 24 bits of fraction in [−1, 1), times a power of two from 2⁻ʳ to 2ʳ.
    pub(super) fn float(&mut self, range: i32) -> f32 {
        let word = self.word();
        let unit = ((word >> 40) as i32 - (1 << 23)) as f32 / (1 << 23) as f32;
        let power = (word & 0xffff) as i32 % (2 * range + 1) - range;
        unit * f32::from_bits(((127 + power) as u32) << 23)
    }

    pub(super) fn floats(&mut self, len: usize, range: i32) -> Vec<f32> {
        (0..len).map(|_| self.float(range)).collect()
    }

    /// A matrix of random codes with scales of ordinary size.
    pub(super) fn matrix(&mut self, format: Format, rows: usize, columns: usize) -> Matrix {
        let blocks = rows * columns / format.block_len();
        let mut data: Vec<u8> = (0..blocks * format.block_bytes()).map(|_| self.word() as u8).collect();
        for block in data.chunks_exact_mut(format.block_bytes()) {
            let value = self.float(3) / 64.0;
            match format {
                Format::F32 => block.copy_from_slice(&value.to_le_bytes()),
                Format::Bf16 => block.copy_from_slice(&half::bf16::from_f32(value).to_le_bytes()),
                Format::Q6K => block[208..].copy_from_slice(&f16::from_f32(value).to_le_bytes()),
                _ => block[..2].copy_from_slice(&f16::from_f32(value).to_le_bytes()),
            }
            if matches!(format, Format::Q4_1 | Format::Q4K | Format::Q5K) {
                block[2..4].copy_from_slice(&f16::from_f32(self.float(3) / 8.0).to_le_bytes());
            }
        }
        Matrix::new(format, rows, columns, data)
            .unwrap_or_else(|error| unreachable!("random {format}: {error}"))
    }
}
