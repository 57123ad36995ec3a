//! Case 2: a block from a full pool.

use crate::{
    blocks::{attributes, gas_used, get_payload},
    client::Client,
    traffic::Traffic,
    world::{GAS_LIMIT, World},
};
use alloy_primitives::Bytes;
use eyre::{ContextCompat, Result, ensure};
use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};

/// A block is full if no storage-heavy call would fit any more.
const FULL: u64 = GAS_LIMIT - 400_000;

/// Transactions in a batch of `eth_sendRawTransaction`.
const BATCH: usize = 200;

/// Attempts at a full block.
const ATTEMPTS: usize = 12;

/// Payloads asked for. No two have the same attributes, in no round: the same payload would be there already.
static ASKED: AtomicU64 = AtomicU64::new(1);

/// Transactions for so many blocks, after what the chain has already.
pub(crate) fn transactions(world: &World, nonces: &[u64], blocks: u64) -> Result<Vec<Bytes>> {
    Traffic::with_nonces(world, 0x6275696c64, nonces.to_vec()).take(blocks * GAS_LIMIT)
}

/// Sends transactions to a client's pool, and waits until all are pending.
pub(crate) fn fill(client: &Client, transactions: &[Bytes]) -> Result<f64> {
    let mut rpc = client.rpc()?;
    let start = Instant::now();
    for batch in transactions.chunks(BATCH) {
        let calls: Vec<Value> = batch
            .iter()
            .enumerate()
            .map(|(id, raw)| json!({"jsonrpc": "2.0", "id": id, "method": "eth_sendRawTransaction", "params": [raw]}))
            .collect();
        let answers: Vec<Value> = serde_json::from_slice(&rpc.post(json!(calls).to_string().as_bytes())?)?;
        let refused = answers.iter().find(|answer| answer["result"].is_null());
        ensure!(refused.is_none(), "{} refuses a transaction: {refused:?}", client.kind.name());
    }
    let seconds = start.elapsed().as_secs_f64();
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let status = rpc.call("txpool_status", &json!([]))?;
        let pending = status["pending"].as_str().map(|hex| hex.trim_start_matches("0x").to_owned());
        let pending = usize::from_str_radix(&pending.wrap_err("no txpool_status")?, 16)?;
        if pending >= transactions.len() {
            return Ok(seconds);
        }
        ensure!(Instant::now() < deadline, "{}: only {pending} are pending", client.kind.name());
        sleep(Duration::from_millis(20));
    }
}

/// Milliseconds from `forkchoiceUpdated` to a payload that is full, each of some attempts on the same parent. A client may
/// give what it has when it is asked, so the question waits a little longer each time until it is answered in full.
pub(crate) fn times(client: &mut Client) -> Result<Vec<f64>> {
    let head = client.head()?;
    let hash = head["hash"].as_str().wrap_err("no hash")?.to_owned();
    let number = head["number"].as_str().wrap_err("no number")?;
    let number = u64::from_str_radix(number.trim_start_matches("0x"), 16)? + 1;
    let (mut pause, mut full) = (0, Vec::new());
    while full.len() < ATTEMPTS {
        let salt = ASKED.fetch_add(1, Ordering::Relaxed);
        let attributes = attributes(number, (number << 16) + salt, None);
        let start = Instant::now();
        let id = client.choose(&hash, attributes)?.wrap_err("no payload was begun")?;
        let begun = start.elapsed();
        sleep(Duration::from_millis(pause).saturating_sub(begun));
        let built = get_payload(client, &id)?;
        let elapsed = start.elapsed().as_secs_f64() * 1e3;
        if gas_used(&built)? >= FULL {
            full.push(elapsed);
            continue;
        }
        ensure!(pause < 5_000, "{}: never full, {} gas", client.kind.name(), gas_used(&built)?);
        full.clear();
        pause += 10;
    }
    eprintln!("{:>9} building: asked after {pause} ms, {:.0?} ms", client.kind.name(), full);
    Ok(full)
}
