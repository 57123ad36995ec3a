//! The cases: every primitive over inputs of one seed.

use super::source::Source;
use crate::{blocks::BLOCK, kernels::QBlock};
use tributary_adapters::{LoraModule, Projection};
use tributary_weights::{Format, Matrix};

/// A case's outputs.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) bits: Vec<u32>,
}

/// A head's attention problem.
#[derive(Clone, Debug)]
pub(super) struct AttentionInput {
    pub(super) width: usize,
    /// Queries, each with the last position it sees.
    pub(super) queries: Vec<(Vec<f32>, usize)>,
    pub(super) keys: Vec<Vec<f32>>,
    pub(super) values: Vec<Vec<f32>>,
}

/// The primitives, as the reference and as each path has them.
pub(super) trait Ops {
    fn quantize(&self, x: &[f32]) -> Option<Vec<QBlock>>;
    /// `[token][row]`.
    fn linear(&self, matrix: &Matrix, bias: Option<&[f32]>, tokens: &[Vec<QBlock>]) -> Vec<f32>;
    /// Adds B·Q8(A·x) to y, for one token; `a` is `[rank][inputs]`, `b` is `[outputs][rank]`.
    fn lora(&self, a: &[f32], b: &[f32], x: &[QBlock], y: &mut [f32]);
    /// What DoRA makes of y, the bias after it; then each row's gain. The module's weight in a composition is 1.
    fn dora(
        &self,
        base: &Matrix,
        module: &LoraModule,
        magnitude: &[f32],
        y: &[f32],
        bias: &[f32],
    ) -> Vec<f32>;
    fn norm(&self, x: &[f32], w: &[f32], eps: f32) -> Vec<f32>;
    fn exp(&self, x: &[f32]) -> Vec<f32>;
    fn silu_mul(&self, g: &[f32], u: &[f32]) -> Vec<f32>;
    fn rope(&self, head: &[f32], cos: &[f32], sin: &[f32]) -> Vec<f32>;
    /// `[query][width]`.
    fn attend(&self, input: &AttentionInput) -> Vec<f32>;
}

const FORMATS: [Format; 10] = [
    Format::F32,
    Format::F16,
    Format::Bf16,
    Format::Q4_0,
    Format::Q4_1,
    Format::Q5_0,
    Format::Q8_0,
    Format::Q4K,
    Format::Q5K,
    Format::Q6K,
];

/// All cases of a seed.
pub(super) fn cases(ops: &dyn Ops, seed: u64) -> Vec<Case> {
    let mut cases = vec![
        quantize(ops, seed),
        special(ops, seed),
        norm(ops, seed),
        norm_overflow(ops, seed),
        exp(ops, seed),
        silu(ops, seed),
    ];
    cases.extend([rope(ops, seed), lora(ops, seed), dora(ops, seed), attention(ops, seed)]);
    cases.extend(FORMATS.into_iter().map(|format| linear(ops, seed, format)));
    cases
}

fn case(name: &str, seed: u64, values: &[f32]) -> Case {
    Case { name: format!("{name}/{seed}"), bits: values.iter().map(|value| value.to_bits()).collect() }
}

fn bits_of(blocks: &[QBlock]) -> Vec<u32> {
    let one = |block: &QBlock| {
        let values = block.q.as_chunks::<4>().0.iter().map(|four| u32::from_le_bytes(four.map(|q| q as u8)));
        let scales = [
            block.scale.to_bits(),
            block.weighted.to_bits(),
            block.sums[0] as i32 as u32,
            block.sums[1] as i32 as u32,
        ];
        values.chain(scales).collect::<Vec<_>>()
    };
    blocks.iter().flat_map(one).collect()
}

fn quantize(ops: &dyn Ops, seed: u64) -> Case {
    let mut source = Source::new(seed, "quantize");
    let blocks = 1 + source.below(4);
    let x = source.floats(blocks * BLOCK, 6);
    let bits = ops.quantize(&x).map(|blocks| bits_of(&blocks)).unwrap_or_default();
    Case { name: format!("quantize/{seed}"), bits }
}

/// Zeros, subnormals, ties, halves of the last place, the largest numbers, and what is not finite.
fn special(ops: &dyn Ops, seed: u64) -> Case {
    let mut source = Source::new(seed, "special");
    let mut bits = Vec::new();
    for extreme in [0.0, -0.0, 1e-45, 7e-31, 9e-31, 1e-20, 127.0, 254.0, f32::MAX, f32::INFINITY, f32::NAN] {
        let mut x: Vec<f32> = source.floats(BLOCK, 1).iter().map(|value| value * extreme / 4.0).collect();
        x.iter_mut().for_each(|value| *value = if value.is_nan() { 0.0 } else { *value });
        x[3] = 0.5;
        x[4] = -2.5;
        x.iter_mut()
            .filter(|_| extreme.abs() < 1.0)
            .for_each(|value| *value = value.clamp(-extreme, extreme));
        x[source.below(BLOCK)] = extreme;
        match ops.quantize(&x) {
            Some(blocks) => bits.extend(bits_of(&blocks)),
            None => bits.push(u32::MAX),
        }
    }
    Case { name: format!("special/{seed}"), bits }
}

fn linear(ops: &dyn Ops, seed: u64, format: Format) -> Case {
    let name = format!("linear-{format}");
    let mut source = Source::new(seed, &name);
    let rows = 1 + source.below(40);
    let columns = match format.block_len() {
        256 => 256 * (1 + source.below(3)),
        _ => BLOCK * (1 + source.below(24)),
    };
    let matrix = source.matrix(format, rows, columns);
    let tokens = 1 + source.below(15);
    let tokens: Vec<_> = (0..tokens).filter_map(|_| ops.quantize(&source.floats(columns, 4))).collect();
    let bias = source.floats(rows, 2);
    let bias = (source.below(2) == 1).then_some(bias.as_slice());
    case(&name, seed, &ops.linear(&matrix, bias, &tokens))
}

fn lora(ops: &dyn Ops, seed: u64) -> Case {
    let mut source = Source::new(seed, "lora");
    let (rank, inputs, outputs) =
        (1 + source.below(70), BLOCK * (1 + source.below(12)), 1 + source.below(50));
    let (a, b) = (source.floats(rank * inputs, 2), source.floats(outputs * rank, 2));
    let x = ops.quantize(&source.floats(inputs, 2)).unwrap_or_default();
    let mut y = source.floats(outputs, 2);
    ops.lora(&a, &b, &x, &mut y);
    case("lora", seed, &y)
}

fn norm(ops: &dyn Ops, seed: u64) -> Case {
    let mut source = Source::new(seed, "norm");
    let len = BLOCK * (1 + source.below(24));
    let (x, w) = (source.floats(len, 5), source.floats(len, 2));
    case("norm", seed, &ops.norm(&x, &w, 1e-5))
}

/// Values whose squares overflow are no numbers afterwards, so that quantising refuses them.
fn norm_overflow(ops: &dyn Ops, seed: u64) -> Case {
    let mut source = Source::new(seed, "norm-overflow");
    let (mut x, w) = (source.floats(2 * BLOCK, 5), source.floats(2 * BLOCK, 2));
    x[source.below(2 * BLOCK)] = 1e20;
    let refused: Vec<f32> =
        ops.norm(&x, &w, 1e-5).iter().map(|y| if y.is_nan() { 1.0 } else { 0.0 }).collect();
    case("norm-overflow", seed, &refused)
}

fn exp(ops: &dyn Ops, seed: u64) -> Case {
    let mut source = Source::new(seed, "exp");
    let mut x: Vec<f32> = source.floats(112, 0).iter().map(|value| value * 100.0).collect();
    x.extend([0.0, -0.0, 88.0, 88.1, 1e30, f32::INFINITY, -87.0, -87.1, -86.99, -1e30, f32::NEG_INFINITY]);
    x.extend([1e-10, -1e-45, 0.346_573_6, -0.346_573_6, 1.0]);
    case("exp", seed, &ops.exp(&x))
}

fn silu(ops: &dyn Ops, seed: u64) -> Case {
    let mut source = Source::new(seed, "silu");
    let (mut g, u) = (source.floats(96, 6), source.floats(96, 3));
    g[..6].copy_from_slice(&[0.0, -0.0, 90.0, -90.0, -200.0, 1e30]);
    case("silu", seed, &ops.silu_mul(&g, &u))
}

fn rope(ops: &dyn Ops, seed: u64) -> Case {
    let mut source = Source::new(seed, "rope");
    let half = 16 * (1 + source.below(4));
    let (head, cos, sin) = (source.floats(half * 2, 3), source.floats(half, 0), source.floats(half, 0));
    case("rope", seed, &ops.rope(&head, &cos, &sin))
}

fn dora(ops: &dyn Ops, seed: u64) -> Case {
    let mut source = Source::new(seed, "dora");
    let format = FORMATS[source.below(FORMATS.len())];
    let (rank, outputs, inputs) = (1 + source.below(40), 1 + source.below(40), 256 * (1 + source.below(2)));
    let base = source.matrix(format, outputs, inputs);
    let module = LoraModule {
        layer: 0,
        projection: Projection::Q,
        rank: rank as u32,
        inputs: inputs as u32,
        outputs: outputs as u32,
        scale: 0.75,
        a: source.floats(rank * inputs, 2),
        b: source.floats(outputs * rank, 2),
        magnitude: None,
    };
    let (magnitude, y, bias) =
        (source.floats(outputs, 3), source.floats(outputs, 3), source.floats(outputs, 1));
    case("dora", seed, &ops.dora(&base, &module, &magnitude, &y, &bias))
}

fn attention(ops: &dyn Ops, seed: u64) -> Case {
    let mut source = Source::new(seed, "attention");
    let width = BLOCK * (1 + source.below(4));
    let positions = 1 + source.below(200);
    let first = source.below(positions);
    let count = 1 + source.below(13);
    let queries =
        (0..count).map(|index| (source.floats(width, 3), (first + index / 3).min(positions - 1))).collect();
    let keys = (0..positions).map(|_| source.floats(width, 2)).collect();
    let values = (0..positions).map(|_| source.floats(width, 3)).collect();
    case("attention", seed, &ops.attend(&AttentionInput { width, queries, keys, values }))
}
