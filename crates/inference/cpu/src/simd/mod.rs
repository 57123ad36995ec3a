//! Sixteen lanes, three ways.
//!
//! Every kernel is written once over [`Simd`] and compiled for each implementation. The trait has only operations
//! that IEEE 754 or integer arithmetic define exactly, so the lanes agree bit for bit by construction; the tests
//! check that they do.
//!
//! All methods are `#[inline(always)]`: the entry points of `kernels` carry the target features, and the intrinsics
//! inline into them.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
pub(crate) use scalar::Scalar;

/// Lanes of a vector, rows of a weight tile, positions of a KV page.
pub(crate) const LANES: usize = 16;

/// Sixteen lanes of f32 and i32, and 64 bytes of weight codes, four for each lane.
///
/// # Safety
///
/// Every method may only be called where the implementation's CPU features are present; pointers must be valid for
/// the bytes that the method's name implies.
pub(crate) trait Simd: Copy + 'static {
    /// 16 × f32.
    type F: Copy;
    /// 16 × i32.
    type I: Copy;
    /// 64 bytes.
    type Codes: Copy;

    /// Whether [`dot_wide`](Self::dot_wide) takes the stored code as it is, offset by 128 included.
    const WIDE_IS_OFFSET: bool;

    /// A hint; any address is fine.
    unsafe fn prefetch(at: *const u8);
    /// The same into the second cache: what comes later leaves the first one alone, and more can be under way.
    unsafe fn prefetch_second(at: *const u8);
    unsafe fn splat(value: f32) -> Self::F;
    unsafe fn load(from: *const f32) -> Self::F;
    unsafe fn store(to: *mut f32, value: Self::F);
    /// 16 × f16, widened.
    unsafe fn load_f16(from: *const u16) -> Self::F;
    /// 16 × bf16, widened.
    unsafe fn load_bf16(from: *const u16) -> Self::F;
    /// 16 × i8, converted.
    unsafe fn load_i8(from: *const i8) -> Self::F;
    /// 16 × i8, sign-extended.
    unsafe fn load_i8_i32(from: *const i8) -> Self::I;
    unsafe fn add(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn sub(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn mul(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn div(a: Self::F, b: Self::F) -> Self::F;
    /// `a · b + c`, rounded once.
    unsafe fn fma(a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    unsafe fn neg(a: Self::F) -> Self::F;
    /// Ties to even.
    unsafe fn round(a: Self::F) -> Self::F;
    /// `x > bound ? bound : x`, so that a NaN stays.
    unsafe fn at_most(x: Self::F, bound: f32) -> Self::F;
    /// `x < bound ? 0 : y`.
    unsafe fn zero_below(x: Self::F, bound: f32, y: Self::F) -> Self::F;
    /// The larger in each lane; which one, where one is NaN, is not defined.
    unsafe fn max(a: Self::F, b: Self::F) -> Self::F;
    /// The largest lane; not defined where one is NaN.
    unsafe fn reduce_max(a: Self::F) -> f32;
    /// Lanes l += l + 8, l + 4, l + 2, l + 1.
    unsafe fn reduce_tree(a: Self::F) -> f32;
    /// Adds the integer `n` to the exponent field.
    unsafe fn scale_by_power(p: Self::F, n: Self::F) -> Self::F;
    /// Bits without the sign.
    unsafe fn magnitude_bits(a: Self::F) -> Self::I;

    unsafe fn splat_i(value: i32) -> Self::I;
    unsafe fn add_i(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn mul_i(a: Self::I, b: Self::I) -> Self::I;
    /// Signed maximum.
    unsafe fn max_i(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn reduce_max_i(a: Self::I) -> i32;
    unsafe fn reduce_add_i(a: Self::I) -> i32;
    unsafe fn to_f(a: Self::I) -> Self::F;
    /// Ties to even; for integers in range only.
    unsafe fn to_i(a: Self::F) -> Self::I;
    /// Clamps to ±127 and stores the low bytes.
    unsafe fn store_i8(to: *mut i8, value: Self::I);

    /// One value in the low eight lanes, one in the high eight.
    unsafe fn eights(low: f32, high: f32) -> Self::F;
    unsafe fn eights_i(low: i32, high: i32) -> Self::I;
    /// The low eight lanes, above them zeros.
    unsafe fn low(a: Self::F) -> Self::F;
    /// The high eight lanes in the low ones, above them zeros.
    unsafe fn high(a: Self::F) -> Self::F;

    unsafe fn load_codes(from: *const u8) -> Self::Codes;
    /// The low and the high nibble of each byte.
    unsafe fn load_nibbles(from: *const u8) -> (Self::Codes, Self::Codes);
    /// Adds to each lane the dot of its four codes, each at most 127, with the four signed bytes of `x`.
    unsafe fn dot_narrow(sum: Self::I, codes: Self::Codes, x: i32) -> Self::I;
    /// The same for codes of the whole byte: with the code itself, or with the code less 128, as
    /// [`WIDE_IS_OFFSET`](Self::WIDE_IS_OFFSET) says.
    unsafe fn dot_wide(sum: Self::I, codes: Self::Codes, x: i32) -> Self::I;
    /// The same with four bytes of its own for each lane.
    unsafe fn dot_wide_each(sum: Self::I, codes: Self::Codes, x: Self::I) -> Self::I;
}
