#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod backend;

pub use backend::{
    Admission, BackendError, Health, Identity, InferenceBackend, Limits, LoraPart, PageId, PrepareError,
    PreparedAdapter, Preparer, Row, RowError, SeqId, StepOutput, Wanted,
};
