//! The free list of physical KV pages.

use crate::backend::PageId;

/// Pages nobody holds. A page belongs to one sequence at a time; who takes it gives it back.
#[derive(Debug)]
pub(crate) struct PagePool {
    free: Vec<PageId>,
    total: u32,
    page_tokens: u32,
}

impl PagePool {
    pub(crate) fn new(total: u32, page_tokens: u32) -> Self {
        Self { free: (0..total).rev().collect(), total, page_tokens: page_tokens.max(1) }
    }

    /// Pages that `tokens` positions need.
    pub(crate) fn needed(&self, tokens: usize) -> usize {
        tokens.div_ceil(self.page_tokens as usize)
    }

    pub(crate) fn free(&self) -> usize {
        self.free.len()
    }

    pub(crate) fn used(&self) -> u32 {
        self.total - self.free.len() as u32
    }

    /// Share of the pages in use.
    pub(crate) fn usage(&self) -> f64 {
        if self.total == 0 { 0.0 } else { f64::from(self.used()) / f64::from(self.total) }
    }

    /// Grows a page table to hold `tokens` positions, wholly or not at all.
    pub(crate) fn grow(&mut self, table: &mut Vec<PageId>, tokens: usize) -> bool {
        let missing = self.needed(tokens).saturating_sub(table.len());
        if missing > self.free.len() {
            return false;
        }
        table.extend(self.free.drain(self.free.len() - missing..).rev());
        true
    }

    /// Takes a table's pages back.
    pub(crate) fn release(&mut self, table: &mut Vec<PageId>) {
        self.free.append(table);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    proptest! {
        /// No page is ever in two tables, and none is lost.
        #[test]
        fn pages_neither_leak_nor_alias(
            operations in prop::collection::vec((0usize..6, 0usize..200, any::<bool>()), 0..200)
        ) {
            let mut pool = PagePool::new(40, 16);
            let mut tables = vec![Vec::new(); 6];
            for (index, tokens, grow) in operations {
                if grow {
                    let before = tables[index].clone();
                    let needed = pool.needed(tokens);
                    if pool.grow(&mut tables[index], tokens) {
                        prop_assert!(tables[index].len() >= needed);
                        prop_assert_eq!(&tables[index][..before.len()], &before[..]);
                    } else {
                        prop_assert_eq!(&tables[index], &before);
                    }
                } else {
                    pool.release(&mut tables[index]);
                }
                let held: Vec<_> = tables.iter().flatten().copied().collect();
                let distinct: HashSet<_> = held.iter().copied().collect();
                prop_assert_eq!(distinct.len(), held.len());
                prop_assert_eq!(held.len() + pool.free(), 40);
                prop_assert_eq!(pool.used() as usize, held.len());
            }
        }
    }
}
