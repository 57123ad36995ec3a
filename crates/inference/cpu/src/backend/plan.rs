//! A step, flattened: its tokens, and which adapters change which of them.

use super::prepared;
use crate::lora::Prepared;
use std::sync::atomic::{AtomicBool, Ordering};
use tributary_adapters::Geometry;
use tributary_engine::{PreparedAdapter, Row, RowError, StepOutput};

/// One token of a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) id: u32,
    pub(super) row: usize,
    pub(super) position: usize,
}

/// Tokens that the same adapter changes.
#[derive(Debug)]
pub(super) struct Group<'a> {
    pub(super) adapter: &'a Prepared,
    pub(super) tokens: Vec<u32>,
}

/// What a step runs. Rows that cannot run are left out.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) rows: &'a [Row<'a>],
    pub(super) tokens: Vec<Token>,
    /// Every index into `tokens`.
    pub(super) all: Vec<u32>,
    /// By place in the composition: adapters add in request order, so first parts before second ones.
    pub(super) parts: Vec<Vec<Group<'a>>>,
    /// Tokens whose logits are wanted, and their place in the output.
    pub(super) wanted: Vec<(u32, usize)>,
    /// By row: an activation was not finite.
    failed: Vec<AtomicBool>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(rows: &'a [Row<'a>], geometry: &Geometry, vocab: u32, out: &mut StepOutput) -> Self {
        let failed = rows.iter().map(|_| AtomicBool::new(false)).collect();
        let mut plan =
            Self { rows, tokens: Vec::new(), all: Vec::new(), parts: Vec::new(), wanted: Vec::new(), failed };
        for (index, row) in rows.iter().enumerate() {
            if let Some(bad) = row.tokens.iter().find(|token| **token >= vocab) {
                out.fail(index, RowError::BadToken(*bad));
                continue;
            }
            match prepared(row.lora, geometry) {
                Some(adapters)
                    if adapters.len() > 1 && !adapters.iter().all(|adapter| adapter.composes()) =>
                {
                    out.fail(index, RowError::Composition);
                }
                Some(adapters) => plan.push(index, row, &adapters, out),
                None => out.fail(index, RowError::ForeignAdapter),
            }
        }
        plan.all = (0..plan.tokens.len() as u32).collect();
        plan
    }

    fn push(&mut self, index: usize, row: &Row<'a>, adapters: &[&'a Prepared], out: &StepOutput) {
        let first = self.tokens.len() as u32;
        let tokens = row.tokens.iter().zip(row.pos as usize..);
        self.tokens.extend(tokens.map(|(id, position)| Token { id: *id, row: index, position }));
        let end = self.tokens.len() as u32;
        let count = out.count(index);
        self.wanted.extend((end - count as u32..end).zip(out.first(index)..));
        for (place, adapter) in adapters.iter().enumerate() {
            if self.parts.len() <= place {
                self.parts.push(Vec::new());
            }
            let groups = &mut self.parts[place];
            match groups.iter_mut().find(|group| std::ptr::eq(group.adapter, *adapter)) {
                Some(group) => group.tokens.extend(first..end),
                None => groups.push(Group { adapter, tokens: (first..end).collect() }),
            }
        }
    }

    /// The largest rank of any adapter.
    pub(super) fn rank(&self) -> usize {
        self.parts.iter().flatten().map(|group| group.adapter.rank()).max().unwrap_or(0)
    }

    /// Notes that a token's row cannot be computed.
    pub(super) fn fail(&self, token: usize) {
        self.failed[self.tokens[token].row].store(true, Ordering::Relaxed);
    }

    /// Tells the output which rows failed.
    pub(super) fn report(&self, out: &mut StepOutput) {
        for (row, failed) in self.failed.iter().enumerate() {
            if failed.load(Ordering::Relaxed) {
                out.fail(row, RowError::NonFinite);
            }
        }
    }
}
