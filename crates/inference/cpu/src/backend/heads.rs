//! What lies between the first three matrices and the fourth: rotation, the cache, attention.
//!
//! Where every row is one token and there are enough of them, a token goes all the way as one task. Otherwise each part is a round of
//! tasks, so that the tokens of a prompt find each other's keys in the cache, and a lone token's heads run side by side.

use super::{
    Model,
    plan::Plan,
    step::{QUERIES, Workspace, each},
};
use crate::{
    CpuError,
    blocks::BLOCK,
    kernels::{Attend, AttendRow},
    kv::{Cache, PAGE},
    pool::Pool,
};
use tributary_adapters::Projection;

/// One layer's attention over the tokens of a step.
pub(super) struct Heads<'a> {
    pub(super) w: &'a Workspace,
    pub(super) plan: &'a Plan<'a>,
    pub(super) cache: &'a Cache,
    pub(super) model: &'a Model,
    /// Blocks from one token's input to the next.
    pub(super) stride: usize,
    pub(super) layer: usize,
}

impl Heads<'_> {
    pub(super) fn run(&self, pool: &mut Pool) -> Result<(), CpuError> {
        let (tokens, key_heads) = (&self.plan.tokens, self.model.config.kv_heads);
        let apart = tokens.windows(2).all(|pair| pair[0].row != pair[1].row);
        if apart && tokens.len() >= 2 * pool.threads() {
            return pool.run(tokens.len(), &|token, thread| {
                self.store(token, thread);
                (0..key_heads).for_each(|head| self.attend(token, 1, head, thread));
                self.quantize(token);
            });
        }
        each(pool, tokens.len(), |token, thread| self.store(token, thread))?;
        let mut tasks: Vec<(usize, usize)> = Vec::new();
        let mut first = 0;
        while first < tokens.len() {
            let row = tokens[first].row;
            let same = tokens[first..].iter().take(QUERIES).take_while(|token| token.row == row).count();
            tasks.push((first, same));
            first += same;
        }
        pool.run(tasks.len() * key_heads, &|task, thread| {
            let (first, count) = tasks[task / key_heads];
            self.attend(first, count, task % key_heads, thread);
        })?;
        each(pool, tokens.len(), |token, _| self.quantize(token))
    }

    /// Rotates a token's queries and keys, quantises all three and writes keys and values to the cache.
    fn store(&self, index: usize, thread: usize) {
        let Self { w, plan, cache, model, .. } = *self;
        let (kernels, config) = (model.kernels, &model.config);
        let (width, query, key) = (config.head_dim, config.query(), config.key());
        let (blocks, token) = (width / BLOCK, plan.tokens[index]);
        // SAFETY: each token's parts are its task's alone, each thread's parts its own.
        let (qkv, queries, pair) = unsafe {
            (
                w.qkv.part_mut(index * (query + 2 * key), query + 2 * key),
                w.queries.part_mut(index * query / BLOCK, query / BLOCK),
                w.pair.part_mut(thread * 2 * blocks, 2 * blocks),
            )
        };
        let (cos, sin) = model.table.at(token.position);
        let (rotated, values) = qkv.split_at_mut(query + key);
        let (q, k) = rotated.split_at_mut(query);
        for (projection, y) in [(Projection::Q, q), (Projection::K, k), (Projection::V, &mut *values)] {
            // SAFETY: the three matrices are complete.
            unsafe { w.deltas.add(kernels, plan, index, (self.layer, projection), y) };
        }
        rotated.chunks_exact_mut(width).for_each(|head| kernels.rope(head, cos, sin));
        let (q, keys) = rotated.split_at(query);
        let mut finite = kernels.quantize(q, queries);
        let page = plan.rows[token.row].pages[token.position / PAGE];
        for (head, (k, v)) in keys.chunks_exact(width).zip(values.chunks_exact(width)).enumerate() {
            let (key, value) = pair.split_at_mut(blocks);
            finite &= kernels.quantize(k, key) & kernels.quantize(v, value);
            // SAFETY: no two tokens of a step have the same page and slot, by the contract of rows.
            unsafe { cache.write(cache.part(page, self.layer, head), token.position % PAGE, key, value) };
        }
        if !finite {
            plan.fail(index);
        }
    }

    /// One key head over `count` tokens of one row, whose keys and values are stored.
    fn attend(&self, first: usize, count: usize, head: usize, thread: usize) {
        let Self { w, plan, cache, model, .. } = *self;
        let config = &model.config;
        let (query, width, group) = (config.query(), config.head_dim, config.heads / config.kv_heads);
        let last = plan.tokens[first + count - 1];
        let pages: Vec<*const u8> = plan.rows[last.row].pages[..=last.position / PAGE]
            .iter()
            .map(|page| cache.part(*page, self.layer, head).cast_const())
            .collect();
        let rows: Vec<AttendRow> = (first..first + count)
            .flat_map(|token| (head * group..(head + 1) * group).map(move |head| (token, head)))
            .map(|(token, head)| AttendRow {
                query: w.queries.at((token * query + head * width) / BLOCK),
                last: plan.tokens[token].position,
                out: w.attended.at(token * query + head * width),
            })
            .collect();
        let scale = 1.0 / (width as f32).sqrt();
        // SAFETY: each thread has scores of its own; keys and values up to the last position are written, and tasks have
        // disjoint outputs.
        unsafe {
            let scores = w.scores.part_mut(thread * w.scores_each, w.scores_each);
            let mut job = Attend { rows: &rows, pages: &pages, head: cache.head(), scale, scores };
            model.kernels.attend(&mut job);
        }
    }

    /// What the heads of a token gave, as the next matrix takes it.
    fn quantize(&self, token: usize) {
        let (w, width) = (self.w, self.model.config.query());
        // SAFETY: each token's parts are its task's alone.
        let (x, input) = unsafe {
            (w.attended.part(token * width, width), w.input.part_mut(token * self.stride, width / BLOCK))
        };
        if !self.model.kernels.quantize(x, input) {
            self.plan.fail(token);
        }
    }
}
