//! The questions of cases 3 and 4.

use crate::{
    contracts::{self, SLOTS, TOKEN, TRANSFER},
    world::World,
};
use alloy_primitives::{B256, U256};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

/// Different requests of a kind.
const REQUESTS: usize = 4_096;

/// Slots of one proof.
const PROOF_SLOTS: usize = 10;

fn requests(method: &str, mut params: impl FnMut(&mut ChaCha8Rng) -> Value) -> Vec<String> {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    (0..REQUESTS)
        .map(|_| json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params(&mut rng)}).to_string())
        .collect()
}

fn hex(number: u64) -> String {
    format!("{number:#x}")
}

/// `balanceOf` of one of the holders.
pub(crate) fn calls(world: &World) -> Vec<String> {
    requests("eth_call", |rng| {
        let holder = world.addresses[rng.random_range(0..world.keys.len())];
        json!([{"to": TOKEN, "input": contracts::balance_of(holder)}, "latest"])
    })
}

/// Balances of all accounts.
pub(crate) fn balances(world: &World) -> Vec<String> {
    requests("eth_getBalance", |rng| {
        json!([world.addresses[rng.random_range(0..world.addresses.len())], "latest"])
    })
}

/// Transfers of one sender within a range of blocks.
pub(crate) fn logs(world: &World, head: u64, range: u64) -> Vec<String> {
    let range = range.min(head);
    requests("eth_getLogs", |rng| {
        let sender = world.addresses[rng.random_range(0..world.keys.len())].into_word();
        let from = rng.random_range(0..=head - range) + 1;
        json!([{"fromBlock": hex(from), "toBlock": hex(from + range - 1), "address": TOKEN, "topics": [TRANSFER, sender]}])
    })
}

/// Proofs of some of the many slots.
pub(crate) fn proofs(world: &World) -> Vec<String> {
    requests("eth_getProof", |rng| {
        let slots: Vec<B256> =
            (0..PROOF_SLOTS).map(|_| B256::from(U256::from(rng.random_range(0..world.size.slots)))).collect();
        json!([SLOTS, slots, "latest"])
    })
}
