//! Blocks made once and kept in a file, so that every run and both clients import the same ones.

use crate::{
    client::{Client, Kind, Programs},
    traffic::Traffic,
    world::{GAS_LIMIT, GENESIS_TIME, World},
};
use alloy_eips::Encodable2718;
use alloy_primitives::{B256, Bytes, U256, keccak256};
use eyre::{ContextCompat, Result, ensure};
use op_alloy_consensus::OpTxEnvelope;
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    io::{BufRead, BufReader, BufWriter, Write},
    path::Path,
};
use tributary_builder::L1Attributes;

/// Seconds between two blocks.
const BLOCK_TIME: u64 = 2;

/// A block as a parameter list of `engine_newPayloadV4`.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) hash: String,
    pub(crate) gas: u64,
    pub(crate) params: String,
}

/// A chain of blocks on genesis, and every sender's next nonce after it.
#[derive(Debug)]
pub(crate) struct Blocks {
    pub(crate) blocks: Vec<Block>,
    pub(crate) nonces: Vec<u64>,
}

impl Blocks {
    pub(crate) fn gas(&self) -> u64 {
        self.blocks.iter().map(|block| block.gas).sum()
    }

    /// Reads them, or has Tributary make them if they are not there. `gas`: about how much a block uses.
    pub(crate) fn get(programs: &Programs, world: &World, name: &str, count: u64, gas: u64) -> Result<Self> {
        let path = programs.folder.join(format!("blocks-{name}-{count}x{gas}"));
        if !path.exists() {
            eprintln!("making {count} blocks of {gas} gas");
            let made = path.with_extension("making");
            make(programs, world, &made, count, gas)?;
            fs::rename(&made, &path)?;
        }
        Self::read(&path)
    }

    fn read(path: &Path) -> Result<Self> {
        let mut lines = BufReader::with_capacity(1 << 20, File::open(path)?).lines();
        let nonces = lines.next().wrap_err("the file of blocks is empty")??;
        let nonces = serde_json::from_str(&nonces)?;
        let blocks = lines.map(|line| parse(&line?)).collect::<Result<_>>()?;
        Ok(Self { blocks, nonces })
    }
}

fn parse(line: &str) -> Result<Block> {
    let mut fields = line.splitn(3, '\t');
    let mut field = || fields.next().wrap_err("the file of blocks is torn");
    Ok(Block { hash: field()?.to_owned(), gas: field()?.parse()?, params: field()?.to_owned() })
}

fn make(programs: &Programs, world: &World, path: &Path, count: u64, gas: u64) -> Result<()> {
    let data = programs.fresh(Kind::Tributary, "making")?;
    let mut client = programs.start(Kind::Tributary, &data)?;
    let mut traffic = Traffic::new(world, gas);
    let mut lines = Vec::new();
    let mut head = client.head()?["hash"].as_str().wrap_err("no hash")?.to_owned();
    for number in 1..=count {
        let transactions = traffic.take(gas)?;
        let expected = transactions.len() + 1;
        let attributes = attributes(number, number, Some(transactions));
        let id = client.choose(&head, attributes)?.wrap_err("no payload was begun")?;
        let built = get_payload(&mut client, &id)?;
        let line = line(&built, number)?;
        ensure!(line.1 == expected, "block {number} has {} transactions, not {expected}", line.1);
        let block = parse(&line.0)?;
        client.new_payload(&block.params)?;
        client.choose(&block.hash, Value::Null)?;
        head = block.hash;
        lines.push(line.0);
    }
    client.stop()?;
    crate::client::remove(&data)?;
    let mut out = BufWriter::new(File::create(path)?);
    writeln!(out, "{}", json!(traffic.nonces()))?;
    lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
    Ok(out.flush()?)
}

/// `engine_getPayloadV4`.
pub(crate) fn get_payload(client: &mut Client, id: &str) -> Result<Value> {
    client.engine.call("engine_getPayloadV4", &json!([id]))
}

/// A block as a line, and its number of transactions.
fn line(built: &Value, number: u64) -> Result<(String, usize)> {
    let payload = &built["executionPayload"];
    let hash = payload["blockHash"].as_str().wrap_err("no hash")?;
    let transactions = payload["transactions"].as_array().wrap_err("no transactions")?.len();
    Ok((format!("{hash}\t{}\t{}", gas_used(built)?, params(built, number)), transactions))
}

/// What a built payload comes back as.
pub(crate) fn params(built: &Value, number: u64) -> String {
    json!([built["executionPayload"], [], beacon_root(number), []]).to_string()
}

/// Gas of a built payload.
pub(crate) fn gas_used(built: &Value) -> Result<u64> {
    let gas = built["executionPayload"]["gasUsed"].as_str().wrap_err("no gasUsed")?;
    Ok(u64::from_str_radix(gas.trim_start_matches("0x"), 16)?)
}

/// Attributes of a block; without transactions the pool fills it. Blocks of one number differ by their salt.
pub(crate) fn attributes(number: u64, salt: u64, transactions: Option<Vec<Bytes>>) -> Value {
    let closed = transactions.is_some();
    let deposit = OpTxEnvelope::from(l1_attributes(number).deposit());
    let mut all = vec![Bytes::from(deposit.encoded_2718())];
    all.extend(transactions.unwrap_or_default());
    json!({
        "timestamp": format!("{:#x}", GENESIS_TIME + number * BLOCK_TIME),
        "prevRandao": keccak256(salt.to_be_bytes()),
        "suggestedFeeRecipient": "0x4200000000000000000000000000000000000011",
        "withdrawals": [],
        "parentBeaconBlockRoot": beacon_root(number),
        "transactions": all,
        "noTxPool": closed,
        "gasLimit": format!("{GAS_LIMIT:#x}"),
        "eip1559Params": "0x000000fa00000002",
        "minBaseFee": 0,
    })
}

fn beacon_root(number: u64) -> B256 {
    keccak256(format!("beacon {number}"))
}

fn l1_attributes(number: u64) -> L1Attributes {
    L1Attributes {
        base_fee_scalar: 1_368,
        blob_base_fee_scalar: 810_949,
        sequence_number: number,
        timestamp: GENESIS_TIME,
        number: 1,
        base_fee: U256::from(1_000_000_000),
        blob_base_fee: U256::from(1),
        hash: keccak256("the L1 origin"),
        batcher: Default::default(),
        operator_fee_scalar: 0,
        operator_fee_constant: 0,
        // Lest a block be full of bytes before it is full of gas.
        da_footprint_gas_scalar: 1,
    }
}
