//! What a block did to the state, under hashed keys.

use crate::Account;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256, map::B256Map};
use revm::database::{BundleAccount, BundleState};

/// Changed accounts, storage and code of one or more blocks. Keys are keccak hashes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HashedPostState {
    /// Accounts after the change; `None` for one that is gone.
    pub accounts: B256Map<Option<Account>>,
    /// Storage after the change, by hashed address.
    pub storages: B256Map<HashedStorage>,
    /// Code that appeared, by its hash.
    pub codes: B256Map<Bytes>,
}

/// Changed storage of one account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HashedStorage {
    /// All storage that was there before is gone; only `slots` remains.
    pub wiped: bool,
    /// Slots after the change, by hashed key. Zero removes.
    pub slots: B256Map<U256>,
}

impl HashedPostState {
    /// Takes the changes out of revm's bundle.
    pub fn from_bundle(bundle: &BundleState) -> Self {
        let mut state = Self::default();
        for (address, account) in &bundle.state {
            state.add_bundle_account(keccak256(address), account);
        }
        state.codes = bundle
            .contracts
            .iter()
            .filter(|(_, code)| !code.is_empty())
            .map(|(hash, code)| (*hash, code.original_bytes()))
            .collect();
        state
    }

    fn add_bundle_account(&mut self, hashed: B256, account: &BundleAccount) {
        let wiped = account.was_destroyed();
        let slots: B256Map<U256> = account
            .storage
            .iter()
            .filter(|(_, slot)| wiped || slot.is_changed())
            .map(|(key, slot)| (keccak256(B256::from(*key)), slot.present_value))
            .collect();
        let storage_changed = wiped || !slots.is_empty();
        if !storage_changed && !account.is_info_changed() {
            return;
        }
        self.accounts.insert(hashed, account.info.as_ref().map(Account::from));
        if storage_changed {
            self.storages.insert(hashed, HashedStorage { wiped, slots });
        }
    }

    /// Sets an account by its plain address.
    pub fn set_account(&mut self, address: Address, account: Option<Account>) {
        self.accounts.insert(keccak256(address), account);
    }

    /// Sets a slot by its plain address and key.
    pub fn set_slot(&mut self, address: Address, slot: B256, value: U256) {
        self.storages.entry(keccak256(address)).or_default().slots.insert(keccak256(slot), value);
    }

    /// Forgets all storage of an account, also what this change had set so far.
    pub fn wipe_storage(&mut self, address: Address) {
        self.storages.insert(keccak256(address), HashedStorage { wiped: true, slots: B256Map::default() });
    }

    /// Adds code and returns its hash.
    pub fn add_code(&mut self, code: Bytes) -> B256 {
        let hash = keccak256(&code);
        self.codes.insert(hash, code);
        hash
    }

    /// Adds later changes on top of these.
    pub fn extend(&mut self, later: &Self) {
        self.accounts.extend(later.accounts.iter().map(|(k, v)| (*k, *v)));
        for (hashed, storage) in &later.storages {
            let mine = self.storages.entry(*hashed).or_default();
            if storage.wiped {
                *mine = storage.clone();
            } else {
                mine.slots.extend(storage.slots.iter().map(|(k, v)| (*k, *v)));
            }
        }
        self.codes.extend(later.codes.iter().map(|(k, v)| (*k, v.clone())));
    }

    /// True if nothing changed.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty() && self.storages.is_empty()
    }
}
