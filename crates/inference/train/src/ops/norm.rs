use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::{floats, width};

/// RMSNorm over the last dimension with a frozen weight: y = w·x/√(mean x² + ε).
#[derive(Clone)]
pub(crate) struct RmsNorm {
    pub(crate) weight: Arc<[f32]>,
    pub(crate) epsilon: f32,
}

impl RmsNorm {
    fn inverse(&self, x: &[f32]) -> f32 {
        let squares: f32 = x.iter().map(|x| x * x).sum();
        1.0 / (squares / x.len() as f32 + self.epsilon).sqrt()
    }

    fn check(&self, layout: &Layout) -> Result<usize> {
        let width = width(layout)?;
        if width != self.weight.len() {
            bail!("a norm of {} values meets rows of {width}", self.weight.len());
        }
        Ok(width)
    }
}

impl CustomOp1 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms-norm"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let width = self.check(layout)?;
        let x = floats(storage, layout)?;
        let mut y = vec![0f32; x.len()];
        y.par_chunks_mut(width).zip(x.par_chunks(width)).for_each(|(y, x)| {
            let inverse = self.inverse(x);
            y.iter_mut().zip(x).zip(self.weight.iter()).for_each(|((y, x), w)| *y = x * inverse * w);
        });
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(x.apply_op2_no_bwd(&grad.contiguous()?, &Backward(self.clone()))?))
    }
}

/// dx = r·(w∘g) − x·r³·Σ(w∘g∘x)/n, r the inverse root.
struct Backward(RmsNorm);

impl CustomOp2 for Backward {
    fn name(&self) -> &'static str {
        "rms-norm-backward"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        grad: &CpuStorage,
        grad_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let width = self.0.check(x_layout)?;
        let (x, grad) = (floats(x, x_layout)?, floats(grad, grad_layout)?);
        let weight = &self.0.weight;
        let mut out = vec![0f32; x.len()];
        out.par_chunks_mut(width).zip(x.par_chunks(width)).zip(grad.par_chunks(width)).for_each(
            |((out, x), grad)| {
                let inverse = self.0.inverse(x);
                let along: f32 = x.iter().zip(grad).zip(weight.iter()).map(|((x, g), w)| x * g * w).sum();
                let pull = along * inverse * inverse * inverse / width as f32;
                for (((out, x), g), w) in out.iter_mut().zip(x).zip(grad).zip(weight.iter()) {
                    *out = inverse * g * w - pull * x;
                }
            },
        );
        Ok((CpuStorage::F32(out), x_layout.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::check::{gradients, random};

    #[test]
    fn gradients_agree_with_differences() {
        let x = random(1, &[3, 6]);
        let weight: Arc<[f32]> = vec![0.5, 1.0, -1.5, 2.0, 0.1, 1.0].into();
        gradients(&[&x], || x.apply_op1(RmsNorm { weight: weight.clone(), epsilon: 1e-5 }));
    }
}
