#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod chain;
mod corpus;
mod metrics;
mod post;
mod rpc;
mod serve;
mod status;
mod store;
mod supervisor;
mod worker;

pub use chain::{ChainError, ChainPort, Head, NodeChain, Outcome, Registry, RegistryView};
pub use corpus::{Corpus, CorpusError, SourceText};
pub use post::{PostError, Poster, PosterConfig, Posting, SendError, Sender};
pub use rpc::WorkerApi;
pub use serve::{BaseModel, ChainResolver, LocalBase, PaidGate, PaymentPolicy};
pub use status::Status;
pub use store::{Answer, BatchEntry, BatchState, Place, Store, StoreError};
pub use supervisor::supervise;
pub use worker::{Worker, WorkerError, WorkerParts};
