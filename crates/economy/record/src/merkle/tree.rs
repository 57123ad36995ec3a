//! A tree held whole, for whoever hands out proofs.

use super::{MAX_DEPTH, empty, multi_proof_indices, node};
use alloy_primitives::B256;

/// Why a tree refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// More leaves than the depth has places, or a depth above 32.
    #[error("the tree is full")]
    Full,
    /// No leaf stands at this index yet.
    #[error("no leaf at index {0}")]
    NoLeaf(u64),
}

/// All nodes that are not empty, level by level, leaves first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    depth: usize,
    levels: Vec<Vec<B256>>,
}

impl Tree {
    /// The tree of `depth` over `leaves`.
    ///
    /// # Errors
    /// When they do not fit.
    pub fn new(depth: usize, leaves: Vec<B256>) -> Result<Self, TreeError> {
        if depth > MAX_DEPTH || leaves.len() as u64 > 1u64 << depth {
            return Err(TreeError::Full);
        }
        let mut levels = Vec::with_capacity(depth + 1);
        levels.push(leaves);
        for height in 0..depth {
            let above = levels[height]
                .chunks(2)
                .map(|pair| node(&pair[0], pair.get(1).unwrap_or(&empty(height))))
                .collect();
            levels.push(above);
        }
        Ok(Self { depth, levels })
    }

    /// A tree without leaves.
    ///
    /// # Panics
    /// When `depth` is above 32.
    #[must_use]
    pub fn empty(depth: usize) -> Self {
        assert!(depth <= MAX_DEPTH, "no tree of the protocol is deeper than 32");
        Self { depth, levels: vec![Vec::new(); depth + 1] }
    }

    /// Leaves, empty ones at the end not counted.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.levels[0].len() as u64
    }

    /// True when no leaf was ever put.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.levels[0].is_empty()
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> B256 {
        self.at(self.depth, 0)
    }

    /// Puts a leaf where one stands, or appends it.
    ///
    /// # Errors
    /// When `index` is past the end, or the tree is full.
    pub fn put(&mut self, index: u64, leaf: B256) -> Result<(), TreeError> {
        if index > self.len() {
            return Err(TreeError::NoLeaf(index));
        }
        if index >> self.depth != 0 {
            return Err(TreeError::Full);
        }
        let mut at = leaf;
        for height in 0..=self.depth {
            let place = (index >> height) as usize;
            if place == self.levels[height].len() {
                self.levels[height].push(at);
            } else {
                self.levels[height][place] = at;
            }
            let sibling = self.at(height, (place ^ 1) as u64);
            at = if place & 1 == 0 { node(&at, &sibling) } else { node(&sibling, &at) };
        }
        Ok(())
    }

    /// Takes the last leaf away.
    pub fn pop(&mut self) {
        let Some(last) = self.len().checked_sub(1) else { return };
        self.levels[0].pop();
        for height in 1..=self.depth {
            let place = last >> height;
            let children = (place << 1, place << 1 | 1);
            if children.0 >= self.levels[height - 1].len() as u64 {
                self.levels[height].pop();
                continue;
            }
            self.levels[height][place as usize] =
                node(&self.at(height - 1, children.0), &self.at(height - 1, children.1));
        }
    }

    /// The siblings of the leaf at `index`, lowest first.
    ///
    /// # Errors
    /// When no leaf stands there.
    pub fn proof(&self, index: u64) -> Result<Vec<B256>, TreeError> {
        if index >= self.len() {
            return Err(TreeError::NoLeaf(index));
        }
        Ok((0..self.depth).map(|height| self.at(height, index >> height ^ 1)).collect())
    }

    /// The shared siblings of several places (empty ones allowed), in the order [`super::multi_root`] reads;
    /// of no place at all: the root.
    ///
    /// # Errors
    /// When the indices are not strictly ascending or do not fit the depth.
    pub fn multi_proof(&self, indices: &[u64]) -> Result<Vec<B256>, super::MultiproofError> {
        if indices.is_empty() {
            return Ok(vec![self.root()]);
        }
        Ok(multi_proof_indices(self.depth, indices)?
            .into_iter()
            .map(|(height, place)| self.at(height, place))
            .collect())
    }

    fn at(&self, height: usize, place: u64) -> B256 {
        self.levels[height].get(place as usize).copied().unwrap_or_else(|| empty(height))
    }
}
