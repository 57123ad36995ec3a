//! Plain Rust: the path of machines without AVX2.

use super::{LANES, Simd};
use half::{bf16, f16};

/// Sixteen lanes in arrays.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scalar;

type F = [f32; LANES];
type I = [i32; LANES];

fn lanes<T>(value: impl FnMut(usize) -> T) -> [T; LANES] {
    std::array::from_fn(value)
}

// SAFETY: no CPU feature is needed; pointers are the caller's promise.
impl Simd for Scalar {
    type F = F;
    type I = I;
    type Codes = [u8; 64];
    const WIDE_IS_OFFSET: bool = false;

    #[inline(always)]
    unsafe fn prefetch(_at: *const u8) {}
    #[inline(always)]
    unsafe fn prefetch_second(_at: *const u8) {}
    #[inline(always)]
    unsafe fn splat(value: f32) -> F {
        [value; LANES]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> F {
        // SAFETY: valid for 16 values by the trait's contract.
        unsafe { from.cast::<F>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, value: F) {
        // SAFETY: valid for 16 values by the trait's contract.
        unsafe { to.cast::<F>().write_unaligned(value) }
    }
    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> F {
        // SAFETY: valid for 16 values by the trait's contract.
        let bits = unsafe { from.cast::<[u16; LANES]>().read_unaligned() };
        lanes(|l| f16::from_bits(bits[l]).to_f32())
    }
    #[inline(always)]
    unsafe fn load_bf16(from: *const u16) -> F {
        // SAFETY: valid for 16 values by the trait's contract.
        let bits = unsafe { from.cast::<[u16; LANES]>().read_unaligned() };
        lanes(|l| bf16::from_bits(bits[l]).to_f32())
    }
    #[inline(always)]
    unsafe fn load_i8(from: *const i8) -> F {
        // SAFETY: valid for 16 values by the trait's contract.
        let values = unsafe { from.cast::<[i8; LANES]>().read_unaligned() };
        lanes(|l| f32::from(values[l]))
    }
    #[inline(always)]
    unsafe fn load_i8_i32(from: *const i8) -> I {
        // SAFETY: valid for 16 values by the trait's contract.
        let values = unsafe { from.cast::<[i8; LANES]>().read_unaligned() };
        lanes(|l| i32::from(values[l]))
    }
    #[inline(always)]
    unsafe fn add(a: F, b: F) -> F {
        lanes(|l| a[l] + b[l])
    }
    #[inline(always)]
    unsafe fn sub(a: F, b: F) -> F {
        lanes(|l| a[l] - b[l])
    }
    #[inline(always)]
    unsafe fn mul(a: F, b: F) -> F {
        lanes(|l| a[l] * b[l])
    }
    #[inline(always)]
    unsafe fn div(a: F, b: F) -> F {
        lanes(|l| a[l] / b[l])
    }
    #[inline(always)]
    unsafe fn fma(a: F, b: F, c: F) -> F {
        lanes(|l| a[l].mul_add(b[l], c[l]))
    }
    #[inline(always)]
    unsafe fn neg(a: F) -> F {
        lanes(|l| -a[l])
    }
    #[inline(always)]
    unsafe fn round(a: F) -> F {
        lanes(|l| a[l].round_ties_even())
    }
    #[inline(always)]
    unsafe fn at_most(x: F, bound: f32) -> F {
        lanes(|l| if x[l] > bound { bound } else { x[l] })
    }
    #[inline(always)]
    unsafe fn zero_below(x: F, bound: f32, y: F) -> F {
        lanes(|l| if x[l] < bound { 0.0 } else { y[l] })
    }
    #[inline(always)]
    unsafe fn max(a: F, b: F) -> F {
        lanes(|l| if a[l] > b[l] { a[l] } else { b[l] })
    }
    #[inline(always)]
    unsafe fn reduce_max(a: F) -> f32 {
        a.into_iter().fold(f32::NEG_INFINITY, |m, v| if v > m { v } else { m })
    }
    #[inline(always)]
    unsafe fn reduce_tree(mut a: F) -> f32 {
        for width in [8, 4, 2, 1] {
            for l in 0..width {
                a[l] += a[l + width];
            }
        }
        a[0]
    }
    #[inline(always)]
    unsafe fn scale_by_power(p: F, n: F) -> F {
        lanes(|l| f32::from_bits(p[l].to_bits().wrapping_add((n[l] as i32 as u32) << 23)))
    }
    #[inline(always)]
    unsafe fn magnitude_bits(a: F) -> I {
        lanes(|l| (a[l].to_bits() & 0x7fff_ffff) as i32)
    }

    #[inline(always)]
    unsafe fn splat_i(value: i32) -> I {
        [value; LANES]
    }
    #[inline(always)]
    unsafe fn add_i(a: I, b: I) -> I {
        lanes(|l| a[l].wrapping_add(b[l]))
    }
    #[inline(always)]
    unsafe fn mul_i(a: I, b: I) -> I {
        lanes(|l| a[l].wrapping_mul(b[l]))
    }
    #[inline(always)]
    unsafe fn max_i(a: I, b: I) -> I {
        lanes(|l| a[l].max(b[l]))
    }
    #[inline(always)]
    unsafe fn reduce_max_i(a: I) -> i32 {
        a.into_iter().fold(i32::MIN, i32::max)
    }
    #[inline(always)]
    unsafe fn reduce_add_i(a: I) -> i32 {
        a.into_iter().fold(0, i32::wrapping_add)
    }
    #[inline(always)]
    unsafe fn to_f(a: I) -> F {
        lanes(|l| a[l] as f32)
    }
    #[inline(always)]
    unsafe fn to_i(a: F) -> I {
        lanes(|l| a[l].round_ties_even() as i32)
    }
    #[inline(always)]
    unsafe fn store_i8(to: *mut i8, value: I) {
        let bytes = lanes(|l| value[l].clamp(-127, 127) as i8);
        // SAFETY: valid for 16 bytes by the trait's contract.
        unsafe { to.cast::<[i8; LANES]>().write_unaligned(bytes) }
    }

    #[inline(always)]
    unsafe fn eights(low: f32, high: f32) -> F {
        lanes(|l| if l < 8 { low } else { high })
    }
    #[inline(always)]
    unsafe fn eights_i(low: i32, high: i32) -> I {
        lanes(|l| if l < 8 { low } else { high })
    }
    #[inline(always)]
    unsafe fn low(a: F) -> F {
        lanes(|l| if l < 8 { a[l] } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn high(a: F) -> F {
        lanes(|l| if l < 8 { a[l + 8] } else { 0.0 })
    }

    #[inline(always)]
    unsafe fn load_codes(from: *const u8) -> [u8; 64] {
        // SAFETY: valid for 64 bytes by the trait's contract.
        unsafe { from.cast::<[u8; 64]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load_nibbles(from: *const u8) -> ([u8; 64], [u8; 64]) {
        // SAFETY: valid for 64 bytes by the trait's contract.
        let bytes = unsafe { from.cast::<[u8; 64]>().read_unaligned() };
        (bytes.map(|byte| byte & 15), bytes.map(|byte| byte >> 4))
    }
    #[inline(always)]
    unsafe fn dot_narrow(sum: I, codes: [u8; 64], x: i32) -> I {
        let x = x.to_le_bytes();
        lanes(|l| (0..4).fold(sum[l], |sum, k| sum + i32::from(codes[l * 4 + k]) * i32::from(x[k] as i8)))
    }
    #[inline(always)]
    unsafe fn dot_wide(sum: I, codes: [u8; 64], x: i32) -> I {
        // SAFETY: no CPU feature is needed.
        unsafe { Self::dot_wide_each(sum, codes, [x; LANES]) }
    }
    #[inline(always)]
    unsafe fn dot_wide_each(sum: I, codes: [u8; 64], x: I) -> I {
        lanes(|l| {
            let x = x[l].to_le_bytes();
            (0..4).fold(sum[l], |sum, k| sum + (i32::from(codes[l * 4 + k]) - 128) * i32::from(x[k] as i8))
        })
    }
}
