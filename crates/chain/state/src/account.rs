//! An account as the EVM sees it.

use alloy_genesis::GenesisAccount;
use alloy_primitives::{B256, KECCAK256_EMPTY, U256, keccak256};
use revm::state::AccountInfo;
use tributary_store::AccountLeaf;

/// Nonce, balance and code of an account; its storage is kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// Transactions sent, or contracts created.
    pub nonce: u64,
    /// Balance in wei.
    pub balance: U256,
    /// Keccak of the code; [`KECCAK256_EMPTY`] for none.
    pub code_hash: B256,
}

impl Default for Account {
    fn default() -> Self {
        Self { nonce: 0, balance: U256::ZERO, code_hash: KECCAK256_EMPTY }
    }
}

impl Account {
    /// True if the account has code.
    pub fn has_code(&self) -> bool {
        self.code_hash != KECCAK256_EMPTY
    }

    /// True if the account is empty in the sense of EIP-161.
    pub fn is_empty(&self) -> bool {
        self.nonce == 0 && self.balance.is_zero() && !self.has_code()
    }

    /// The account as a leaf of the trie.
    pub const fn leaf(&self, storage_root: B256) -> AccountLeaf {
        AccountLeaf { nonce: self.nonce, balance: self.balance, storage_root, code_hash: self.code_hash }
    }
}

impl From<&AccountInfo> for Account {
    fn from(info: &AccountInfo) -> Self {
        // revm leaves the hash of an account that was never loaded at zero.
        let code_hash = if info.code_hash.is_zero() { KECCAK256_EMPTY } else { info.code_hash };
        Self { nonce: info.nonce, balance: info.balance, code_hash }
    }
}

impl From<Account> for AccountInfo {
    fn from(account: Account) -> Self {
        Self {
            balance: account.balance,
            nonce: account.nonce,
            code_hash: account.code_hash,
            account_id: None,
            code: None,
        }
    }
}

impl From<&GenesisAccount> for Account {
    fn from(genesis: &GenesisAccount) -> Self {
        let code_hash = match &genesis.code {
            Some(code) if !code.is_empty() => keccak256(code),
            _ => KECCAK256_EMPTY,
        };
        Self { nonce: genesis.nonce.unwrap_or_default(), balance: genesis.balance, code_hash }
    }
}

impl From<AccountLeaf> for Account {
    fn from(leaf: AccountLeaf) -> Self {
        Self { nonce: leaf.nonce, balance: leaf.balance, code_hash: leaf.code_hash }
    }
}
