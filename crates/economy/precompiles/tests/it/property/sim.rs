//! A random world: who is in it, and how it is called.

use crate::world::{CONFIG, GOVERNOR, OPEN, TREASURY, Wallet};
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall, SolError};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use tributary_abi::{IAgents, IDatanets};
use tributary_precompiles::{Halt, MemoryHost, genesis};

pub(super) const ACCOUNTS: usize = 24;
pub(super) const MOST_AGENTS: usize = 40;
pub(super) const MOST_CHANNELS: usize = 600;

#[derive(Debug, Clone)]
pub(super) struct Batch {
    pub(super) id: B256,
    pub(super) debits: Vec<(B256, u128)>,
    pub(super) fees: u128,
    pub(super) bond: u128,
    pub(super) payouts: Vec<(Address, u128)>,
}

#[derive(Debug, Default)]
pub(super) struct Agent {
    pub(super) id: u64,
    pub(super) owner: usize,
    pub(super) operator: usize,
    pub(super) channels: Vec<usize>,
    pub(super) batches: Vec<Batch>,
    pub(super) payouts: Vec<(Address, u128)>,
}

#[derive(Debug)]
pub(super) struct Channel {
    pub(super) id: B256,
    pub(super) agent: usize,
    pub(super) payer: usize,
}

/// A random world, and what it should look like.
pub(super) struct Sim {
    pub(super) rng: ChaCha8Rng,
    pub(super) host: MemoryHost,
    pub(super) wallets: Vec<Wallet>,
    pub(super) agents: Vec<Agent>,
    pub(super) channels: Vec<Channel>,
    pub(super) datanets: Vec<u64>,
    pub(super) commitments: Vec<(usize, IDatanets::revealCall)>,
    pub(super) contributions: Vec<(usize, u64)>,
    pub(super) models: Vec<(usize, u64)>,
    /// Batches whose availability was challenged: agent and place.
    pub(super) challenged: Vec<(usize, usize)>,
    pub(super) block: u64,
    pub(super) now: u64,
    pub(super) supply: U256,
    pub(super) done: BTreeMap<&'static str, (u32, u32)>,
}

impl Sim {
    pub(super) fn new(seed: u64) -> Self {
        let accounts = genesis::accounts(&genesis::GenesisParams::dev(GOVERNOR, TREASURY)).unwrap();
        let mut host = MemoryHost::from_genesis(&accounts);
        let wallets: Vec<_> = (0..ACCOUNTS).map(|n| Wallet::new(&format!("account {n}"))).collect();
        for wallet in &wallets {
            host.set_balance(wallet.address, U256::from(1_000_000 * OPEN));
        }
        let supply = host.supply();
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            host,
            wallets,
            agents: Vec::new(),
            channels: Vec::new(),
            datanets: Vec::new(),
            commitments: Vec::new(),
            contributions: Vec::new(),
            models: Vec::new(),
            challenged: Vec::new(),
            block: 0,
            now: 1_000,
            supply,
            done: BTreeMap::new(),
        }
    }

    pub(super) fn pick(&mut self, below: usize) -> usize {
        self.rng.random_range(0..below)
    }

    pub(super) fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    pub(super) fn account(&mut self) -> usize {
        self.pick(ACCOUNTS)
    }

    /// An amount of any size: often sensible, sometimes nothing, sometimes absurd.
    pub(super) fn amount(&mut self) -> u128 {
        match self.pick(20) {
            0 => 0,
            1 => 1,
            2 => self.rng.random::<u128>() >> 32,
            3 => u128::MAX,
            4..8 => u128::from(self.rng.random::<u32>()),
            _ => self.rng.random_range(0..20 * OPEN),
        }
    }

    pub(super) fn raw(
        &mut self,
        name: &'static str,
        from: Address,
        to: Address,
        value: u128,
        data: &[u8],
    ) -> Option<Bytes> {
        let before = self.host.state_hash();
        let result = self.host.call(&CONFIG, from, to, U256::from(value), data);
        let entry = self.done.entry(name).or_default();
        match result {
            Ok(output) => {
                entry.0 += 1;
                Some(output)
            }
            Err(halt) => {
                entry.1 += 1;
                assert_eq!(self.host.state_hash(), before, "{name} failed and left a trace");
                if let Halt::Revert(error) = &halt {
                    let short = error.get(..4) == Some(&IAgents::Overflow::SELECTOR[..]) && name != "garbage";
                    assert!(
                        !short || value > 1 << 100 || name == "commit",
                        "{name}: a sum failed or an escrow is short"
                    );
                }
                None
            }
        }
    }

    pub(super) fn call<C: SolCall>(
        &mut self,
        name: &'static str,
        from: usize,
        to: Address,
        value: u128,
        call: &C,
    ) -> Option<C::Return> {
        let from = self.wallets[from].address;
        let output = self.raw(name, from, to, value, &call.abi_encode())?;
        Some(C::abi_decode_returns_validate(&output).unwrap())
    }

    pub(super) fn view<C: SolCall>(&mut self, to: Address, call: &C) -> C::Return {
        let output = self.host.call(&CONFIG, Address::ZERO, to, U256::ZERO, &call.abi_encode()).unwrap();
        C::abi_decode_returns_validate(&output).unwrap()
    }

    pub(super) fn tick(&mut self) {
        if self.chance(35) {
            self.block += 1;
            self.now += match self.pick(300) {
                0 => 700,
                1..4 => 25,
                4..40 => 6,
                _ => self.rng.random_range(0..3),
            };
        }
        self.host.set_block(self.block, self.now);
    }
}
