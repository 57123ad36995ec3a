//! Why the backend cannot start.

use tributary_engine::BackendError;

/// A fault of the machine or the model, found before the first token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CpuError {
    /// A size does not fit the profile's blocks.
    #[error("model does not fit the profile: {0}")]
    Model(String),
    /// The operating system gives no memory.
    #[error("no memory for {0} bytes")]
    Memory(usize),
    /// A path was asked for that this CPU lacks.
    #[error("this CPU lacks {0}")]
    Path(&'static str),
    /// A path computes other bits than the committed vectors: serving would be a lie.
    #[error("self-test of path {path} failed at {vector}")]
    SelfTest {
        /// The path.
        path: &'static str,
        /// The vector.
        vector: String,
    },
    /// Floating point is not in its default mode: rounding to nearest, subnormals kept.
    #[error("floating-point control register is {0:#x}")]
    FloatMode(u32),
    /// Threads cannot be started.
    #[error("cannot start threads: {0}")]
    Threads(String),
}

impl From<CpuError> for BackendError {
    fn from(error: CpuError) -> Self {
        match error {
            CpuError::FloatMode(_) | CpuError::Memory(_) => Self::Failed(error.to_string()),
            other => Self::Start(other.to_string()),
        }
    }
}
