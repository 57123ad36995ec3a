//! An adapter's A of at most eight rows, folded: sixteen lanes work on two segments of the same rows at a time.

use super::{Matmul, QBlock, fetch, matmul::put};
use crate::{
    packed::SEGMENT,
    simd::{LANES, Simd},
};

/// # Safety
///
/// `S`'s features are present, the job's layout is folded, its pointers are valid and its outputs its own.
#[inline(always)]
pub(super) unsafe fn run<S: Simd>(job: &Matmul<'_>) {
    // All rows are in one tile.
    if job.tiles.is_empty() {
        return;
    }
    let (four, rest) = job.tokens.as_chunks::<4>();
    // SAFETY: as this function's.
    unsafe {
        for tokens in four {
            step::<S, 4>(job, tokens);
        }
        for token in rest {
            step::<S, 1>(job, &[*token]);
        }
    }
}

/// Section 4 for `T` tokens.
#[inline(always)]
unsafe fn step<S: Simd, const T: usize>(job: &Matmul<'_>, tokens: &[u32; T]) {
    let (shape, tile) = (&job.weights.shape, job.weights.tile(0));
    // SAFETY: as `run`: tokens index `x` and the output, and block indices stay below the shape's.
    unsafe {
        let x = tokens.map(|token| job.x.add(token as usize * job.x_stride));
        let mut y = [S::splat(0.0); T];
        let (code_bytes, scales) = (shape.code_bytes(), tile.add(shape.scales_at()).cast::<u16>());
        for first in (0..shape.blocks).step_by(2 * SEGMENT) {
            let mut segment = [S::splat(0.0); T];
            for b in first..shape.blocks.min(first + SEGMENT) {
                // Past the last block the high lanes are zeros, whatever they are multiplied with.
                let beside = if b + SEGMENT < shape.blocks { b + SEGMENT } else { b };
                let stored = first / 2 + b - first;
                let codes = tile.add(stored * code_bytes);
                if let Some(next) = job.next {
                    let next = next.wrapping_add(stored * (code_bytes + LANES * 2));
                    fetch::lines(next, code_bytes + LANES * 2, |line| S::prefetch_second(line));
                }
                let d = S::load_bf16(scales.add(stored * LANES));
                for t in 0..T {
                    let (low, high) = (&*x[t].add(b), &*x[t].add(beside));
                    let d = S::mul(d, S::eights(low.scale, high.scale));
                    segment[t] = S::fma(d, S::to_f(integer::<S>(codes, low, high)), segment[t]);
                }
            }
            for t in 0..T {
                y[t] = S::add(y[t], S::low(segment[t]));
                if first + SEGMENT < shape.blocks {
                    y[t] = S::add(y[t], S::high(segment[t]));
                }
            }
        }
        for t in 0..T {
            put::<S>(job, 0, tokens[t], y[t]);
        }
    }
}

/// Σ q·a of a block in the low lanes and of another in the high ones.
#[inline(always)]
unsafe fn integer<S: Simd>(codes: *const u8, low: &QBlock, high: &QBlock) -> S::I {
    // SAFETY: as `step`; a QBlock begins with its 32 values.
    unsafe {
        let words = [low, high].map(|x| std::ptr::from_ref(x).cast::<i32>());
        let mut sums = if S::WIDE_IS_OFFSET { S::eights_i(low.offset, high.offset) } else { S::splat_i(0) };
        for g in 0..8 {
            let x = S::eights_i(*words[0].add(g), *words[1].add(g));
            sums = S::dot_wide_each(sums, S::load_codes(codes.add(g * 64)), x);
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        Path,
        blocks::{BLOCK, quantize_weights},
        kernels::{Kernels, Matmul, Output, QBlock},
        memory::Arena,
        packed::{Layout, Packed, Shape},
        reference,
    };
    use std::sync::Arc;

    fn floats(state: &mut u64, len: usize) -> Vec<f32> {
        let mut next = || {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (*state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        };
        // Large and small side by side, so that every other order of additions shows.
        (0..len).map(|_| next() * 2f32.powi((next() * 16.0) as i32)).collect()
    }

    /// Every rank, over every number of blocks that ends in another place of the fold, against the definition.
    #[test]
    fn folded_rows_have_the_bits_of_the_reference() {
        let mut state = 5;
        for (rank, blocks) in (1..=8).flat_map(|rank| (1..=35).map(move |blocks| (rank, blocks))) {
            let (columns, tokens) = (blocks * BLOCK, 1 + (rank * 5 + blocks) % 7);
            let mut a = floats(&mut state, rank * columns);
            a[..BLOCK].fill(0.0);
            let block = |row: usize, b: usize| quantize_weights(&a[row * columns + b * BLOCK..][..BLOCK]);
            let rows: Vec<Vec<_>> =
                (0..rank).map(|row| (0..blocks).map(|b| block(row, b)).collect()).collect();
            let x: Vec<Vec<QBlock>> =
                (0..tokens).map(|_| reference::quantize(&floats(&mut state, columns)).unwrap()).collect();
            let expected: Vec<f32> =
                x.iter().flat_map(|x| reference::linear(&rows, false, None, x)).collect();
            let (inputs, shape) = (x.concat(), Shape::new(Layout::Folded, rank, columns));
            for path in Path::ALL.into_iter().filter(|path| path.is_available()) {
                let kernels = Kernels::new(path).unwrap();
                let arena = Arc::new(Arena::new(shape.bytes()).unwrap());
                let built = Packed::build_floats(shape, &arena, 0, |row, b, codes| {
                    let values = &a[row * columns + b * BLOCK..][..BLOCK];
                    kernels.quantize_weights(values.try_into().unwrap(), codes)
                });
                for weights in [built.unwrap(), Packed::alone(shape, block).unwrap()] {
                    for whole in [false, true] {
                        let stride = if whole { 16 } else { rank };
                        let mut out = vec![7.0; tokens * stride];
                        let job = Matmul {
                            weights: &weights,
                            tiles: 0..1,
                            x: inputs.as_ptr(),
                            x_stride: blocks,
                            tokens: &(0..tokens as u32).collect::<Vec<_>>(),
                            bias: None,
                            accumulate: false,
                            next: (rank % 2 == 0).then(|| weights.tile(0)),
                            later: &[],
                            onward: None,
                            out: Output { start: out.as_mut_ptr(), stride, whole },
                        };
                        // SAFETY: a row of `x` and of `out` for each token.
                        unsafe { kernels.matmul(&job) };
                        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                        for (found, expected) in out.chunks(stride).zip(expected.chunks(rank)) {
                            assert_eq!(
                                bits(&found[..rank]),
                                bits(expected),
                                "{path}: {rank} × {blocks} blocks"
                            );
                            assert!(found[rank..].iter().all(|value| value.to_bits() == 0));
                        }
                    }
                }
            }
        }
    }

    /// No lane is left empty that could be filled.
    #[test]
    fn folding_takes_the_padding_away() {
        let bytes = |rank, inputs| Shape::shrinking(rank, inputs).bytes();
        assert_eq!(bytes(8, 1536) * 2, bytes(16, 1536));
        assert_eq!(bytes(8, 576) * 9, bytes(16, 576) * 5);
        assert_eq!(bytes(8, 256), bytes(16, 256), "one segment has nothing to stand beside");
        assert_eq!(bytes(9, 1536), bytes(16, 1536));
    }
}
