//! Sections 2 to 10, one function each.

use crate::{
    blocks::{BLOCK, Block},
    constants::{HORNER, LN2_HIGH, LN2_LOW},
    kernels::QBlock,
};

/// Section 2: Q8 of activations; `None` where a value is not finite.
pub(crate) fn quantize(x: &[f32]) -> Option<Vec<QBlock>> {
    x.chunks(BLOCK).map(quantize_block).collect()
}

fn quantize_block(x: &[f32]) -> Option<QBlock> {
    let largest = x.iter().map(|value| value.to_bits() & 0x7fff_ffff).max().unwrap_or(0);
    if largest >= 0x7f80_0000 {
        return None;
    }
    let largest = f32::from_bits(largest);
    if largest < 2f32.powi(-100) {
        return Some(QBlock::ZERO);
    }
    let mut block = QBlock { scale: largest / 127.0, ..QBlock::ZERO };
    let inverse = 127.0 / largest;
    for (index, value) in x.iter().enumerate() {
        let q = (value * inverse).round_ties_even().clamp(-127.0, 127.0) as i8;
        block.q[index] = q;
        block.sums[index / 16] += i16::from(q);
    }
    let sum = i32::from(block.sums[0] + block.sums[1]);
    block.weighted = block.scale * sum as f32;
    block.offset = -128 * sum;
    Some(block)
}

/// Section 4. `has_min`: the format has minima, zero or not.
pub(crate) fn dot(weights: &[Block], has_min: bool, x: &[QBlock]) -> f32 {
    let mut y = 0.0;
    for (weights, x) in weights.chunks(8).zip(x.chunks(8)) {
        let mut sum: f32 = 0.0;
        for (w, a) in weights.iter().zip(x) {
            let half = |h: usize| -> i32 {
                (h * 16..h * 16 + 16).map(|k| i32::from(w.q[k]) * i32::from(a.q[k])).sum()
            };
            let i = half(0) * i32::from(w.scales[0]) + half(1) * i32::from(w.scales[1]);
            sum = (w.d * a.scale).mul_add(i as f32, sum);
            if has_min {
                sum = w.m.mul_add(a.weighted, sum);
            }
        }
        y += sum;
    }
    y
}

/// Section 5 without adapters: a dot for each row, then the bias.
pub(crate) fn linear(rows: &[Vec<Block>], has_min: bool, bias: Option<&[f32]>, x: &[QBlock]) -> Vec<f32> {
    let mut y: Vec<f32> = rows.iter().map(|row| dot(row, has_min, x)).collect();
    for (y, bias) in y.iter_mut().zip(bias.unwrap_or(&[])) {
        *y += bias;
    }
    y
}

/// Section 7.
pub(crate) fn norm(x: &[f32], w: &[f32], eps: f32) -> Vec<f32> {
    let mut lanes = [0.0f32; 16];
    for (index, value) in x.iter().enumerate() {
        lanes[index % 16] = value.mul_add(*value, lanes[index % 16]);
    }
    for width in [8, 4, 2, 1] {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
    }
    let v = lanes[0] / x.len() as f32 + eps;
    // Squares that overflow would make zeros of every value: they are to be refused as if a value had.
    let inverse = if v.is_finite() { 1.0 / v.sqrt() } else { f32::NAN };
    x.iter().zip(w).map(|(x, w)| x * inverse * w).collect()
}

/// Section 8.
pub(crate) fn exp(x: f32) -> f32 {
    if x < -87.0 {
        return 0.0;
    }
    let x = if x > 88.0 { 88.0 } else { x };
    let n = (x * std::f32::consts::LOG2_E).round_ties_even();
    let r = n.mul_add(LN2_LOW, n.mul_add(LN2_HIGH, x));
    let p = HORNER.into_iter().reduce(|p, c| p.mul_add(r, c)).unwrap_or_default();
    let p = p.mul_add(r * r, r) + 1.0;
    f32::from_bits(p.to_bits().wrapping_add((n as i32 as u32) << 23))
}

/// Section 8: silu(g) · u.
pub(crate) fn silu_mul(g: f32, u: f32) -> f32 {
    g / (1.0 + exp(-g)) * u
}

/// Section 9, one head.
pub(crate) fn rope(head: &mut [f32], cos: &[f32], sin: &[f32]) {
    let half = cos.len();
    for i in 0..half {
        let (x, y) = (head[i], head[half + i]);
        head[i] = (-y).mul_add(sin[i], x * cos[i]);
        head[half + i] = x.mul_add(sin[i], y * cos[i]);
    }
}

/// Section 10, one query head: `keys` and `values` of the positions it sees.
pub(crate) fn attend(query: &[QBlock], keys: &[&[QBlock]], values: &[&[QBlock]], scale: f32) -> Vec<f32> {
    let as_weights = |key: &[QBlock]| -> Vec<Block> {
        key.iter().map(|k| Block { q: k.q.map(i16::from), d: k.scale, ..Block::ZERO }).collect()
    };
    let scores: Vec<f32> = keys.iter().map(|key| dot(&as_weights(key), false, query) * scale).collect();
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, |m, s| if s > m { s } else { m });
    let weights: Vec<f32> = scores.iter().map(|score| exp(score - most)).collect();
    let width = query.len() * BLOCK;
    let (mut out, mut total) = (vec![0.0f32; width], 0.0f32);
    for (values, weights) in values.chunks(64).zip(weights.chunks(64)) {
        let (mut part, mut sum) = (vec![0.0f32; width], 0.0f32);
        for (value, e) in values.iter().zip(weights) {
            sum += e;
            for (c, out) in part.iter_mut().enumerate() {
                let block = &value[c / BLOCK];
                *out = e.mul_add(block.scale * f32::from(block.q[c % BLOCK]), *out);
            }
        }
        total += sum;
        for (out, part) in out.iter_mut().zip(part) {
            *out += part;
        }
    }
    out.iter().map(|value| value / total).collect()
}
