#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod base_fee;
mod chain;
mod config;
mod economy;
mod error;
mod extra_data;
mod forks;
mod genesis;
pub mod predeploys;
mod primitives;

pub use alloy_genesis::{Genesis, GenesisAccount};
pub use alloy_hardforks::{EthereumHardfork, EthereumHardforks, ForkCondition};
pub use alloy_op_hardforks::{OpHardfork, OpHardforks};

pub use base_fee::BaseFeeConstants;
pub use chain::{ChainSpec, DEV_GENESIS};
pub use economy::EconomyForks;
pub use error::{ExtraDataError, RecoverError, SpecError};
pub use extra_data::{Eip1559Params, ExtraData};
pub use forks::{At, FORKS, ForkSchedule};
pub use primitives::{Block, BlockBody, Header, Receipt, RecoveredBlock, SealedHeader, Tx};
