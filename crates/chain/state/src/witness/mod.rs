//! State from trie nodes alone, and the nodes that suffice for a block.
//!
//! ```text
//! producer: Recorder (what execution read) + what it changed ──▶ collect ──▶ nodes
//!                                                                  │ the same walk
//! consumer: nodes ──▶ WitnessState ── reads and state_root ────────┘
//! ```
//! Both sides fold the changes into a [`PartialTrie`](trie::PartialTrie) that opens a node only when it has to, so the
//! producer finds out what the consumer will need by doing the same: also the node left alone in a branch whose other
//! children go, which is on the way to no key. Deletions come first: whoever folds in another order needs fewer nodes.

mod collect;
mod error;
mod fold;
mod record;
mod state;
mod trie;

pub use collect::collect_nodes;
pub use error::WitnessError;
pub use record::{Record, Recorder};
pub use state::WitnessState;

use alloy_primitives::B256;
use std::collections::{BTreeMap, BTreeSet};

/// Accounts and slots to find the way to, all under hashed keys.
pub type ProofTargets = BTreeMap<B256, BTreeSet<B256>>;
