//! State as revm's database.

use crate::{StateError, StateRef};
use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256};
use revm::{
    Database, DatabaseRef,
    state::{AccountInfo, Bytecode},
};

/// Lets revm run on any [`StateRef`].
#[derive(Debug, Clone)]
pub struct StateDb(pub StateRef);

impl DatabaseRef for StateDb {
    type Error = StateError;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, StateError> {
        Ok(self.0.account(address)?.map(Into::into))
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, StateError> {
        if code_hash == KECCAK256_EMPTY {
            return Ok(Bytecode::default());
        }
        let code = self.0.code(code_hash)?.ok_or(StateError::MissingCode(code_hash))?;
        Bytecode::new_raw_checked(code)
            .map_err(|error| StateError::Corrupt(format!("code {code_hash}: {error}")))
    }

    fn storage_ref(&self, address: Address, index: U256) -> Result<U256, StateError> {
        self.0.storage(address, B256::from(index))
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, StateError> {
        self.0.block_hash(number)?.ok_or(StateError::MissingBlockHash(number))
    }
}

impl Database for StateDb {
    type Error = StateError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, StateError> {
        self.basic_ref(address)
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, StateError> {
        self.code_by_hash_ref(code_hash)
    }

    fn storage(&mut self, address: Address, index: U256) -> Result<U256, StateError> {
        self.storage_ref(address, index)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, StateError> {
        self.block_hash_ref(number)
    }
}
