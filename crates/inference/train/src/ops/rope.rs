use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::floats;
use tributary_weights::Config;

/// cos and sin of position·θ^(−2i/d), a row of d/2 for each position.
#[derive(Debug)]
pub(crate) struct RopeTable {
    half: usize,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl RopeTable {
    /// Angles in f64; a model's factors (Llama 3.1) divide its frequencies.
    pub(crate) fn new(config: &Config, positions: usize) -> Self {
        let half = config.head_dim / 2;
        let frequency = |i: usize| {
            let factor = config
                .rope_factors
                .as_ref()
                .and_then(|factors| factors.get(i))
                .map_or(1.0, |f| f64::from(*f));
            f64::from(config.rope_theta).powf(-(i as f64) / half as f64) / factor
        };
        let frequencies: Vec<f64> = (0..half).map(frequency).collect();
        let angles = || (0..positions * half).map(|i| (i / half) as f64 * frequencies[i % half]);
        Self {
            half,
            cos: angles().map(|a| a.cos() as f32).collect(),
            sin: angles().map(|a| a.sin() as f32).collect(),
        }
    }

    pub(crate) fn positions(&self) -> usize {
        self.cos.len() / self.half
    }
}

/// Rotary embedding in Hugging Face's order (i with i + d/2) on (…, positions, d); the backward pass turns back.
pub(crate) struct Rope {
    pub(crate) table: Arc<RopeTable>,
    pub(crate) back: bool,
}

impl CustomOp1 for Rope {
    fn name(&self) -> &'static str {
        "rope"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let RopeTable { half, cos, sin } = &*self.table;
        let (half, dims) = (*half, layout.dims());
        let [.., positions, width] = *dims else { bail!("rope needs positions and heads") };
        if width != 2 * half || positions * half > cos.len() {
            bail!("rope table of {} for heads of {width} at {positions} positions", 2 * half);
        }
        let x = floats(storage, layout)?;
        let mut y = vec![0f32; x.len()];
        y.par_chunks_mut(width).zip(x.par_chunks(width)).enumerate().for_each(|(row, (y, x))| {
            let at = row % positions * half;
            let ((x0, x1), (y0, y1)) = (x.split_at(half), y.split_at_mut(half));
            for i in 0..half {
                let (c, s) = (cos[at + i], if self.back { -sin[at + i] } else { sin[at + i] });
                y0[i] = x0[i] * c - x1[i] * s;
                y1[i] = x1[i] * c + x0[i] * s;
            }
        });
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let turned = Self { table: self.table.clone(), back: !self.back };
        Ok(Some(grad.contiguous()?.apply_op1_no_bwd(&turned)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::check::{gradients, random};
    use tributary_weights::Architecture;

    fn table(head_dim: usize, positions: usize) -> Arc<RopeTable> {
        let config = Config {
            architecture: Architecture::Llama,
            layers: 1,
            hidden: head_dim,
            intermediate: 1,
            heads: 1,
            kv_heads: 1,
            head_dim,
            vocab: 1,
            context: positions,
            rope_theta: 100.0,
            rope_factors: None,
            norm_eps: 1e-5,
        };
        Arc::new(RopeTable::new(&config, positions))
    }

    #[test]
    fn gradients_agree_with_differences() {
        let x = random(1, &[2, 3, 4]);
        let table = table(4, 3);
        gradients(&[&x], || x.apply_op1(Rope { table: table.clone(), back: false }));
    }

    #[test]
    fn position_one_turns_by_one_radian() {
        let x = Tensor::new(&[[[1f32, 0.0], [1.0, 0.0]]], &candle_core::Device::Cpu).unwrap();
        let y = x
            .apply_op1(Rope { table: table(2, 2), back: false })
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1::<f32>()
            .unwrap();
        assert_eq!(y, [1.0, 0.0, 1f32.cos(), 1f32.sin()]);
    }
}
