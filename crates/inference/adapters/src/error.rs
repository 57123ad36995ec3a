use alloy_primitives::B256;
use std::{path::Path, time::Duration};

/// What the caller should do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The same artifact may load later.
    Retry,
    /// This artifact will never load here.
    Reject,
    /// Something of this machine is broken.
    Fatal,
}

/// Why an adapter could not be parsed, fetched or kept.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AdapterError {
    /// `adapter_config.json` is not a PEFT configuration.
    #[error("adapter_config.json: {0}")]
    Config(String),
    /// A field asks for what this node does not do; dropping it would change the answer.
    #[error("adapter_config.json: `{field}` = {value} is not supported")]
    Unsupported {
        /// Field of the configuration.
        field: String,
        /// Its value, shortened.
        value: String,
    },
    /// `target_modules` names what the base model does not have, or what cannot be adapted.
    #[error("target module `{0}` is not a linear layer of the base model")]
    UnknownModule(String),
    /// A file or tensor exceeds its bound.
    #[error("{what} has {bytes} bytes, more than {limit}")]
    TooLarge {
        /// What is too large.
        what: String,
        /// Its size, or the size where reading stopped.
        bytes: u64,
        /// The bound.
        limit: u64,
    },
    /// The safetensors file is truncated or malformed.
    #[error("adapter_model.safetensors: {0}")]
    Tensors(String),
    /// A module of the configuration lacks one of its tensors.
    #[error("tensor `{0}` is missing")]
    MissingTensor(String),
    /// A tensor belongs to no module of the configuration.
    #[error("tensor `{0}` belongs to no target module")]
    UnknownTensor(String),
    /// A tensor does not fit the base model or the configured rank.
    #[error("tensor `{name}` has shape {got:?}, expected {expected:?}")]
    Shape {
        /// Tensor name.
        name: String,
        /// Shape that the model and the rank ask for.
        expected: Vec<usize>,
        /// Shape in the file.
        got: Vec<usize>,
    },
    /// A tensor's element type is none of F32, F16, BF16.
    #[error("tensor `{name}` has type {dtype}, expected F32, F16 or BF16")]
    DType {
        /// Tensor name.
        name: String,
        /// Its type.
        dtype: String,
    },
    /// A tensor holds a NaN or an infinity.
    #[error("tensor `{0}` holds a value that is not finite")]
    NonFinite(String),
    /// The artifact is not the registered one.
    #[error("artifact hash is {got}, expected {expected}")]
    Hash {
        /// Registered hash.
        expected: B256,
        /// Hash of the bytes received.
        got: B256,
    },
    /// The uri has another scheme than `file`, `http`, `https`, or is refused by policy.
    #[error("uri `{uri}` is refused: {reason}")]
    Uri {
        /// The uri.
        uri: String,
        /// Why.
        reason: String,
    },
    /// The artifact could not be fetched.
    #[error("cannot fetch `{uri}`: {reason}")]
    Fetch {
        /// The uri.
        uri: String,
        /// Why.
        reason: String,
    },
    /// A file could not be read or written.
    #[error("{path}: {reason}")]
    Io {
        /// The file.
        path: String,
        /// The system's message.
        reason: String,
    },
    /// The backend cannot use the adapter.
    #[error("{0}")]
    Prepare(String),
    /// A DoRA adapter beside others: what scales a layer's whole result has no meaning there.
    #[error("adapter {0} is a DoRA adapter, which cannot be composed with others")]
    Composition(B256),
    /// The adapter alone exceeds the memory budget.
    #[error("adapter needs {needed} bytes of memory, the budget is {budget}")]
    Memory {
        /// Bytes it needs.
        needed: usize,
        /// The whole budget.
        budget: usize,
    },
    /// Every resident adapter stayed in use for too long.
    #[error("no adapter memory became free within {0:?}")]
    Busy(Duration),
    /// Loading panicked.
    #[error("loading failed unexpectedly: {0}")]
    Internal(String),
}

impl AdapterError {
    /// Whether to retry, to reject, or to call the operator.
    pub const fn severity(&self) -> Severity {
        match self {
            Self::Fetch { .. } | Self::Busy(_) => Severity::Retry,
            Self::Io { .. } | Self::Internal(_) => Severity::Fatal,
            _ => Severity::Reject,
        }
    }

    pub(crate) fn io(path: &Path, error: &std::io::Error) -> Self {
        Self::Io { path: path.display().to_string(), reason: error.to_string() }
    }
}
