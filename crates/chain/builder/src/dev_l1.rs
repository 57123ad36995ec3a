//! An L1 that exists in arithmetic only.

use alloy_primitives::{Address, B256, U256, address, keccak256};
use tributary_spec::{ChainSpec, Header};

use crate::L1Attributes;

/// Seconds between L1 blocks.
const L1_BLOCK_TIME: u64 = 12;

/// Fees of the simulated L1, wei. Small, but every fee of an OP chain is really charged.
const L1_BASE_FEE: u64 = 1_000_000_000;
const L1_BLOB_BASE_FEE: u64 = 1;

/// Scalars as a devnet of OP's tools has them.
const BASE_FEE_SCALAR: u32 = 1_368;
const BLOB_BASE_FEE_SCALAR: u32 = 810_949;
const OPERATOR_FEE_SCALAR: u32 = 20;
const OPERATOR_FEE_CONSTANT: u64 = 500;
const DA_FOOTPRINT_GAS_SCALAR: u16 = 400;

/// Nobody posts batches of a dev chain.
const BATCHER: Address = address!("00000000000000000000000000000000000ba7c4");

/// The simulated L1 of one chain: a block every twelve seconds since the L2's genesis.
#[derive(Debug, Clone, Copy)]
pub struct DevL1 {
    seed: B256,
    genesis_time: u64,
}

/// A block of the simulated L1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct L1Origin {
    /// Its number.
    pub number: u64,
    /// Its time.
    pub timestamp: u64,
    /// Its hash.
    pub hash: B256,
    /// Its `PREVRANDAO`.
    pub prev_randao: B256,
    /// Its parent's beacon block root.
    pub beacon_root: B256,
}

impl DevL1 {
    /// The L1 of a chain; chains of different genesis have different ones.
    pub fn new(spec: &ChainSpec) -> Self {
        Self { seed: spec.genesis_hash(), genesis_time: spec.genesis_header().timestamp }
    }

    /// The newest L1 block at a time.
    pub fn origin(&self, timestamp: u64) -> L1Origin {
        let number = timestamp.saturating_sub(self.genesis_time) / L1_BLOCK_TIME;
        L1Origin {
            number,
            timestamp: self.genesis_time + number * L1_BLOCK_TIME,
            hash: self.derive("hash", number),
            prev_randao: self.derive("randao", number),
            beacon_root: self.derive("beacon", number),
        }
    }

    /// What the child at `timestamp` of `parent` says of L1. `previous`: what `parent` said; nothing at genesis, whose
    /// origin is L1 block 0.
    pub fn attributes(
        &self,
        parent: &Header,
        previous: Option<&L1Attributes>,
        timestamp: u64,
    ) -> L1Attributes {
        let origin = self.origin(timestamp);
        let parent_origin = previous.map_or_else(|| self.origin(parent.timestamp).number, |l1| l1.number);
        let sequence_number =
            if origin.number == parent_origin { previous.map_or(0, |l1| l1.sequence_number) + 1 } else { 0 };
        L1Attributes {
            base_fee_scalar: BASE_FEE_SCALAR,
            blob_base_fee_scalar: BLOB_BASE_FEE_SCALAR,
            sequence_number,
            timestamp: origin.timestamp,
            number: origin.number,
            base_fee: U256::from(L1_BASE_FEE),
            blob_base_fee: U256::from(L1_BLOB_BASE_FEE),
            hash: origin.hash,
            batcher: BATCHER,
            operator_fee_scalar: OPERATOR_FEE_SCALAR,
            operator_fee_constant: OPERATOR_FEE_CONSTANT,
            da_footprint_gas_scalar: DA_FOOTPRINT_GAS_SCALAR,
        }
    }

    fn derive(&self, what: &str, number: u64) -> B256 {
        keccak256([self.seed.as_slice(), what.as_bytes(), &number.to_be_bytes()].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_advances_every_twelve_seconds_and_the_sequence_restarts() {
        let spec = ChainSpec::dev();
        let l1 = DevL1::new(&spec);
        let genesis = spec.genesis_header();
        let start = genesis.timestamp;
        let mut previous: Option<L1Attributes> = None;
        let mut parent = genesis.inner().clone();
        for step in 1..=30 {
            let attributes = l1.attributes(&parent, previous.as_ref(), start + step);
            assert_eq!(attributes.number, step / 12);
            assert_eq!(attributes.sequence_number, step % 12);
            assert!(attributes.timestamp <= start + step);
            parent.timestamp = start + step;
            previous = Some(attributes);
        }
    }
}
