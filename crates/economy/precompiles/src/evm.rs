//! The machines inside the EVM: mounted as stateful precompiles, on the EVM's own journal.

use crate::EconomyConfig;
use crate::entry::{Invocation, execute};
use crate::gas;
use crate::host::{Halt, Host};
use alloy_evm::EvmInternals;
use alloy_evm::precompiles::{DynPrecompile, PrecompileInput, PrecompilesMap};
use alloy_primitives::{Address, Bytes, Log, U256};
use revm::interpreter::SStoreResult;
use revm::precompile::{
    PrecompileError, PrecompileHalt, PrecompileId, PrecompileOutput, PrecompileResult, PrecompileStatus,
};
use tributary_abi::address::{AGENTS, ATTRIBUTION, DATANETS, MODELS, PARAMS, SETTLEMENT};

/// Mounts the six precompiles. They are stateful, so no result cache applies to them.
pub fn mount(precompiles: &mut PrecompilesMap, config: &EconomyConfig) {
    let named = [
        ("tributary-datanets", DATANETS),
        ("tributary-models", MODELS),
        ("tributary-agents", AGENTS),
        ("tributary-settlement", SETTLEMENT),
        ("tributary-attribution", ATTRIBUTION),
        ("tributary-params", PARAMS),
    ];
    for (name, address) in named {
        let config = *config;
        let precompile = DynPrecompile::new_stateful(PrecompileId::Custom(name.into()), move |input| {
            call(&config, address, input)
        });
        precompiles.apply_precompile(&address, |_| Some(precompile));
    }
}

fn call(config: &EconomyConfig, code: Address, input: PrecompileInput<'_>) -> PrecompileResult {
    let PrecompileInput { data, gas, reservoir, caller, value, target_address, is_static, internals, .. } =
        input;
    let mut host = EvmHost { internals, gas, left: gas, refund: 0 };
    let invocation = Invocation { code, target: target_address, caller, value, is_static, data };
    let (status, bytes, refund) = match execute(config, &mut host, &invocation) {
        Ok(bytes) => (PrecompileStatus::Success, bytes, host.refund),
        Err(Halt::Revert(bytes)) => (PrecompileStatus::Revert, bytes, 0),
        Err(Halt::OutOfGas) => return Ok(PrecompileOutput::halt(PrecompileHalt::OutOfGas, reservoir)),
        Err(Halt::Fatal(reason)) => return Err(PrecompileError::Fatal(reason)),
    };
    Ok(output(status, host.gas - host.left, refund, reservoir, bytes))
}

fn output(
    status: PrecompileStatus,
    used: u64,
    refund: i64,
    reservoir: u64,
    bytes: Bytes,
) -> PrecompileOutput {
    PrecompileOutput { status, gas_used: used, gas_refunded: refund, state_gas_used: 0, reservoir, bytes }
}

/// The EVM as a host. Storage, logs and balance moves cost what they cost a contract.
struct EvmHost<'a> {
    internals: EvmInternals<'a>,
    gas: u64,
    left: u64,
    refund: i64,
}

fn fatal(error: impl std::fmt::Display) -> Halt {
    Halt::Fatal(error.to_string())
}

impl Host for EvmHost<'_> {
    fn sload(&mut self, contract: Address, slot: U256) -> Result<U256, Halt> {
        let loaded = self.internals.sload(contract, slot).map_err(fatal)?;
        self.charge(if loaded.is_cold { gas::COLD_SLOT } else { gas::WARM })?;
        Ok(loaded.data)
    }

    fn sstore(&mut self, contract: Address, slot: U256, value: U256) -> Result<(), Halt> {
        if self.left <= gas::STIPEND {
            return Err(Halt::OutOfGas);
        }
        let stored = self.internals.sstore(contract, slot, value).map_err(fatal)?;
        let cold = if stored.is_cold { gas::COLD_SLOT } else { 0 };
        self.charge(cold + sstore_cost(&stored.data))?;
        self.refund += sstore_refund(&stored.data);
        Ok(())
    }

    fn transfer(&mut self, from: Address, to: Address, amount: U256) -> Result<bool, Halt> {
        let account = self.internals.load_account(to).map_err(fatal)?;
        let access = if account.is_cold { gas::COLD_ACCOUNT } else { gas::WARM };
        let creation = if account.data.is_empty() { gas::NEW_ACCOUNT } else { 0 };
        self.charge(access + gas::VALUE + creation)?;
        Ok(self.internals.transfer(from, to, amount).map_err(fatal)?.is_none())
    }

    fn log(&mut self, log: Log) -> Result<(), Halt> {
        let [base, topic, byte] = gas::LOG;
        let (topics, bytes) = (log.topics().len() as u64, log.data.data.len() as u64);
        self.charge(base + topic * topics + byte * bytes)?;
        self.internals.log(log);
        Ok(())
    }

    fn charge(&mut self, gas: u64) -> Result<(), Halt> {
        self.left = self.left.checked_sub(gas).ok_or(Halt::OutOfGas)?;
        Ok(())
    }

    fn block_number(&self) -> u64 {
        self.internals.block_number().saturating_to()
    }

    fn timestamp(&self) -> u64 {
        self.internals.block_timestamp().saturating_to()
    }
}

/// EIP-2200 with EIP-2929's prices, without the cold access.
fn sstore_cost(slot: &SStoreResult) -> u64 {
    if slot.new_value == slot.present_value || slot.original_value != slot.present_value {
        gas::WARM
    } else if slot.original_value.is_zero() {
        gas::SSTORE_SET
    } else {
        gas::SSTORE_RESET
    }
}

/// EIP-3529.
fn sstore_refund(slot: &SStoreResult) -> i64 {
    let SStoreResult { original_value: original, present_value: present, new_value: new } = *slot;
    if new == present {
        return 0;
    }
    if original == present {
        return if new.is_zero() { gas::SSTORE_CLEARS } else { 0 };
    }
    let mut refund = 0;
    if !original.is_zero() {
        if present.is_zero() {
            refund -= gas::SSTORE_CLEARS;
        } else if new.is_zero() {
            refund += gas::SSTORE_CLEARS;
        }
    }
    if original == new {
        let first = if original.is_zero() { gas::SSTORE_SET } else { gas::SSTORE_RESET };
        refund += (first - gas::WARM) as i64;
    }
    refund
}
