//! One call's view of the world, shared by all six machines.

use crate::EconomyConfig;
use crate::gas;
use crate::host::{Halt, Host, ensure, revert};
use alloy_primitives::{Address, B256, Log, U256, keccak256};
use alloy_sol_types::SolEvent;
use tributary_abi::{IAgents, IDatanets};
use tributary_record::merkle;

/// The host, the chain's constants, and who calls with what.
pub(crate) struct Machine<'h> {
    pub(crate) host: &'h mut dyn Host,
    pub(crate) config: &'h EconomyConfig,
    pub(crate) caller: Address,
    pub(crate) value: U256,
    pub(crate) block: u64,
    pub(crate) now: u64,
}

impl<'h> Machine<'h> {
    pub(crate) fn new(
        host: &'h mut dyn Host,
        config: &'h EconomyConfig,
        caller: Address,
        value: U256,
    ) -> Self {
        let (block, now) = (host.block_number(), host.timestamp());
        Self { host, config, caller, value, block, now }
    }

    pub(crate) fn charge(&mut self, gas: u64) -> Result<(), Halt> {
        self.host.charge(gas)
    }

    /// Emits an event in the name of a contract.
    pub(crate) fn emit(&mut self, contract: Address, event: &impl SolEvent) -> Result<(), Halt> {
        self.host.log(Log { address: contract, data: event.encode_log_data() })
    }

    /// Pays out of a contract's balance. That it can is what the property test is about.
    pub(crate) fn pay(&mut self, from: Address, to: Address, amount: u128) -> Result<(), Halt> {
        if amount == 0 || from == to {
            return Ok(());
        }
        let paid = self.host.transfer(from, to, U256::from(amount))?;
        ensure!(paid, IAgents::Overflow {});
        Ok(())
    }

    pub(crate) fn keccak(&mut self, bytes: &[u8]) -> Result<B256, Halt> {
        self.charge(gas::keccak(bytes.len()))?;
        Ok(keccak256(bytes))
    }

    /// A node of a Merkle tree.
    pub(crate) fn node(&mut self, left: &B256, right: &B256) -> Result<B256, Halt> {
        self.charge(gas::keccak(64))?;
        Ok(merkle::node(left, right))
    }

    /// Whether a leaf of `words` words is at `index` of the tree: the leaf's two hashes and one per level.
    pub(crate) fn proves(
        &mut self,
        root: B256,
        index: u32,
        (leaf, words): (B256, usize),
        proof: &[B256],
        depth: usize,
    ) -> Result<bool, Halt> {
        self.charge(gas::keccak(words * 32) + gas::keccak(32) + gas::keccak(64) * depth as u64)?;
        Ok(merkle::verify(depth, root, u64::from(index), leaf, proof))
    }

    /// The value must be exactly this.
    pub(crate) fn expect_value(&self, expected: u128) -> Result<(), Halt> {
        let expected = U256::from(expected);
        ensure!(self.value == expected, IDatanets::WrongValue { expected, got: self.value });
        Ok(())
    }

    /// The value as a deposit, which is at most 2⁹⁶ − 1.
    pub(crate) fn deposit(&self) -> Result<u128, Halt> {
        ensure!(self.value <= U256::from(MAX_DEPOSIT), IAgents::AmountTooLarge { amount: self.value });
        Ok(self.value.saturating_to())
    }
}

/// The largest rate or single deposit.
pub(crate) const MAX_DEPOSIT: u128 = (1 << 96) - 1;

/// Sums that cannot fail while supply is below 2¹²⁸, checked all the same.
pub(crate) fn add(left: u128, right: u128) -> Result<u128, Halt> {
    left.checked_add(right).ok_or_else(overflow)
}

/// Differences that cannot fail, checked all the same.
pub(crate) fn sub(left: u128, right: u128) -> Result<u128, Halt> {
    left.checked_sub(right).ok_or_else(overflow)
}

/// The next id after `count`.
pub(crate) fn next(count: u64) -> Result<u64, Halt> {
    count.checked_add(1).ok_or_else(overflow)
}

pub(crate) fn overflow() -> Halt {
    revert(IAgents::Overflow {})
}

/// The value as u128, or an overflow.
pub(crate) fn narrow(value: U256) -> Result<u128, Halt> {
    value.try_into().map_err(|_| overflow())
}
