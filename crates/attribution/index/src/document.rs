//! What a segment is made of.

use alloy_primitives::B256;
use sha2::{Digest, Sha256};

/// A contribution as the chain knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Document {
    /// Its id.
    pub contribution: u64,
    /// When it was committed.
    pub commit_block: u64,
    /// Number of tokens.
    pub tokens: u32,
    /// Root over its token chunks.
    pub tokens_root: B256,
}

impl Document {
    /// What the trace orders contributions by.
    #[must_use]
    pub const fn priority(&self) -> (u64, u64) {
        (self.commit_block, self.contribution)
    }
}

/// Names a set of documents: two segments with the same identity hold the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity(pub [u8; 32]);

impl Identity {
    /// The identity of these documents, in whichever order they are given.
    #[must_use]
    pub fn of(documents: &[Document]) -> Self {
        let mut sorted = documents.to_vec();
        sorted.sort_by_key(Document::priority);
        let mut hash = Sha256::new();
        for document in &sorted {
            hash.update(document.contribution.to_le_bytes());
            hash.update(document.commit_block.to_le_bytes());
            hash.update(document.tokens.to_le_bytes());
            hash.update(document.tokens_root);
        }
        Self(hash.finalize().into())
    }

    /// The first half in hex, for file names.
    #[must_use]
    pub fn short(&self) -> String {
        self.0[..16].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
