use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::{floats, width, with_floats};

/// Mean over rows of −ln softmax(logits)[target].
pub(crate) struct CrossEntropy {
    pub(crate) targets: Vec<u32>,
}

/// (maximum, ln Σ exp(x − maximum)) of one row.
fn log_sum(row: &[f32]) -> (f32, f32) {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    (max, row.iter().map(|x| (x - max).exp()).sum::<f32>().ln())
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let width = width(layout)?;
        let logits = floats(storage, layout)?;
        if self.targets.is_empty() || logits.len() != width * self.targets.len() {
            bail!("{} targets for {} logits", self.targets.len(), logits.len());
        }
        if self.targets.iter().any(|target| *target as usize >= width) {
            bail!("a target outside of a vocabulary of {width}");
        }
        let losses: Vec<f32> = logits
            .par_chunks(width)
            .zip(&self.targets)
            .map(|(row, target)| {
                let (max, log) = log_sum(row);
                log - (row[*target as usize] - max)
            })
            .collect();
        let mean = losses.iter().sum::<f32>() / losses.len() as f32;
        Ok((CpuStorage::F32(vec![mean]), Shape::from(())))
    }

    fn bwd(&self, logits: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let factor = grad.to_scalar::<f32>()? / self.targets.len() as f32;
        let width = width(logits.layout())?;
        let out = with_floats(logits, |logits| {
            let mut out = vec![0f32; logits.len()];
            let rows = out.par_chunks_mut(width).zip(logits.par_chunks(width)).zip(&self.targets);
            rows.for_each(|((out, row), target)| {
                let (max, log) = log_sum(row);
                out.iter_mut().zip(row).for_each(|(out, x)| *out = factor * (x - max - log).exp());
                out[*target as usize] -= factor;
            });
            Ok(out)
        })?;
        Ok(Some(Tensor::from_vec(out, logits.shape(), logits.device())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::check::{gradients, random};

    #[test]
    fn gradients_agree_with_differences() {
        let x = random(1, &[3, 5]);
        gradients(&[&x], || x.apply_op1(CrossEntropy { targets: vec![4, 0, 2] }));
    }

    #[test]
    fn even_logits_cost_the_log_of_the_vocabulary() {
        let x = Tensor::zeros((2, 8), candle_core::DType::F32, &candle_core::Device::Cpu).unwrap();
        let loss = x.apply_op1(CrossEntropy { targets: vec![0, 7] }).unwrap().to_scalar::<f32>().unwrap();
        assert!((loss - 8f32.ln()).abs() < 1e-6);
        assert!(x.apply_op1(CrossEntropy { targets: vec![0, 8] }).is_err());
    }
}
