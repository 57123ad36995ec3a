//! Kernels, what they are told, and the launches that make up a step.

pub(crate) mod group;
pub mod params;
mod program;

pub use program::{Buffers, LayerMap, ModelMap, launches};

/// A kernel of `kernels/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "named and documented in kernels/*.cu")]
pub enum Kernel {
    EmbedTokens,
    RmsNorm,
    Linear1,
    Linear2,
    Linear4,
    LinearWide,
    Expand,
    Rotate,
    AttendScores,
    AttendValues,
    AttendCombine,
    AttendTile,
    Activate,
    Exponentials,
    QuantizeBlocks,
}

impl Kernel {
    /// Every kernel.
    pub const ALL: [Self; 15] = [
        Self::EmbedTokens,
        Self::RmsNorm,
        Self::Linear1,
        Self::Linear2,
        Self::Linear4,
        Self::LinearWide,
        Self::Expand,
        Self::Rotate,
        Self::AttendScores,
        Self::AttendValues,
        Self::AttendCombine,
        Self::AttendTile,
        Self::Activate,
        Self::Exponentials,
        Self::QuantizeBlocks,
    ];

    /// Its name in the compiled module.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EmbedTokens => "embed_tokens",
            Self::RmsNorm => "rms_norm",
            Self::Linear1 => "linear_1",
            Self::Linear2 => "linear_2",
            Self::Linear4 => "linear_4",
            Self::LinearWide => "linear_wide",
            Self::Expand => "expand",
            Self::Rotate => "rotate",
            Self::AttendScores => "attend_scores",
            Self::AttendValues => "attend_values",
            Self::AttendCombine => "attend_combine",
            Self::AttendTile => "attend_tile",
            Self::Activate => "activate",
            Self::Exponentials => "exponentials",
            Self::QuantizeBlocks => "quantize_blocks",
        }
    }

    /// The source file that has it, by its index in [`SOURCES`](crate::sources::SOURCES).
    pub const fn source(self) -> usize {
        match self {
            Self::EmbedTokens
            | Self::RmsNorm
            | Self::Rotate
            | Self::Activate
            | Self::Exponentials
            | Self::QuantizeBlocks => 0,
            Self::Linear1 | Self::Linear2 | Self::Linear4 | Self::LinearWide | Self::Expand => 1,
            Self::AttendScores | Self::AttendValues | Self::AttendCombine | Self::AttendTile => 2,
        }
    }
}

/// One launch. Shared memory is static in every kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// What runs.
    pub kernel: Kernel,
    /// Blocks.
    pub grid: [u32; 3],
    /// Threads of a block, whole warps.
    pub threads: u32,
    /// The kernel's one parameter.
    pub params: Vec<u8>,
}
