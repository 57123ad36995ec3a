#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod account;
mod cursor;
mod error;
mod fan;
mod layer;
mod memory;
mod past;
mod persist;
mod post_state;
mod proof;
mod prove;
mod reader;
mod revm_db;
mod root;
mod source;
mod updates;
mod verify;
mod view;
mod walk;
mod witness;

pub use account::Account;
pub use error::StateError;
pub use layer::Layer;
pub use memory::MemoryState;
pub use past::PastLayers;
pub use persist::{Resolved, resolve};
pub use post_state::{HashedPostState, HashedStorage};
pub use proof::{AccountProof, ProofError, StorageProof};
pub use reader::{StateProvider, StateReader, StateRef};
pub use revm_db::StateDb;
pub use tributary_store::{AccountLeaf, StateDiff, StorageDiff};
pub use updates::{NodeUpdates, StorageTrieUpdates, TrieUpdates};
pub use verify::{StateReport, verify_state};
pub use view::StateView;
pub use witness::{ProofTargets, Record, Recorder, WitnessError, WitnessState, collect_nodes};
