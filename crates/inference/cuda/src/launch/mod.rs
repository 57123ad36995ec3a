//! Kernels, what they are told, and the launches that make up a step.

pub(crate) mod group;
pub mod params;
mod program;

pub(crate) use program::CHOOSE_THREADS;
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
    FastEmbed,
    FastNorm,
    FastLinear1,
    FastLinear2,
    FastLinear4,
    FastLinearWide,
    FastExpand,
    FastRotate,
    FastActivate,
    FastAttendSplit,
    FastAttendCombine,
    FastAttendTile,
    Fast8Linear1,
    Fast8Linear2,
    Fast8Linear4,
    Fast8LinearWide,
    Fast8Quantize,
    ChooseTokens,
}

impl Kernel {
    /// Every kernel.
    pub const ALL: [Self; 33] = [
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
        Self::FastEmbed,
        Self::FastNorm,
        Self::FastLinear1,
        Self::FastLinear2,
        Self::FastLinear4,
        Self::FastLinearWide,
        Self::FastExpand,
        Self::FastRotate,
        Self::FastActivate,
        Self::FastAttendSplit,
        Self::FastAttendCombine,
        Self::FastAttendTile,
        Self::Fast8Linear1,
        Self::Fast8Linear2,
        Self::Fast8Linear4,
        Self::Fast8LinearWide,
        Self::Fast8Quantize,
        Self::ChooseTokens,
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
            Self::FastEmbed => "fast_embed",
            Self::FastNorm => "fast_norm",
            Self::FastLinear1 => "fast_linear_1",
            Self::FastLinear2 => "fast_linear_2",
            Self::FastLinear4 => "fast_linear_4",
            Self::FastLinearWide => "fast_linear_wide",
            Self::FastExpand => "fast_expand",
            Self::FastRotate => "fast_rotate",
            Self::FastActivate => "fast_activate",
            Self::FastAttendSplit => "fast_attend_split",
            Self::FastAttendCombine => "fast_attend_combine",
            Self::FastAttendTile => "fast_attend_tile",
            Self::Fast8Linear1 => "fast8_linear_1",
            Self::Fast8Linear2 => "fast8_linear_2",
            Self::Fast8Linear4 => "fast8_linear_4",
            Self::Fast8LinearWide => "fast8_linear_wide",
            Self::Fast8Quantize => "fast8_quantize",
            Self::ChooseTokens => "choose_tokens",
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
            Self::FastEmbed
            | Self::FastNorm
            | Self::FastLinear1
            | Self::FastLinear2
            | Self::FastLinear4
            | Self::FastLinearWide
            | Self::FastExpand
            | Self::FastRotate
            | Self::FastActivate => 3,
            Self::FastAttendSplit | Self::FastAttendCombine | Self::FastAttendTile => 4,
            Self::Fast8Linear1
            | Self::Fast8Linear2
            | Self::Fast8Linear4
            | Self::Fast8LinearWide
            | Self::Fast8Quantize => 5,
            Self::ChooseTokens => 6,
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
