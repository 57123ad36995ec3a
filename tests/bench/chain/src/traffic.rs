//! What users send: a third of the gas plain transfers, a third ERC-20 transfers, a third storage-heavy calls.

use crate::{
    contracts::{self, SLOTS, TOKEN},
    world::World,
};
use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use eyre::Result;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use secp256k1::{Message, SECP256K1, SecretKey};

/// Chain id of the recorded genesis.
const CHAIN_ID: u64 = 901;

/// Slots that a storage-heavy call writes.
const SLOTS_A_CALL: u64 = 40;

/// Gas that a transaction is known to use, about: what a block is filled by.
const GAS: [u64; 3] = [21_000, 35_000, 21_600 + SLOTS_A_CALL * 5_260];

/// A stream of transactions, the same for the same seed.
#[derive(Debug)]
pub(crate) struct Traffic<'w> {
    world: &'w World,
    nonces: Vec<u64>,
    rng: ChaCha8Rng,
    /// Gas used so far by each kind.
    used: [u64; 3],
}

impl<'w> Traffic<'w> {
    pub(crate) fn new(world: &'w World, seed: u64) -> Self {
        Self { world, nonces: vec![0; world.keys.len()], rng: ChaCha8Rng::seed_from_u64(seed), used: [0; 3] }
    }

    /// Goes on after what a chain has already.
    pub(crate) fn with_nonces(world: &'w World, seed: u64, nonces: Vec<u64>) -> Self {
        Self { nonces, ..Self::new(world, seed) }
    }

    /// The next nonce of every sender.
    pub(crate) fn nonces(&self) -> &[u64] {
        &self.nonces
    }

    /// Signed transactions that use about so much gas.
    pub(crate) fn take(&mut self, gas: u64) -> Result<Vec<Bytes>> {
        let mut left = gas;
        let mut unsigned = Vec::new();
        while let Some((used, sender, tx)) = self.next(left) {
            left -= used;
            unsigned.push((sender, tx));
        }
        let keys = &self.world.keys;
        unsigned.into_par_iter().map(|(sender, tx)| sign(tx, &keys[sender])).collect()
    }

    /// A transaction of the kind that lags most behind its third.
    fn next(&mut self, left: u64) -> Option<(u64, usize, TxEip1559)> {
        let kind = (0..3).filter(|kind| GAS[*kind] <= left).min_by_key(|kind| self.used[*kind])?;
        self.used[kind] += GAS[kind];
        let sender = self.rng.random_range(0..self.nonces.len());
        let other = self.world.addresses[self.rng.random_range(0..self.world.addresses.len())];
        let (to, value, input) = match kind {
            0 => (other, 1_000, Bytes::new()),
            1 => (TOKEN, 0, contracts::transfer(other, 7)),
            _ => (SLOTS, 0, contracts::run(B256::from(self.rng.random::<[u8; 32]>()), SLOTS_A_CALL)),
        };
        let nonce = self.nonces[sender];
        self.nonces[sender] += 1;
        Some((GAS[kind], sender, transaction(nonce, to, value, input, GAS[kind] * 3 / 2)))
    }
}

fn transaction(nonce: u64, to: Address, value: u64, input: Bytes, gas: u64) -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: if input.is_empty() { 21_000 } else { gas },
        max_fee_per_gas: 1_000_000_000_000,
        max_priority_fee_per_gas: 1_000_000,
        to: TxKind::Call(to),
        value: U256::from(value),
        input,
        ..TxEip1559::default()
    }
}

fn sign(tx: TxEip1559, key: &SecretKey) -> Result<Bytes> {
    let message = Message::from_digest(tx.signature_hash().0);
    let (id, rs) = SECP256K1.sign_ecdsa_recoverable(&message, key).serialize_compact();
    let signature = Signature::from_bytes_and_parity(&rs, i32::from(id) == 1);
    Ok(TxEnvelope::from(tx.into_signed(signature)).encoded_2718().into())
}
