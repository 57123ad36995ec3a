//! Each kernel compiled for each path: the functions that carry target features.

use super::{Attend, Matmul, QBlock, attention, elementwise, matmul};
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
use crate::{blocks::BLOCK, simd::Scalar};

type MatmulEntry = unsafe fn(&Matmul<'_>);

/// Entry points. Each may be called only where the CPU has the path's features.
pub(super) struct Table {
    pub(super) quantize: unsafe fn(&[f32], &mut [QBlock]) -> bool,
    pub(super) quantize_weights: unsafe fn(&[f32; BLOCK], &mut [u8; BLOCK]) -> u16,
    pub(super) norm: unsafe fn(&[f32], &[f32], f32, &mut [f32]),
    pub(super) add: unsafe fn(&mut [f32], &[f32]),
    pub(super) silu_mul: unsafe fn(&mut [f32], &[f32]),
    pub(super) rope: unsafe fn(&mut [f32], &[f32], &[f32]),
    pub(super) exp: unsafe fn(&mut [f32]),
    pub(super) read: unsafe fn(&[f32]) -> f32,
    pub(super) attend: unsafe fn(&mut Attend<'_>),
    pub(super) matmul_four: MatmulEntry,
    pub(super) matmul_four_min: MatmulEntry,
    pub(super) matmul_four_wide: MatmulEntry,
    pub(super) matmul_five: MatmulEntry,
    pub(super) matmul_five_wide: MatmulEntry,
    pub(super) matmul_six: MatmulEntry,
    pub(super) matmul_eight: MatmulEntry,
    pub(super) matmul_float: MatmulEntry,
    pub(super) matmul_key: MatmulEntry,
}

macro_rules! path {
    ($table:ident, $module:ident, $simd:ty, #[$attribute:meta]) => {
        mod $module {
            use super::{Attend, BLOCK, Matmul, QBlock, attention, elementwise, matmul};

            path!(@entries $simd, #[$attribute]
                fn quantize(x: &[f32], out: &mut [QBlock]) -> bool = elementwise::quantize::<$simd>;
                fn quantize_weights(x: &[f32; BLOCK], codes: &mut [u8; BLOCK]) -> u16 = elementwise::quantize_weights::<$simd>;
                fn norm(x: &[f32], w: &[f32], eps: f32, out: &mut [f32]) -> () = elementwise::norm::<$simd>;
                fn add(x: &mut [f32], y: &[f32]) -> () = elementwise::add::<$simd>;
                fn silu_mul(g: &mut [f32], u: &[f32]) -> () = elementwise::silu_mul::<$simd>;
                fn rope(head: &mut [f32], cos: &[f32], sin: &[f32]) -> () = elementwise::rope::<$simd>;
                fn exp(x: &mut [f32]) -> () = elementwise::exp_all::<$simd>;
                fn read(x: &[f32]) -> f32 = elementwise::read::<$simd>;
                fn attend(job: &mut Attend<'_>) -> () = attention::attend::<$simd>;
                fn matmul_four(job: &Matmul<'_>) -> () = matmul::run::<$simd, matmul::Four>;
                fn matmul_four_min(job: &Matmul<'_>) -> () = matmul::run::<$simd, matmul::FourMin>;
                fn matmul_four_wide(job: &Matmul<'_>) -> () = matmul::run::<$simd, matmul::FourWide>;
                fn matmul_five(job: &Matmul<'_>) -> () = matmul::run::<$simd, matmul::Five>;
                fn matmul_five_wide(job: &Matmul<'_>) -> () = matmul::run::<$simd, matmul::FiveWide>;
                fn matmul_six(job: &Matmul<'_>) -> () = matmul::run::<$simd, matmul::Six>;
                fn matmul_eight(job: &Matmul<'_>) -> () = matmul::run::<$simd, matmul::Eight>;
                fn matmul_float(job: &Matmul<'_>) -> () = matmul::run::<$simd, matmul::Float>;
                fn matmul_key(job: &Matmul<'_>) -> () = matmul::run::<$simd, matmul::Key>;
            );
        }

        pub(super) static $table: Table = Table {
            quantize: $module::quantize,
            quantize_weights: $module::quantize_weights,
            norm: $module::norm,
            add: $module::add,
            silu_mul: $module::silu_mul,
            rope: $module::rope,
            exp: $module::exp,
            read: $module::read,
            attend: $module::attend,
            matmul_four: $module::matmul_four,
            matmul_four_min: $module::matmul_four_min,
            matmul_four_wide: $module::matmul_four_wide,
            matmul_five: $module::matmul_five,
            matmul_five_wide: $module::matmul_five_wide,
            matmul_six: $module::matmul_six,
            matmul_eight: $module::matmul_eight,
            matmul_float: $module::matmul_float,
            matmul_key: $module::matmul_key,
        };
    };
    (@entries $simd:ty, #[$attribute:meta] $(fn $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty = $generic:expr;)*) => {
        $(
            #[$attribute]
            pub(super) unsafe fn $name($($arg: $ty),*) -> $ret {
                // SAFETY: the features are this function's own; the rest is the caller's promise.
                unsafe { $generic($($arg),*) }
            }
        )*
    };
}

path!(SCALAR, scalar, super::Scalar, #[inline(never)]);
#[cfg(target_arch = "x86_64")]
path!(AVX2, avx2, super::Avx2, #[target_feature(enable = "avx2,fma,f16c")]);
#[cfg(target_arch = "x86_64")]
path!(AVX512, avx512, super::Avx512, #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]);
