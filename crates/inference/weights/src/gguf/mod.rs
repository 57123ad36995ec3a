//! The GGUF container: header, metadata, tensor directory. Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.
//!
//! The header is read through a cursor that knows how much of the file is left, so a length that the file
//! cannot hold is refused before memory is set aside for it. Tensor data is read on demand with positioned reads.

mod cursor;
mod file;
mod value;

pub use file::{GgufFile, TensorInfo};
pub use value::{Array, Value};
