//! Which arithmetic a backend runs.

use crate::{DeviceError, launch::Kernel};
use std::{fmt, str::FromStr};

/// The arithmetic, of which an operator chooses one for a node. Each has a profile of its own, so that answers of one are never taken for
/// another's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Tier {
    /// Profile `f32-q8-1`: the same bits as the CPU and the definition.
    #[default]
    Deterministic,
    /// Weights, activations and cache in bf16, sums in f32. The same bits in every run on devices of one compute capability, whatever
    /// else is in the step; nobody else's.
    Fast,
    /// The same with layers' weights in e4m3, a scale for each row.
    FastFp8,
}

impl Tier {
    /// Every tier.
    pub const ALL: [Self; 3] = [Self::Deterministic, Self::Fast, Self::FastFp8];

    /// Whether it is not the deterministic one.
    pub const fn is_fast(self) -> bool {
        !matches!(self, Self::Deterministic)
    }

    /// The least compute capability that has its instructions.
    pub const fn capability(self) -> (i32, i32) {
        match self {
            Self::Deterministic | Self::Fast => (8, 0),
            Self::FastFp8 => (8, 9),
        }
    }

    /// Refuses a device that is too old for it.
    pub fn check(self, found: (i32, i32)) -> Result<(), DeviceError> {
        if found >= self.capability() { Ok(()) } else { Err(DeviceError::Tier { tier: self, found }) }
    }

    /// What is compiled for it, by index in [`SOURCES`](crate::sources::SOURCES).
    pub const fn sources(self) -> &'static [usize] {
        match self {
            Self::Deterministic => &[0, 1, 2, 6],
            Self::Fast => &[3, 4, 6],
            Self::FastFp8 => &[3, 4, 5, 6],
        }
    }

    /// Its name in profile hashes, with the version of what it means.
    pub(crate) const fn profile(self) -> &'static str {
        match self {
            Self::Deterministic => tributary_cpu::PROFILE,
            Self::Fast => "bf16-1",
            Self::FastFp8 => "e4m3-bf16-1",
        }
    }

    /// The kernel that does here what `kernel` does in the deterministic tier. Attention is put together otherwise, by who launches it.
    pub(crate) const fn kernel(self, kernel: Kernel) -> Kernel {
        if !self.is_fast() {
            return kernel;
        }
        match kernel {
            Kernel::EmbedTokens => Kernel::FastEmbed,
            Kernel::RmsNorm => Kernel::FastNorm,
            Kernel::Expand => Kernel::FastExpand,
            Kernel::Rotate => Kernel::FastRotate,
            Kernel::AttendCombine => Kernel::FastAttendCombine,
            Kernel::AttendTile => Kernel::FastAttendTile,
            Kernel::Activate => Kernel::FastActivate,
            other => other,
        }
    }
}

impl FromStr for Tier {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || format!("{text:?} is none of deterministic, fast and fast-fp8");
        Self::ALL.into_iter().find(|tier| tier.to_string() == text).ok_or_else(unknown)
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deterministic => "deterministic",
            Self::Fast => "fast",
            Self::FastFp8 => "fast-fp8",
        })
    }
}
