use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::floats;

/// Softmax of scale·x over the last dimension, where row r of each block of `positions` rows sees columns 0..=r.
///
/// Several query heads that share a key head lie one block after the other, so a row's position is its number modulo
/// the row length.
#[derive(Clone, Copy)]
pub(crate) struct CausalSoftmax {
    pub(crate) scale: f32,
}

fn positions(layout: &Layout) -> Result<usize> {
    match *layout.dims() {
        [.., rows, columns] if columns > 0 && rows % columns == 0 => Ok(columns),
        _ => bail!("a causal softmax needs square blocks"),
    }
}

impl CustomOp1 for CausalSoftmax {
    fn name(&self) -> &'static str {
        "causal-softmax"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let n = positions(layout)?;
        let x = floats(storage, layout)?;
        let mut y = vec![0f32; x.len()];
        y.par_chunks_mut(n).zip(x.par_chunks(n)).enumerate().for_each(|(row, (y, x))| {
            let seen = row % n + 1;
            let (x, y) = (&x[..seen], &mut y[..seen]);
            let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut total = 0f32;
            for (y, x) in y.iter_mut().zip(x) {
                *y = ((x - max) * self.scale).exp();
                total += *y;
            }
            y.iter_mut().for_each(|y| *y /= total);
        });
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(y.apply_op2_no_bwd(&grad.contiguous()?, &Backward { scale: self.scale })?))
    }
}

/// dx = scale·y∘(g − Σ y∘g).
struct Backward {
    scale: f32,
}

impl CustomOp2 for Backward {
    fn name(&self) -> &'static str {
        "causal-softmax-backward"
    }

    fn cpu_fwd(
        &self,
        y: &CpuStorage,
        y_layout: &Layout,
        grad: &CpuStorage,
        grad_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let n = positions(y_layout)?;
        let (y, grad) = (floats(y, y_layout)?, floats(grad, grad_layout)?);
        let mut out = vec![0f32; y.len()];
        out.par_chunks_mut(n).zip(y.par_chunks(n)).zip(grad.par_chunks(n)).for_each(|((out, y), grad)| {
            let mean: f32 = y.iter().zip(grad).map(|(y, g)| y * g).sum();
            for ((out, y), g) in out.iter_mut().zip(y).zip(grad) {
                *out = self.scale * y * (g - mean);
            }
        });
        Ok((CpuStorage::F32(out), y_layout.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::check::{gradients, random};

    #[test]
    fn gradients_agree_with_differences() {
        let x = random(1, &[2, 6, 3]);
        gradients(&[&x], || x.apply_op1(CausalSoftmax { scale: 0.7 }));
    }

    #[test]
    fn rows_sum_to_one_and_do_not_see_the_future() {
        let x = random(1, &[1, 6, 3]);
        let y = x
            .apply_op1(CausalSoftmax { scale: 1.0 })
            .unwrap()
            .reshape((6, 3))
            .unwrap()
            .to_vec2::<f32>()
            .unwrap();
        for (row, y) in y.iter().enumerate() {
            assert!((y.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            assert!(y[row % 3 + 1..].iter().all(|y| *y == 0.0));
        }
    }
}
