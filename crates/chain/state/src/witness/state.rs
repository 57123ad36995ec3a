//! State read from a witness.

use super::{
    ProofTargets, WitnessError, fold,
    trie::{NodeSource, PartialTrie},
};
use crate::{
    Account, AccountProof, HashedPostState, StateError, StateProvider, StateReader, StorageProof, TrieUpdates,
};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256, map::B256Map};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};
use parking_lot::Mutex;
use std::{cell::RefCell, collections::BTreeMap, sync::Arc};
use tributary_store::AccountLeaf;

/// The state under a root, as far as a witness has it. Whatever it lacks is a [`WitnessError`], never a wrong answer:
/// nodes and code are found by their hashes, from the root down.
#[derive(Debug, Clone)]
pub struct WitnessState {
    root: B256,
    nodes: Nodes,
    codes: B256Map<Bytes>,
    block_hashes: BTreeMap<u64, B256>,
    fault: Arc<Mutex<Option<WitnessError>>>,
}

#[derive(Debug, Clone)]
struct Nodes(B256Map<Bytes>);

impl NodeSource for Nodes {
    fn node(&self, owner: Option<B256>, hash: B256, path: &Nibbles) -> Result<Bytes, StateError> {
        let missing = || WitnessError::MissingNode { hash, owner, path: *path }.into();
        self.0.get(&hash).cloned().ok_or_else(missing)
    }
}

impl WitnessState {
    /// The state with this root: its nodes and code in any order, and the hashes of the blocks before.
    pub fn new(
        root: B256,
        nodes: impl IntoIterator<Item = Bytes>,
        codes: impl IntoIterator<Item = Bytes>,
        block_hashes: BTreeMap<u64, B256>,
    ) -> Self {
        let hashed = |bytes: Bytes| (keccak256(&bytes), bytes);
        Self {
            root,
            nodes: Nodes(nodes.into_iter().map(hashed).collect()),
            codes: codes.into_iter().map(hashed).collect(),
            block_hashes,
            fault: Arc::default(),
        }
    }

    /// The first thing that was asked for and is not there. Whatever was computed since is worth nothing: a reader may
    /// have taken the error for an answer.
    pub fn fault(&self) -> Option<WitnessError> {
        self.fault.lock().clone()
    }

    fn noted<T>(&self, result: Result<T, StateError>) -> Result<T, StateError> {
        if let Err(StateError::Witness(error)) = &result {
            self.fault.lock().get_or_insert_with(|| error.clone());
        }
        result
    }

    fn leaf(&self, hashed: B256) -> Result<Option<AccountLeaf>, StateError> {
        self.noted(fold::account(&self.nodes, self.root, hashed))
    }

    fn slot(&self, owner: B256, root: B256, slot: B256) -> Result<U256, StateError> {
        self.noted(fold::slot(&self.nodes, owner, root, slot))
    }

    /// The state root.
    pub const fn root(&self) -> B256 {
        self.root
    }
}

impl StateReader for WitnessState {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        Ok(self.leaf(keccak256(address))?.map(Account::from))
    }

    fn storage(&self, address: Address, slot: B256) -> Result<U256, StateError> {
        let hashed = keccak256(address);
        match self.leaf(hashed)? {
            Some(leaf) => self.slot(hashed, leaf.storage_root, keccak256(slot)),
            None => Ok(U256::ZERO),
        }
    }

    fn code(&self, code_hash: B256) -> Result<Option<Bytes>, StateError> {
        if code_hash == KECCAK256_EMPTY {
            return Ok(Some(Bytes::new()));
        }
        let code = self.codes.get(&code_hash).cloned();
        self.noted(code.map(Some).ok_or_else(|| WitnessError::MissingCode(code_hash).into()))
    }

    fn block_hash(&self, number: u64) -> Result<Option<B256>, StateError> {
        let hash = self.block_hashes.get(&number).copied();
        self.noted(hash.map(Some).ok_or_else(|| WitnessError::MissingBlockHash(number).into()))
    }
}

impl StateProvider for WitnessState {
    /// Root and leaves; stored nodes are no business of a state that nothing is stored of.
    fn state_root(&self, changes: &HashedPostState) -> Result<(B256, TrieUpdates), StateError> {
        self.noted(fold::state_root(&self.nodes, self.root, changes))
    }

    fn storage_root(&self, address: Address, changes: &HashedPostState) -> Result<B256, StateError> {
        let hashed = keccak256(address);
        let old = self.leaf(hashed)?;
        self.noted(fold::storage_root(&self.nodes, hashed, old, changes))
    }

    fn proof(&self, address: Address, slots: &[B256]) -> Result<AccountProof, StateError> {
        let hashed = keccak256(address);
        let leaf = self.leaf(hashed)?;
        let storage_root = leaf.map_or(EMPTY_ROOT_HASH, |leaf| leaf.storage_root);
        let storage = slots
            .iter()
            .map(|slot| {
                let key = keccak256(slot);
                Ok(StorageProof {
                    slot: *slot,
                    value: self.slot(hashed, storage_root, key)?,
                    proof: self.way(Some(hashed), storage_root, key)?,
                })
            })
            .collect::<Result<_, StateError>>()?;
        let proof = self.way(None, self.root, hashed)?;
        Ok(AccountProof { address, account: leaf.map(Account::from), storage_root, proof, storage })
    }

    fn nodes(&self, targets: &ProofTargets) -> Result<B256Map<Bytes>, StateError> {
        let mut found = B256Map::default();
        let mut add =
            |nodes: Vec<Bytes>| found.extend(nodes.into_iter().map(|node| (keccak256(&node), node)));
        for (hashed, slots) in targets {
            add(self.way(None, self.root, *hashed)?);
            let leaf = self.leaf(*hashed)?;
            let root = leaf.map_or(EMPTY_ROOT_HASH, |leaf| leaf.storage_root);
            for slot in slots {
                add(self.way(Some(*hashed), root, *slot)?);
            }
        }
        Ok(found)
    }

    fn slots(
        &self,
        _: B256,
        _: &HashedPostState,
        _: B256,
        _: usize,
    ) -> Result<Vec<(B256, U256)>, StateError> {
        self.noted(Err(WitnessError::NoList.into()))
    }
}

impl WitnessState {
    /// The nodes on the way to a key, from the root down.
    fn way(&self, owner: Option<B256>, root: B256, key: B256) -> Result<Vec<Bytes>, StateError> {
        let seen = Seen { nodes: &self.nodes, way: Default::default() };
        self.noted(PartialTrie::new(owner, root, &seen).get(key).map(drop))?;
        Ok(seen.way.into_inner())
    }
}

/// Notes the nodes that are asked for.
struct Seen<'a> {
    nodes: &'a Nodes,
    way: RefCell<Vec<Bytes>>,
}

impl NodeSource for Seen<'_> {
    fn node(&self, owner: Option<B256>, hash: B256, path: &Nibbles) -> Result<Bytes, StateError> {
        let node = self.nodes.node(owner, hash, path)?;
        self.way.borrow_mut().push(node.clone());
        Ok(node)
    }
}
