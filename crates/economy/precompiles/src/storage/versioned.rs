//! Append-only lists of (fromBlock, value): what held at any block can be read for ever.
//!
//! In Solidity an item is a struct of one slot whose first field is `uint64 fromBlock`; the other 192 bits are the
//! value. A write takes effect in the next block; a second write in the same block replaces the first, which never
//! was in effect.

use super::Slot;
use crate::host::Halt;
use crate::machine::Machine;
use alloy_primitives::U256;

const FROM_BITS: usize = 64;

fn item(from: u64, value: U256) -> U256 {
    (value << FROM_BITS) | U256::from(from)
}

const fn from_of(item: U256) -> u64 {
    item.as_limbs()[0]
}

fn value_of(item: U256) -> U256 {
    item >> FROM_BITS
}

/// The first item of a list, in effect from `from` on. Genesis writes these words without a machine.
pub(crate) fn first_words(value: U256) -> (U256, U256) {
    (U256::ONE, item(0, value))
}

/// The value in effect at `block`; `None` before the first.
pub(crate) fn at(m: &mut Machine<'_>, list: Slot, block: u64) -> Result<Option<U256>, Halt> {
    let length = m.length(list)?;
    if length == 0 {
        return Ok(None);
    }
    let items = m.items(list)?;
    let last = m.load(items.word(length - 1))?;
    if from_of(last) <= block {
        return Ok(Some(value_of(last)));
    }
    // Invariant: every item at or past `high` begins after `block`, every item before `low` does not.
    let (mut low, mut high, mut found) = (0, length - 1, None);
    while low < high {
        let middle = low + (high - low) / 2;
        let word = m.load(items.word(middle))?;
        if from_of(word) <= block {
            found = Some(value_of(word));
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(found)
}

/// The value written last, whether or not it is in effect yet.
pub(crate) fn latest(m: &mut Machine<'_>, list: Slot) -> Result<Option<U256>, Halt> {
    at(m, list, u64::MAX)
}

/// Writes a value that takes effect in the next block; returns that block.
pub(crate) fn push(m: &mut Machine<'_>, list: Slot, value: U256) -> Result<u64, Halt> {
    let from = m.block.saturating_add(1);
    put(m, list, from, value)?;
    Ok(from)
}

/// Writes the first value, in effect from this block on.
pub(crate) fn begin(m: &mut Machine<'_>, list: Slot, value: U256) -> Result<(), Halt> {
    let block = m.block;
    put(m, list, block, value)
}

fn put(m: &mut Machine<'_>, list: Slot, from: u64, value: U256) -> Result<(), Halt> {
    let length = m.length(list)?;
    let items = m.items(list)?;
    if length > 0 && from_of(m.load(items.word(length - 1))?) == from {
        return m.store(items.word(length - 1), item(from, value));
    }
    m.store(items.word(length), item(from, value))?;
    m.store(list, U256::from(length.saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EconomyConfig, MemoryHost};
    use alloy_primitives::{Address, B256};

    const LIST: Slot = Slot::root(Address::ZERO, 3);

    fn with_block<T>(host: &mut MemoryHost, block: u64, run: impl FnOnce(&mut Machine<'_>) -> T) -> T {
        let config = EconomyConfig {
            chain_id: 1,
            genesis_hash: B256::ZERO,
            dev: true,
            economy_time: Some(0),
            disputes_time: None,
        };
        host.set_block(block, block);
        run(&mut Machine::new(host, &config, Address::ZERO, U256::ZERO))
    }

    #[test]
    fn a_write_takes_effect_in_the_next_block() {
        let mut host = MemoryHost::default();
        for block in [5, 9, 9, 30, 31] {
            with_block(&mut host, block, |m| push(m, LIST, U256::from(block * 10))).unwrap();
        }
        let read = |host: &mut MemoryHost, block| with_block(host, 99, |m| at(m, LIST, block)).unwrap();
        assert_eq!(read(&mut host, 5), None);
        for (block, value) in [(6, 50), (9, 50), (10, 90), (30, 90), (31, 300), (32, 310), (u64::MAX, 310)] {
            assert_eq!(read(&mut host, block), Some(U256::from(value)), "block {block}");
        }
    }
}
