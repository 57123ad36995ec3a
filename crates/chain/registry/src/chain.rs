//! One chain of the registry.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};
use tributary_spec::{ChainSpec, Genesis};

use crate::{
    RegistryError,
    bundle::{Later, bundle, spelled},
    forks::{departed, inherited},
};

/// Keys of geth's configuration that every OP chain has at its beginning.
const L1_BLOCKS: [&str; 13] = [
    "homesteadBlock",
    "eip150Block",
    "eip155Block",
    "eip158Block",
    "byzantiumBlock",
    "constantinopleBlock",
    "petersburgBlock",
    "istanbulBlock",
    "muirGlacierBlock",
    "berlinBlock",
    "londonBlock",
    "arrowGlacierBlock",
    "grayGlacierBlock",
];

/// An account: balance, nonce, which code, storage.
type Account<'a> = (&'a str, &'a str, Option<usize>, &'a RawValue);

/// A chain of the registry.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KnownChain {
    superchain: String,
    id: String,
    name: String,
    chain_id: u64,
    superchain_time: Option<u64>,
    hardforks: BTreeMap<String, u64>,
    eip1559_elasticity: u32,
    eip1559_denominator: u32,
    eip1559_denominator_canyon: u32,
    genesis_hash: B256,
    genesis_number: u64,
    header: Option<Map<String, Value>>,
    alloc: Later,
    #[serde(skip)]
    codes: Vec<String>,
}

impl KnownChain {
    pub(crate) fn read(line: &str, codes: Vec<String>) -> Result<Self, RegistryError> {
        let chain: Self = serde_json::from_str(line).map_err(bundle)?;
        Ok(Self { codes, ..chain })
    }

    /// `op-mainnet`.
    pub fn full_name(&self) -> String {
        format!("{}-{}", spelled(&self.id), self.superchain)
    }

    /// `OP Mainnet`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// EIP-155 chain id.
    pub const fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// The hash of the first block, as the registry has it.
    pub const fn genesis_hash(&self) -> B256 {
        self.genesis_hash
    }

    /// Whether the registry has the chain's first state.
    pub fn has_allocation(&self) -> bool {
        self.genesis_number == 0 && self.alloc.as_ref().is_some_and(|alloc| alloc.get() != "{}")
    }

    /// From this time on the chain follows rules of its own, which this node does not have.
    pub fn departed(&self) -> Option<u64> {
        departed(self.chain_id)
    }

    /// The chain with its genesis, whose hash is the registry's.
    pub fn spec(&self) -> Result<ChainSpec, RegistryError> {
        if !self.has_allocation() {
            return Err(RegistryError::NoAllocation { name: self.name.clone(), number: self.genesis_number });
        }
        let mut genesis = self.header.clone().unwrap_or_default();
        genesis.insert("alloc".to_owned(), self.allocation()?);
        let spec = self.with_config(genesis)?;
        if spec.genesis_hash() != self.genesis_hash {
            let (computed, expected) = (spec.genesis_hash(), self.genesis_hash);
            return Err(RegistryError::GenesisHash { name: self.name.clone(), computed, expected });
        }
        Ok(spec)
    }

    /// The chain's forks and constants over an empty genesis: enough to execute a block whose state comes along with it.
    pub fn rules(&self) -> Result<ChainSpec, RegistryError> {
        let mut genesis = self.header.clone().unwrap_or_default();
        for (key, value) in [("gasLimit", json!("0x0")), ("difficulty", json!("0x0")), ("alloc", json!({}))] {
            genesis.entry(key).or_insert(value);
        }
        self.with_config(genesis)
    }

    fn with_config(&self, mut genesis: Map<String, Value>) -> Result<ChainSpec, RegistryError> {
        genesis.insert("config".to_owned(), self.config());
        let genesis: Genesis = serde_json::from_value(Value::Object(genesis)).map_err(bundle)?;
        Ok(ChainSpec::from_genesis(genesis)?)
    }

    /// The `config` section that op-geth would have.
    fn config(&self) -> Value {
        let mut config = Map::new();
        config.insert("chainId".to_owned(), json!(self.chain_id));
        for key in L1_BLOCKS.into_iter().chain(["mergeNetsplitBlock", "bedrockBlock", "regolithTime"]) {
            config.insert(key.to_owned(), json!(0));
        }
        config.insert("terminalTotalDifficulty".to_owned(), json!(0));
        let mut forks: Vec<(&str, u64)> = Vec::new();
        forks.extend(self.hardforks.iter().map(|(fork, time)| (fork.as_str(), *time)));
        for (fork, time) in inherited(&self.superchain, self.superchain_time, self.chain_id) {
            forks.push((fork, time));
        }
        for (fork, time) in forks {
            config.insert(camel_case(fork) + "Time", json!(time));
        }
        let optimism = json!({
            "eip1559Elasticity": self.eip1559_elasticity,
            "eip1559Denominator": self.eip1559_denominator,
            "eip1559DenominatorCanyon": self.eip1559_denominator_canyon,
        });
        config.insert("optimism".to_owned(), optimism);
        Value::Object(config)
    }

    fn allocation(&self) -> Result<Value, RegistryError> {
        let raw = self.alloc.as_ref().map_or("{}", |alloc| alloc.get());
        let accounts: BTreeMap<&str, Account<'_>> = serde_json::from_str(raw).map_err(bundle)?;
        let mut alloc = Map::new();
        for (address, (balance, nonce, code, storage)) in accounts {
            let mut account = Map::new();
            account.insert("balance".to_owned(), json!(balance));
            account.insert("nonce".to_owned(), json!(nonce));
            if let Some(index) = code {
                let code =
                    self.codes.get(index).ok_or_else(|| bundle(format!("there is no code {index}")))?;
                account.insert("code".to_owned(), json!(code));
            }
            account.insert("storage".to_owned(), serde_json::from_str(storage.get()).map_err(bundle)?);
            alloc.insert(address.to_owned(), Value::Object(account));
        }
        Ok(Value::Object(alloc))
    }
}

/// `pectra_blob_schedule` to `pectraBlobSchedule`.
fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}
