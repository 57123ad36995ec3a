//! One step: every token of every row through the model together.
//!
//! ```text
//! embed ─> [ norm, Q8 ─> q k v ─> rotate, store ─> attend ─> Q8 ─> o ─> + ─> norm, Q8 ─> gate up ─> silu, Q8 ─> down ─> + ]×layers
//!                                                                                          wanted tokens: norm, Q8 ─> head
//! ```

use super::{
    Model,
    delta::Deltas,
    heads::Heads,
    linear::{self, Between, Input, Linear, Round},
    plan::Plan,
    shared::Shared,
};
use crate::{
    CpuError,
    backend::weights::PackedLayer,
    blocks::BLOCK,
    kernels::{Output, QBlock},
    kv::{Cache, PAGE},
    packed::Packed,
    pool::Pool,
};
use tributary_adapters::Projection;
use tributary_engine::{Row, StepOutput};
use tributary_weights::Config;

/// Below this many tokens, work on single tokens is not worth handing out.
const ALONE: usize = 4;
/// Tokens of one attention task: their queries share each key and value.
pub(super) const QUERIES: usize = 4;

/// Buffers of a step, kept from one to the next.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// The residual stream, and what the last layer adds to it.
    x: Shared<f32>,
    y: Shared<f32>,
    pub(super) qkv: Shared<f32>,
    pub(super) attended: Shared<f32>,
    gate: Shared<f32>,
    up: Shared<f32>,
    /// Input of the next linear layer.
    pub(super) input: Shared<QBlock>,
    pub(super) queries: Shared<QBlock>,
    /// By thread: a normed vector, a quantised key and value, scores.
    normed: Shared<f32>,
    pub(super) pair: Shared<QBlock>,
    pub(super) scores: Shared<f32>,
    pub(super) scores_each: usize,
    between: Between,
    pub(super) deltas: Deltas,
}

impl Workspace {
    pub(super) fn new(config: &Config, tokens: usize, threads: usize) -> Self {
        let floats = |width: usize| Shared::new(0.0, tokens * width);
        Self {
            x: floats(config.hidden),
            y: floats(config.hidden),
            qkv: floats(config.query() + 2 * config.key()),
            attended: floats(config.query()),
            gate: floats(config.intermediate),
            up: floats(config.intermediate),
            input: Shared::new(QBlock::ZERO, tokens * input_blocks(config)),
            queries: Shared::new(QBlock::ZERO, tokens * config.query() / BLOCK),
            normed: Shared::new(0.0, threads * config.hidden),
            pair: Shared::new(QBlock::ZERO, threads * 2 * config.head_dim / BLOCK),
            scores: Shared::new(0.0, 0),
            scores_each: 0,
            between: Between::new(),
            deltas: Deltas::new(config),
        }
    }

    fn prepare(&mut self, config: &Config, plan: &Plan<'_>, threads: usize) {
        let positions = plan.tokens.iter().map(|token| token.position + 1).max().unwrap_or(0);
        let rows = QUERIES * config.heads / config.kv_heads;
        self.scores_each = rows * positions.next_multiple_of(PAGE);
        self.scores.grow(0.0, threads * self.scores_each);
        self.between.prepare(plan);
        self.deltas.prepare(plan);
    }
}

/// Blocks of the widest input of a linear layer.
fn input_blocks(config: &Config) -> usize {
    config.hidden.max(config.intermediate).max(config.query()) / BLOCK
}

/// Runs a step whose rows keep the contract.
pub(super) fn run(
    model: &Model,
    cache: &Cache,
    pool: &mut Pool,
    workspace: &mut Workspace,
    rows: &[Row<'_>],
    out: &mut StepOutput,
) -> Result<(), CpuError> {
    let plan = Plan::new(rows, &model.geometry, model.config.vocab as u32, pool.threads(), out);
    workspace.prepare(&model.config, &plan, pool.threads());
    let mut step = Step { model, config: &model.config, cache, pool, w: workspace, plan: &plan };
    step.embed()?;
    for (index, layer) in model.weights.layers.iter().enumerate() {
        step.attention(index, layer)?;
        step.mlp(index, layer)?;
    }
    step.logits(out)?;
    plan.report(out);
    Ok(())
}

/// Every matrix once over whatever the input holds, the head over as many tokens as `logits` has room for.
pub(super) fn matmul_pass(
    model: &Model,
    pool: &mut Pool,
    w: &Workspace,
    tokens: usize,
    logits: &mut [f32],
) -> Result<(), CpuError> {
    let config = &model.config;
    let input = Input { start: w.input.at(0), stride: input_blocks(config) };
    let all: Vec<u32> = (0..tokens as u32).collect();
    let to = |buffer: &Shared<f32>, stride: usize| Output { start: buffer.at(0), stride, whole: false };
    let (query, key, wide) = (config.query(), config.key(), config.intermediate);
    let qkv = |at: usize| Output { start: w.qkv.at(at), stride: query + 2 * key, whole: false };
    let wanted = logits.len() / config.vocab;
    let head = Output { start: logits.as_mut_ptr(), stride: config.vocab, whole: false };
    let rounds = model.weights.layers.iter().flat_map(|layer| {
        [
            vec![(&layer.q, qkv(0)), (&layer.k, qkv(query)), (&layer.v, qkv(query + key))],
            vec![(&layer.o, to(&w.y, config.hidden))],
            vec![(&layer.gate, to(&w.gate, wide)), (&layer.up, to(&w.up, wide))],
            vec![(&layer.down, to(&w.y, config.hidden))],
        ]
    });
    let mut rounds = rounds.chain([vec![(model.weights.head(), head)]]).peekable();
    while let Some(round) = rounds.next() {
        let after: Vec<&Packed> = rounds.peek().into_iter().flatten().map(|(weights, _)| *weights).collect();
        let tokens = if after.is_empty() { &all[..wanted] } else { &all };
        // SAFETY: buffers hold `tokens` tokens, `logits` those of the head, outputs of a round are disjoint, and it is the only one
        // running.
        unsafe { linear::plain(model.kernels, pool, &round, input, tokens, &after)? };
    }
    Ok(())
}

struct Step<'a> {
    model: &'a Model,
    config: &'a Config,
    cache: &'a Cache,
    pool: &'a mut Pool,
    w: &'a Workspace,
    plan: &'a Plan<'a>,
}

impl Step<'_> {
    /// Runs `work(token, thread)` for every token.
    fn each(&mut self, work: impl Fn(usize, usize) + Sync) -> Result<(), CpuError> {
        each(self.pool, self.plan.tokens.len(), work)
    }

    fn embed(&mut self) -> Result<(), CpuError> {
        let (w, plan, embedding, hidden) =
            (self.w, self.plan, &self.model.weights.embedding, self.config.hidden);
        self.each(|token, _| {
            // SAFETY: each token's part is its task's alone.
            let x = unsafe { w.x.part_mut(token * hidden, hidden) };
            embedding.dequantize_row(plan.tokens[token].id as usize, x);
        })
    }

    fn input(&self) -> Input {
        Input { start: self.w.input.at(0), stride: input_blocks(self.config) }
    }

    /// Adds what the layer before gave, if there was one, norms and quantises.
    fn norm(&mut self, scale: &[f32], before: Option<(usize, Projection)>) -> Result<(), CpuError> {
        let (w, plan, kernels, hidden) = (self.w, self.plan, self.model.kernels, self.config.hidden);
        let (eps, stride) = (self.config.norm_eps, input_blocks(self.config));
        self.each(|token, thread| {
            // SAFETY: each token's parts are its task's alone, each thread's parts its own.
            let (x, y, normed, input) = unsafe {
                (
                    w.x.part_mut(token * hidden, hidden),
                    w.y.part_mut(token * hidden, hidden),
                    w.normed.part_mut(thread * hidden, hidden),
                    w.input.part_mut(token * stride, hidden / BLOCK),
                )
            };
            if let Some(before) = before {
                // SAFETY: that layer is complete.
                unsafe { w.deltas.add(kernels, plan, token, before, y) };
                kernels.add(x, y);
            }
            kernels.norm(x, scale, eps, normed);
            if !kernels.quantize(normed, input) {
                plan.fail(token);
            }
        })
    }

    fn attention(&mut self, index: usize, layer: &PackedLayer) -> Result<(), CpuError> {
        self.norm(&layer.attention_norm, index.checked_sub(1).map(|before| (before, Projection::Down)))?;
        let (query, key) = (self.config.query(), self.config.key());
        let stride = query + 2 * key;
        let at = |offset: usize| Output { start: self.w.qkv.at(offset), stride, whole: false };
        let bias = |which: usize| layer.qkv_bias.as_ref().map(|all| all[which].as_slice());
        let linears = [
            Linear { weights: &layer.q, bias: bias(0), projection: Projection::Q, out: at(0) },
            Linear { weights: &layer.k, bias: bias(1), projection: Projection::K, out: at(query) },
            Linear { weights: &layer.v, bias: bias(2), projection: Projection::V, out: at(query + key) },
        ];
        self.linears(index, &linears, &[&layer.o])?;
        let heads = Heads {
            w: self.w,
            plan: self.plan,
            cache: self.cache,
            model: self.model,
            stride: input_blocks(self.config),
            layer: index,
        };
        heads.run(self.pool)?;
        let out = Output { start: self.w.y.at(0), stride: self.config.hidden, whole: false };
        let linear = Linear { weights: &layer.o, bias: None, projection: Projection::O, out };
        self.linears(index, &[linear], &[&layer.gate, &layer.up])
    }

    fn mlp(&mut self, index: usize, layer: &PackedLayer) -> Result<(), CpuError> {
        self.norm(&layer.mlp_norm, Some((index, Projection::O)))?;
        let wide = self.config.intermediate;
        let to = |buffer: &Shared<f32>| Output { start: buffer.at(0), stride: wide, whole: false };
        let linears = [
            Linear { weights: &layer.gate, bias: None, projection: Projection::Gate, out: to(&self.w.gate) },
            Linear { weights: &layer.up, bias: None, projection: Projection::Up, out: to(&self.w.up) },
        ];
        self.linears(index, &linears, &[&layer.down])?;
        self.activate(index)?;
        let out = Output { start: self.w.y.at(0), stride: self.config.hidden, whole: false };
        let linear = Linear { weights: &layer.down, bias: None, projection: Projection::Down, out };
        self.linears(index, &[linear], &self.model.weights.after(index))
    }

    /// Linear layers that share an input; `after` are the matrices that are read next.
    fn linears(&mut self, index: usize, linears: &[Linear<'_>], after: &[&Packed]) -> Result<(), CpuError> {
        let input = self.input();
        let round = Round {
            kernels: self.model.kernels,
            plan: self.plan,
            between: &self.w.between,
            deltas: &self.w.deltas,
            layer: index,
        };
        // SAFETY: buffers hold every token of the step, and this round is the only one running.
        unsafe { round.run(self.pool, linears, input, after) }
    }

    fn activate(&mut self, layer: usize) -> Result<(), CpuError> {
        let (w, plan, kernels) = (self.w, self.plan, self.model.kernels);
        let (wide, stride) = (self.config.intermediate, input_blocks(self.config));
        self.each(|token, _| {
            // SAFETY: each token's parts are its task's alone.
            let (gate, up, input) = unsafe {
                (
                    w.gate.part_mut(token * wide, wide),
                    w.up.part_mut(token * wide, wide),
                    w.input.part_mut(token * stride, wide / BLOCK),
                )
            };
            // SAFETY: both matrices are complete.
            unsafe {
                w.deltas.add(kernels, plan, token, (layer, Projection::Gate), gate);
                w.deltas.add(kernels, plan, token, (layer, Projection::Up), up);
            }
            kernels.silu_mul(gate, up);
            if !kernels.quantize(gate, input) {
                plan.fail(token);
            }
        })
    }

    /// The last norm and the head, for wanted tokens; their vectors move to the places of the output.
    fn logits(&mut self, out: &mut StepOutput) -> Result<(), CpuError> {
        let (w, plan, kernels, hidden) = (self.w, self.plan, self.model.kernels, self.config.hidden);
        let (eps, stride, scale) =
            (self.config.norm_eps, input_blocks(self.config), &self.model.weights.norm);
        let last = (self.config.layers - 1, Projection::Down);
        let (logits, commitments) = out.buffers_mut();
        each(self.pool, plan.wanted.len(), |index, thread| {
            let token = plan.wanted[index].0 as usize;
            // SAFETY: a token is wanted once, so each task's parts are its own, each thread's likewise.
            let (x, y, normed, input) = unsafe {
                (
                    w.x.part_mut(token * hidden, hidden),
                    w.y.part_mut(token * hidden, hidden),
                    w.normed.part_mut(thread * hidden, hidden),
                    w.input.part_mut(index * stride, hidden / BLOCK),
                )
            };
            // SAFETY: the last layer is complete.
            unsafe { w.deltas.add(kernels, plan, token, last, y) };
            kernels.add(x, y);
            kernels.norm(x, scale, eps, normed);
            if !kernels.quantize(normed, input) {
                plan.fail(token);
            }
        })?;
        let bytes = hidden + hidden / BLOCK * 4;
        for (index, (_, place)) in plan.wanted.iter().enumerate() {
            // SAFETY: the tasks above are done.
            let q = unsafe { w.input.part(index * stride, hidden / BLOCK) };
            commit(q, &mut commitments[place * bytes..][..bytes]);
        }
        self.head(logits)
    }

    /// Output places ascend with the wanted tokens, with gaps only where rows could not run.
    fn head(&mut self, logits: &mut [f32]) -> Result<(), CpuError> {
        let (vocab, head) = (self.config.vocab, self.model.weights.head());
        let mut first = 0;
        while first < self.plan.wanted.len() {
            let place = self.plan.wanted[first].1;
            let run = self.plan.wanted[first..]
                .iter()
                .zip(place..)
                .take_while(|((_, p), expected)| p == expected)
                .count();
            let out = &mut logits[place * vocab..(place + run) * vocab];
            let start = self.w.input.at(first * input_blocks(self.config));
            let input = Input { start, stride: input_blocks(self.config) };
            let output = Output { start: out.as_mut_ptr(), stride: vocab, whole: false };
            // SAFETY: `out` has a row of the vocabulary for each of the tokens, whose vectors lie in order.
            unsafe {
                linear::head(self.model.kernels, self.pool, head, input, &self.plan.all[..run], output)?
            };
            first += run;
        }
        Ok(())
    }
}

/// Runs `work(index, thread)` for every index, shared out if there are enough.
pub(super) fn each(
    pool: &mut Pool,
    count: usize,
    work: impl Fn(usize, usize) + Sync,
) -> Result<(), CpuError> {
    if count < ALONE {
        (0..count).for_each(|index| work(index, 0));
        return Ok(());
    }
    let tasks = count.min(pool.threads() * 4);
    pool.run(tasks, &|task, thread| {
        (count * task / tasks..count * (task + 1) / tasks).for_each(|index| work(index, thread));
    })
}

/// Section 13: the Q8 bytes, then the scales, big-endian.
fn commit(q: &[QBlock], out: &mut [u8]) {
    let (values, scales) = out.split_at_mut(q.len() * BLOCK);
    for ((block, values), scale) in
        q.iter().zip(values.chunks_exact_mut(BLOCK)).zip(scales.chunks_exact_mut(4))
    {
        values.iter_mut().zip(block.q).for_each(|(to, q)| *to = q as u8);
        scale.copy_from_slice(&block.scale.to_bits().to_be_bytes());
    }
}
