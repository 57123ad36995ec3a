//! Smallest value in a range of an array, in constant time: minima of blocks, and a sparse table over those.

use crate::format::Words;

/// Values in one block; a query scans at most two.
pub(crate) const BLOCK: usize = 64;

/// Levels of the sparse table over `blocks` block minima.
const fn levels(blocks: usize) -> usize {
    if blocks == 0 { 0 } else { blocks.ilog2() as usize + 1 }
}

/// Entries of a level: it holds the minima of all runs of 2^level blocks.
const fn level_len(blocks: usize, level: usize) -> usize {
    blocks + 1 - (1 << level)
}

/// Words in the table over `count` values.
pub(crate) fn table_len(count: usize) -> usize {
    let blocks = count.div_ceil(BLOCK);
    (0..levels(blocks)).map(|level| level_len(blocks, level)).sum()
}

/// The table, level after level.
pub(crate) fn table(values: &[u32]) -> Vec<u32> {
    let mut table: Vec<u32> =
        values.chunks(BLOCK).map(|block| block.iter().copied().min().unwrap_or(u32::MAX)).collect();
    let blocks = table.len();
    let mut below = 0;
    for level in 1..levels(blocks) {
        let half = 1 << (level - 1);
        let start = table.len();
        for place in 0..level_len(blocks, level) {
            let least = table[below + place].min(table[below + place + half]);
            table.push(least);
        }
        below = start;
    }
    table
}

/// The smallest of `values[from..to]`; `u32::MAX` when the range is empty.
pub(crate) fn least(values: Words<'_>, table: Words<'_>, from: usize, to: usize) -> u32 {
    let scan = |from: usize, to: usize| (from..to).map(|place| values.at(place)).min().unwrap_or(u32::MAX);
    let (first, last) = (from.div_ceil(BLOCK), to / BLOCK);
    if first >= last {
        return scan(from, to);
    }
    let ends = scan(from, first * BLOCK).min(scan(last * BLOCK, to));
    ends.min(least_block(values.len().div_ceil(BLOCK), table, first, last))
}

/// The smallest of the blocks `first..last`, which are at least one.
fn least_block(blocks: usize, table: Words<'_>, first: usize, last: usize) -> u32 {
    let level = (last - first).ilog2() as usize;
    let start: usize = (0..level).map(|level| level_len(blocks, level)).sum();
    table.at(start + first).min(table.at(start + last - (1 << level)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_of_awkward_lengths() {
        for count in [0usize, 1, 63, 64, 65, 127, 128, 300, 1_000] {
            let values: Vec<u32> = (0..count as u32).map(|at| at.wrapping_mul(2_654_435_761) >> 7).collect();
            let made = table(&values);
            assert_eq!(made.len(), table_len(count));
            let bytes = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
            let (value_bytes, table_bytes) = (bytes(&values), bytes(&made));
            let step = if count > 300 { 7 } else { 1 };
            for from in (0..=count).step_by(step) {
                for to in (from..=count).step_by(step) {
                    let want = values[from..to].iter().copied().min().unwrap_or(u32::MAX);
                    let got = least(Words::new(&value_bytes), Words::new(&table_bytes), from, to);
                    assert_eq!(got, want, "{count}: {from}..{to}");
                }
            }
        }
    }
}
