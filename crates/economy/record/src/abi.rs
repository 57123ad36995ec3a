//! `abi.encode` of static words, the only ABI shape that is ever hashed here.

use alloy_primitives::{Address, B256, U256, keccak256};

/// A growing `abi.encode(…)` of value types: one 32-byte word a value.
#[derive(Debug, Default)]
pub(crate) struct Words(Vec<u8>);

impl Words {
    pub(crate) fn new() -> Self {
        Self(Vec::with_capacity(12 * 32))
    }

    pub(crate) fn word(mut self, word: B256) -> Self {
        self.0.extend_from_slice(word.as_slice());
        self
    }

    pub(crate) fn uint(self, value: impl Into<u128>) -> Self {
        self.u256(U256::from(value.into()))
    }

    pub(crate) fn u256(self, value: U256) -> Self {
        self.word(B256::from(value))
    }

    pub(crate) fn address(self, address: Address) -> Self {
        self.word(address.into_word())
    }

    pub(crate) fn hash(self) -> B256 {
        keccak256(&self.0)
    }

    /// The leaf hash of PROTOCOL's trees: hashed twice, so that no leaf can be read as a node.
    pub(crate) fn leaf(self) -> B256 {
        keccak256(self.hash())
    }
}
