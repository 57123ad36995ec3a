//! Positional Merkle trees of a fixed depth.
//!
//! A leaf's place is its index: at each level the index bit says on which side it stands. An empty leaf is
//! zero and empty subtrees are hashed like any other, so the root of a tree depends on nothing but the leaves
//! and the depth.

mod frontier;
mod leaf;
mod multi;
mod tree;

pub use frontier::Frontier;
pub use leaf::{chunk_leaf, contribution_leaf, payout_leaf, record_leaf};
pub use multi::{MultiproofError, multi_proof_indices, multi_root};
pub use tree::{Tree, TreeError};

use alloy_primitives::{B256, keccak256};
use std::sync::LazyLock;

/// The deepest tree there is.
const MAX_DEPTH: usize = 32;

static ZEROS: LazyLock<[B256; MAX_DEPTH + 1]> = LazyLock::new(|| {
    let mut zeros = [B256::ZERO; MAX_DEPTH + 1];
    for level in 1..=MAX_DEPTH {
        zeros[level] = node(&zeros[level - 1], &zeros[level - 1]);
    }
    zeros
});

/// The hash of an inner node: `keccak256(left ‖ right)`.
#[must_use]
pub fn node(left: &B256, right: &B256) -> B256 {
    let mut both = [0u8; 64];
    both[..32].copy_from_slice(left.as_slice());
    both[32..].copy_from_slice(right.as_slice());
    keccak256(both)
}

/// The root of an empty subtree of this height; an empty leaf (height 0) is zero.
///
/// # Panics
/// When `height` is above 32, the deepest tree of the protocol.
#[must_use]
pub fn empty(height: usize) -> B256 {
    ZEROS[height]
}

/// The root of a tree of `depth` over `leaves`, the rest empty.
///
/// # Errors
/// When there are more leaves than the depth has places.
pub fn root(depth: usize, leaves: &[B256]) -> Result<B256, TreeError> {
    if depth > MAX_DEPTH || leaves.len() as u64 > 1u64 << depth {
        return Err(TreeError::Full);
    }
    let mut level = leaves.to_vec();
    for height in 0..depth {
        level = level.chunks(2).map(|pair| node(&pair[0], pair.get(1).unwrap_or(&empty(height)))).collect();
    }
    Ok(level.first().copied().unwrap_or_else(|| empty(depth)))
}

/// The root that a leaf at `index` and its siblings, lowest first, lead to; the proof's length is the depth.
///
/// `None` when the index does not fit a tree of that depth.
#[must_use]
pub fn root_from_proof(index: u64, leaf: B256, proof: &[B256]) -> Option<B256> {
    if proof.len() > MAX_DEPTH || index >> proof.len() != 0 {
        return None;
    }
    let mut at = leaf;
    for (height, sibling) in proof.iter().enumerate() {
        at = if index >> height & 1 == 0 { node(&at, sibling) } else { node(sibling, &at) };
    }
    Some(at)
}

/// True when `leaf` stands at `index` in the tree of `depth` with this root.
#[must_use]
pub fn verify(depth: usize, root: B256, index: u64, leaf: B256, proof: &[B256]) -> bool {
    proof.len() == depth && root_from_proof(index, leaf, proof) == Some(root)
}
