//! The rotary table, section 9: f64 with + − × ÷ only, rounded once to f32, so that every machine makes the same one.

use sha2::{Digest, Sha256};
use tributary_weights::Config;

/// π/2 in two parts; the first has 33 bits, so that its product with a count of quadrants is exact.
const HALF_PI: (f64, f64) = (f64::from_bits(0x3FF9_21FB_5440_0000), f64::from_bits(0x3DD0_B461_1A62_6331));
/// ln 2 in two parts, likewise.
const LN2: (f64, f64) = (f64::from_bits(0x3FE6_2E42_FEE0_0000), f64::from_bits(0x3DEA_39EF_3579_3C76));

/// Cosines and sines by position: `[position][cos … | sin …]`.
#[derive(Clone)]
pub struct RopeTable {
    half: usize,
    values: Vec<f32>,
    hash: [u8; 32],
}

impl std::fmt::Debug for RopeTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RopeTable({} positions)", self.values.len() / (2 * self.half))
    }
}

impl RopeTable {
    /// The table of a model; the first `keep` positions stay in memory. The hash covers every position of the
    /// model's context, little-endian, whatever is kept.
    pub fn new(config: &Config, keep: usize) -> Self {
        let half = config.head_dim / 2;
        let frequencies = frequencies(config);
        let mut values = Vec::with_capacity(keep * half * 2);
        let mut hasher = Sha256::new();
        let mut row = vec![0.0; half * 2];
        let mut bytes = vec![0; half * 8];
        for position in 0..config.context {
            for (i, frequency) in frequencies.iter().enumerate() {
                let (sin, cos) = sin_cos(position as f64 * frequency);
                (row[i], row[half + i]) = (cos as f32, sin as f32);
            }
            for (to, value) in bytes.chunks_exact_mut(4).zip(&row) {
                to.copy_from_slice(&value.to_le_bytes());
            }
            hasher.update(&bytes);
            if position < keep {
                values.extend_from_slice(&row);
            }
        }
        Self { half, values, hash: hasher.finalize().into() }
    }

    /// Cosines and sines of a position.
    pub fn at(&self, position: usize) -> (&[f32], &[f32]) {
        self.values[position * self.half * 2..][..self.half * 2].split_at(self.half)
    }

    /// SHA-256 of the whole table.
    pub const fn hash(&self) -> [u8; 32] {
        self.hash
    }
}

/// θ^(−2i/d), divided by the model's factors where it has them.
fn frequencies(config: &Config) -> Vec<f64> {
    let log = ln(f64::from(config.rope_theta));
    let one = |i: usize| {
        let frequency = exp(-log * (2 * i) as f64 / config.head_dim as f64);
        match &config.rope_factors {
            Some(factors) => frequency / f64::from(factors[i]),
            None => frequency,
        }
    };
    (0..config.head_dim / 2).map(one).collect()
}

/// Natural logarithm of a positive normal number, by the series of artanh.
fn ln(x: f64) -> f64 {
    let exponent = ((x.to_bits() >> 52) as i64 - 1023) as f64;
    let mantissa = f64::from_bits(x.to_bits() & 0x000f_ffff_ffff_ffff | 0x3ff0_0000_0000_0000);
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let mut sum = 0.0;
    for k in (0..30).rev() {
        sum = sum * square + 1.0 / (2 * k + 1) as f64;
    }
    2.0 * s * sum + exponent * LN2.1 + exponent * LN2.0
}

/// Exponential of a number whose result is normal, by Taylor's series.
fn exp(x: f64) -> f64 {
    let n = nearest(x / (LN2.0 + LN2.1));
    let r = (x - n as f64 * LN2.0) - n as f64 * LN2.1;
    let mut sum = 1.0;
    for k in (1..22).rev() {
        sum = sum * r / f64::from(k) + 1.0;
    }
    sum * f64::from_bits(((n + 1023) as u64) << 52)
}

/// Sine and cosine of an angle not below zero, by Taylor's series in the first half quadrant.
fn sin_cos(angle: f64) -> (f64, f64) {
    let quadrant = nearest(angle / (HALF_PI.0 + HALF_PI.1));
    let r = (angle - quadrant as f64 * HALF_PI.0) - quadrant as f64 * HALF_PI.1;
    let square = r * r;
    let (mut sin, mut cos) = (1.0, 1.0);
    for k in (1..11).rev() {
        let k = f64::from(k);
        sin = 1.0 - sin * square / ((2.0 * k) * (2.0 * k + 1.0));
        cos = 1.0 - cos * square / ((2.0 * k - 1.0) * (2.0 * k));
    }
    let sin = sin * r;
    match quadrant & 3 {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

fn nearest(x: f64) -> i64 {
    if x < 0.0 { (x - 0.5) as i64 } else { (x + 0.5) as i64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_agree_with_the_library_to_a_few_ulps() {
        for i in 1..4000 {
            let x = f64::from(i) * 37.123;
            assert!((ln(x) / x.ln() - 1.0).abs() < 1e-14, "ln {x}");
            let small = f64::from(i) * -0.004;
            assert!((exp(small) / small.exp() - 1.0).abs() < 1e-14, "exp {small}");
            let (sin, cos) = sin_cos(x);
            assert!((sin - x.sin()).abs() < 1e-11 && (cos - x.cos()).abs() < 1e-11, "angle {x}");
        }
    }
}
