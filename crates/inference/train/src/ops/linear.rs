use candle_core::{
    CpuStorage, CustomOp1, CustomOp3, Layout, Result, Shape, Storage, Tensor, backend::BackendStorage, bail,
};
use rayon::prelude::*;

use super::floats;

/// y = x·Wᵀ with a frozen W of shape (out, in): the gradient goes to x only.
pub(crate) struct FrozenLinear {
    pub(crate) weight: Tensor,
}

/// y = x·Wᵀ + scale·(x·Aᵀ)·Bᵀ with a frozen W, A of shape (rank, in), B of shape (out, rank).
pub(crate) struct LoraLinear {
    pub(crate) weight: Tensor,
    pub(crate) scale: f64,
}

/// x·Wᵀ for a contiguous x of shape (rows, in) and W of shape (out, in).
fn product(
    x: &CpuStorage,
    x_layout: &Layout,
    w: &CpuStorage,
    w_layout: &Layout,
) -> Result<(CpuStorage, usize, usize)> {
    let (rows, inner) = x_layout.shape().dims2()?;
    let (outer, w_inner) = w_layout.shape().dims2()?;
    if inner != w_inner {
        bail!("a row of {inner} values meets a weight of {w_inner}");
    }
    let y = x.matmul(w, (1, rows, outer, inner), x_layout, &w_layout.transpose(0, 1)?)?;
    Ok((y, rows, outer))
}

fn frozen_product(x: &CpuStorage, layout: &Layout, weight: &Tensor) -> Result<(CpuStorage, usize, usize)> {
    let (storage, weight_layout) = weight.storage_and_layout();
    match &*storage {
        Storage::Cpu(w) => product(x, layout, w, weight_layout),
        _ => bail!("training runs on the CPU"),
    }
}

impl CustomOp1 for FrozenLinear {
    fn name(&self) -> &'static str {
        "frozen-linear"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (y, rows, outer) = frozen_product(storage, layout, &self.weight)?;
        Ok((y, (rows, outer).into()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(grad.matmul(&self.weight)?))
    }
}

impl CustomOp3 for LoraLinear {
    fn name(&self) -> &'static str {
        "lora-linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        a: &CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (mut y, rows, outer) = frozen_product(x, x_layout, &self.weight)?;
        let (u, _, rank) = product(x, x_layout, a, a_layout)?;
        let (delta, ..) = product(&u, &Layout::contiguous((rows, rank)), b, b_layout)?;
        let shape = Layout::contiguous((rows, outer));
        let delta = floats(&delta, &shape)?;
        let CpuStorage::F32(values) = &mut y else { bail!("expected f32") };
        let scale = self.scale as f32;
        values.par_chunks_mut(outer).zip(delta.par_chunks(outer)).for_each(|(y, delta)| {
            y.iter_mut().zip(delta).for_each(|(y, d)| *y += scale * d);
        });
        Ok((y, (rows, outer).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        a: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let u = (x.matmul(&a.t()?)? * self.scale)?;
        let grad_u = (grad.matmul(b)? * self.scale)?;
        let grad_x = (grad.matmul(&self.weight)? + grad_u.matmul(a)?)?;
        let grad_a = grad_u.t()?.matmul(x)?;
        let grad_b = grad.t()?.matmul(&u)?;
        Ok((Some(grad_x), Some(grad_a), Some(grad_b)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::check::{gradients, random};

    #[test]
    fn gradients_agree_with_differences() {
        let (x, a, b) = (random(1, &[3, 8]), random(2, &[2, 8]), random(3, &[5, 2]));
        let weight = random(4, &[5, 8]).as_tensor().detach();
        gradients(&[&x], || x.apply_op1(FrozenLinear { weight: weight.clone() }));
        gradients(&[&x, &a, &b], || x.apply_op3(&a, &b, LoraLinear { weight: weight.clone(), scale: 1.5 }));
    }

    #[test]
    fn a_lora_linear_is_the_sum_of_its_two_paths() {
        let (x, a, b) = (random(1, &[3, 8]), random(2, &[2, 8]), random(3, &[5, 2]));
        let weight = random(4, &[5, 8]).as_tensor().detach();
        let fused = x.apply_op3(&a, &b, LoraLinear { weight: weight.clone(), scale: 2.0 }).unwrap();
        let base = x.matmul(&weight.t().unwrap()).unwrap();
        let delta = x.matmul(&a.t().unwrap()).unwrap().matmul(&b.t().unwrap()).unwrap();
        let apart = (base + (delta * 2.0).unwrap()).unwrap();
        let error = (fused - apart).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(error < 1e-5, "{error}");
    }
}
