//! [`ChainSpec`]: everything about a chain that is fixed before its first block.

use std::sync::Arc;

use alloy_genesis::Genesis;
use alloy_hardforks::{EthereumHardfork, EthereumHardforks, ForkCondition};
use alloy_op_hardforks::{OpHardfork, OpHardforks};
use alloy_primitives::{Address, B64, B256, Sealable};
use serde::{Deserialize, de::IgnoredAny};

use crate::{
    BaseFeeConstants, EconomyForks, Eip1559Params, ExtraData, ExtraDataError, FORKS, ForkSchedule, Header,
    SealedHeader, SpecError, config::ParsedConfig, genesis,
};

/// The genesis file of the dev chain, chain id 161299.
pub const DEV_GENESIS: &str = include_str!("../../../../genesis/dev.json");

/// What of a genesis file says which chain it is.
#[derive(Deserialize)]
struct Named {
    config: NamedConfig,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NamedConfig {
    chain_id: Option<IgnoredAny>,
}

/// A chain: its forks, constants and genesis.
#[derive(Debug, Clone)]
pub struct ChainSpec {
    genesis: Genesis,
    genesis_header: SealedHeader,
    forks: ForkSchedule,
    base_fee: BaseFeeConstants,
    /// When the economy awakes, and who governs it.
    pub economy: EconomyForks,
}

impl ChainSpec {
    /// Reads the configuration, refuses what this node cannot honour, and computes the genesis header.
    pub fn from_genesis(genesis: Genesis) -> Result<Self, SpecError> {
        let ParsedConfig { forks, base_fee, economy } = ParsedConfig::read(&genesis.config)?;
        if let Some(number) = genesis.number.filter(|number| *number != 0) {
            return Err(SpecError::GenesisNumber(number));
        }
        let genesis_header = genesis::header(&genesis, &forks)?.seal_slow();
        Ok(Self { genesis, genesis_header, forks, base_fee, economy })
    }

    /// Reads a genesis file.
    pub fn from_json(json: &[u8]) -> Result<Self, SpecError> {
        // Without an id the library would take it for Ethereum's.
        let Named { config: NamedConfig { chain_id } } = serde_json::from_slice(json)?;
        chain_id.ok_or(SpecError::NoChainId)?;
        Self::from_genesis(serde_json::from_slice(json)?)
    }

    /// The dev chain, which is embedded in the binary.
    pub fn dev() -> Arc<Self> {
        match Self::from_json(DEV_GENESIS.as_bytes()) {
            Ok(spec) => Arc::new(spec),
            Err(error) => unreachable!("the embedded dev genesis is checked by a test: {error}"),
        }
    }

    /// The genesis file's content, with its allocation.
    pub const fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The header of the first block.
    pub const fn genesis_header(&self) -> &SealedHeader {
        &self.genesis_header
    }

    /// The hash of the first block.
    pub const fn genesis_hash(&self) -> B256 {
        self.genesis_header.hash()
    }

    /// EIP-155 chain id.
    pub const fn chain_id(&self) -> u64 {
        self.genesis.config.chain_id
    }

    /// The fork schedule; its `Display` is one line for the log.
    pub const fn forks(&self) -> &ForkSchedule {
        &self.forks
    }

    /// Everything that is activated at a time: forks, then the parts of the economy. `None`: never.
    pub fn activations(&self) -> Vec<(&'static str, Option<u64>)> {
        let forks = FORKS.into_iter().map(|fork| (fork.name(), self.forks.time(fork)));
        let EconomyForks { economy_time, disputes_time, .. } = self.economy;
        forks.chain([("Economy", economy_time), ("Disputes", disputes_time)]).collect()
    }

    /// The chain's EIP-1559 constants.
    pub const fn base_fee_constants(&self) -> &BaseFeeConstants {
        &self.base_fee
    }

    /// Where EIP-4788, 2935 and the like aside, a fork's first block lies: see [`ForkSchedule::activates`].
    pub fn activates(&self, fork: OpHardfork, parent_timestamp: u64, timestamp: u64) -> bool {
        self.forks.activates(fork, parent_timestamp, timestamp)
    }

    /// Whether the block must consist of deposits alone: see [`ForkSchedule::deposits_only`].
    pub fn deposits_only(&self, parent_timestamp: u64, timestamp: u64) -> bool {
        self.forks.deposits_only(parent_timestamp, timestamp)
    }

    /// Base fee, in wei, of the child at `timestamp` of `parent`.
    pub fn next_base_fee(&self, parent: &Header, timestamp: u64) -> Result<u64, ExtraDataError> {
        self.base_fee.next(&self.forks, parent, timestamp)
    }

    /// What payload attributes mean: two zero halves stand for the chain's constants, one zero half is invalid.
    pub fn resolve_eip1559_params(&self, wire: B64, timestamp: u64) -> Result<Eip1559Params, ExtraDataError> {
        if wire.is_zero() {
            return Ok(self.base_fee.at(&self.forks, timestamp));
        }
        Eip1559Params::from_wire(wire.0)
    }

    /// Decodes the extraData of a block at `timestamp`; `None` before Holocene.
    pub fn decode_extra_data(
        &self,
        extra_data: &[u8],
        timestamp: u64,
    ) -> Result<Option<ExtraData>, ExtraDataError> {
        if self.forks.active(OpHardfork::Jovian, timestamp) {
            ExtraData::decode_jovian(extra_data).map(Some)
        } else if self.forks.active(OpHardfork::Holocene, timestamp) {
            ExtraData::decode_holocene(extra_data).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Governor of the economy's parameters.
    pub const fn governor(&self) -> Address {
        self.economy.governor
    }
}

impl EthereumHardforks for ChainSpec {
    fn ethereum_fork_activation(&self, fork: EthereumHardfork) -> ForkCondition {
        self.forks.ethereum_fork_activation(fork)
    }
}

impl OpHardforks for ChainSpec {
    fn op_fork_activation(&self, fork: OpHardfork) -> ForkCondition {
        self.forks.op_fork_activation(fork)
    }
}
