#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

use std::{collections::BTreeMap, io::Read};

use alloy_eips::{
    eip2935::{HISTORY_STORAGE_ADDRESS, HISTORY_STORAGE_CODE},
    eip4788::{BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CODE},
};
use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, Bytes, U256, address, bytes};
use serde_json::{Value, json};
use tributary_precompiles::genesis::{GenesisError, GenesisParams, accounts};

/// Chain id of the dev chain.
pub const DEV_CHAIN_ID: u64 = 161_299;

/// 2026-01-01T00:00:00Z.
pub const DEV_TIMESTAMP: u64 = 1_767_225_600;

/// The first ten accounts of the mnemonic every Ethereum developer knows, `m/44'/60'/0'/0/0..10`.
pub const DEV_ACCOUNTS: [Address; 10] = [
    address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
    address!("70997970C51812dc3A010C7d01b50e0d17dc79C8"),
    address!("3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"),
    address!("90F79bf6EB2c4f870365E785982E1f101E93b906"),
    address!("15d34AAf54267DB7D7c367839AAf71A00a2C6A65"),
    address!("9965507D1a55bcC2695C58ba16FB37d819B0A4dc"),
    address!("976EA74026E726554dB657fA54763abd0C3a0aa9"),
    address!("14dC79964da2C08b23698B3D3cc7Ca32193d9955"),
    address!("23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f"),
    address!("a0Ee7A142d267C1f36714E4a8F75612F20a79720"),
];

/// Governs the parameters until the governance contracts do: the tenth dev account.
pub const DEV_GOVERNOR: Address = DEV_ACCOUNTS[9];

/// Gets registration fees and what nobody earned: the tenth dev account as well.
pub const DEV_TREASURY: Address = DEV_GOVERNOR;

/// Kept for GOPEN, the governor and its timelock.
pub const RESERVED: [Address; 3] = [
    address!("0000000000000000000000000000000000000A10"),
    address!("0000000000000000000000000000000000000A11"),
    address!("0000000000000000000000000000000000000A12"),
];

/// Balance of each dev account: a million OPEN.
const DEV_BALANCE: u128 = 1_000_000 * 10u128.pow(18);

const GAS_LIMIT: u64 = 60_000_000;
const BASE_FEE: u64 = 1_000_000_000;
const DENOMINATOR: u32 = 250;
const ELASTICITY: u32 = 6;
const MIN_BASE_FEE: u64 = 1_000_000;

const PREDEPLOYS: &[u8] = include_bytes!("../predeploys-karst.json.gz");

/// INVALID: a call reverts, a plain transfer too.
const NO_CODE_HERE: Bytes = bytes!("fe");

/// Why no genesis file could be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The predeploys are not what they should be.
    #[error("predeploys: {0}")]
    Predeploys(#[from] serde_json::Error),
    /// The economy's first parameters break a rule.
    #[error("economy: {0}")]
    Economy(#[from] GenesisError),
}

/// The dev chain's genesis file, as it is committed.
pub fn dev_genesis() -> Result<String, Error> {
    let mut genesis = json!({
        "config": dev_config(),
        "nonce": "0x0",
        "timestamp": hex(DEV_TIMESTAMP),
        "extraData": jovian_extra_data(),
        "gasLimit": hex(GAS_LIMIT),
        "difficulty": "0x0",
        "mixHash": alloy_primitives::B256::ZERO,
        "coinbase": "0x4200000000000000000000000000000000000011",
        "number": "0x0",
        "baseFeePerGas": hex(BASE_FEE),
        "alloc": dev_alloc()?,
    });
    genesis.sort_all_objects();
    Ok(serde_json::to_string_pretty(&genesis)? + "\n")
}

fn dev_config() -> Value {
    let mut config = json!({
        "chainId": DEV_CHAIN_ID,
        "terminalTotalDifficulty": 0,
        "terminalTotalDifficultyPassed": true,
        "optimism": {
            "eip1559Elasticity": ELASTICITY,
            "eip1559Denominator": 50,
            "eip1559DenominatorCanyon": DENOMINATOR,
        },
        "economyTime": 0,
        "tributary": { "governor": DEV_GOVERNOR, "dev": true },
    });
    let l1_blocks = [
        "homestead",
        "eip150",
        "eip155",
        "eip158",
        "byzantium",
        "constantinople",
        "petersburg",
        "istanbul",
        "muirGlacier",
        "berlin",
        "london",
        "arrowGlacier",
        "grayGlacier",
        "mergeNetsplit",
        "bedrock",
    ];
    let times = [
        "regolith", "canyon", "ecotone", "fjord", "granite", "holocene", "isthmus", "jovian", "karst",
        "shanghai", "cancun", "prague", "osaka",
    ];
    for fork in l1_blocks {
        config[format!("{fork}Block")] = json!(0);
    }
    for fork in times {
        config[format!("{fork}Time")] = json!(0);
    }
    config
}

fn dev_alloc() -> Result<BTreeMap<Address, GenesisAccount>, Error> {
    let mut alloc = predeploys()?;
    let contract =
        |code: Bytes| GenesisAccount { nonce: Some(1), code: Some(code), ..GenesisAccount::default() };
    alloc.insert(BEACON_ROOTS_ADDRESS, contract(BEACON_ROOTS_CODE.clone()));
    alloc.insert(HISTORY_STORAGE_ADDRESS, contract(HISTORY_STORAGE_CODE.clone()));
    alloc.extend(accounts(&GenesisParams::dev(DEV_GOVERNOR, DEV_TREASURY))?);
    for address in RESERVED {
        alloc.insert(address, contract(NO_CODE_HERE));
    }
    for address in DEV_ACCOUNTS {
        alloc.insert(address, GenesisAccount::default().with_balance(U256::from(DEV_BALANCE)));
    }
    Ok(alloc)
}

fn predeploys() -> Result<BTreeMap<Address, GenesisAccount>, serde_json::Error> {
    let mut json = Vec::new();
    flate2::read::GzDecoder::new(PREDEPLOYS).read_to_end(&mut json).map_err(serde_json::Error::io)?;
    serde_json::from_slice(&json)
}

fn jovian_extra_data() -> Bytes {
    [&[1][..], &DENOMINATOR.to_be_bytes(), &ELASTICITY.to_be_bytes(), &MIN_BASE_FEE.to_be_bytes()]
        .concat()
        .into()
}

fn hex(value: u64) -> String {
    format!("{value:#x}")
}
