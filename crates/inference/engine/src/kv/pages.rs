//! Physical KV pages: free, held, or kept for whoever comes with the same prefix.
//!
//! ```text
//!          grow                    publish
//!  free ─────────► held, private ──────────► held, shared ◄─┐
//!    ▲                  │ release              │ release    │ adopt
//!    ├──────────────────┘                      ▼            │
//!    └──────────────── evict (oldest) ─────── idle ─────────┘
//! ```
//! Within a budget that adapters share, a free page may be *bare*: it has no memory, and is given some when it is taken. What adapters
//! need is given back by making pages bare, free ones first, then those idle longest.
//!
//! A page is written by the one sequence that grew its table by it, and only before it is published; from then on it never
//! changes until it is free again. So sharing needs no copy, and a reader never sees a write.

use super::PrefixKey;
use crate::backend::PageId;
use std::collections::{BTreeMap, HashMap};
use tributary_adapters::{Due, PageBudget, PageClaim};

/// All pages of a backend.
#[derive(Clone, Debug)]
pub(crate) struct PagePool {
    pages: Vec<Page>,
    free: Vec<PageId>,
    /// Free ones without memory.
    bare: Vec<PageId>,
    /// Where memory comes from, and what a page takes of it.
    budget: Option<(PageBudget, usize)>,
    /// Published pages that nobody holds, oldest first.
    idle: BTreeMap<u64, PageId>,
    published: HashMap<PrefixKey, PageId>,
    clock: u64,
    page_tokens: usize,
    evictions: u64,
}

#[derive(Clone, Debug, Default)]
struct Page {
    /// Tables it is in.
    holders: u32,
    /// What it is published as.
    key: Option<PrefixKey>,
    /// Its place among the idle ones, while it is.
    since: u64,
}

impl PagePool {
    pub(crate) fn new(total: u32, page_tokens: u32, budget: Option<(PageBudget, usize)>) -> Self {
        let (all, none) = ((0..total).rev().collect(), Vec::new());
        let (free, bare) = if budget.is_some() { (none, all) } else { (all, none) };
        Self {
            pages: vec![Page::default(); total as usize],
            free,
            bare,
            budget,
            idle: BTreeMap::new(),
            published: HashMap::new(),
            clock: 0,
            page_tokens: page_tokens.max(1) as usize,
            evictions: 0,
        }
    }

    /// Positions of a page.
    pub(crate) const fn page_tokens(&self) -> usize {
        self.page_tokens
    }

    /// Pages that `tokens` positions need.
    pub(crate) const fn needed(&self, tokens: usize) -> usize {
        tokens.div_ceil(self.page_tokens)
    }

    /// Pages that can be had; fewer, if adapters are faster.
    pub(crate) fn available(&self) -> usize {
        let room = self.budget.as_ref().map_or(0, |(budget, bytes)| budget.room() / (*bytes).max(1));
        self.free.len() + self.idle.len() + self.bare.len().min(room)
    }

    /// Pages that are held.
    pub(crate) fn used(&self) -> usize {
        self.pages.len() - self.free.len() - self.idle.len() - self.bare.len()
    }

    /// Share of the pages that are held.
    pub(crate) fn usage(&self) -> f64 {
        if self.pages.is_empty() { 0.0 } else { self.used() as f64 / self.pages.len() as f64 }
    }

    /// Pages that hold a prefix, held or not.
    pub(crate) fn shareable(&self) -> usize {
        self.published.len()
    }

    /// Prefixes dropped for room since the last call.
    pub(crate) fn take_evictions(&mut self) -> u64 {
        std::mem::take(&mut self.evictions)
    }

    /// Grows a page table to hold `tokens` positions, wholly or not at all.
    pub(crate) fn grow(&mut self, table: &mut Vec<PageId>, tokens: usize) -> bool {
        let missing = self.needed(tokens).saturating_sub(table.len());
        if missing > self.available() {
            return false;
        }
        let before = table.len();
        for _ in 0..missing {
            let Some(page) = self.take() else {
                self.truncate(table, before);
                return false;
            };
            self.pages[page as usize].holders = 1;
            table.push(page);
        }
        true
    }

    /// A page without contents.
    fn take(&mut self) -> Option<PageId> {
        if let Some(page) = self.free.pop() {
            return Some(page);
        }
        if let (Some((budget, bytes)), false) = (&self.budget, self.bare.is_empty())
            && budget.claim(*bytes, self.oldest_idle()) == PageClaim::Taken
        {
            return self.bare.pop();
        }
        self.evict()
    }

    fn oldest_idle(&self) -> Option<u64> {
        self.idle.first_key_value().map(|(since, _)| *since)
    }

    /// Takes the page that is idle longest, its contents forgotten.
    fn evict(&mut self) -> Option<PageId> {
        let (_, page) = self.idle.pop_first()?;
        if let Some(key) = self.pages[page as usize].key.take() {
            self.published.remove(&key);
        }
        self.evictions += 1;
        Some(page)
    }

    /// What adapters need.
    pub(crate) fn due(&self) -> Option<Due> {
        self.budget.as_ref().and_then(|(budget, _)| budget.due())
    }

    /// Tells what is idle, for adapters to be dropped instead if they are idle for longer.
    pub(crate) fn note_idle(&self) {
        if let Some((budget, _)) = &self.budget {
            budget.note_idle(self.oldest_idle());
        }
    }

    /// Memory of some pages.
    pub(crate) fn bytes(&self, pages: &[PageId]) -> usize {
        self.budget.as_ref().map_or(0, |(_, bytes)| bytes * pages.len())
    }

    /// Takes pages of `wanted` bytes that nobody holds: free ones, and idle ones left before `older`.
    pub(crate) fn bare(&mut self, wanted: usize, older: u64) -> Vec<PageId> {
        let mut taken = Vec::new();
        while self.bytes(&taken) < wanted {
            let free = self.free.pop();
            let idle = self.oldest_idle().filter(|since| free.is_none() && *since < older);
            let Some(page) = free.or_else(|| idle.and_then(|_| self.evict())) else { break };
            taken.push(page);
        }
        taken
    }

    /// Gives the memory of such pages back.
    pub(crate) fn give_back(&mut self, pages: Vec<PageId>) {
        if let Some((budget, bytes)) = &self.budget {
            budget.release(bytes * pages.len());
        }
        self.bare.extend(pages);
        self.note_idle();
    }

    /// Whether a prefix is there, and whether nobody holds it.
    pub(crate) fn find(&self, key: &PrefixKey) -> Option<bool> {
        self.published.get(key).map(|page| self.pages[*page as usize].holders == 0)
    }

    /// Takes hold of a page published as `key`, for the end of a table.
    pub(crate) fn adopt(&mut self, key: &PrefixKey) -> Option<PageId> {
        let page = *self.published.get(key)?;
        let entry = &mut self.pages[page as usize];
        if entry.holders == 0 {
            self.idle.remove(&entry.since);
        }
        entry.holders += 1;
        Some(page)
    }

    /// Offers a held page, all of whose positions are written, under its key. The first one under a key stays.
    pub(crate) fn publish(&mut self, page: PageId, key: PrefixKey) {
        let entry = &mut self.pages[page as usize];
        if entry.key.is_none() && entry.holders > 0 && !self.published.contains_key(&key) {
            entry.key = Some(key);
            self.published.insert(key, page);
        }
    }

    /// Takes a table's pages back: its end becomes the oldest, for a prefix is of use without what follows it.
    pub(crate) fn release(&mut self, table: &mut Vec<PageId>) {
        self.truncate(table, 0);
    }

    /// Takes back all but the first `keep` pages of a table.
    pub(crate) fn truncate(&mut self, table: &mut Vec<PageId>, keep: usize) {
        while table.len() > keep
            && let Some(page) = table.pop()
        {
            let entry = &mut self.pages[page as usize];
            entry.holders = entry.holders.saturating_sub(1);
            if entry.holders > 0 {
                continue;
            }
            if entry.key.is_some() {
                self.clock = self.budget.as_ref().map_or(self.clock + 1, |(budget, _)| budget.tick());
                entry.since = self.clock;
                self.idle.insert(self.clock, page);
            } else {
                self.free.push(page);
            }
        }
    }
}

#[cfg(test)]
#[path = "pages_tests.rs"]
mod tests;
