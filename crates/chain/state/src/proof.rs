//! Account and storage proofs (EIP-1186).

use crate::Account;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::{
    EMPTY_ROOT_HASH, Nibbles,
    proof::{ProofVerificationError, verify_proof},
};

/// Proof of an account, present or absent, and of some of its slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountProof {
    /// The account's address.
    pub address: Address,
    /// The account; `None` proves its absence.
    pub account: Option<Account>,
    /// Root of the account's storage trie.
    pub storage_root: B256,
    /// RLP nodes from the state root down.
    pub proof: Vec<Bytes>,
    /// One proof a slot, in the order asked.
    pub storage: Vec<StorageProof>,
}

/// Proof of one slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageProof {
    /// The slot's plain key.
    pub slot: B256,
    /// Its value; zero proves absence.
    pub value: U256,
    /// RLP nodes from the storage root down.
    pub proof: Vec<Bytes>,
}

/// A proof that does not hold.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The account's proof does not lead from the state root to the account.
    #[error("proof of account {address}: {source}")]
    Account {
        /// The account.
        address: Address,
        /// What is wrong.
        source: ProofVerificationError,
    },
    /// A slot's proof does not lead from the storage root to the value.
    #[error("proof of slot {slot} of {address}: {source}")]
    Storage {
        /// The account.
        address: Address,
        /// The slot.
        slot: B256,
        /// What is wrong.
        source: ProofVerificationError,
    },
}

impl AccountProof {
    /// Checks account and slots against a state root.
    pub fn verify(&self, state_root: B256) -> Result<(), ProofError> {
        let leaf = self.account.map(|account| alloy_rlp::encode(account.leaf(self.storage_root)));
        verify_proof(state_root, Nibbles::unpack(keccak256(self.address)), leaf, &self.proof)
            .map_err(|source| ProofError::Account { address: self.address, source })?;
        let root = if self.account.is_some() { self.storage_root } else { EMPTY_ROOT_HASH };
        self.storage.iter().try_for_each(|slot| {
            slot.verify(root).map_err(|source| ProofError::Storage {
                address: self.address,
                slot: slot.slot,
                source,
            })
        })
    }
}

impl StorageProof {
    /// Checks the slot against a storage root.
    pub fn verify(&self, storage_root: B256) -> Result<(), ProofVerificationError> {
        let value = (!self.value.is_zero()).then(|| alloy_rlp::encode(self.value));
        verify_proof(storage_root, Nibbles::unpack(keccak256(self.slot)), value, &self.proof)
    }
}
