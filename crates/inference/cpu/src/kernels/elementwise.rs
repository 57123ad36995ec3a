//! Quantising, norms, activation function, rotary embedding: sections 2, 7, 8 and 9 of the profile.

use super::QBlock;
use crate::{
    blocks::{BLOCK, INFINITE, TINY},
    constants::{HORNER, LN2_HIGH, LN2_LOW},
    simd::{LANES, Simd},
};

/// Section 2. False where a value is not finite; its block is then zero.
///
/// # Safety
///
/// `S`'s features are present and `x` has 32 values for each block of `out`.
#[inline(always)]
pub(super) unsafe fn quantize<S: Simd>(x: &[f32], out: &mut [QBlock]) -> bool {
    let mut finite = true;
    for (values, block) in x.chunks_exact(BLOCK).zip(out) {
        // SAFETY: 32 values; features are the caller's promise.
        unsafe {
            let (low, high) = (S::load(values.as_ptr()), S::load(values.as_ptr().add(LANES)));
            let bits = S::reduce_max_i(S::max_i(S::magnitude_bits(low), S::magnitude_bits(high))) as u32;
            if !(TINY..INFINITE).contains(&bits) {
                finite &= bits < INFINITE;
                *block = QBlock::ZERO;
                continue;
            }
            let largest = f32::from_bits(bits);
            let (scale, inverse) = (largest / 127.0, S::splat(127.0 / largest));
            let (low, high) = (S::to_i(S::mul(low, inverse)), S::to_i(S::mul(high, inverse)));
            S::store_i8(block.q.as_mut_ptr(), low);
            S::store_i8(block.q.as_mut_ptr().add(LANES), high);
            let (first, second) = (S::reduce_add_i(low), S::reduce_add_i(high));
            let sum = first + second;
            // Sixteen values of at most 127 fit.
            block.sums = [first as i16, second as i16];
            block.offset = -128 * sum;
            block.scale = scale;
            block.weighted = scale * sum as f32;
        }
    }
    finite
}

/// Section 2 for weights: codes offset by 128, and the bits of the bf16 scale, 0 where all is zero. Values must be finite.
///
/// # Safety
///
/// `S`'s features are present.
#[inline(always)]
pub(super) unsafe fn quantize_weights<S: Simd>(x: &[f32; BLOCK], codes: &mut [u8; BLOCK]) -> u16 {
    // SAFETY: 32 values; features are the caller's promise.
    unsafe {
        let (low, high) = (S::load(x.as_ptr()), S::load(x.as_ptr().add(LANES)));
        let bits = S::reduce_max_i(S::max_i(S::magnitude_bits(low), S::magnitude_bits(high))) as u32;
        if bits < TINY {
            return 0;
        }
        let up = ((f32::from_bits(bits) / 127.0).to_bits() + 0xffff) >> 16;
        let scale = S::splat(f32::from_bits(up << 16));
        let to = codes.as_mut_ptr().cast::<i8>();
        S::store_i8(to, S::to_i(S::div(low, scale)));
        S::store_i8(to.add(LANES), S::to_i(S::div(high, scale)));
        for code in codes {
            *code ^= 128;
        }
        up as u16
    }
}

/// Section 7.
///
/// # Safety
///
/// `S`'s features are present; all slices have one length, a multiple of 16.
#[inline(always)]
pub(super) unsafe fn norm<S: Simd>(x: &[f32], w: &[f32], eps: f32, out: &mut [f32]) {
    // SAFETY: offsets are below the common length; features are the caller's promise.
    unsafe {
        let mut squares = S::splat(0.0);
        for at in (0..x.len()).step_by(LANES) {
            let v = S::load(x.as_ptr().add(at));
            squares = S::fma(v, v, squares);
        }
        let mean = S::reduce_tree(squares) / x.len() as f32 + eps;
        // Squares that overflow would make zeros of every value: they are to be refused as if a value had.
        let inverse = S::splat(if mean.is_finite() { 1.0 / mean.sqrt() } else { f32::NAN });
        for at in (0..x.len()).step_by(LANES) {
            let v = S::mul(S::load(x.as_ptr().add(at)), inverse);
            S::store(out.as_mut_ptr().add(at), S::mul(v, S::load(w.as_ptr().add(at))));
        }
    }
}

/// x = rn(x + y).
///
/// # Safety
///
/// As [`norm`].
#[inline(always)]
pub(super) unsafe fn add<S: Simd>(x: &mut [f32], y: &[f32]) {
    for at in (0..x.len()).step_by(LANES) {
        // SAFETY: offsets are below the common length; features are the caller's promise.
        unsafe {
            let sum = S::add(S::load(x.as_ptr().add(at)), S::load(y.as_ptr().add(at)));
            S::store(x.as_mut_ptr().add(at), sum);
        }
    }
}

/// Section 8: Cephes' expf, by fma.
///
/// # Safety
///
/// `S`'s features are present.
#[inline(always)]
pub(super) unsafe fn exp<S: Simd>(x: S::F) -> S::F {
    // SAFETY: features are the caller's promise.
    unsafe {
        let x = S::at_most(x, 88.0);
        let n = S::round(S::mul(x, S::splat(std::f32::consts::LOG2_E)));
        let r = S::fma(n, S::splat(LN2_HIGH), x);
        let r = S::fma(n, S::splat(LN2_LOW), r);
        let mut p = S::splat(HORNER[0]);
        for c in &HORNER[1..] {
            p = S::fma(p, r, S::splat(*c));
        }
        let p = S::add(S::fma(p, S::mul(r, r), r), S::splat(1.0));
        S::zero_below(x, -87.0, S::scale_by_power(p, n))
    }
}

/// # Safety
///
/// As [`norm`].
#[inline(always)]
pub(super) unsafe fn exp_all<S: Simd>(x: &mut [f32]) {
    for at in (0..x.len()).step_by(LANES) {
        // SAFETY: offsets are below the length; features are the caller's promise.
        unsafe { S::store(x.as_mut_ptr().add(at), exp::<S>(S::load(x.as_ptr().add(at)))) }
    }
}

/// g = rn(rn(g / rn(1 + exp(−g))) · u).
///
/// # Safety
///
/// As [`norm`].
#[inline(always)]
pub(super) unsafe fn silu_mul<S: Simd>(g: &mut [f32], u: &[f32]) {
    for at in (0..g.len()).step_by(LANES) {
        // SAFETY: offsets are below the common length; features are the caller's promise.
        unsafe {
            let v = S::load(g.as_ptr().add(at));
            let gate = S::div(v, S::add(S::splat(1.0), exp::<S>(S::neg(v))));
            S::store(g.as_mut_ptr().add(at), S::mul(gate, S::load(u.as_ptr().add(at))));
        }
    }
}

/// Section 9: the two halves of a head turn by the angles of their position.
///
/// # Safety
///
/// `S`'s features are present; `cos` and `sin` have half of `head`'s length, a multiple of 16.
#[inline(always)]
pub(super) unsafe fn rope<S: Simd>(head: &mut [f32], cos: &[f32], sin: &[f32]) {
    let half = cos.len();
    for at in (0..half).step_by(LANES) {
        // SAFETY: offsets are below the lengths; features are the caller's promise.
        unsafe {
            let (low, high) = (head.as_mut_ptr().add(at), head.as_mut_ptr().add(half + at));
            let (x, y) = (S::load(low), S::load(high));
            let (c, s) = (S::load(cos.as_ptr().add(at)), S::load(sin.as_ptr().add(at)));
            S::store(low, S::fma(S::neg(y), s, S::mul(x, c)));
            S::store(high, S::fma(x, s, S::mul(y, c)));
        }
    }
}

/// Reads whole groups of four vectors; the largest value.
///
/// # Safety
///
/// `S`'s features are present.
#[inline(always)]
pub(super) unsafe fn read<S: Simd>(x: &[f32]) -> f32 {
    // SAFETY: whole groups lie in the slice; features are the caller's promise.
    unsafe {
        let mut most = [S::splat(0.0); 4];
        for group in x.chunks_exact(4 * LANES) {
            for (lane, most) in most.iter_mut().enumerate() {
                *most = S::max(S::load(group.as_ptr().add(lane * LANES)), *most);
            }
        }
        S::reduce_max(S::max(S::max(most[0], most[1]), S::max(most[2], most[3])))
    }
}
