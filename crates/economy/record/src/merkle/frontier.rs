//! The append-only tree in constant memory.

use super::{MAX_DEPTH, TreeError, empty, node};
use alloy_primitives::B256;

/// The left edge of a growing tree: for each level the last complete left sibling.
///
/// Appending and reading the root cost `depth` hashes whatever the size; this is what a contract stores.
/// Once the tree is full its top slot holds the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frontier {
    count: u64,
    left: Vec<B256>,
}

impl Frontier {
    /// An empty tree of `depth`.
    ///
    /// # Errors
    /// When the depth is 0 or above 32.
    pub fn new(depth: usize) -> Result<Self, TreeError> {
        Self::from_parts(0, vec![B256::ZERO; depth])
    }

    /// A frontier as it was stored: `count` leaves, and a left sibling per level.
    ///
    /// # Errors
    /// When the count does not fit the depth, or the depth is 0 or above 32.
    pub fn from_parts(count: u64, left: Vec<B256>) -> Result<Self, TreeError> {
        if left.is_empty() || left.len() > MAX_DEPTH || count > 1u64 << left.len() {
            return Err(TreeError::Full);
        }
        Ok(Self { count, left })
    }

    /// Leaves so far.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The left siblings, lowest level first.
    #[must_use]
    pub fn left(&self) -> &[B256] {
        &self.left
    }

    /// Appends a leaf; returns its index and the one level whose slot changed, for a caller that stores
    /// levels one by one.
    ///
    /// # Errors
    /// When the tree is full.
    pub fn append(&mut self, leaf: B256) -> Result<(u64, usize), TreeError> {
        let index = self.count;
        let depth = self.left.len();
        if index >> depth != 0 {
            return Err(TreeError::Full);
        }
        self.count += 1;
        let level = (index.trailing_ones() as usize).min(depth);
        let at = self.left[..level].iter().fold(leaf, |at, left| node(left, &at));
        let slot = level.min(depth - 1);
        self.left[slot] = at;
        Ok((index, slot))
    }

    /// The root of the tree as it stands.
    #[must_use]
    pub fn root(&self) -> B256 {
        let depth = self.left.len();
        if self.count >> depth != 0 {
            return self.left[depth - 1];
        }
        (0..depth).fold(B256::ZERO, |at, level| {
            if self.count >> level & 1 == 1 { node(&self.left[level], &at) } else { node(&at, &empty(level)) }
        })
    }
}
