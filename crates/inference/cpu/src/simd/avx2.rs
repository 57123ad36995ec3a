//! AVX2 with FMA and F16C: two registers for sixteen lanes, the low eight and the high eight.

use super::Simd;
use std::arch::x86_64::*;

/// AVX2, FMA and F16C.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2;

type F = (__m256, __m256);
type I = (__m256i, __m256i);

macro_rules! methods {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)? $body:block)*) => {
        $(
            #[inline(always)]
            unsafe fn $name($($arg: $ty),*) $(-> $ret)? {
                // SAFETY: features and pointers are the caller's promise, by the trait's contract.
                unsafe { $body }
            }
        )*
    };
}

/// Lane sums of four byte products. `codes` as unsigned times `x` as signed must fit 15 bits when two are added.
///
/// # Safety
///
/// AVX2 must be present.
#[inline(always)]
unsafe fn pairs(sum: __m256i, codes: __m256i, x: __m256i) -> __m256i {
    // SAFETY: AVX2 is the caller's promise.
    unsafe {
        let halves = _mm256_maddubs_epi16(codes, x);
        _mm256_add_epi32(sum, _mm256_madd_epi16(halves, _mm256_set1_epi16(1)))
    }
}

/// The same for signed codes, whose sign moves to `x`: |−128| is 128 as unsigned, and 2 · 128 · 127 fits.
///
/// # Safety
///
/// AVX2 must be present.
#[inline(always)]
unsafe fn signed_pairs(sum: __m256i, codes: __m256i, x: __m256i) -> __m256i {
    // SAFETY: AVX2 is the caller's promise.
    unsafe {
        let codes = _mm256_xor_si256(codes, _mm256_set1_epi8(i8::MIN));
        pairs(sum, _mm256_abs_epi8(codes), _mm256_sign_epi8(x, codes))
    }
}

// SAFETY: only intrinsics of the named features are used.
impl Simd for Avx2 {
    type F = F;
    type I = I;
    type Codes = I;
    const WIDE_IS_OFFSET: bool = false;

    methods! {
        fn prefetch(at: *const u8) { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
        fn prefetch_second(at: *const u8) { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
        fn splat(value: f32) -> F { (_mm256_set1_ps(value), _mm256_set1_ps(value)) }
        fn load(from: *const f32) -> F { (_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
        fn store(to: *mut f32, value: F) {
            _mm256_storeu_ps(to, value.0);
            _mm256_storeu_ps(to.add(8), value.1)
        }
        fn load_f16(from: *const u16) -> F {
            (_mm256_cvtph_ps(_mm_loadu_si128(from.cast())), _mm256_cvtph_ps(_mm_loadu_si128(from.add(8).cast())))
        }
        fn load_bf16(from: *const u16) -> F {
            let low = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
            let high = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.add(8).cast()));
            (_mm256_castsi256_ps(_mm256_slli_epi32::<16>(low)), _mm256_castsi256_ps(_mm256_slli_epi32::<16>(high)))
        }
        fn load_i8(from: *const i8) -> F { Self::to_f(Self::load_i8_i32(from)) }
        fn load_i8_i32(from: *const i8) -> I {
            let bytes = _mm_loadu_si128(from.cast());
            (_mm256_cvtepi8_epi32(bytes), _mm256_cvtepi8_epi32(_mm_srli_si128::<8>(bytes)))
        }
        fn add(a: F, b: F) -> F { (_mm256_add_ps(a.0, b.0), _mm256_add_ps(a.1, b.1)) }
        fn sub(a: F, b: F) -> F { (_mm256_sub_ps(a.0, b.0), _mm256_sub_ps(a.1, b.1)) }
        fn mul(a: F, b: F) -> F { (_mm256_mul_ps(a.0, b.0), _mm256_mul_ps(a.1, b.1)) }
        fn div(a: F, b: F) -> F { (_mm256_div_ps(a.0, b.0), _mm256_div_ps(a.1, b.1)) }
        fn fma(a: F, b: F, c: F) -> F { (_mm256_fmadd_ps(a.0, b.0, c.0), _mm256_fmadd_ps(a.1, b.1, c.1)) }
        fn neg(a: F) -> F {
            let sign = _mm256_set1_ps(-0.0);
            (_mm256_xor_ps(a.0, sign), _mm256_xor_ps(a.1, sign))
        }
        fn round(a: F) -> F {
            const EVEN: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
            (_mm256_round_ps::<EVEN>(a.0), _mm256_round_ps::<EVEN>(a.1))
        }
        fn at_most(x: F, bound: f32) -> F {
            let bound = _mm256_set1_ps(bound);
            (_mm256_min_ps(bound, x.0), _mm256_min_ps(bound, x.1))
        }
        fn zero_below(x: F, bound: f32, y: F) -> F {
            let bound = _mm256_set1_ps(bound);
            let keep = (_mm256_cmp_ps::<_CMP_NLT_UQ>(x.0, bound), _mm256_cmp_ps::<_CMP_NLT_UQ>(x.1, bound));
            (_mm256_and_ps(keep.0, y.0), _mm256_and_ps(keep.1, y.1))
        }
        fn max(a: F, b: F) -> F { (_mm256_max_ps(a.0, b.0), _mm256_max_ps(a.1, b.1)) }
        fn reduce_max(a: F) -> f32 {
            let eight = _mm256_max_ps(a.0, a.1);
            let four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps::<1>(two, two)))
        }
        fn reduce_tree(a: F) -> f32 {
            let eight = _mm256_add_ps(a.0, a.1);
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
        }
        fn scale_by_power(p: F, n: F) -> F {
            let n = Self::to_i(n);
            let low = _mm256_add_epi32(_mm256_castps_si256(p.0), _mm256_slli_epi32::<23>(n.0));
            let high = _mm256_add_epi32(_mm256_castps_si256(p.1), _mm256_slli_epi32::<23>(n.1));
            (_mm256_castsi256_ps(low), _mm256_castsi256_ps(high))
        }
        fn magnitude_bits(a: F) -> I {
            let mask = _mm256_set1_epi32(i32::MAX);
            (_mm256_and_si256(_mm256_castps_si256(a.0), mask), _mm256_and_si256(_mm256_castps_si256(a.1), mask))
        }
        fn splat_i(value: i32) -> I { (_mm256_set1_epi32(value), _mm256_set1_epi32(value)) }
        fn add_i(a: I, b: I) -> I { (_mm256_add_epi32(a.0, b.0), _mm256_add_epi32(a.1, b.1)) }
        fn mul_i(a: I, b: I) -> I { (_mm256_mullo_epi32(a.0, b.0), _mm256_mullo_epi32(a.1, b.1)) }
        fn max_i(a: I, b: I) -> I { (_mm256_max_epi32(a.0, b.0), _mm256_max_epi32(a.1, b.1)) }
        fn reduce_max_i(a: I) -> i32 {
            let eight = _mm256_max_epi32(a.0, a.1);
            let four = _mm_max_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256::<1>(eight));
            let two = _mm_max_epi32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
            _mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32::<1>(two)))
        }
        fn reduce_add_i(a: I) -> i32 {
            let eight = _mm256_add_epi32(a.0, a.1);
            let four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256::<1>(eight));
            let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
            _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<1>(two)))
        }
        fn to_f(a: I) -> F { (_mm256_cvtepi32_ps(a.0), _mm256_cvtepi32_ps(a.1)) }
        fn to_i(a: F) -> I { (_mm256_cvtps_epi32(a.0), _mm256_cvtps_epi32(a.1)) }
        fn store_i8(to: *mut i8, value: I) {
            // Packing interleaves 128-bit halves; the permutation puts them back.
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(value.0, value.1));
            let limit = _mm256_set1_epi16(127);
            let clamped = _mm256_min_epi16(_mm256_max_epi16(words, _mm256_set1_epi16(-127)), limit);
            let bytes = _mm_packs_epi16(_mm256_castsi256_si128(clamped), _mm256_extracti128_si256::<1>(clamped));
            _mm_storeu_si128(to.cast(), bytes)
        }
        fn eights(low: f32, high: f32) -> F { (_mm256_set1_ps(low), _mm256_set1_ps(high)) }
        fn eights_i(low: i32, high: i32) -> I { (_mm256_set1_epi32(low), _mm256_set1_epi32(high)) }
        fn low(a: F) -> F { (a.0, _mm256_setzero_ps()) }
        fn high(a: F) -> F { (a.1, _mm256_setzero_ps()) }
        fn load_codes(from: *const u8) -> I {
            (_mm256_loadu_si256(from.cast()), _mm256_loadu_si256(from.add(32).cast()))
        }
        fn load_nibbles(from: *const u8) -> (I, I) {
            let (bytes, mask) = (Self::load_codes(from), _mm256_set1_epi8(15));
            let low = (_mm256_and_si256(bytes.0, mask), _mm256_and_si256(bytes.1, mask));
            let shifted = (_mm256_srli_epi16::<4>(bytes.0), _mm256_srli_epi16::<4>(bytes.1));
            (low, (_mm256_and_si256(shifted.0, mask), _mm256_and_si256(shifted.1, mask)))
        }
        fn dot_narrow(sum: I, codes: I, x: i32) -> I {
            let x = _mm256_set1_epi32(x);
            (pairs(sum.0, codes.0, x), pairs(sum.1, codes.1, x))
        }
        fn dot_wide(sum: I, codes: I, x: i32) -> I {
            Self::dot_wide_each(sum, codes, Self::splat_i(x))
        }
        fn dot_wide_each(sum: I, codes: I, x: I) -> I {
            (signed_pairs(sum.0, codes.0, x.0), signed_pairs(sum.1, codes.1, x.1))
        }
    }
}
