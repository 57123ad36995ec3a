//! The primitives as an implementation outside this crate offers them.

use super::cases::{AttentionInput, Ops};
use crate::{blocks::BLOCK, kernels::QBlock};
use tributary_adapters::LoraModule;
use tributary_weights::Matrix;

/// A block of quantised activations: section 2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Q8 {
    /// The values, within ±127.
    pub values: [i8; BLOCK],
    /// Their scale s.
    pub scale: f32,
    /// rn(s · f32(Σ q)).
    pub weighted: f32,
}

/// A key head's attention problem.
#[derive(Clone, Copy, Debug)]
pub struct AttentionCase<'a> {
    /// Width of the head.
    pub width: usize,
    /// Queries, each with the last position it sees.
    pub queries: &'a [(Vec<f32>, usize)],
    /// Keys by position.
    pub keys: &'a [Vec<f32>],
    /// Values by position.
    pub values: &'a [Vec<f32>],
}

/// What an implementation of the profile has to offer to be checked.
pub trait Primitives {
    /// Section 2; `None` where a value is not finite.
    fn quantize(&self, x: &[f32]) -> Option<Vec<Q8>>;
    /// Sections 4 and 5: `[token][row]`.
    fn linear(&self, matrix: &Matrix, bias: Option<&[f32]>, tokens: &[Vec<Q8>]) -> Vec<f32>;
    /// Section 6: adds B·Q8(A·x) to y, for one token; `a` is `[rank][inputs]`, `b` is `[outputs][rank]`.
    fn lora(&self, a: &[f32], b: &[f32], x: &[Q8], y: &mut [f32]);
    /// Section 6, DoRA: what it makes of y, which has δ in it already, the bias after it; then each row's gain. The module's weight is 1.
    fn dora(
        &self,
        base: &Matrix,
        module: &LoraModule,
        magnitude: &[f32],
        y: &[f32],
        bias: &[f32],
    ) -> Vec<f32>;
    /// Section 7.
    fn norm(&self, x: &[f32], w: &[f32], eps: f32) -> Vec<f32>;
    /// Section 8.
    fn exp(&self, x: &[f32]) -> Vec<f32>;
    /// Section 8: silu(g) · u.
    fn silu_mul(&self, g: &[f32], u: &[f32]) -> Vec<f32>;
    /// Section 9, one head.
    fn rope(&self, head: &[f32], cos: &[f32], sin: &[f32]) -> Vec<f32>;
    /// Section 10: `[query][width]`.
    fn attend(&self, case: &AttentionCase<'_>) -> Vec<f32>;
}

pub(super) struct OutsideOps<'a>(pub(super) &'a dyn Primitives);

fn inside(block: &Q8) -> QBlock {
    let sum = |values: &[i8]| values.iter().map(|q| i16::from(*q)).sum::<i16>();
    let sums = [sum(&block.values[..16]), sum(&block.values[16..])];
    let offset = -128 * i32::from(sums[0] + sums[1]);
    QBlock { q: block.values, scale: block.scale, weighted: block.weighted, sums, offset }
}

fn outside(blocks: &[QBlock]) -> Vec<Q8> {
    let one = |block: &QBlock| Q8 { values: block.q, scale: block.scale, weighted: block.weighted };
    blocks.iter().map(one).collect()
}

impl Ops for OutsideOps<'_> {
    fn quantize(&self, x: &[f32]) -> Option<Vec<QBlock>> {
        Some(self.0.quantize(x)?.iter().map(inside).collect())
    }

    fn linear(&self, matrix: &Matrix, bias: Option<&[f32]>, tokens: &[Vec<QBlock>]) -> Vec<f32> {
        let tokens: Vec<_> = tokens.iter().map(|blocks| outside(blocks)).collect();
        self.0.linear(matrix, bias, &tokens)
    }

    fn lora(&self, a: &[f32], b: &[f32], x: &[QBlock], y: &mut [f32]) {
        self.0.lora(a, b, &outside(x), y);
    }

    fn dora(
        &self,
        base: &Matrix,
        module: &LoraModule,
        magnitude: &[f32],
        y: &[f32],
        bias: &[f32],
    ) -> Vec<f32> {
        self.0.dora(base, module, magnitude, y, bias)
    }

    fn norm(&self, x: &[f32], w: &[f32], eps: f32) -> Vec<f32> {
        self.0.norm(x, w, eps)
    }

    fn exp(&self, x: &[f32]) -> Vec<f32> {
        self.0.exp(x)
    }

    fn silu_mul(&self, g: &[f32], u: &[f32]) -> Vec<f32> {
        self.0.silu_mul(g, u)
    }

    fn rope(&self, head: &[f32], cos: &[f32], sin: &[f32]) -> Vec<f32> {
        self.0.rope(head, cos, sin)
    }

    fn attend(&self, input: &AttentionInput) -> Vec<f32> {
        let AttentionInput { width, queries, keys, values } = input;
        self.0.attend(&AttentionCase { width: *width, queries, keys, values })
    }
}
