//! A whole state in memory, rebuilt in full for every root: the oracle of the incremental trie, and what
//! genesis and stateless runs use.

use crate::{
    Account, AccountProof, HashedPostState, ProofTargets, StateError, StateProvider, StateReader,
    StorageProof, StorageTrieUpdates, TrieUpdates, prove::add_hashed, updates::NodeUpdates,
};
use alloy_genesis::GenesisAccount;
use alloy_primitives::{
    Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256,
    map::{B256Map, HashMap},
};
use alloy_trie::{BranchNodeCompact, HashBuilder, Nibbles, proof::ProofRetainer};
use std::collections::BTreeMap;
use tributary_store::AccountLeaf;

type StoredNodes = HashMap<Nibbles, BranchNodeCompact>;

/// Accounts, storage and code in sorted maps under hashed keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryState {
    accounts: BTreeMap<B256, Account>,
    storages: BTreeMap<B256, BTreeMap<B256, U256>>,
    codes: B256Map<Bytes>,
    block_hashes: BTreeMap<u64, B256>,
}

impl MemoryState {
    /// The state that a genesis allocation describes. Zero slots are not stored; empty accounts are.
    pub fn from_alloc<'a>(alloc: impl IntoIterator<Item = (&'a Address, &'a GenesisAccount)>) -> Self {
        let mut state = Self::default();
        state.apply(&Self::alloc_changes(alloc));
        state
    }

    /// A genesis allocation as changes to the empty state.
    pub fn alloc_changes<'a>(
        alloc: impl IntoIterator<Item = (&'a Address, &'a GenesisAccount)>,
    ) -> HashedPostState {
        let mut changes = HashedPostState::default();
        for (address, genesis) in alloc {
            changes.set_account(*address, Some(genesis.into()));
            if let Some(code) = genesis.code.as_ref().filter(|code| !code.is_empty()) {
                changes.add_code(code.clone());
            }
            for (slot, value) in genesis.storage.iter().flatten() {
                changes.set_slot(*address, *slot, (*value).into());
            }
        }
        changes
    }

    /// Makes the changes of a block.
    pub fn apply(&mut self, changes: &HashedPostState) {
        for (hashed, storage) in &changes.storages {
            let mine = self.storages.entry(*hashed).or_default();
            if storage.wiped {
                mine.clear();
            }
            for (slot, value) in &storage.slots {
                if value.is_zero() {
                    mine.remove(slot);
                } else {
                    mine.insert(*slot, *value);
                }
            }
            if mine.is_empty() {
                self.storages.remove(hashed);
            }
        }
        for (hashed, account) in &changes.accounts {
            match account {
                Some(account) => {
                    self.accounts.insert(*hashed, *account);
                }
                None => {
                    self.accounts.remove(hashed);
                    self.storages.remove(hashed);
                }
            }
        }
        self.codes.extend(changes.codes.iter().map(|(hash, code)| (*hash, code.clone())));
    }

    /// Tells which block has which hash, for `BLOCKHASH`.
    pub fn set_block_hash(&mut self, number: u64, hash: B256) {
        self.block_hashes.insert(number, hash);
    }

    /// All accounts, by hashed address.
    pub const fn accounts(&self) -> &BTreeMap<B256, Account> {
        &self.accounts
    }

    /// All storage that is not zero, by hashed address and hashed slot.
    pub const fn storages(&self) -> &BTreeMap<B256, BTreeMap<B256, U256>> {
        &self.storages
    }

    /// The root of this state.
    pub fn root(&self) -> B256 {
        self.build().root
    }

    /// The storage root of an account, by hashed address.
    pub fn hashed_storage_root(&self, hashed: B256) -> B256 {
        storage_builder(self.storages.get(&hashed), HashBuilder::default()).root()
    }

    fn build(&self) -> Built {
        let mut built = Built::default();
        let mut builder = HashBuilder::default().with_updates(true);
        for (hashed, account) in &self.accounts {
            let storage =
                storage_builder(self.storages.get(hashed), HashBuilder::default().with_updates(true));
            let (storage_root, nodes) = finish(storage);
            let leaf = account.leaf(storage_root);
            built.leaves.insert(*hashed, leaf);
            if !nodes.is_empty() {
                built.storage_nodes.insert(*hashed, nodes);
            }
            builder.add_leaf(Nibbles::unpack(hashed), &alloy_rlp::encode(account.leaf(storage_root)));
        }
        (built.root, built.account_nodes) = finish(builder);
        built
    }
}

/// A whole trie.
#[derive(Default)]
struct Built {
    root: B256,
    account_nodes: StoredNodes,
    storage_nodes: B256Map<StoredNodes>,
    leaves: BTreeMap<B256, AccountLeaf>,
}

fn finish(mut builder: HashBuilder) -> (B256, StoredNodes) {
    let root = builder.root();
    let (_, mut nodes) = builder.split();
    // The root's own hash is the header's business; a node must be equal whether built in full or in part.
    for node in nodes.values_mut() {
        node.root_hash = None;
    }
    (root, nodes)
}

fn storage_builder(slots: Option<&BTreeMap<B256, U256>>, mut builder: HashBuilder) -> HashBuilder {
    for (slot, value) in slots.into_iter().flatten() {
        builder.add_leaf(Nibbles::unpack(slot), &alloy_rlp::encode(value));
    }
    builder
}

fn node_changes(before: &StoredNodes, after: &StoredNodes) -> NodeUpdates {
    let removed = before.keys().filter(|path| !after.contains_key(*path)).map(|path| (*path, None));
    let stored = after
        .iter()
        .filter(|(path, node)| before.get(*path) != Some(*node))
        .map(|(path, node)| (*path, Some(node.clone())));
    removed.chain(stored).collect()
}

fn sorted_proof(builder: &mut HashBuilder) -> Vec<Bytes> {
    builder.root();
    crate::prove::listed(builder.take_proof_nodes().into_nodes_sorted())
}

impl StateReader for MemoryState {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        Ok(self.accounts.get(&keccak256(address)).copied())
    }

    fn storage(&self, address: Address, slot: B256) -> Result<U256, StateError> {
        let slots = self.storages.get(&keccak256(address));
        Ok(slots.and_then(|slots| slots.get(&keccak256(slot))).copied().unwrap_or_default())
    }

    fn code(&self, code_hash: B256) -> Result<Option<Bytes>, StateError> {
        if code_hash == KECCAK256_EMPTY {
            return Ok(Some(Bytes::new()));
        }
        Ok(self.codes.get(&code_hash).cloned())
    }

    fn block_hash(&self, number: u64) -> Result<Option<B256>, StateError> {
        Ok(self.block_hashes.get(&number).copied())
    }
}

impl StateProvider for MemoryState {
    fn state_root(&self, changes: &HashedPostState) -> Result<(B256, TrieUpdates), StateError> {
        let mut next = self.clone();
        next.apply(changes);
        let (before, after) = (self.build(), next.build());
        let mut updates = TrieUpdates {
            account_nodes: node_changes(&before.account_nodes, &after.account_nodes),
            ..Default::default()
        };
        let none = StoredNodes::default();
        for hashed in changes.storages.keys().chain(changes.accounts.keys()) {
            let old = before.storage_nodes.get(hashed).unwrap_or(&none);
            let nodes = node_changes(old, after.storage_nodes.get(hashed).unwrap_or(&none));
            if !nodes.is_empty() {
                updates.storages.insert(*hashed, StorageTrieUpdates { wiped: false, nodes });
            }
            updates.leaves.insert(*hashed, after.leaves.get(hashed).copied());
        }
        Ok((after.root, updates))
    }

    fn storage_root(&self, address: Address, changes: &HashedPostState) -> Result<B256, StateError> {
        let mut next = self.clone();
        next.apply(changes);
        Ok(next.hashed_storage_root(keccak256(address)))
    }

    fn proof(&self, address: Address, slots: &[B256]) -> Result<AccountProof, StateError> {
        let hashed = keccak256(address);
        let built = self.build();
        let mut builder =
            HashBuilder::default().with_proof_retainer(ProofRetainer::from_iter([Nibbles::unpack(hashed)]));
        for (key, leaf) in &built.leaves {
            builder.add_leaf(Nibbles::unpack(key), &alloy_rlp::encode(leaf));
        }
        let storage = slots
            .iter()
            .map(|slot| {
                let retainer = ProofRetainer::from_iter([Nibbles::unpack(keccak256(slot))]);
                let empty = HashBuilder::default().with_proof_retainer(retainer);
                let mut builder = storage_builder(self.storages.get(&hashed), empty);
                let value = self.storage(address, *slot)?;
                Ok(StorageProof { slot: *slot, value, proof: sorted_proof(&mut builder) })
            })
            .collect::<Result<_, StateError>>()?;
        Ok(AccountProof {
            address,
            account: self.accounts.get(&hashed).copied(),
            storage_root: self.hashed_storage_root(hashed),
            proof: sorted_proof(&mut builder),
            storage,
        })
    }

    fn nodes(&self, targets: &ProofTargets) -> Result<B256Map<Bytes>, StateError> {
        if targets.is_empty() {
            return Ok(B256Map::default());
        }
        let retaining = |keys: &mut dyn Iterator<Item = &B256>| {
            HashBuilder::default().with_proof_retainer(ProofRetainer::from_iter(keys.map(Nibbles::unpack)))
        };
        let mut found = B256Map::default();
        let mut builder = retaining(&mut targets.keys());
        for (hashed, leaf) in &self.build().leaves {
            builder.add_leaf(Nibbles::unpack(hashed), &alloy_rlp::encode(leaf));
        }
        builder.root();
        add_hashed(&mut found, builder.take_proof_nodes());
        for (hashed, slots) in targets.iter().filter(|(_, slots)| !slots.is_empty()) {
            let mut builder = storage_builder(self.storages.get(hashed), retaining(&mut slots.iter()));
            builder.root();
            add_hashed(&mut found, builder.take_proof_nodes());
        }
        Ok(found)
    }

    fn slots(
        &self,
        hashed: B256,
        changes: &HashedPostState,
        start: B256,
        limit: usize,
    ) -> Result<Vec<(B256, U256)>, StateError> {
        let mut next = self.clone();
        next.apply(changes);
        let slots = next.storages.get(&hashed).into_iter().flat_map(|slots| slots.range(start..));
        Ok(slots.take(limit).map(|(slot, value)| (*slot, *value)).collect())
    }
}
