//! Canonical hashes: length-prefixed fields under keccak-256.

use alloy_primitives::{B256, Keccak256};

/// Hashes fields so that no two different lists of fields give the same bytes.
pub(crate) struct Fields(Keccak256);

impl Fields {
    pub(crate) fn new(domain: &str) -> Self {
        let mut fields = Self(Keccak256::new());
        fields.push(domain.as_bytes());
        fields
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> B256 {
        self.0.finalize()
    }
}
