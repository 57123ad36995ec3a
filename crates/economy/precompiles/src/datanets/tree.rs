//! The depth-32 tree of contribution leaves, kept as its left edge: appending stores one node.

use crate::gas;
use crate::host::Halt;
use crate::layout::datanet::FRONTIER;
use crate::machine::Machine;
use crate::storage::Slot;
use alloy_primitives::B256;
use tributary_record::{DEPTH_WIDE, merkle};

/// Appends the leaf at `index`, the number of leaves so far.
pub(super) fn append(m: &mut Machine<'_>, datanet: Slot, index: u32, leaf: B256) -> Result<(), Halt> {
    let frontier = datanet.of(FRONTIER);
    let level = u64::from(index.trailing_ones());
    let mut at = leaf;
    for n in 0..level {
        let left = m.load(frontier.word(n))?.into();
        at = m.node(&left, &at)?;
    }
    m.store(frontier.word(level), at.into())
}

/// The root over `count` leaves.
pub(super) fn root(m: &mut Machine<'_>, datanet: Slot, count: u32) -> Result<B256, Halt> {
    let frontier = datanet.of(FRONTIER);
    let mut at = B256::ZERO;
    for level in 0..DEPTH_WIDE {
        at = if count >> level & 1 == 1 {
            let left = m.load(frontier.word(level as u64))?.into();
            m.node(&left, &at)?
        } else {
            m.charge(gas::keccak(64))?;
            merkle::node(&at, &merkle::empty(level))
        };
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EconomyConfig, MemoryHost};
    use alloy_primitives::{Address, U256, keccak256};

    #[test]
    fn the_root_is_that_of_the_whole_tree() {
        let config = EconomyConfig {
            chain_id: 1,
            genesis_hash: B256::ZERO,
            dev: true,
            economy_time: Some(0),
            disputes_time: None,
        };
        let mut host = MemoryHost::default();
        let mut m = Machine::new(&mut host, &config, Address::ZERO, U256::ZERO);
        let slot = Slot::root(Address::ZERO, 9);
        let mut leaves = Vec::new();
        for index in 0..70u32 {
            assert_eq!(
                root(&mut m, slot, index).unwrap(),
                merkle::root(DEPTH_WIDE, &leaves).unwrap(),
                "{index}"
            );
            let leaf = keccak256(index.to_be_bytes());
            append(&mut m, slot, index, leaf).unwrap();
            leaves.push(leaf);
        }
    }
}
