use std::path::PathBuf;

/// What goes wrong while reading a corpus, training, or judging an adapter.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not in the format it should be in.
    #[error("{path}: {why}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A recipe or a list of documents that cannot be trained on.
    #[error("{0}")]
    Input(String),
    /// The base model is not one this trainer knows, or misses a tensor.
    #[error("base model: {0}")]
    Base(String),
    /// The loss or a gradient stopped being a number.
    #[error("training diverged at step {step}: {what}")]
    Diverged {
        /// The step, from 1.
        step: usize,
        /// What was not finite.
        what: &'static str,
    },
    /// The caller asked to stop.
    #[error("stopped at step {0}")]
    Stopped(usize),
    /// The numerical library refused an operation.
    #[error("tensor: {0}")]
    Tensor(#[from] candle_core::Error),
}

impl TrainError {
    /// Whether other input (a file, a recipe, documents) would help, rather than a retry.
    #[must_use]
    pub const fn is_input(&self) -> bool {
        matches!(self, Self::Format { .. } | Self::Input(_) | Self::Base(_))
    }

    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn format(path: impl Into<PathBuf>, why: impl ToString) -> Self {
        Self::Format { path: path.into(), why: why.to_string() }
    }
}
