//! AVX-512 with VNNI: one register for sixteen lanes.

use super::Simd;
use std::arch::x86_64::*;

/// AVX-512 F, BW, VL and VNNI.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512;

/// The high eight lanes.
const HIGH: __mmask16 = 0xff00;

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

// SAFETY: only intrinsics of the named features are used.
impl Simd for Avx512 {
    type F = __m512;
    type I = __m512i;
    type Codes = __m512i;
    const WIDE_IS_OFFSET: bool = true;

    methods! {
        fn prefetch(at: *const u8) { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
        fn prefetch_second(at: *const u8) { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
        fn splat(value: f32) -> __m512 { _mm512_set1_ps(value) }
        fn load(from: *const f32) -> __m512 { _mm512_loadu_ps(from) }
        fn store(to: *mut f32, value: __m512) { _mm512_storeu_ps(to, value) }
        fn load_f16(from: *const u16) -> __m512 { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
        fn load_bf16(from: *const u16) -> __m512 {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        }
        fn load_i8(from: *const i8) -> __m512 {
            _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from.cast())))
        }
        fn load_i8_i32(from: *const i8) -> __m512i { _mm512_cvtepi8_epi32(_mm_loadu_si128(from.cast())) }
        fn add(a: __m512, b: __m512) -> __m512 { _mm512_add_ps(a, b) }
        fn sub(a: __m512, b: __m512) -> __m512 { _mm512_sub_ps(a, b) }
        fn mul(a: __m512, b: __m512) -> __m512 { _mm512_mul_ps(a, b) }
        fn div(a: __m512, b: __m512) -> __m512 { _mm512_div_ps(a, b) }
        fn fma(a: __m512, b: __m512, c: __m512) -> __m512 { _mm512_fmadd_ps(a, b, c) }
        fn neg(a: __m512) -> __m512 {
            _mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(a), _mm512_set1_epi32(i32::MIN)))
        }
        fn round(a: __m512) -> __m512 { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
        fn at_most(x: __m512, bound: f32) -> __m512 { _mm512_min_ps(_mm512_set1_ps(bound), x) }
        fn zero_below(x: __m512, bound: f32, y: __m512) -> __m512 {
            _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_NLT_UQ>(x, _mm512_set1_ps(bound)), y)
        }
        fn max(a: __m512, b: __m512) -> __m512 { _mm512_max_ps(a, b) }
        fn reduce_max(a: __m512) -> f32 { _mm512_reduce_max_ps(a) }
        fn reduce_tree(a: __m512) -> f32 {
            let high = _mm512_castsi512_ps(_mm512_shuffle_i64x2::<0b01_00_11_10>(_mm512_castps_si512(a), _mm512_castps_si512(a)));
            let eight = _mm512_castps512_ps256(_mm512_add_ps(a, high));
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
        }
        fn scale_by_power(p: __m512, n: __m512) -> __m512 {
            let n = _mm512_slli_epi32::<23>(_mm512_cvtps_epi32(n));
            _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), n))
        }
        fn magnitude_bits(a: __m512) -> __m512i { _mm512_and_si512(_mm512_castps_si512(a), _mm512_set1_epi32(i32::MAX)) }
        fn splat_i(value: i32) -> __m512i { _mm512_set1_epi32(value) }
        fn add_i(a: __m512i, b: __m512i) -> __m512i { _mm512_add_epi32(a, b) }
        fn mul_i(a: __m512i, b: __m512i) -> __m512i { _mm512_mullo_epi32(a, b) }
        fn max_i(a: __m512i, b: __m512i) -> __m512i { _mm512_max_epi32(a, b) }
        fn reduce_max_i(a: __m512i) -> i32 { _mm512_reduce_max_epi32(a) }
        fn reduce_add_i(a: __m512i) -> i32 { _mm512_reduce_add_epi32(a) }
        fn to_f(a: __m512i) -> __m512 { _mm512_cvtepi32_ps(a) }
        fn to_i(a: __m512) -> __m512i { _mm512_cvtps_epi32(a) }
        fn store_i8(to: *mut i8, value: __m512i) {
            let clamped = _mm512_min_epi32(_mm512_max_epi32(value, _mm512_set1_epi32(-127)), _mm512_set1_epi32(127));
            _mm_storeu_si128(to.cast(), _mm512_cvtepi32_epi8(clamped))
        }
        fn eights(low: f32, high: f32) -> __m512 {
            _mm512_mask_mov_ps(_mm512_set1_ps(low), HIGH, _mm512_set1_ps(high))
        }
        fn eights_i(low: i32, high: i32) -> __m512i { _mm512_mask_set1_epi32(_mm512_set1_epi32(low), HIGH, high) }
        fn low(a: __m512) -> __m512 { _mm512_maskz_mov_ps(!HIGH, a) }
        fn high(a: __m512) -> __m512 {
            _mm512_castpd_ps(_mm512_zextpd256_pd512(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(a))))
        }
        fn load_codes(from: *const u8) -> __m512i { _mm512_loadu_si512(from.cast()) }
        fn load_nibbles(from: *const u8) -> (__m512i, __m512i) {
            let (bytes, mask) = (_mm512_loadu_si512(from.cast()), _mm512_set1_epi8(15));
            (_mm512_and_si512(bytes, mask), _mm512_and_si512(_mm512_srli_epi16::<4>(bytes), mask))
        }
        fn dot_narrow(sum: __m512i, codes: __m512i, x: i32) -> __m512i {
            _mm512_dpbusd_epi32(sum, codes, _mm512_set1_epi32(x))
        }
        fn dot_wide(sum: __m512i, codes: __m512i, x: i32) -> __m512i {
            _mm512_dpbusd_epi32(sum, codes, _mm512_set1_epi32(x))
        }
        fn dot_wide_each(sum: __m512i, codes: __m512i, x: __m512i) -> __m512i { _mm512_dpbusd_epi32(sum, codes, x) }
    }
}
