//! The pool against a model that knows what is written in every page.

use super::*;
use alloy_primitives::B256;
use proptest::prelude::*;
use std::collections::{BTreeSet, HashSet, VecDeque};

/// Positions of a page; the smallest that has a first and a second.
const SIZE: usize = 2;

/// A sequence: what it computes is a function of its tokens, so two with the same tokens may share.
#[derive(Clone, Debug, Default)]
struct Seq {
    tokens: Vec<u8>,
    computed: usize,
    table: Vec<PageId>,
}

/// Pool and sequences, and the tokens written to each page.
#[derive(Clone, Debug)]
struct World {
    pool: PagePool,
    seqs: Vec<Seq>,
    written: Vec<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    /// A token, 0 or 1, is added and computed.
    Step(usize, u8),
    /// Tokens given at once, as a prompt: adopted as far as possible, computed beyond.
    Prompt(usize, u8),
    /// Ends, or gives way.
    Release(usize),
    /// Takes back a page that was grown for nothing.
    Spare(usize),
}

fn key(tokens: &[u8]) -> PrefixKey {
    let mut bytes = [7; 32];
    bytes[..tokens.len()].copy_from_slice(tokens);
    bytes[31] = tokens.len() as u8;
    PrefixKey(B256::new(bytes))
}

impl World {
    fn new(pages: u32, seqs: usize) -> Self {
        let pool = PagePool::new(pages, SIZE as u32, None);
        Self { pool, seqs: vec![Seq::default(); seqs], written: vec![Vec::new(); pages as usize] }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Step(seq, token) => {
                if self.seqs[seq].tokens.len() < 6 {
                    self.seqs[seq].tokens.push(token);
                    self.compute(seq);
                }
            }
            Op::Prompt(seq, pattern) => {
                if self.seqs[seq].tokens.is_empty() {
                    self.seqs[seq].tokens = (0..5).map(|bit| pattern >> bit & 1).collect();
                    self.adopt(seq);
                    self.compute(seq);
                }
            }
            Op::Release(seq) => {
                let mut gone = std::mem::take(&mut self.seqs[seq]);
                self.pool.release(&mut gone.table);
                assert!(gone.table.is_empty());
            }
            Op::Spare(seq) => {
                let seq = &mut self.seqs[seq];
                let before = seq.table.clone();
                let held = self.pool.needed(seq.computed);
                if self.pool.grow(&mut seq.table, (held + 1) * SIZE) {
                    assert_eq!(seq.table[..before.len()], before);
                    self.written[seq.table[held] as usize] = vec![9];
                }
                self.pool.truncate(&mut seq.table, held);
                assert_eq!(seq.table, before);
            }
        }
        self.check();
    }

    fn adopt(&mut self, index: usize) {
        let seq = &mut self.seqs[index];
        while seq.computed + SIZE < seq.tokens.len() {
            let key = key(&seq.tokens[..seq.computed + SIZE]);
            let found = self.pool.find(&key);
            let Some(page) = self.pool.adopt(&key) else {
                assert_eq!(found, None);
                break;
            };
            assert!(found.is_some());
            seq.table.push(page);
            seq.computed += SIZE;
        }
    }

    /// Writes every token that is not computed, and publishes what is full.
    fn compute(&mut self, index: usize) {
        let seq = &mut self.seqs[index];
        let available = self.pool.available();
        let missing = self.pool.needed(seq.tokens.len()) - seq.table.len();
        let grown = self.pool.grow(&mut seq.table, seq.tokens.len());
        assert_eq!(grown, missing <= available);
        if !grown {
            seq.tokens.truncate(seq.computed);
            return;
        }
        while seq.computed < seq.tokens.len() {
            let page = seq.table[seq.computed / SIZE];
            let (slot, written) = (seq.computed % SIZE, &mut self.written[page as usize]);
            written.truncate(slot);
            written.push(seq.tokens[seq.computed]);
            seq.computed += 1;
            if seq.computed.is_multiple_of(SIZE) {
                self.pool.publish(page, key(&seq.tokens[..seq.computed]));
            }
        }
    }

    /// What has to hold after every operation.
    fn check(&self) {
        for seq in &self.seqs {
            for (index, page) in seq.table.iter().enumerate() {
                let expected = &seq.tokens[index * SIZE..seq.computed.min((index + 1) * SIZE)];
                assert_eq!(&self.written[*page as usize][..expected.len()], expected, "foreign contents");
            }
            assert_eq!(seq.table.iter().collect::<HashSet<_>>().len(), seq.table.len());
        }
        let held: HashSet<_> = self.seqs.iter().flat_map(|seq| &seq.table).copied().collect();
        let free: HashSet<_> = self.pool.free.iter().copied().collect();
        let idle: HashSet<_> = self.pool.idle.values().copied().collect();
        assert_eq!(free.len(), self.pool.free.len());
        assert_eq!(idle.len(), self.pool.idle.len());
        assert_eq!(
            held.len() + free.len() + idle.len(),
            self.pool.pages.len(),
            "a page leaked, or is in two states"
        );
        assert_eq!(held.len(), self.pool.used());
        for (page, entry) in self.pool.pages.iter().enumerate() {
            let tables = self.seqs.iter().filter(|seq| seq.table.contains(&(page as u32))).count();
            assert_eq!(entry.holders as usize, tables);
            assert_eq!(entry.key.is_some() && tables == 0, idle.contains(&(page as u32)));
            if let Some(key) = &entry.key {
                assert_eq!(self.pool.published.get(key), Some(&(page as u32)));
            }
        }
        let keyed = self.pool.pages.iter().filter(|page| page.key.is_some()).count();
        assert_eq!(self.pool.published.len(), keyed);
        for (key, page) in &self.pool.published {
            let last = &self.written[*page as usize];
            let length = key.0[31] as usize;
            assert_eq!(last[..], key.0[length - SIZE..length], "published and then written");
        }
    }

    /// The state but for what nobody can see: absolute times, and what was written to pages without meaning.
    fn fingerprint(&self) -> String {
        let idle: Vec<_> = self.pool.idle.values().collect();
        let published: BTreeSet<_> = self.pool.published.iter().collect();
        let seqs: Vec<_> = self.seqs.iter().map(|seq| (&seq.tokens, &seq.table)).collect();
        format!("{:?} {idle:?} {published:?} {seqs:?}", self.pool.free)
    }
}

/// Every state that a small pool and two sequences can reach in a few operations, each once.
#[test]
fn small_worlds_are_explored_whole() {
    for (pages, depth) in [(2, 7), (3, 6), (4, 5)] {
        let ops: Vec<Op> = (0..2)
            .flat_map(|seq| {
                let prompts = [0b00000, 0b01000, 0b00010].map(|pattern| Op::Prompt(seq, pattern));
                let steps = [Op::Step(seq, 0), Op::Step(seq, 1), Op::Release(seq), Op::Spare(seq)];
                prompts.into_iter().chain(steps)
            })
            .collect();
        let start = World::new(pages, 2);
        let mut seen = HashSet::from([start.fingerprint()]);
        let mut edge = VecDeque::from([(start, 0)]);
        while let Some((world, steps)) = edge.pop_front() {
            for op in &ops {
                let mut next = world.clone();
                next.apply(*op);
                if seen.insert(next.fingerprint()) && steps + 1 < depth {
                    edge.push_back((next, steps + 1));
                }
            }
        }
        assert!(seen.len() > 500, "{} states of {pages} pages", seen.len());
    }
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0usize..5, 0u8..2).prop_map(|(seq, token)| Op::Step(seq, token)),
        3 => (0usize..5, 0u8..32).prop_map(|(seq, pattern)| Op::Prompt(seq, pattern)),
        3 => (0usize..5).prop_map(Op::Release),
        1 => (0usize..5).prop_map(Op::Spare),
    ]
}

proptest! {
    /// Larger worlds, at random.
    #[test]
    fn pages_neither_leak_nor_alias(pages in 1u32..12, ops in prop::collection::vec(op(), 0..200)) {
        let mut world = World::new(pages, 5);
        ops.into_iter().for_each(|op| world.apply(op));
        (0..5).for_each(|seq| world.apply(Op::Release(seq)));
        prop_assert_eq!(world.pool.available(), pages as usize);
    }
}

#[test]
fn the_end_of_an_old_prefix_goes_first() {
    let mut pool = PagePool::new(4, 1, None);
    let (mut old, mut new) = (Vec::new(), Vec::new());
    assert!(pool.grow(&mut old, 2) && pool.grow(&mut new, 2));
    let keys = [key(&[0]), key(&[0, 1]), key(&[1]), key(&[1, 1])];
    for (page, key) in old.iter().chain(&new).zip(keys) {
        pool.publish(*page, key);
    }
    pool.release(&mut old);
    pool.release(&mut new);
    for (taken, gone) in [(1, 1), (2, 0), (3, 3), (4, 2)] {
        assert!(pool.find(&keys[gone]).is_some());
        assert!(pool.grow(&mut old, taken));
        assert!(pool.find(&keys[gone]).is_none(), "{taken}");
    }
    assert_eq!(
        (pool.take_evictions(), pool.take_evictions(), pool.shareable(), pool.usage()),
        (4, 0, 0, 1.0)
    );
    assert!(!pool.grow(&mut new, 1));
}

#[test]
fn pages_without_memory_take_it_when_they_are_needed_and_give_it_back() {
    let memory = tributary_adapters::Memory::new(1000);
    let budget = memory.open(300, 200).unwrap();
    let mut pool = PagePool::new(50, 1, Some((budget, 100)));
    assert_eq!((pool.available(), pool.used(), memory.stats().pages), (7, 0, 0));
    let (mut kept, mut rest) = (Vec::new(), Vec::new());
    assert!(pool.grow(&mut kept, 3));
    assert_eq!((pool.available(), memory.stats().pages), (4, 300));
    assert!(!pool.grow(&mut rest, 5));
    assert!(rest.is_empty() && pool.grow(&mut rest, 4));
    assert_eq!((pool.available(), memory.stats().pages), (0, 700));
    // Pages given back to the pool keep their memory until somebody asks for it: free ones first, then those idle longest.
    pool.publish(kept[0], key(&[0]));
    pool.release(&mut kept);
    pool.truncate(&mut rest, 2);
    assert_eq!((pool.available(), memory.stats().pages), (5, 700));
    assert_eq!(pool.bare(250, 0).len(), 3);
    let free = pool.bare(500, 0);
    assert_eq!(free.len(), 1, "an idle page that is not older stays");
    assert_eq!(pool.bare(100, u64::MAX).len(), 1);
    assert!(pool.find(&key(&[0])).is_none());
    pool.give_back(free);
    assert_eq!((pool.available(), memory.stats().pages), (1, 600));
    // Another engine began: what is left of this one takes nothing.
    memory.open(300, 200).unwrap();
    assert_eq!((pool.available(), memory.stats().pages), (0, 0));
    assert!(!pool.grow(&mut kept, 1));
}
