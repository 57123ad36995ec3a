//! The machines without an EVM: storage and balances in maps, with a journal.

use crate::EconomyConfig;
use crate::entry::{Invocation, execute};
use crate::host::{Halt, Host};
use alloy_primitives::{Address, B256, Bytes, Log, U256, keccak256};
use std::collections::HashMap;

#[derive(Debug, Clone, Copy)]
enum Undo {
    Slot(Address, U256, U256),
    Balance(Address, U256),
}

/// A whole world in memory, for tests and tools. A call that fails leaves no trace.
#[derive(Debug, Clone, Default)]
pub struct MemoryHost {
    storage: HashMap<(Address, U256), U256>,
    balances: HashMap<Address, U256>,
    logs: Vec<Log>,
    undo: Vec<Undo>,
    digest: B256,
    block: u64,
    timestamp: u64,
    gas: u64,
}

impl MemoryHost {
    /// A world with these accounts.
    #[must_use]
    pub fn from_genesis(accounts: &[(Address, alloy_genesis::GenesisAccount)]) -> Self {
        let mut host = Self::default();
        for (address, account) in accounts {
            host.write_balance(*address, account.balance);
            for (slot, value) in account.storage.iter().flatten() {
                host.write_slot(*address, U256::from_be_bytes(slot.0), U256::from_be_bytes(value.0));
            }
        }
        host
    }

    /// Moves to a block.
    pub fn set_block(&mut self, number: u64, timestamp: u64) {
        self.block = number;
        self.timestamp = timestamp;
    }

    /// Gives an account a balance.
    pub fn set_balance(&mut self, account: Address, balance: U256) {
        self.write_balance(account, balance);
    }

    /// An account's balance.
    #[must_use]
    pub fn balance(&self, account: Address) -> U256 {
        self.balances.get(&account).copied().unwrap_or_default()
    }

    /// A storage slot.
    #[must_use]
    pub fn slot(&self, contract: Address, slot: U256) -> U256 {
        self.storage.get(&(contract, slot)).copied().unwrap_or_default()
    }

    /// The logs since the last call of this.
    pub fn take_logs(&mut self) -> Vec<Log> {
        std::mem::take(&mut self.logs)
    }

    /// The gas charged so far for hashing, decoding and signatures.
    #[must_use]
    pub const fn native_gas(&self) -> u64 {
        self.gas
    }

    /// The sum of all balances.
    #[must_use]
    pub fn supply(&self) -> U256 {
        self.balances.values().fold(U256::ZERO, |sum, balance| sum.saturating_add(*balance))
    }

    /// A hash of all storage and balances, whatever their order; what is zero does not count. Kept up to date with
    /// every write.
    #[must_use]
    pub const fn state_hash(&self) -> B256 {
        self.digest
    }

    /// The same hash, computed anew.
    #[must_use]
    pub fn recomputed_state_hash(&self) -> B256 {
        let slots = self.storage.iter().map(|((account, slot), value)| slot_hash(*account, *slot, *value));
        let balances = self.balances.iter().map(|(account, value)| balance_hash(*account, *value));
        slots.chain(balances).fold(B256::ZERO, |sum, hash| sum ^ hash)
    }

    /// Calls a precompile as a transaction would: the value moves first, and a failure undoes everything.
    ///
    /// # Errors
    /// What the call halts with.
    pub fn call(
        &mut self,
        config: &EconomyConfig,
        caller: Address,
        to: Address,
        value: U256,
        data: &[u8],
    ) -> Result<Bytes, Halt> {
        let (mark, logs) = (self.undo.len(), self.logs.len());
        let invocation = Invocation { code: to, target: to, caller, value, is_static: false, data };
        let result = match self.transfer(caller, to, value) {
            Ok(true) => execute(config, self, &invocation),
            Ok(false) => Err(Halt::Fatal("the caller has too little".to_owned())),
            Err(halt) => Err(halt),
        };
        if result.is_err() {
            self.logs.truncate(logs);
            while self.undo.len() > mark {
                self.undo_one();
            }
        } else if mark == 0 {
            self.undo.clear();
        }
        result
    }

    fn undo_one(&mut self) {
        match self.undo.pop() {
            Some(Undo::Slot(contract, slot, value)) => {
                self.write_slot(contract, slot, value);
            }
            Some(Undo::Balance(account, value)) => {
                self.write_balance(account, value);
            }
            None => {}
        }
    }

    /// Writes a slot; returns what it held.
    fn write_slot(&mut self, contract: Address, slot: U256, value: U256) -> U256 {
        let before = self.storage.insert((contract, slot), value).unwrap_or_default();
        self.digest ^= slot_hash(contract, slot, before) ^ slot_hash(contract, slot, value);
        before
    }

    /// Writes a balance; returns what it was.
    fn write_balance(&mut self, account: Address, balance: U256) -> U256 {
        let before = self.balances.insert(account, balance).unwrap_or_default();
        self.digest ^= balance_hash(account, before) ^ balance_hash(account, balance);
        before
    }

    fn put_balance(&mut self, account: Address, balance: U256) {
        let before = self.write_balance(account, balance);
        self.undo.push(Undo::Balance(account, before));
    }
}

fn slot_hash(contract: Address, slot: U256, value: U256) -> B256 {
    if value.is_zero() {
        return B256::ZERO;
    }
    keccak256([contract.as_slice(), &slot.to_be_bytes::<32>(), &value.to_be_bytes::<32>()].concat())
}

fn balance_hash(account: Address, value: U256) -> B256 {
    if value.is_zero() {
        return B256::ZERO;
    }
    keccak256([account.as_slice(), &value.to_be_bytes::<32>()].concat())
}

impl Host for MemoryHost {
    fn sload(&mut self, contract: Address, slot: U256) -> Result<U256, Halt> {
        Ok(self.slot(contract, slot))
    }

    fn sstore(&mut self, contract: Address, slot: U256, value: U256) -> Result<(), Halt> {
        let before = self.write_slot(contract, slot, value);
        self.undo.push(Undo::Slot(contract, slot, before));
        Ok(())
    }

    fn transfer(&mut self, from: Address, to: Address, amount: U256) -> Result<bool, Halt> {
        let Some(rest) = self.balance(from).checked_sub(amount) else { return Ok(false) };
        self.put_balance(from, rest);
        let Some(sum) = self.balance(to).checked_add(amount) else { return Ok(false) };
        self.put_balance(to, sum);
        Ok(true)
    }

    fn log(&mut self, log: Log) -> Result<(), Halt> {
        self.logs.push(log);
        Ok(())
    }

    fn charge(&mut self, gas: u64) -> Result<(), Halt> {
        self.gas = self.gas.saturating_add(gas);
        Ok(())
    }

    fn block_number(&self) -> u64 {
        self.block
    }

    fn timestamp(&self) -> u64 {
        self.timestamp
    }
}
