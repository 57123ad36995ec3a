//! The primitives by the reference and by a path's kernels.

use super::cases::{AttentionInput, Ops};
use crate::{
    backend::scale_rows,
    blocks::{self, BLOCK, Block, quantize_weights},
    dora,
    kernels::{Attend, AttendRow, Kernels, Matmul, Output, QBlock},
    kv::{Cache, PAGE},
    lora::quantized,
    packed::{HALF, Layout, Packed, Shape},
    reference,
};
use tributary_adapters::LoraModule;
use tributary_weights::Matrix;

/// The definition.
#[derive(Debug)]
pub(super) struct ReferenceOps;

impl Ops for ReferenceOps {
    fn quantize(&self, x: &[f32]) -> Option<Vec<QBlock>> {
        reference::quantize(x)
    }

    fn linear(&self, matrix: &Matrix, bias: Option<&[f32]>, tokens: &[Vec<QBlock>]) -> Vec<f32> {
        let row = |row| (0..matrix.columns() / BLOCK).map(|b| blocks::block(matrix, row, b)).collect();
        let rows: Vec<Vec<Block>> = (0..matrix.rows()).map(row).collect();
        let has_min = Layout::of(matrix.format()).has_min();
        tokens.iter().flat_map(|x| reference::linear(&rows, has_min, bias, x)).collect()
    }

    fn lora(&self, a: &[f32], b: &[f32], x: &[QBlock], y: &mut [f32]) {
        let rows = |values: &[f32], columns: usize| -> Vec<Vec<Block>> {
            values.chunks(columns).map(|row| row.chunks(BLOCK).map(quantize_weights).collect()).collect()
        };
        let u = reference::linear(&rows(a, x.len() * BLOCK), false, None, x);
        let q = reference::quantize(&u).unwrap_or_default();
        let rows = rows(b, u.len());
        y.iter_mut().zip(&rows).for_each(|(y, row)| *y += reference::dot(row, false, &q));
    }

    fn dora(
        &self,
        base: &Matrix,
        module: &LoraModule,
        magnitude: &[f32],
        y: &[f32],
        bias: &[f32],
    ) -> Vec<f32> {
        let b: Vec<f32> = module.b.iter().map(|value| module.scale * value).collect();
        let gain = |row| reference::gain(&reference::dequantized(base, row), module, &b, magnitude, row);
        let gains: Vec<f32> = (0..y.len()).map(gain).collect();
        let scaled = y.iter().zip(&gains).zip(bias).map(|((y, gain), bias)| gain * y + bias);
        scaled.chain(gains.iter().copied()).collect()
    }

    fn norm(&self, x: &[f32], w: &[f32], eps: f32) -> Vec<f32> {
        reference::norm(x, w, eps)
    }

    fn exp(&self, x: &[f32]) -> Vec<f32> {
        x.iter().map(|value| reference::exp(*value)).collect()
    }

    fn silu_mul(&self, g: &[f32], u: &[f32]) -> Vec<f32> {
        g.iter().zip(u).map(|(g, u)| reference::silu_mul(*g, *u)).collect()
    }

    fn rope(&self, head: &[f32], cos: &[f32], sin: &[f32]) -> Vec<f32> {
        let mut head = head.to_vec();
        reference::rope(&mut head, cos, sin);
        head
    }

    fn attend(&self, input: &AttentionInput) -> Vec<f32> {
        let all = |x: &[Vec<f32>]| -> Vec<Vec<QBlock>> {
            x.iter().filter_map(|x| reference::quantize(x)).collect()
        };
        let (keys, values) = (all(&input.keys), all(&input.values));
        let keys: Vec<&[QBlock]> = keys.iter().map(Vec::as_slice).collect();
        let values: Vec<&[QBlock]> = values.iter().map(Vec::as_slice).collect();
        let scale = 1.0 / (input.width as f32).sqrt();
        let one = |(query, last): &(Vec<f32>, usize)| {
            let query = reference::quantize(query).unwrap_or_default();
            reference::attend(&query, &keys[..=*last], &values[..=*last], scale)
        };
        input.queries.iter().flat_map(one).collect()
    }
}

/// A path.
#[derive(Debug)]
pub(super) struct KernelOps(pub(super) Kernels);

impl KernelOps {
    fn matmul(
        &self,
        weights: &Packed,
        bias: Option<&[f32]>,
        x: &[QBlock],
        stride: usize,
        accumulate: bool,
        out: &mut [f32],
    ) {
        let tokens: Vec<u32> = (0..(x.len() / stride) as u32).collect();
        assert_eq!(out.len(), tokens.len() * weights.shape.rows);
        let out = Output { start: out.as_mut_ptr(), stride: weights.shape.rows, whole: false };
        let tiles = 0..weights.shape.tiles();
        let job = Matmul {
            weights,
            tiles,
            x: x.as_ptr(),
            x_stride: stride,
            tokens: &tokens,
            bias,
            accumulate,
            next: None,
            later: &[],
            onward: None,
            out,
        };
        // SAFETY: `x` and `out` have a row for each token, by construction and the check above.
        unsafe { self.0.matmul(&job) }
    }
}

/// Memory for a case; a machine that has none for a few kilobytes cannot serve either.
fn packed(shape: Shape, block: impl Fn(usize, usize) -> Block) -> Packed {
    Packed::alone(shape, block).unwrap_or_else(|error| panic!("{error}"))
}

impl Ops for KernelOps {
    fn quantize(&self, x: &[f32]) -> Option<Vec<QBlock>> {
        let mut out = vec![QBlock::ZERO; x.len() / BLOCK];
        self.0.quantize(x, &mut out).then_some(out)
    }

    fn linear(&self, matrix: &Matrix, bias: Option<&[f32]>, tokens: &[Vec<QBlock>]) -> Vec<f32> {
        let shape = Shape::new(Layout::of(matrix.format()), matrix.rows(), matrix.columns());
        let weights = packed(shape, |row, b| blocks::block(matrix, row, b));
        let mut out = vec![0.0; tokens.len() * matrix.rows()];
        self.matmul(&weights, bias, &tokens.concat(), shape.blocks, false, &mut out);
        out
    }

    fn lora(&self, a: &[f32], b: &[f32], x: &[QBlock], y: &mut [f32]) {
        let inputs = x.len() * BLOCK;
        let rank = a.len() / inputs;
        let mut u = vec![0.0; rank];
        let shrink = |layout, a: &[f32], u: &mut [f32]| {
            let weights = packed(Shape::new(layout, u.len(), inputs), |row, b| quantized(a, inputs, row, b));
            self.matmul(&weights, None, x, x.len(), false, u);
        };
        shrink(Layout::Float, a, &mut u);
        // Eight rows may lie folded: every other eight do here, so that both kernels are checked.
        for (rows, u) in a.chunks(HALF * inputs).zip(u.chunks_mut(HALF)).step_by(2) {
            shrink(Layout::Folded, rows, u);
        }
        u.resize(rank.next_multiple_of(BLOCK), 0.0);
        let q = self.quantize(&u).unwrap_or_default();
        let shape = Shape::new(Layout::Float, y.len(), rank);
        self.matmul(&packed(shape, |row, block| quantized(b, rank, row, block)), None, &q, q.len(), true, y);
    }

    fn dora(
        &self,
        base: &Matrix,
        module: &LoraModule,
        magnitude: &[f32],
        y: &[f32],
        bias: &[f32],
    ) -> Vec<f32> {
        let shape = Shape::new(Layout::of(base.format()), base.rows(), base.columns());
        let base = packed(shape, |row, b| blocks::block(base, row, b));
        let b: Vec<f32> = module.b.iter().map(|value| module.scale * value).collect();
        let gains = dora::gains(|row, out| base.dequantize_row(row, out), module, &b, magnitude);
        let gains = gains.unwrap_or_default();
        let mut y = y.to_vec();
        scale_rows(&mut y, &gains, Some(bias));
        y.extend(gains);
        y
    }

    fn norm(&self, x: &[f32], w: &[f32], eps: f32) -> Vec<f32> {
        let mut out = vec![0.0; x.len()];
        self.0.norm(x, w, eps, &mut out);
        out
    }

    fn exp(&self, x: &[f32]) -> Vec<f32> {
        let mut x = x.to_vec();
        self.0.exp(&mut x);
        x
    }

    fn silu_mul(&self, g: &[f32], u: &[f32]) -> Vec<f32> {
        let mut g = g.to_vec();
        self.0.silu_mul(&mut g, u);
        g
    }

    fn rope(&self, head: &[f32], cos: &[f32], sin: &[f32]) -> Vec<f32> {
        let mut head = head.to_vec();
        self.0.rope(&mut head, cos, sin);
        head
    }

    fn attend(&self, input: &AttentionInput) -> Vec<f32> {
        let pages = input.keys.len().div_ceil(PAGE);
        let cache = Cache::new(1, 1, input.width, pages).unwrap_or_else(|error| panic!("{error}"));
        // Pages in reverse: their numbers must not matter.
        let parts: Vec<*mut u8> = (0..pages as u32).rev().map(|page| cache.part(page, 0, 0)).collect();
        for (position, (key, value)) in input.keys.iter().zip(&input.values).enumerate() {
            let (key, value) =
                (self.quantize(key).unwrap_or_default(), self.quantize(value).unwrap_or_default());
            // SAFETY: the cache is this function's own.
            unsafe { cache.write(parts[position / PAGE], position % PAGE, &key, &value) };
        }
        let queries: Vec<Vec<QBlock>> =
            input.queries.iter().map(|(query, _)| self.quantize(query).unwrap_or_default()).collect();
        let mut out = vec![0.0; queries.len() * input.width];
        let start = out.as_mut_ptr();
        let rows: Vec<AttendRow> = queries
            .iter()
            .zip(&input.queries)
            .enumerate()
            // SAFETY: `out` has a row for each query.
            .map(|(index, (query, (_, last)))| unsafe {
                AttendRow { query: query.as_ptr(), last: *last, out: start.add(index * input.width) }
            })
            .collect();
        let pages: Vec<*const u8> = parts.iter().map(|part| part.cast_const()).collect();
        let mut scores = vec![0.0; rows.len() * pages.len() * PAGE];
        let scale = 1.0 / (input.width as f32).sqrt();
        let mut job = Attend { rows: &rows, pages: &pages, head: cache.head(), scale, scores: &mut scores };
        // SAFETY: all pointers are into buffers of this function, pages reach to every row's last position.
        unsafe { self.0.attend(&mut job) };
        out
    }
}
