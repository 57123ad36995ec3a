use std::{io, path::PathBuf};

/// Why there is no embedding.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbedError {
    /// A file of the model cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The model is not one that is understood here.
    #[error("the embedding model: {0}")]
    Model(String),
    /// The text has more tokens than the model looks at.
    #[error("the text has {tokens} tokens, the model takes {limit} at most")]
    TooLong {
        /// Its tokens.
        tokens: usize,
        /// The most.
        limit: usize,
    },
    /// Nothing to embed.
    #[error("the text has no tokens")]
    Empty,
    /// Not a token.
    #[error("token {0} is not in the vocabulary")]
    BadToken(u32),
    /// The computation failed.
    #[error("the embedding could not be computed: {0}")]
    Compute(String),
}

impl From<candle_core::Error> for EmbedError {
    fn from(error: candle_core::Error) -> Self {
        Self::Compute(error.to_string())
    }
}
