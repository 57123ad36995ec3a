//! The chain that both clients begin with: its accounts, its contracts, its genesis file.

use crate::contracts;
use alloy_primitives::{Address, B256, U256, keccak256};
use eyre::{ContextCompat, Result, WrapErr, ensure};
use flate2::read::GzDecoder;
use rayon::prelude::*;
use secp256k1::{PublicKey, SECP256K1, SecretKey};
use serde_json::{Value, json};
use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

/// Time of block 0.
pub(crate) const GENESIS_TIME: u64 = 1_700_000_000;

/// Gas limit of every block.
pub(crate) const GAS_LIMIT: u64 = 60_000_000;

/// Predeploys and constants of an OP Stack chain, recorded from its own tools.
const RECORDED: &[u8] = include_bytes!("../../../../testdata/opstack/genesis-isthmus-jovian.json.gz");

/// How large the world is.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub(crate) struct Size {
    /// Funded accounts
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) accounts: u32,
    /// Of which so many send transactions and hold tokens
    #[arg(long, default_value_t = 20_000)]
    pub(crate) senders: u32,
    /// Filled slots of the contract that storage-heavy calls write
    #[arg(long, default_value_t = 200_000)]
    pub(crate) slots: u32,
}

/// Accounts and keys.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) size: Size,
    pub(crate) keys: Vec<SecretKey>,
    /// The senders' first.
    pub(crate) addresses: Vec<Address>,
}

impl World {
    pub(crate) fn new(size: Size) -> Result<Self> {
        ensure!(size.senders > 0 && size.senders <= size.accounts, "senders are some of the accounts");
        ensure!(size.slots > 0, "there must be slots");
        let keys: Vec<SecretKey> = (0..size.senders).into_par_iter().map(key).collect::<Result<_>>()?;
        let senders = keys.par_iter().map(address);
        let others = (size.senders..size.accounts).into_par_iter();
        let others = others.map(|n| Address::from_word(keccak256(format!("account {n}"))));
        let addresses = senders.chain(others).collect();
        Ok(Self { size, keys, addresses })
    }

    /// Writes a genesis file that both clients take, Jovian from the start.
    pub(crate) fn write_genesis(&self, path: &Path) -> Result<()> {
        let mut genesis: Value = serde_json::from_reader(GzDecoder::new(RECORDED))?;
        let config = genesis["config"].as_object_mut().wrap_err("the recorded genesis has no config")?;
        for fork in ["isthmusTime", "pragueTime", "jovianTime"] {
            config.insert(fork.into(), json!(0));
        }
        genesis["timestamp"] = json!(format!("{GENESIS_TIME:#x}"));
        genesis["gasLimit"] = json!(format!("{GAS_LIMIT:#x}"));
        genesis["extraData"] = json!("0x01000000fa000000020000000000000000");
        let alloc = genesis["alloc"].take();
        let file = File::create(path).wrap_err_with(|| path.display().to_string())?;
        let mut out = BufWriter::with_capacity(1 << 20, file);
        let head = serde_json::to_string(&genesis)?;
        let (before, after) = head.split_once("\"alloc\":null").wrap_err("no alloc")?;
        write!(out, "{before}\"alloc\":{{")?;
        for (address, account) in alloc.as_object().wrap_err("alloc is no object")? {
            write!(out, "\"{address}\":{account},")?;
        }
        self.write_token(&mut out)?;
        self.write_slots(&mut out)?;
        for (index, address) in self.addresses.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(out, "{comma}\"{address:?}\":{{\"balance\":\"0x33b2e3c9fd0803ce8000000\"}}")?;
        }
        write!(out, "}}{after}")?;
        Ok(out.flush()?)
    }

    /// Every sender holds tokens.
    fn write_token(&self, out: &mut impl Write) -> Result<()> {
        let code = hex::encode(contracts::token());
        write!(out, "\"{:?}\":{{\"balance\":\"0x0\",\"code\":\"0x{code}\",\"storage\":{{", contracts::TOKEN)?;
        let value = B256::from(U256::from(1_000_000_000_000_u64));
        for (index, holder) in self.addresses[..self.keys.len()].iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(out, "{comma}\"{}\":\"{value}\"", contracts::balance_slot(*holder))?;
        }
        Ok(write!(out, "}}}},")?)
    }

    fn write_slots(&self, out: &mut impl Write) -> Result<()> {
        let code = hex::encode(contracts::slots(self.size.slots));
        write!(out, "\"{:?}\":{{\"balance\":\"0x0\",\"code\":\"0x{code}\",\"storage\":{{", contracts::SLOTS)?;
        let value = B256::with_last_byte(1);
        for slot in 0..self.size.slots {
            let comma = if slot == 0 { "" } else { "," };
            write!(out, "{comma}\"{}\":\"{value}\"", B256::from(U256::from(slot)))?;
        }
        Ok(write!(out, "}}}},")?)
    }
}

fn key(n: u32) -> Result<SecretKey> {
    Ok(SecretKey::from_byte_array(&keccak256(format!("sender {n}")).0)?)
}

fn address(key: &SecretKey) -> Address {
    let public = PublicKey::from_secret_key(SECP256K1, key).serialize_uncompressed();
    Address::from_raw_public_key(&public[1..])
}
