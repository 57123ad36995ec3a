//! The profile's primitives over sixteen lanes, and the choice among the three compilations of them.

mod attention;
mod elementwise;
mod entry;
mod fetch;
mod folded;
mod matmul;

use crate::CpuError;
use std::fmt;

pub(crate) use attention::{Attend, AttendRow};
pub(crate) use fetch::Span;
pub(crate) use matmul::{Matmul, Output};

use crate::{blocks::BLOCK, packed::Layout};

/// A block of quantised activations with all that a dot product needs of it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(16))]
pub(crate) struct QBlock {
    /// The values, within ±127.
    pub(crate) q: [i8; BLOCK],
    /// Their scale s.
    pub(crate) scale: f32,
    /// rn(s · f32(Σ q)), what a weight's minimum is multiplied with.
    pub(crate) weighted: f32,
    /// −128 · Σ q: what codes offset by 128 add too much, taken back.
    pub(crate) offset: i32,
    /// Σ q of each half.
    pub(crate) sums: [i16; 2],
}

impl QBlock {
    pub(crate) const ZERO: Self = Self { q: [0; BLOCK], scale: 0.0, weighted: 0.0, offset: 0, sums: [0; 2] };
}

/// A compilation of the kernels. All give the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Plain Rust.
    Scalar,
    /// AVX2, FMA and F16C.
    Avx2,
    /// AVX-512 with VNNI.
    Avx512Vnni,
}

impl Path {
    /// Every path, the fastest first.
    pub const ALL: [Self; 3] = [Self::Avx512Vnni, Self::Avx2, Self::Scalar];

    /// For logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512Vnni => "avx512vnni",
        }
    }

    /// Whether this CPU has it.
    #[cfg(target_arch = "x86_64")]
    pub fn is_available(self) -> bool {
        match self {
            Self::Scalar => true,
            Self::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
                    && is_x86_feature_detected!("f16c")
            }
            Self::Avx512Vnni => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512vnni")
                    && is_x86_feature_detected!("f16c")
                    && is_x86_feature_detected!("fma")
            }
        }
    }

    /// Whether this CPU has it.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn is_available(self) -> bool {
        self == Self::Scalar
    }

    /// The fastest this CPU has.
    pub fn best() -> Self {
        Self::ALL.into_iter().find(|path| path.is_available()).unwrap_or(Self::Scalar)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Entry points of one path. Obtained only where the CPU has it.
#[derive(Clone, Copy)]
pub(crate) struct Kernels {
    path: Path,
    table: &'static entry::Table,
}

impl fmt::Debug for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kernels({})", self.path)
    }
}

impl Kernels {
    pub(crate) fn new(path: Path) -> Result<Self, CpuError> {
        if !path.is_available() {
            return Err(CpuError::Path(path.name()));
        }
        let table = match path {
            Path::Scalar => &entry::SCALAR,
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 => &entry::AVX2,
            #[cfg(target_arch = "x86_64")]
            Path::Avx512Vnni => &entry::AVX512,
            #[cfg(not(target_arch = "x86_64"))]
            _ => &entry::SCALAR,
        };
        Ok(Self { path, table })
    }

    pub(crate) const fn path(&self) -> Path {
        self.path
    }

    /// Q8 of activations. False, and zeros, where a value is not finite.
    pub(crate) fn quantize(&self, x: &[f32], out: &mut [QBlock]) -> bool {
        assert!(x.len() == out.len() * BLOCK, "quantise {} values into {} blocks", x.len(), out.len());
        // SAFETY: `new` checked the features; lengths are checked above.
        unsafe { (self.table.quantize)(x, out) }
    }

    /// Q8 of a block of weights: codes offset by 128, and the bits of the scale, 0 where all is zero. Values must be finite.
    pub(crate) fn quantize_weights(&self, x: &[f32; BLOCK], codes: &mut [u8; BLOCK]) -> u16 {
        // SAFETY: `new` checked the features.
        unsafe { (self.table.quantize_weights)(x, codes) }
    }

    /// RMSNorm of `x` with scale `w`.
    pub(crate) fn norm(&self, x: &[f32], w: &[f32], eps: f32, out: &mut [f32]) {
        assert!(
            x.len() == w.len() && x.len() == out.len() && x.len().is_multiple_of(16),
            "norm of {}",
            x.len()
        );
        // SAFETY: `new` checked the features; lengths are checked above.
        unsafe { (self.table.norm)(x, w, eps, out) }
    }

    /// x = rn(x + y).
    pub(crate) fn add(&self, x: &mut [f32], y: &[f32]) {
        assert!(x.len() == y.len() && x.len().is_multiple_of(16), "sum of {}", x.len());
        // SAFETY: `new` checked the features; lengths are checked above.
        unsafe { (self.table.add)(x, y) }
    }

    /// g = silu(g) · u.
    pub(crate) fn silu_mul(&self, g: &mut [f32], u: &[f32]) {
        assert!(g.len() == u.len() && g.len().is_multiple_of(16), "gate of {}", g.len());
        // SAFETY: `new` checked the features; lengths are checked above.
        unsafe { (self.table.silu_mul)(g, u) }
    }

    /// Rotates a head by one position's cosines and sines.
    pub(crate) fn rope(&self, head: &mut [f32], cos: &[f32], sin: &[f32]) {
        let half = cos.len();
        assert!(
            head.len() == half * 2 && sin.len() == half && half.is_multiple_of(16),
            "rope of {}",
            head.len()
        );
        // SAFETY: `new` checked the features; lengths are checked above.
        unsafe { (self.table.rope)(head, cos, sin) }
    }

    /// x = exp(x), for the tests and vectors; attention and silu inline it.
    pub(crate) fn exp(&self, x: &mut [f32]) {
        assert!(x.len().is_multiple_of(16), "exp of {}", x.len());
        // SAFETY: `new` checked the features; lengths are checked above.
        unsafe { (self.table.exp)(x) }
    }

    /// Reads memory as fast as the path can; the largest value, which means nothing.
    pub(crate) fn read(&self, x: &[f32]) -> f32 {
        // SAFETY: `new` checked the features.
        unsafe { (self.table.read)(x) }
    }

    /// Some tiles of a linear layer over some tokens.
    ///
    /// # Safety
    ///
    /// The pointers of `job` must be valid for what it describes, and no one else may touch its part of the output.
    pub(crate) unsafe fn matmul(&self, job: &Matmul<'_>) {
        let entry = match job.weights.shape.layout {
            Layout::Four => self.table.matmul_four,
            Layout::FourMin => self.table.matmul_four_min,
            Layout::FourWide => self.table.matmul_four_wide,
            Layout::Five => self.table.matmul_five,
            Layout::FiveWide => self.table.matmul_five_wide,
            Layout::Six => self.table.matmul_six,
            Layout::Eight => self.table.matmul_eight,
            Layout::Float => self.table.matmul_float,
            Layout::Folded => self.table.matmul_folded,
            Layout::Key => self.table.matmul_key,
        };
        // SAFETY: `new` checked the features; the rest is the caller's promise.
        unsafe { entry(job) }
    }

    /// Attention of some query rows over one key head.
    ///
    /// # Safety
    ///
    /// The pointers of `job` must be valid for what it describes, and no one else may touch its outputs.
    pub(crate) unsafe fn attend(&self, job: &mut Attend<'_>) {
        // SAFETY: `new` checked the features; the rest is the caller's promise.
        unsafe { (self.table.attend)(job) }
    }
}
