//! A world that runs every call twice: in the EVM, and on the host in memory. Both must agree to the slot.

use alloy_evm::eth::EthEvmBuilder;
use alloy_evm::precompiles::PrecompilesMap;
use alloy_evm::{Evm, EvmEnv};
use alloy_primitives::{Address, B256, Bytes, Log, TxKind, U256, keccak256};
use alloy_sol_types::{SolCall, SolError};
use k256::ecdsa::SigningKey;
use revm::context::result::ExecutionResult;
use revm::context::{BlockEnv, CfgEnv, TxEnv};
use revm::database::{CacheDB, EmptyDB};
use revm::precompile::{PrecompileSpecId, Precompiles};
use revm::primitives::hardfork::SpecId;
use revm::state::{AccountInfo, Bytecode};
use std::collections::BTreeSet;
use std::sync::Mutex;
use tributary_abi::address;
use tributary_precompiles::{EconomyConfig, Halt, MemoryHost, genesis, mount};

/// Every (address, selector) that was called, and every error seen, by all tests of this process.
pub(crate) static CALLED: Mutex<BTreeSet<(Address, [u8; 4])>> = Mutex::new(BTreeSet::new());
pub(crate) static REFUSED: Mutex<BTreeSet<[u8; 4]>> = Mutex::new(BTreeSet::new());

pub(crate) const CHAIN_ID: u64 = 161_299;
pub(crate) const OPEN: u128 = 1_000_000_000_000_000_000;
pub(crate) const GOVERNOR: Address = Address::repeat_byte(0x90);
pub(crate) const TREASURY: Address = Address::repeat_byte(0x91);
const GAS: u64 = 100_000_000;

pub(crate) const CONFIG: EconomyConfig = EconomyConfig {
    chain_id: CHAIN_ID,
    genesis_hash: B256::repeat_byte(0x11),
    dev: true,
    economy_time: Some(0),
    disputes_time: None,
};

/// An account with a key.
#[derive(Debug, Clone)]
pub(crate) struct Wallet {
    pub(crate) key: SigningKey,
    pub(crate) address: Address,
}

impl Wallet {
    pub(crate) fn new(name: &str) -> Self {
        let key = SigningKey::from_slice(keccak256(name).as_slice()).unwrap();
        Self { address: Address::from_public_key(key.verifying_key()), key }
    }

    pub(crate) fn sign(&self, digest: B256) -> Bytes {
        let (signature, recovery) = self.key.sign_prehash_recoverable(digest.as_slice()).unwrap();
        let mut bytes = signature.to_bytes().to_vec();
        bytes.push(27 + recovery.to_byte());
        bytes.into()
    }
}

/// What a transaction did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) output: Bytes,
    pub(crate) logs: Vec<Log>,
    pub(crate) gas: u64,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) db: CacheDB<EmptyDB>,
    pub(crate) memory: MemoryHost,
    pub(crate) config: EconomyConfig,
    pub(crate) block: u64,
    pub(crate) now: u64,
    pub(crate) last_gas: u64,
    pub(crate) last_logs: Vec<Log>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_config(CONFIG)
    }

    pub(crate) fn with_config(config: EconomyConfig) -> Self {
        let accounts = genesis::accounts(&genesis::GenesisParams::dev(GOVERNOR, TREASURY)).unwrap();
        let mut db = CacheDB::new(EmptyDB::default());
        for (address, account) in &accounts {
            let code = Bytecode::new_raw(account.code.clone().unwrap());
            let info = AccountInfo { nonce: 1, ..AccountInfo::from_bytecode(code) };
            db.insert_account_info(*address, info);
            for (slot, value) in account.storage.iter().flatten() {
                db.insert_account_storage(*address, (*slot).into(), (*value).into()).unwrap();
            }
        }
        let memory = MemoryHost::from_genesis(&accounts);
        let mut world = Self { db, memory, config, block: 0, now: 1_000, last_gas: 0, last_logs: Vec::new() };
        world.next_block();
        world
    }

    /// A wallet with ten million OPEN.
    pub(crate) fn wallet(&mut self, name: &str) -> Wallet {
        let wallet = Wallet::new(name);
        self.fund(wallet.address, 10_000_000 * OPEN);
        wallet
    }

    pub(crate) fn fund(&mut self, account: Address, amount: u128) {
        let balance = U256::from(amount);
        self.db.insert_account_info(account, AccountInfo { balance, ..AccountInfo::default() });
        self.memory.set_balance(account, balance);
    }

    pub(crate) fn deploy(&mut self, address: Address, code: Vec<u8>) {
        let mut info = AccountInfo::from_bytecode(Bytecode::new_raw(code.into()));
        info.balance = U256::from(OPEN);
        self.db.insert_account_info(address, info);
        self.memory.set_balance(address, U256::from(OPEN));
    }

    /// Writes a slot behind the machines' back.
    pub(crate) fn poke(&mut self, contract: Address, slot: U256, value: U256) {
        use tributary_precompiles::Host;
        self.db.insert_account_storage(contract, slot, value).unwrap();
        self.memory.sstore(contract, slot, value).unwrap();
    }

    pub(crate) fn next_block(&mut self) {
        self.pass(1);
    }

    /// A block, `seconds` later.
    pub(crate) fn pass(&mut self, seconds: u64) {
        self.block += 1;
        self.now += seconds;
        self.memory.set_block(self.block, self.now);
    }

    pub(crate) fn balance(&self, account: Address) -> u128 {
        self.memory.balance(account).saturating_to()
    }

    /// A transaction in the EVM alone.
    pub(crate) fn evm(
        &mut self,
        from: Address,
        to: Address,
        value: u128,
        data: &[u8],
    ) -> Result<Done, Bytes> {
        self.evm_with_gas(from, to, value, data, GAS).map_err(|(output, _)| output)
    }

    pub(crate) fn evm_with_gas(
        &mut self,
        from: Address,
        to: Address,
        value: u128,
        data: &[u8],
        gas_limit: u64,
    ) -> Result<Done, (Bytes, u64)> {
        let result = self.run(true, (from, to, value, data, gas_limit));
        let gas = result.tx_gas_used();
        match result {
            ExecutionResult::Success { output, logs, .. } => {
                Ok(Done { output: output.into_data(), logs, gas })
            }
            ExecutionResult::Revert { output, .. } => Err((output, gas)),
            ExecutionResult::Halt { reason, .. } => Err((format!("{reason:?}").into_bytes().into(), gas)),
        }
    }

    /// A transaction whose effects are thrown away; returns its gas.
    pub(crate) fn dry_run(&mut self, from: Address, to: Address, data: &[u8]) -> u64 {
        let result = self.run(false, (from, to, 0, data, GAS));
        assert!(result.is_success(), "{result:?}");
        result.tx_gas_used()
    }

    fn run(
        &mut self,
        keep: bool,
        (from, to, value, data, gas_limit): (Address, Address, u128, &[u8], u64),
    ) -> ExecutionResult {
        let mut cfg = CfgEnv::new_with_spec(SpecId::PRAGUE);
        cfg.chain_id = CHAIN_ID;
        cfg.disable_nonce_check = true;
        cfg.disable_base_fee = true;
        let block = BlockEnv {
            number: U256::from(self.block),
            timestamp: U256::from(self.now),
            gas_limit: u64::MAX,
            ..BlockEnv::default()
        };
        let mut precompiles =
            PrecompilesMap::from_static(Precompiles::new(PrecompileSpecId::from_spec_id(SpecId::PRAGUE)));
        mount(&mut precompiles, &self.config);
        let env = EvmEnv { cfg_env: cfg, block_env: block };
        let mut evm = EthEvmBuilder::new(&mut self.db, env).precompiles(precompiles).build();
        let tx = TxEnv {
            caller: from,
            kind: TxKind::Call(to),
            value: U256::from(value),
            data: Bytes::copy_from_slice(data),
            gas_limit,
            gas_price: 0,
            chain_id: Some(CHAIN_ID),
            ..TxEnv::default()
        };
        if keep { evm.transact_commit(tx).unwrap() } else { evm.transact_raw(tx).unwrap().result }
    }

    /// A transaction in both, which must agree on result, logs, balances and every slot.
    pub(crate) fn raw(
        &mut self,
        from: Address,
        to: Address,
        value: u128,
        data: &[u8],
    ) -> Result<Bytes, Bytes> {
        let selector = data.first_chunk::<4>().copied().unwrap_or_default();
        CALLED.lock().unwrap().insert((to, selector));
        let before = self.memory.state_hash();
        let ours = self.memory.call(&self.config, from, to, U256::from(value), data);
        let evm = self.evm(from, to, value, data);
        match (&ours, &evm) {
            (Ok(output), Ok(done)) => {
                assert_eq!(*output, done.output);
                self.last_logs = self.memory.take_logs();
                assert_eq!(self.last_logs, done.logs);
                self.last_gas = done.gas;
            }
            (Err(Halt::Revert(ours)), Err(evm)) => {
                assert_eq!(ours, evm);
                assert_eq!(self.memory.state_hash(), before, "a failed call leaves no trace");
            }
            (ours, evm) => panic!("{ours:?} in memory, {evm:?} in the EVM"),
        }
        self.compare(&[from, GOVERNOR, TREASURY]);
        evm.map(|done| done.output)
    }

    fn compare(&self, accounts: &[Address]) {
        for contract in address::ALL {
            let account = &self.db.cache.accounts[&contract];
            assert_eq!(account.info.balance, self.memory.balance(contract), "balance of {contract}");
            assert_eq!(account.info.nonce, 1);
            for (slot, value) in &account.storage {
                assert_eq!(*value, self.memory.slot(contract, *slot), "slot {slot} of {contract}");
            }
        }
        for account in accounts {
            let in_evm = self.db.cache.accounts.get(account).map(|a| a.info.balance).unwrap_or_default();
            assert_eq!(in_evm, self.memory.balance(*account), "balance of {account}");
        }
    }

    fn typed<C: SolCall>(
        &mut self,
        from: Address,
        to: Address,
        value: u128,
        call: C,
    ) -> Result<C::Return, Bytes> {
        let output = self.raw(from, to, value, &call.abi_encode())?;
        Ok(C::abi_decode_returns_validate(&output).unwrap())
    }

    pub(crate) fn datanets<C: SolCall>(
        &mut self,
        from: Address,
        value: u128,
        call: C,
    ) -> Result<C::Return, Bytes> {
        self.typed(from, address::DATANETS, value, call)
    }

    pub(crate) fn models<C: SolCall>(&mut self, from: Address, call: C) -> Result<C::Return, Bytes> {
        self.typed(from, address::MODELS, 0, call)
    }

    pub(crate) fn agents<C: SolCall>(
        &mut self,
        from: Address,
        value: u128,
        call: C,
    ) -> Result<C::Return, Bytes> {
        self.typed(from, address::AGENTS, value, call)
    }

    pub(crate) fn settlement<C: SolCall>(
        &mut self,
        from: Address,
        value: u128,
        call: C,
    ) -> Result<C::Return, Bytes> {
        self.typed(from, address::SETTLEMENT, value, call)
    }

    pub(crate) fn attribution<C: SolCall>(
        &mut self,
        from: Address,
        value: u128,
        call: C,
    ) -> Result<C::Return, Bytes> {
        self.typed(from, address::ATTRIBUTION, value, call)
    }

    pub(crate) fn params<C: SolCall>(&mut self, from: Address, call: C) -> Result<C::Return, Bytes> {
        self.typed(from, address::PARAMS, 0, call)
    }
}

/// A call that must revert with exactly this error.
pub(crate) trait Refused {
    #[track_caller]
    fn refused<E: SolError>(self, error: E);
}

impl<T> Refused for Result<T, Bytes> {
    #[track_caller]
    fn refused<E: SolError>(self, error: E) {
        REFUSED.lock().unwrap().insert(E::SELECTOR);
        let Err(got) = self else { panic!("expected {}, and it succeeded", E::SIGNATURE) };
        assert_eq!(got, Bytes::from(error.abi_encode()), "expected {}", E::SIGNATURE);
    }
}
