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

/// Tokens up to which what an adapter adds to them is kept beside their results.
const FEW: usize = 4;
/// Bytes up to which a lone adapter is not worth dividing among threads.
const LIGHT: usize = 16 << 20;

/// What a step runs. Rows that cannot run are left out.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) rows: &'a [Row<'a>],
    pub(super) tokens: Vec<Token>,
    /// Every index into `tokens`.
    pub(super) all: Vec<u32>,
    /// Adapters that are all there is to each of their few tokens, and only add: what they add is computed beside the base matrices.
    pub(super) beside: Vec<Group<'a>>,
    /// The others, by place in the composition: adapters add in request order, so first parts before second ones.
    pub(super) parts: Vec<Vec<Group<'a>>>,
    /// By token: its adapter, if that is one of `beside`.
    lone: Vec<Option<&'a Prepared>>,
    /// Tokens whose logits are wanted, and their place in the output.
    pub(super) wanted: Vec<(u32, usize)>,
    /// By row: an activation was not finite.
    failed: Vec<AtomicBool>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(
        rows: &'a [Row<'a>],
        geometry: &Geometry,
        vocab: u32,
        threads: usize,
        out: &mut StepOutput,
    ) -> Self {
        let mut plan = Self {
            rows,
            tokens: Vec::new(),
            all: Vec::new(),
            beside: Vec::new(),
            parts: Vec::new(),
            lone: Vec::new(),
            wanted: Vec::new(),
            failed: rows.iter().map(|_| AtomicBool::new(false)).collect(),
        };
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
        plan.set_beside(threads);
        plan
    }

    /// Takes out of `parts` what can be computed beside the base matrices, where that leaves work for every thread.
    fn set_beside(&mut self, threads: usize) {
        self.lone = vec![None; self.tokens.len()];
        let Some(first) = self.parts.first_mut() else { return };
        let rows = self.rows;
        let single = |token: &u32| rows[self.tokens[*token as usize].row].lora.len() == 1;
        let (beside, parts): (Vec<_>, Vec<_>) = std::mem::take(first).into_iter().partition(|group| {
            group.tokens.len() <= FEW && group.adapter.composes() && group.tokens.iter().all(single)
        });
        let light = |group: &Group<'_>| group.adapter.bytes() <= LIGHT;
        if beside.len() >= 2 * threads || beside.iter().all(light) {
            *first = parts;
            for group in &beside {
                group.tokens.iter().for_each(|token| self.lone[*token as usize] = Some(group.adapter));
            }
            self.beside = beside;
        } else {
            *first = beside.into_iter().chain(parts).collect();
        }
    }

    /// The adapter of a token whose changes are computed beside the base matrices.
    pub(super) fn beside(&self, token: usize) -> Option<&'a Prepared> {
        self.lone[token]
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

    /// How many intermediate results a token has room for in a layer: one for each place of a composition.
    pub(super) fn places(&self) -> usize {
        self.parts.len().max(usize::from(!self.beside.is_empty()))
    }

    /// The largest rank of any adapter.
    pub(super) fn rank(&self) -> usize {
        self.parts
            .iter()
            .flatten()
            .chain(&self.beside)
            .map(|group| group.adapter.rank() as usize)
            .max()
            .unwrap_or(0)
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
