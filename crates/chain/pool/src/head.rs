//! What the pool knows of the block it would build on.

use crate::{
    PoolError,
    sender::{Account, Market},
};
use alloy_primitives::{Address, B256, U256};
use revm::primitives::eip7825::TX_GAS_LIMIT_CAP;
use tributary_evm::{Executor, L1Fees, OpSpecId};
use tributary_spec::SealedHeader;
use tributary_state::{StateDb, StateError, StateRef};

/// Gas that the L1-attributes deposit keeps from every other transaction.
const L1_INFO_GAS: u64 = 70_000;

/// A head: its state, and the prices of the block after it.
#[derive(Clone, Debug)]
pub struct Head {
    hash: B256,
    number: u64,
    fork: OpSpecId,
    base_fee: u64,
    gas_limit: u64,
    l1: L1Fees,
    state: StateRef,
}

impl Head {
    /// Reads the prices that hold after `header`.
    pub fn new(executor: &Executor, header: &SealedHeader, state: StateRef) -> Result<Self, PoolError> {
        let next = header.timestamp.saturating_add(1);
        let fork = executor.spec_id(next);
        let base_fee = executor.spec().next_base_fee(header, next).map_err(PoolError::Head)?;
        let l1 = L1Fees::fetch(&mut StateDb(state.clone()), header.number, fork)?;
        Ok(Self {
            hash: header.hash(),
            number: header.number,
            fork,
            base_fee,
            gas_limit: header.gas_limit,
            l1,
            state,
        })
    }

    /// The head's hash.
    pub fn hash(&self) -> B256 {
        self.hash
    }

    /// The head's number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The next block's base fee.
    pub fn base_fee(&self) -> u64 {
        self.base_fee
    }

    /// The next block's fork.
    pub(crate) fn fork(&self) -> OpSpecId {
        self.fork
    }

    /// The most gas that one transaction of the next block can have.
    pub(crate) fn max_gas(&self) -> u64 {
        let beside_l1_info = self.gas_limit.saturating_sub(L1_INFO_GAS);
        if self.fork.is_enabled_in(OpSpecId::KARST) {
            beside_l1_info.min(TX_GAS_LIMIT_CAP)
        } else {
            beside_l1_info
        }
    }

    /// What the set compares transactions with.
    pub(crate) fn market(&self) -> Market {
        Market { base_fee: self.base_fee, max_gas: self.max_gas() }
    }

    /// L1 fee and worst-case operator fee of a transaction.
    pub fn rollup_cost(&self, encoded: &[u8], gas: u64) -> U256 {
        self.l1.l1_cost(encoded).saturating_add(self.l1.operator_fee(encoded, gas))
    }

    /// Whether transactions cost at this head what they cost at `other`.
    pub(crate) fn same_rollup_prices(&self, other: &Self) -> bool {
        self.l1.same_prices(&other.l1)
    }

    /// A sender at the head. An account with code that is not a delegation sends nothing (EIP-3607).
    pub(crate) fn sender(&self, address: Address) -> Result<Account, PoolError> {
        let account = self.state.account(address)?.unwrap_or_default();
        let delegated = account.has_code();
        if delegated && !self.is_delegation(account.code_hash)? {
            return Err(PoolError::SenderNotEoa(address));
        }
        Ok(Account { nonce: account.nonce, balance: account.balance, delegated })
    }

    fn is_delegation(&self, code_hash: B256) -> Result<bool, StateError> {
        let code = self.state.code(code_hash)?.unwrap_or_default();
        Ok(code.len() == 23 && code.starts_with(&[0xef, 0x01, 0x00]))
    }
}
