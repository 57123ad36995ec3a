#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod account;
mod error;
mod memory;
mod post_state;
mod proof;
mod reader;
mod revm_db;
mod updates;

pub use account::Account;
pub use error::StateError;
pub use memory::MemoryState;
pub use post_state::{HashedPostState, HashedStorage};
pub use proof::{AccountProof, ProofError, StorageProof};
pub use reader::{StateProvider, StateReader, StateRef};
pub use revm_db::StateDb;
pub use updates::{NodeUpdates, StorageTrieUpdates, TrieUpdates};
